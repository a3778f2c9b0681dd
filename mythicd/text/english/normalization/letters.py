"""Words of unusual letters: shouting, acronyms, words joined by signs, stutters, sounds without vowels, long vowels."""

from __future__ import annotations

import re
from typing import Final

from mythicd.text.english.abbreviations import TITLES
from mythicd.text.english.normalization.tokens import SpokenForm, TokenView

_TITLES: Final = {short: word.capitalize() for short, word in TITLES.items()}

# --- shouting

_SHORT_WORDS: Final = frozenset(
    "NO YES GO STOP RUN NOW THE AND YOU ARE BUT NOT OUT OFF GET HIM HER HIS SHE WHO WHY HOW ALL ANY CAN DID DIE END "
    "GOD HAS HAD HEY HOT HIT LET MAN MEN MAY NEW OLD ONE OUR OWN PAY PUT RED SAW SAY SEE SIT SIX TEN TWO TOO TRY "
    "WAS WAY WIN YET AH OH HA HE ME MY WE IN ON AT TO UP DO BE BY IF IS IT OF OR SO AM AN AS AY WOW BAH AXE BOW SEA "
    "SKY SUN FOR USE HUH UGH AHA NAY AYE OW EH ITS LIE LOW MAD BAD BIG BOY CUT DAY EAT EVE FAR FEW FUN GUN ICE ILL "
    "JOB JOY KEY LAW LEG LOT NOR ODD PEN POT RAT ROW SAD SET SON TAX TEA TOP VOW WAR WET".split()
)
"""Words of two or three letters in capitals that are no abbreviations."""
_SPELLED: Final = frozenset("WASD ASAP AFAIK IIRC LMAO UFOS EULA USSR IMAX IMHO ROFL AWOL YOLO FAQS AAAA".split())
"""Abbreviations that look like words."""
_CONSONANTS: Final = "[BCDFGHJKLMNPQRSTVWXZ]"
_PRONOUNCEABLE = re.compile(
    rf"(?!{_CONSONANTS}{{4}}|{_CONSONANTS}{{3}}(?<!STR)(?<!SPR)(?<!SPL)(?<!SCR)(?<!THR)(?<!SHR)(?<!SCH)(?<!CHR)(?<!SQU))"
    rf"(?!.*{_CONSONANTS}{{5}})(?=.*[AEIOUY])[A-Z]+"
)
_CAPITALS = re.compile(r"[A-Z]+(?:['’-][A-Z]+)*")
_LONG_CAPITALS = re.compile(r"[A-Z][A-Z'’]+")

# --- words joined by signs

