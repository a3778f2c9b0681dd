"""Intent classification: what the player wants, from weighted cues in the words, and what follows from it.

    text -> plain words -> every cue that occurs adds its weight to its intent -> the highest sum wins

A cue counts once. Weight 1 is a hint ("coins"), 2 a sign ("how much is"), 3 and more a phrase that leaves little doubt
("save the game"). Between equal sums the earlier intent in `PRECEDENCE` wins. No cue at all is chitchat.
A cue is words with single spaces; `(a|b)` are alternatives, `~` stands for up to three words of any kind. The text may
come from a recogniser: case, punctuation and apostrophes are removed on both sides before they are compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mythicd.config.world_files import ToolDefinition
from mythicd.text.english.words import BARE_WORD

Intent = Literal["chitchat", "trade", "quest", "hint", "combat", "navigation", "admin"]

PRECEDENCE: tuple[Intent, ...] = ("admin", "combat", "hint", "quest", "navigation", "trade", "chitchat")
"""Which intent wins between equal sums: rarer intents, with plainer cues, come first."""

_CUES: dict[Intent, dict[int, tuple[str, ...]]] = {
    "admin": {
        4: (
            "(save|load|pause|quit|exit|restart|leave|close|stop|end) (the|this|my) game",
            "(open|show|go to|change|close) ~ (settings|options|main menu|menu|subtitles|inventory)",
            "(turn|switch) (on|off|up|down) ~ (volume|sound|music|subtitles|captions|microphone)",
            "(turn|switch) ~ (volume|sound|music|subtitles|captions|microphone) (on|off|up|down)",
            "(volume|brightness|difficulty|tutorial|subtitles)",
            "how do i (save|pause|quit|jump|crouch|use the controls)",
        ),
        3: (
            "(say|repeat) (that|it) (again|once more|please)",
            "(repeat|say) (that|it|what you said)",
            "(speak|talk) ~ (louder|slower|faster|up|quieter|more slowly|more quietly)",
            "(stop|quit) talking",
            "(be|keep) (quiet|silent)",
            "shut up",
            "(i|i did) (can not|could not|did not|not) (hear|understand) you",
            "what did you (just|) say",
            "(my|the) (inventory|bag|pack|backpack)",
            "skip (this|the) (dialog|dialogue|scene|conversation)",
        ),
        2: (
            "(repeat|louder|slower|quieter|settings|volume|pause|save)",
            "hear you",
            "(music|sound) off",
        ),
    },
    "combat": {
        4: (
            "(fight|attack|kill|slay|stab|shoot|ambush) (me|him|her|it|them|us|you|that|this|those|these)",
            "(i|we|let us) (will|shall|must|have to|need to|) (fight|attack|kill|slay|defend)",
            "under attack",
            "draw your (sword|weapon|blade|bow)",
            "(defend|protect) (yourself|me|us)",
            "(i|we) (surrender|yield|give up)",
            "(behind you|watch out|look out)",
        ),
        3: (
            "(kill|slay|defeat|beat|fight) (the|a|an|that|those) ~",
            "(how|what) ~ (weakness|weak against|weak spot|weak point)",
            "(attacked|attacking|attacks|ambush|duel|battle|enemies|enemy|wounded|bleeding)",
            "(are|is) ~ (dangerous|deadly|hostile)",
            "call the guards",
            "(going to|gonna|want to|try to) (kill|hurt|hit|attack|fight) (me|you|us|him|her|them|someone|somebody)",
        ),
        2: (
            "(fight|fighting|attack|kill|weapon drawn)",
            "(danger|dangers|dangerous|threat)",
            "(safe|unsafe)",
            "(surrender|defend)",
        ),
    },
    "hint": {
        4: (
            "(give|need|want|have|any|got|another|small|little) ~ (hint|hints|clue|clues|tip|tips|advice)",
            "(i am|we are|am|i got|are) (stuck|lost for ideas|out of ideas)",
            "(how|what) ~ (solve|crack|figure out) ~",
            "(solve|crack) ~ (riddle|puzzle|mystery|code|cipher)",
            "(heard|hear|any|know|what|tell|some|latest) ~ (rumor|rumors|rumour|rumours|gossip|whispers)",
        ),
        3: (
            "(hint|clue|riddle|puzzle|advice)",
            "(secret|hidden) (passage|door|tunnel|way|entrance|path|room|stair|stairs)",
            "how (do|can|could|would|should) (i|we|one) ~ (get past|get by|get inside|get in|sneak|break in)",
            "how (do|can|could|would|should) (i|we|one) ~ (unlock|open the|find out|escape)",
            "what (should|shall|do) (i|we) (look for|know|watch for|do now)",
            "point me in the right direction",
            "(know|tell|heard) ~ (about|of) ~ (secret|secrets|legend|mystery|treasure)",
        ),
        2: (
            "(secret|secrets|rumors|rumor|gossip|mystery)",
            "any (idea|clue)",
            "help me (out|understand|with this)",
            "(stuck|hidden)",
            "(get|go|sneak) past",
        ),
        1: ("(passage|locked|past)", "(i|we) look for"),
    },
    "quest": {
        4: (
            "(any|some|have|need|looking|give|there|got|find|want) ~ (work|job|jobs|errand|task|mission)",
            "(quest|quests|quest log|notice board|job board|journal|notices)",
            "(need|want|could use|can use) ~ (help|hand|hero|adventurer) with (anything|something)",
            "(do you|does anyone|anyone) (need|want|require) ~ (help|a hand|an adventurer|a hero)",
            "(can|may|could) i help (you|anyone|out|with)",
            "what ~ (reward|bounty)",
            "(reward|bounty) (for|on|is)",
            "how much ~ (reward|bounty)",
            "(i|we) (have|) (found|finished|completed|killed|delivered|brought|caught) (the|your|it|that|what|a|him)",
            "i (accept|will take|take|will do) (the|this|your|that|it) (job|quest|task|mission|work|errand)",
            "what (should|must|do|shall) (i|we) do (next|now|first)",
        ),
        3: (
            "(reward|rewards|bounty|mission|errand)",
            "(here is|brought|bring|have|got) (the|your) ~ you (wanted|asked for|lost|need|needed)",
            "i will (do|help|accept|find) it",
            "(hire|employ) me",
            "what (can|could) i do for you",
        ),
        2: ("(task|job|work for|accept)", "do next", "(can|may) i help"),
        1: ("(brought|finished|completed|killed|found)",),
    },
    "navigation": {
        4: (
            "(show|tell|give|point|know) ~ (the way|directions|route|path)",
            "(take|lead|guide|bring|walk) (me|us) ~ (to|there)",
            "(how|where) (do|can|could|would|should|might) (i|we|one) (get|go|come|walk|travel|reach|find)",
            "(which|what) (way|road|direction|street|path)",
            "(mark|marker|waypoint|pin)",
            "(on|open|show|see|look at|unfold) (the|my|your) (world|) (map)",
            "(look|looking|turn|face|turn around) (at|to|toward|towards|over at|over there|here)",
        ),
        3: (
            "where (is|are|was|can i find|do i find|might|could|should|exactly is|lies)",
            "(way|directions|path|road|route|shortcut) (to|from)",
            "(is|are) ~ (far|near|nearby|close|around here|close by)",
            "how far",
            "(nearest|closest|directions)",
            "(point|direct|send|show) (me|us) (to|toward|towards)",
            "(i am|we are|i got|we got) lost",
            "(find|looking for|searching for|trying to reach|need to get to|want to go to|have to reach)",
            "(focus|look) (on|at|over)",
            "where do they",
            "(point|show) (to|at|me where|us where)",
            "have you seen",
            "(do|can) you see (the|that|this|a)",
        ),
        2: (
            "where",
            "show (me|us) the",
            "(go|get|going|me|lead|take) to (the|a)",
            "map",
            "(lead|guide) me",
            "(shortest|quickest)",
        ),
        1: ("(way|path|route|far|over there|look at|seen|find)",),
    },
    "trade": {
        4: (
            "how much (is|are|for|does|do|would|will|did|money|must)",
            "(what|how much) ~ (cost|costs|price|charge|charging|set me back)",
            "(i|we|can i|may i|could i|want|like|come|here) ~ (buy|sell|purchase|trade|order|rent)",
            "(show|see|open|browse|look at) ~ (wares|goods|stock|shop|store|trade window|merchandise|catalogue)",
            "(do|would|will|are) you (sell|buy|selling|buying|trade|stock|rent|have ~ for sale)",
            "(give|hand|bring|pour|pass|sell|get|fetch|serve|lend) (me|us) ~",
            "for sale",
            "(i will|i would|we will|let me) (take|have|like) (a|an|the|one|two|some|it|that|another)",
        ),
        3: (
            "(price|prices|cost|costs|buy|sell|selling|sells|purchase|discount|cheap|cheaper|expensive|afford|haggle|barter|wares)",
            "(can|may|could|might) (i|we) (have|get|borrow|rent|take|order) (a|an|the|one|some|two|another|your)",
            "(another|one more|two) (ale|beer|drink|round|mug|please)",
            "(what|anything) ~ (to eat|to drink|on the menu|have you got|in stock)",
            "(pay|paid|owe) (you|for|me|with)",
        ),
        2: (
            "(coins|coin|gold|silver|copper|money|crowns)",
            "(i|we) (need|want|would like) (a|an|some|another|two|new)",
            "how much",
        ),
        1: (
            "(shop|store|goods|stall|merchant)",
            "(do you have|have you got) (a|an|any|some)",
            "(pour|hand|fetch|please)",
            "give (a|some)",
        ),
    },
    "chitchat": {
        4: (
            "(hello|hi|hey|greetings|well met|farewell|goodbye)",
            "good (morning|evening|day|night|afternoon)",
            "how are (you|things|we)",
            "(who are|what are|where are) you (|from|doing|called)",
            "(your|my) (name|family|mother|father|wife|husband|day|story|cat|dog|life|children)",
            "tell (me|us) (a|about) (joke|story|yourself|you|tale)",
            "(wave|bow|nod|dance|salute|clap|cheer|smile|laugh|sing|wink|sit|kneel) (to|at|for|with|down|again|your)",
            "(take|make|give|do|have) (me|us|) a ~ (bow|wave|nod|seat|smile|dance|salute|cheer|laugh|shrug|song)",
            "where (do|did|were) you (live|come from|born|grow up|sleep)",
            "(thank|thanks|bless|love|hate|like) you",
            "(nice|good|pleased|glad) to (meet|see) you",
        ),
        3: (
            "(thanks|thank|cheers|bye|sorry|joke|weather|music|song|friend|friends|married)",
            "(do|did|are|have) you (like|enjoy|love|ever|married|happy|tired|lonely|feel|think|believe)",
            "how (long|old) (have|are|did) you",
            "(can|could|will|would) you (wave|bow|nod|dance|salute|clap|cheer|shrug|smile|laugh|sing|wink|sit|kneel)",
            "see you",
        ),
        2: ("(wave|bow|nod|dance|salute|clap|cheer|shrug|applaud)", "(born|grow up)"),
    },
}

_CONTRACTIONS = {
    "whats": "what is",
    "wheres": "where is",
    "whos": "who is",
    "hows": "how is",
    "whens": "when is",
    "thats": "that is",
    "theres": "there is",
    "heres": "here is",
    "im": "i am",
    "ive": "i have",
    "ill": "i will",
    "youre": "you are",
    "dont": "do not",
    "cant": "can not",
    "cannot": "can not",
    "didnt": "did not",
    "couldnt": "could not",
    "id": "i would",
    "lets": "let us",
    "gimme": "give me",
    "lemme": "let me",
    "gotta": "have to",
}


@dataclass(frozen=True, slots=True)
class Channels:
    """The memory channels that are searched for a turn. The persona is always in the system prompt."""

    lore: bool = True
    recent: bool = True
    scene: bool = True


_CHANNELS: dict[Intent, Channels] = {
    # Prices and tasks do not depend on the surroundings; a scene would only displace lore.
    "trade": Channels(scene=False),
    "quest": Channels(scene=False),
    # "Say that again" is about the talk, not the world.
    "admin": Channels(lore=False, scene=False),
}


def classify(text: str) -> Intent:
    """Return the intent of the player's words."""
    sums = scores(text)
    return max(PRECEDENCE, key=lambda intent: sums[intent]) if any(sums.values()) else "chitchat"


