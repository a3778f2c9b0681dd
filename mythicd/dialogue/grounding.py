"""Finds what a reply claims that nobody told the character: numbers, times, prices and names out of nowhere.

A very small model may mix two lines up and state the result with confidence, which is the worst thing it can do: a
well-formed lie. What it may say are the values that stand in its prompt. Checked are

* numbers, in digits or words, as values: "02:00", "2" and "two" are one; "twenty-five" is 25;
* a number together with its unit: "five gold" is not told by "five silver" and "fifty gold";
* the hours and seasons people name instead of numbers: noon, sunset, Friday, autumn;
* money words: crowns, where the prompt knows coins;
* names: capitalised words within a sentence, and, given a lexicon of ordinary words, any word in neither the lexicon
  nor the prompt, which is how a misspelt name looks in lower case.

It is a net, not a proof: it cannot see that a true number is told of the wrong thing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r"\d+(?::\d\d)(?!\d)|\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[.!?…]|\n")

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
_CARDINAL = {word: n for n, word in enumerate(_ONES)} | {word: 10 * n for n, word in enumerate(_TENS, 2)}
_ORDINAL = {word: n for n, word in enumerate(_ORDINALS, 1)}
_OTHER_NUMBER = {"once": 1, "twice": 2, "thrice": 3, "dozen": 12, "half": 0.5}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}

_OFTEN_NO_NUMBER = frozenset(("one", "first", "second", "once", "half", "zero", "hundred", "thousand", "million"))
"""Words that count nothing in "one never knows" or "a thousand thanks": they claim something beside a unit."""

_MONEY = frozenset(
    "coin gold silver copper penny pence crown shilling ducat florin dollar euro pound cent buck".split()
)
_UNITS = _MONEY | frozenset("minute hour day night week month year step mile league floor".split())
_FIRM_UNITS = _UNITS - frozenset(("day", "week", "year"))
"""Units beside which even "one" and "first" are numbers; "one day" is a turn of phrase."""
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
_NO_NAMES = frozenset("i i'm i'll i'd i've ok mr mrs god gods".split())


@dataclass(frozen=True, slots=True)
class _Claim:
    """Something in a text that must have been told."""

    kind: str
    value: str | float
    shown: str
    """As it is written."""
    units: tuple[str, ...] = ()
    """What is counted, where it stands in the two words behind a number."""


class Grounding:
    """What has been told, to check what is claimed."""

    def __init__(self, context_texts: Iterable[str], lexicon: Collection[str] = ()) -> None:
        """`context_texts` is all the character may know: the prompt's lines, persona, history, the player's words.

        `lexicon` holds ordinary words in lower case; empty where none is at hand.
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
        """Return the terms of the phrase that nothing told, in their order; empty when all is grounded."""
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
    """Return a word without case, possessive and plural, the same way for both sides."""
    word = re.sub(r"'s$", "", word.lower().replace("’", "'"))
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _clock_faces(claim: _Claim) -> set[float]:
    """Return the values a number may be told by: 14:00 is also two."""
    if isinstance(claim.value, str):
        return set()
    if ":" not in claim.shown:
        return {claim.value}
    hour, minute = (float(part) for part in claim.shown.split(":"))
    return {hour, hour % 12 or 12.0, *({minute} if minute else ())}


def _numbers(words: list[str], *, strict: bool) -> Iterator[_Claim]:
    """Numbers with the word behind each. `strict` leaves out those that may be no numbers at all."""
    at = 0
    while at < len(words):
        value, length = _number_at(words, at)
        if value is None:
            at += 1
            continue
        units = tuple(base for word in words[at + length : at + length + 2] if (base := _base(word)) in _UNITS)
        firm = not _FIRM_UNITS.isdisjoint(units) or (at and words[at - 1].lower() in ("until", "till"))
        if not (strict and length == 1 and words[at].lower() in _OFTEN_NO_NUMBER and not firm):
            yield _Claim("number", value, " ".join(words[at : at + length]), units)
        at += length


def _number_at(words: list[str], at: int) -> tuple[float | None, int]:
    """Return the number that begins at this word, and how many words it takes."""
    first = words[at]
    if first[0].isdecimal():
        digits = first.split(":")[0].replace(",", "")
        return (float(digits) if digits.count(".") < 2 else None), 1
    total: float = 0
    group: float = 0
    length = 0
    last = ""
    for word in (w.lower() for w in words[at:]):
        if word in _SCALES:
            scale = _SCALES[word]
            group = (group or 1) * scale
            if scale > 100:
                total, group = total + group, 0
        elif word in _CARDINAL and _fits(last, word):
            group += _CARDINAL[word]
        elif word in _ORDINAL and _fits(last, word):
            return float(total + group + _ORDINAL[word]), length + 1
        elif not length and word in _OTHER_NUMBER:
            return float(_OTHER_NUMBER[word]), 1
        elif word == "and" and last in _SCALES and words[at + length + 1 : at + length + 2]:
            following = words[at + length + 1].lower()
            if following not in _CARDINAL:
                break
        else:
            break
        length += 1
        last = word
    return (float(total + group), length) if length else (None, 0)


def _fits(last: str, word: str) -> bool:
    """Whether a number word goes on with the number before it: "twenty five" is one number, "five six" are two."""
    if not last or last in _SCALES or last == "and":
        return True
    return last in _TENS and (word in _ONES[1:10] or word in _ORDINALS[:9])


def _named(words: list[str], lexicon: Collection[str]) -> Iterator[_Claim]:
    """Times, money and names."""
    begins = True
    for word in words:
        if word in ".!?…\n":
            begins = True
            continue
        base = _base(word)
        if base in _TIMES:
            yield _Claim("time", _TIMES[base], word)
        elif word[0].isdecimal() or any(base in numbers for numbers in (_CARDINAL, _ORDINAL, _SCALES, _OTHER_NUMBER)):
            pass
        elif base in _MONEY:
            yield _Claim("money", base, word)
        elif (word[0].isupper() and not begins and word.lower().replace("’", "'") not in _NO_NAMES) or (
            lexicon and base not in lexicon and word.lower().replace("’", "'") not in lexicon
        ):
            yield _Claim("name", base, word)
        begins = False
