"""Grounding: whether the numbers, times, prices and names of a reply stand in its prompt.

Checked are numbers, in digits or words, as values ("02:00", "2" and "two" are one); a number together with its unit
("five gold" is not told by "five silver" and "fifty gold"); hours and seasons (noon, Friday, autumn); money words; and
names: capitalised words within a sentence and, given a lexicon of ordinary words, any word in neither the lexicon nor
the prompt, which finds misspelt names in lower case. It cannot see that a true number is told of the wrong thing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from mythicd.text.english.abbreviations import TITLES
from mythicd.text.english.numbers import NUMBER_WORDS, SCALES, read_number
from mythicd.text.english.plurals import singular
from mythicd.text.english.words import FIRST_PERSON, straight_apostrophes

_TOKEN = re.compile(r"\d+(?::\d\d)(?!\d)|\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[.!?…]|\n")

_RARELY_NUMBERS = frozenset(("one", "first", "second", "once", "half", "zero", *SCALES))
"""Words that often count nothing ("one never knows", "a thousand thanks"): they are claims only before a unit."""

_MONEY = frozenset(
    "coin gold silver copper penny pence crown shilling ducat florin dollar euro pound cent buck".split()
)
_UNITS = _MONEY | frozenset("minute hour day night week month year step mile league floor".split())
_FIRM_UNITS = _UNITS - frozenset(("day", "week", "year"))
"""Units before which even "one" and "first" are numbers; "one day" is an idiom."""
_TIMES = {
    "noon": "noon",
    "midday": "noon",
    "midnight": "midnight",
    "dawn": "dawn",
    "daybreak": "dawn",
    "sunrise": "sunrise",
    "sunup": "sunrise",
    "dusk": "dusk",
    "nightfall": "dusk",
    "sunset": "sunset",
    "sundown": "sunset",
} | {
    name: name
    for name in (
        "monday tuesday wednesday thursday friday saturday sunday january february april june july august september "
        "october november december summer autumn winter"
    ).split()
}
_NOT_NAMES = FIRST_PERSON | frozenset(TITLES) | frozenset("ok god gods".split())


@dataclass(frozen=True, slots=True)
class _Claim:
    """A part of a text that must stand in the prompt."""

    kind: str
    value: str | float
    shown: str
    """As it is written."""
    units: tuple[str, ...] = ()
    """What is counted, if it is in the two words after a number."""


class Grounding:
    """The facts of one prompt, against which phrases are checked."""

    def __init__(self, context_texts: Iterable[str], lexicon: Collection[str] = ()) -> None:
        """Read all that the character may know: the prompt's lines, persona, history, the player's words.

        `lexicon` holds ordinary words in lower case; it may be empty.
        """
        self._lexicon = lexicon
        self._words: set[str] = set()
        self._values: set[float] = set()
        self._pairs: set[tuple[float, str]] = set()
        self._times: set[str] = set()
        for text in context_texts:
            words = _TOKEN.findall(text)
            self._words.update(_base(word) for word in words)
            for claim in _numbers(words, strict=False):
                self._values.update(_clock_faces(claim))
                self._pairs.update((value, unit) for value in _clock_faces(claim) for unit in claim.units)
            self._times.update(_TIMES[base] for word in words if (base := _base(word)) in _TIMES)

    def check(self, phrase: str) -> tuple[str, ...]:
        """Return the ungrounded terms of the phrase, in their order."""
        words = _TOKEN.findall(phrase)
        claims = [*_numbers(words, strict=True), *_named(words, self._lexicon)]
        return tuple(dict.fromkeys(claim.shown for claim in claims if not self._told(claim)))

    def _told(self, claim: _Claim) -> bool:
        match claim.kind:
            case "number" if isinstance(claim.value, float):
                faces = _clock_faces(claim)
                return bool(self._values & faces) and all(
                    any((face, unit) in self._pairs for face in faces) for unit in claim.units
                )
            case "time":
                return claim.value in self._times
            case _:
                return claim.value in self._words


def _base(word: str) -> str:
    """Return a word without case, possessive and plural ending."""
    return singular(straight_apostrophes(word.lower()).removesuffix("'s"))


def _clock_faces(claim: _Claim) -> set[float]:
    """Return the values that a number may have: 14:00 is also two."""
    if isinstance(claim.value, str):
        return set()
    if ":" not in claim.shown:
        return {claim.value}
    hour, minute = (float(part) for part in claim.shown.split(":"))
    return {hour, hour % 12 or 12.0, *({minute} if minute else ())}


def _numbers(words: list[str], *, strict: bool) -> Iterator[_Claim]:
    """Yield the numbers with the units after them. `strict` leaves out words that may not be meant as numbers."""
    at = 0
    while at < len(words):
        value, length = read_number(words, at)
        if value is None:
            at += 1
            continue
        units = tuple(base for word in words[at + length : at + length + 2] if (base := _base(word)) in _UNITS)
        firm = not _FIRM_UNITS.isdisjoint(units) or (at and words[at - 1].lower() in ("until", "till"))
        if not (strict and length == 1 and words[at].lower() in _RARELY_NUMBERS and not firm):
            yield _Claim("number", value, " ".join(words[at : at + length]), units)
        at += length


def _named(words: list[str], lexicon: Collection[str]) -> Iterator[_Claim]:
    """Yield the times, money words and names."""
    begins = True
    for word in words:
        if word in ".!?…\n":
            begins = True
            continue
        base = _base(word)
        if base in _TIMES:
            yield _Claim("time", _TIMES[base], word)
        elif word[0].isdecimal() or base in NUMBER_WORDS:
            pass
        elif base in _MONEY:
            yield _Claim("money", base, word)
        elif (word[0].isupper() and not begins and straight_apostrophes(word.lower()) not in _NOT_NAMES) or (
            lexicon and base not in lexicon and straight_apostrophes(word.lower()) not in lexicon
        ):
            yield _Claim("name", base, word)
        begins = False