def scores(text: str) -> dict[Intent, int]:
    """Return the sum of the weights of the cues in a text, for each intent."""
    plain = f" {plain_words(text)} "
    return {
        intent: sum(weight for weight, patterns in weighted for pattern in patterns if pattern.search(plain))
        for intent, weighted in _COMPILED.items()
    }


def channels(intent: Intent) -> Channels:
    """Return the memory channels for this intent."""
    return _CHANNELS.get(intent, Channels())


def tools_for(intent: Intent, tools: Mapping[str, ToolDefinition]) -> tuple[ToolDefinition, ...]:
    """Return the tools that are offered with this intent: those that name it, and those without intents."""
    return tuple(tool for tool in tools.values() if not tool.intents or intent in tool.intents)


def plain_words(text: str) -> str:
    """Return text as a recogniser would write it: lower case, single blanks, no punctuation, no contractions."""
    words = BARE_WORD.findall(re.sub(r"['’]", "", text.lower()))
    return " ".join(_CONTRACTIONS.get(word, word) for word in words)


def _compile(cue: str) -> re.Pattern[str]:
    """Return a cue as a pattern over words with single spaces, also one at each end of the text."""
    parts: list[str] = []
    for part in re.findall(r"\([^)]*\)|\S+", cue):
        if part == "~":
            parts.append(r"(?:\S+ ){0,3}")
        elif part.startswith("("):
            parts.append("(?:" + "|".join(f"{word} " if word else "" for word in part[1:-1].split("|")) + ")")
        else:
            parts.append(f"{part} ")
    return re.compile(" " + "".join(parts))


_COMPILED = {
    intent: [(weight, [_compile(cue) for cue in cues]) for weight, cues in weighted.items()]
    for intent, weighted in _CUES.items()
}
