"""Canned lines of a character: "I don't know", "say that again", "not now", deflections; and its backchannels and
hesitations.

A line is chosen by the character's manner of speaking and the number of its turn, so that the same words do not come
twice in a row; a form of address from the card's catchphrases ("friend", "my dear") is put in where the card has one.
No line holds a number or a name, so all of them pass the guardrails that use them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mythicd.config.world_files import PersonaCard

Occasion = Literal["dont_know", "say_again", "busy", "deflect", "backchannel", "hesitation"]

_MANNERS: dict[str, frozenset[str]] = {
    "gruff": frozenset(
        "gruff stern blunt clipped terse cold harsh grim tired exact strict curt rough guarded suspicious hard".split()
    ),
    "warm": frozenset(
        "warm gentle kind cheerful friendly hearty dreamy sweet jolly merry soft motherly patient helpful nosy".split()
    ),
    "wry": frozenset("wry dry sardonic ironic sarcastic sly witty teasing amused mocking".split()),
}
"""Manner -> words of a card's style that indicate it. The first word of the style that is in any list decides."""

_LINES: dict[str, dict[Occasion, tuple[str, ...]]] = {
    "plain": {
        "dont_know": ("I don't know{}.", "That I don't know{}.", "I couldn't tell you{}."),
        "say_again": ("Say that again{}?", "I didn't catch that{}.", "What was that{}?"),
        "busy": ("Not now{}. Give me a moment.", "Wait a moment{}.", "In a moment{}."),
        "deflect": ("Let us speak of something else{}.", "I won't speak of that{}.", "Ask me something else{}."),
        "backchannel": ("Mm-hm.", "Mm.", "I see."),
        "hesitation": ("Hmm, let me think.", "Well...", "Let me see."),
    },
    "gruff": {
        "dont_know": ("Don't know{}.", "Couldn't tell you{}.", "No idea{}. Ask someone else."),
        "say_again": ("What{}? Speak up.", "Say it again{}.", "Again{}. Clearly this time."),
        "busy": ("Not now{}.", "Wait your turn{}.", "Busy{}. Wait."),
        "deflect": ("Not a word about that{}.", "Drop it{}.", "We are not talking about that{}."),
        "backchannel": ("Mm.", "Mm-hm.", "Right."),
        "hesitation": ("Hmm.", "Well...", "Let me think."),
    },
    "warm": {
        "dont_know": ("I wish I knew{}.", "I'm afraid I don't know{}.", "Oh, I couldn't say{}."),
        "say_again": ("Sorry{}, what was that?", "Could you say that again{}?", "I missed that{}. Once more?"),
        "busy": ("Just a moment{}.", "I'll be right with you{}.", "Bear with me a moment{}."),
        "deflect": ("Let us talk of nicer things{}.", "Oh, let us leave that alone{}.", "I'd rather not{}."),
        "backchannel": ("Mm-hm.", "Ah.", "I see."),
        "hesitation": ("Hmm, let me think.", "Oh, let me see.", "Well now..."),
    },
    "wry": {
        "dont_know": ("Your guess is as good as mine{}.", "If I knew, I'd tell you{}.", "Couldn't say{}."),
        "say_again": ("Try that again{}, slower.", "You lost me{}. Again?", "Come again{}?"),
        "busy": ("My ears are full already{}.", "Hold that thought{}.", "Patience{}. I'm busy."),
        "deflect": ("Nice try{}. Next question.", "I didn't hear that{}.", "Now why would I talk about that{}?"),
        "backchannel": ("Mm-hm.", "Mm.", "Oh."),
        "hesitation": ("Hmm, let me think.", "Well...", "Now let me see."),
    },
}

_ADDRESSES = frozenset(
    "friend,my friend,old friend,stranger,traveller,traveler,lad,lass,laddie,lassie,dear,my dear,dearie,love,my love,"
    "sir,madam,mate,darling,child,my child,young one,sailor,kid,pal,buddy,comrade,sweetheart,honey".split(",")
)


def line(card: PersonaCard, occasion: Occasion, turn: int) -> str:
    """Return the words for an occasion: the card's own, or those of its manner. `turn` counts the character's turns."""
    if own := {"backchannel": card.backchannels, "hesitation": card.hesitations}.get(occasion):
        return own[turn % len(own)]
    choices = _LINES[_manner(card.manner)][occasion]
    addresses = _addresses(card.catchphrases)
    # Every second time, so that it is not repetitive.
    address = f", {addresses[turn // 2 % len(addresses)]}" if addresses and turn % 2 == 0 else ""
    return choices[turn % len(choices)].format(address)


def _manner(style: str) -> str:
    for word in style.lower().replace(",", " ").split():
        for manner, signs in _MANNERS.items():
            if word in signs:
                return manner
    return "plain"


def _addresses(catchphrases: Sequence[str]) -> list[str]:
    """Return the catchphrases that are forms of address."""
    return [phrase.lower().strip() for phrase in catchphrases if phrase.lower().strip() in _ADDRESSES]
