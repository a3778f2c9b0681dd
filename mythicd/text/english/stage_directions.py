"""Stage directions and narration in English: what a character does rather than says.

A stretch between stars, brackets or parentheses is a direction when it begins with a verb of the list ("nods", "smiling
warmly", "softly laughs"), or with somebody who acts ("she looks away", "Marla sighs", "her eyes narrow").
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

_BASES: Final = (
    "beam blink blush bow chuckle clear cough cry cross frown gasp gesture giggle glance glare grab grimace grin growl "
    "grumble grunt hesitate hum laugh lean lift look lower mutter nod pause point pour pull raise roll scoff scowl "
    "scratch shake shrug sigh sing smile smirk sniff snort stare step sweep tap tilt turn wave whisper whistle wince "
    "wink wipe yawn yell adjust approach back bite breathe brush burst cackle chew chortle clap clasp "
    "clean clench cling "
    "close cock collapse crack crane cringe crouch dance dip draw drink drop drum eat exhale eye face fade fall fidget "
    "flash flick flinch flip flush fold furrow gaze glower groan guffaw gulp hang hand hide hiss hold "
    "hop howl huff hug "
    "hurry inhale inspect jerk jump kick kiss kneel knock leap lick linger listen moan mop mumble murmur "
    "narrow open pace "
    "pat peer pick place polish pound press puff push put reach recoil relax rest retreat return rise rub rummage run "
    "salute scan scribble scrub set settle shift shiver shout shudder shuffle sip sit slam slap slide slump smack snap "
    "sneer sneeze snicker snicker snuffle sob spin spit squint stammer stand stiffen straighten stretch stroke stumble "
    "swallow sway swing take tense think throw thump toss touch trail tremble tug twirl twist twitch wag "
    "walk watch weep "
    "whimper whirl wipe work wrinkle wring zip emote"
).split()
"""Verbs of stage directions. Words that are as often spoken ("go", "come", "give", "help", "wait") are left out."""
_IRREGULAR: Final = (
    "sang sung shook shaken drew rose risen sat stood fell held threw thrown took taken wept swung ran bit knelt leapt "
    "leant spun spat swept wrung hung hid ate drank put set"
).split()
_ADVERBS: Final = "suddenly then still slightly gently slowly quickly again almost just briefly half".split()
_SELF_ACTS: Final = frozenset("she he they it her his their its".split())
_SCENES: Final = (
    "long short brief awkward heavy sudden uncomfortable pregnant deep soft loud warm faint quiet low nervous bitter "
    "hearty dry small wry sly knowing"
).split()
_NOUNS: Final = (
    "pause silence beat sigh laugh smile nod shrug grin chuckle whisper glance look breath sniff cough gasp wink frown "
    "smirk snort groan giggle wave bow laughter applause music footsteps"
).split()
_SAYS: Final = (
    "says said say saying asks asked replies replied answers answered adds added continues continued "
    "whispers whispered "
    "mutters muttered murmurs murmured laughs laughed shouts shouted calls called greets greeted exclaims exclaimed "
    "remarks remarked responds responded growls growled grumbles grumbled sighs sighed chuckles chuckled explains "
    "explained warns warned offers offered declares declared begins began smiles smiled nods nodded grins grinned"
).split()


_LEADS: Final = frozenset(
    "smiles smiled nods nodded sighs sighed laughs laughed grins grinned looks looked leans leaned turns turned shrugs "
    "shrugged chuckles chuckled raises raised pauses paused glances glanced wipes wiped says said asks asked replies "
    "replied whispers whispered mutters muttered frowns frowned snorts snorted winks winked shakes shook gestures "
    "gestured puts put sets set".split()
)
"""Verbs with which narration before quoted words begins."""


def _inflected(base: str) -> set[str]:
    """Return third person, participle and past of a regular verb."""
    stem = base[:-1] if base.endswith("e") else base
    doubled = base + base[-1] if re.search(r"[^aeiou][aeiou][bdgklmnprt]$", base) else base
    third = (
        base[:-1] + "ies"
        if re.search(r"[^aeiou]y$", base)
        else base + ("es" if re.search(r"(?:s|x|z|ch|sh)$", base) else "s")
    )
    past = base[:-1] + "ied" if re.search(r"[^aeiou]y$", base) else stem + "ed"
    return {third, stem + "ing", doubled + "ing", base + "ing", past, doubled + "ed"}


_ACTS: Final = frozenset(form for base in _BASES for form in _inflected(base)) | frozenset(_IRREGULAR)
"""Inflected forms; the base form alone ("look", "listen", "stop") is an order that a character may well speak."""
_BARE: Final = frozenset(_BASES) & frozenset(
    "sigh laugh smile nod shrug grin chuckle cough gasp wink frown smirk snort groan giggle wave bow sniff blush pause "
    "growl grunt gulp sob yawn wince grimace whistle hum".split()
)
"""Base forms that count when they stand alone: "[laugh]", "<sigh>"."""
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def is_stage_direction(text: str, names: Collection[str] = ()) -> bool:
    """Tell whether a marked stretch says what the character does. `names` are its own, in lower case."""
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    if not words:
        return False
    if len(words) == 1 and words[0] in _BARE:
        return True
    at = 0
    while at < len(words) - 1 and (words[at] in _ADVERBS or (words[at].endswith("ly") and len(words[at]) > 4)):
        at += 1
    first, rest = words[at], words[at + 1 :]
    if first in _ACTS:
        return True
    if first in _SELF_ACTS or first in names:
        following = rest[:4]
        return any(word in _ACTS or word in _SAYS for word in following) or (
            len(rest) > 0 and first in _SELF_ACTS and (rest[0].endswith("s") or first in ("her", "his", "their", "its"))
        )
    if first in ("a", "an", "the", "with", "in") and len(words) <= 6:
        return any(word in _NOUNS for word in words[1:]) and (len(words) <= 3 or any(word in _SCENES for word in words))
    return first in _NOUNS and len(words) <= 2


def says_line(text: str, names: Collection[str] = (), *, begun: bool = False) -> bool:
    """Tell whether text outside of quotation marks is narration: "she says with a smile", "Marla sighs.".

    With `begun` it may go on: then tell whether it may still become narration.
    """
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    if not words:
        return begun
    first, rest = words[0], words[1:]
    if begun and not rest and text[-1:].isalpha():
        return any(word.startswith(first) for word in (*_SELF_ACTS, *names, *_SAYS, "the"))
    if first in _SELF_ACTS or first in names:
        if not rest:
            return begun
        return (
            any(word in _ACTS or word in _SAYS for word in rest[:4])
            or rest[0].endswith(("s", "ed"))
            or (begun and len(rest) < 3)
        )
    if first == "the" and len(words) > 2:
        return any(word in _SAYS or word in _ACTS for word in words[2:4])
    if first in _SAYS:  # "says Marla"
        return not rest or rest[0] in _SELF_ACTS or rest[0] in names or rest[0] == "the" or begun
    return begun and first == "the" and len(words) <= 2


def leads_narration(text: str, names: Collection[str] = (), *, final: bool = False) -> bool | None:
    """Tell whether a line begins like narration: "She smiles", "Marla quietly says"; None while that is undecided."""
    found = list(_WORD.finditer(text[:80]))
    whole = found if final or not found or found[-1].end() < len(text) else found[:-1]
    words = [word[0].lower() for word in whole]
    if not words:
        part = found[0][0].lower() if found else ""
        may = any(word.startswith(part) for word in ("she", "he", "they", *names))
        return None if may and not final else False
    if words[0] not in ("she", "he", "they") and words[0] not in names:
        return False
    verb = next((word for word in words[1:3] if not word.endswith("ly")), "")
    if not verb:
        return False if final or len(words) > 2 else None
    return verb in _LEADS


def is_direction_of(direction: str, act: str) -> bool:
    """Tell whether a stage direction ("nods slowly") tells of an act that is named by its base form ("nod")."""
    words = {word.lower() for word in _WORD.findall(direction)}
    base = _WORD.findall(act.lower())
    return len(base) == 1 and bool(words & ({base[0]} | _inflected(base[0])))