_SLASHED = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*\.?(?:/[^\W\d_]+(?:['’-][^\W\d_]+)*\.?)+")
_NO_OR: Final = frozenset("ratio rate record balance split relationship interface hybrid".split())
_AMPERSAND = re.compile(r"([^\W_]+)&([^\W_]+)")

# --- sounds

_STUTTER = re.compile(
    r"(?P<starts>(?:(?P<start>[bcdfghjklmnpqrstvwxyz]|th|sh|ch|wh|st|sp|sl|tr|dr|br|gr|pr|kn|[aeiou])[-–]+)+)(?P<word>.+)",
    re.IGNORECASE,
)
_SOUNDS: Final = (
    (re.compile(r"s*sh+"), "shush"),
    (re.compile(r"mm*-?hm+"), "um hum"),
    (re.compile(r"m{2,}|hm{1,}|hr+m+"), "hmm"),
    (re.compile(r"ps+t"), "pist"),
    (re.compile(r"psh+"), "pish"),
    (re.compile(r"br{2,}"), "burr"),
    (re.compile(r"gr{2,}"), "gurr"),
    (re.compile(r"p+f+t+|pf{2,}"), "puff"),
    (re.compile(r"z{3,}"), "zizz"),
    (re.compile(r"s{3,}"), "hiss"),
    (re.compile(r"hr*u?m+p+h?|hr*u?m+p+f+"), "humph"),
    (re.compile(r"tch|tcha?k"), "tut"),
    (re.compile(r"bz+t*"), "buzz"),
    (re.compile(r"n+gh+|hn+gh?"), "ung"),
    (re.compile(r"r{3,}"), "rur"),
    (re.compile(r"ar{3,}"), "arr"),
)
"""Sounds that are written without vowels, in lower case, and a word that sounds like them."""
_VOWELLESS = re.compile(
    r"(?P<start>[b-df-hj-np-tv-xz]+?)(?P<long>([b-df-hj-np-tv-xz])\3{2,})(?P<end>[b-df-hj-np-tv-xz]*)"
)
_LONG_LETTER = re.compile(r"(?i)([aehiour])\1{3,}|([b-dfgj-npqstv-z])\2{2,}")


def read_shout(view: TokenView) -> SpokenForm | None:
    """Read capitals as a word, where they are one: a voice may spell what it takes for an abbreviation."""
    text = view.text
    if not _CAPITALS.fullmatch(text) or len(text) < 2:
        return None
    if all(_is_word(part) for part in text.split("-")):
        return _lowered(text)
    return None


def _is_word(capitals: str) -> bool:
    letters = re.sub(r"['’]", "", capitals)
    return letters in _SHORT_WORDS or (
        len(letters) > 3 and letters not in _SPELLED and _PRONOUNCEABLE.fullmatch(letters) is not None
    )


def _lowered(text: str) -> SpokenForm:
    return SpokenForm(_LONG_CAPITALS.sub(lambda word: _lowered_word(word.group()), text))


def _lowered_word(word: str) -> str:
    return "I" + word[1:].lower() if re.fullmatch(r"I['’](?:M|D|LL|VE)", word) else word.lower()


def read_joined(view: TokenView) -> SpokenForm | None:
    """Read words joined by a slash or an ampersand: `his/her`, `and/or`, `AC/DC`, `win/loss ratio`, `Q&A`."""
    text = view.text
    if (pair := _AMPERSAND.fullmatch(text)) is not None:
        return SpokenForm(f"{pair[1]} and {pair[2]}")
    if "/" not in text:
        return None
    if not _SLASHED.fullmatch(text):
        path = " slash ".join(filter(None, text.split("/")))
        return SpokenForm(f"slash {path}" if text.startswith("/") else path)
    parts = text.split("/")
    if any(part.endswith(".") for part in parts) and parts[-1].lower() in _TITLES:
        full = " or ".join(_TITLES.get(part.lower().rstrip("."), part) for part in parts)
        return SpokenForm(full, 1, int(view.has_full_stop() and not view.is_last()))
    capitals = all(part.isupper() for part in parts)
    if capitals or text.lower() == "and/or" or view.near(1).lower() in _NO_OR:
        return SpokenForm(" ".join(parts))
    return SpokenForm((" " if parts[-1].lower() == "or" else " or ").join(parts))


def read_stutter(view: TokenView) -> SpokenForm | None:
    """Read a stutter as the word alone: `W-what?` -> What? A whole word said twice stays: `I-I` -> I, I."""
    match = _STUTTER.fullmatch(view.text)
    if match is None:
        return None
    starts = [start for start in re.split(r"[-–]+", match["starts"]) if start]
    word = match["word"]
    if not word[:1].isalpha() or not all(word.lower().startswith(start.lower()) for start in starts):
        return None
    if word.lower() in ("i", "a") or word.lower().startswith(("i'", "i’")):
        return SpokenForm(", ".join([*starts, word]))
    if len(word) == len(starts[0]):
        return None
    word = word[0].upper() + word[1:] if starts[0][0].isupper() else word
    return SpokenForm(_sound_of(word) or word)


def read_sound(view: TokenView) -> SpokenForm | None:
    """Read a sound that is written without vowels, or a word with a letter drawn out: `Grr`, `pfft`, `Noooo`."""
    words = _sound_of(view.text)
    return None if words is None else SpokenForm(words)


def _sound_of(text: str) -> str | None:
    lower = text.lower()
    if len(lower) > 1 and not (text.isupper() and len(text) < 4):
        for pattern, words in _SOUNDS:
            if pattern.fullmatch(lower):
                return words if words != lower else None
        if (sound := _VOWELLESS.fullmatch(lower)) is not None:
            return f"{sound['start']}u{sound['long'][:2]}{sound['end']}"
    if text.isupper() and set(text) <= set("IVXLCDM"):
        return None
    shorter = _LONG_LETTER.sub(lambda letters: letters.group()[:2], text)
    return shorter if shorter != text else None


def read_sentence_joint(view: TokenView) -> SpokenForm | None:
    """Read two sentences without the blank between: `Hello.World`, `end.Start`."""
    match = re.fullmatch(r"([^\W\d_]{2,})\.([A-Z][^\W\d_]+)", view.text)
    return None if match is None else SpokenForm(f"{match[1]}. {match[2]}")
