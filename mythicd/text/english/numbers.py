"""English numbers: whole numbers to words, and words or digits back to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
"""Words for 0 to 19."""

TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety".split()
"""Words for 20, 30, to 90."""

SCALES: Final = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}

CARDINALS: Final = {word: n for n, word in enumerate(ONES)} | {word: 10 * n for n, word in enumerate(TENS, 2)}
"""Words that are a number by themselves, scales aside."""

_IRREGULAR_ORDINALS: Final = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def ordinal(cardinal: str) -> str:
    """Return the ordinal of one number word: two -> second, twenty -> twentieth."""
    if cardinal in _IRREGULAR_ORDINALS:
        return _IRREGULAR_ORDINALS[cardinal]
    return (cardinal[:-1] + "ie" if cardinal.endswith("y") else cardinal) + "th"


ORDINALS: Final = {ordinal(word): n for word, n in CARDINALS.items() if n}
"""first to twentieth, thirtieth to ninetieth."""

OTHER_NUMBERS: Final[dict[str, float]] = {"once": 1, "twice": 2, "thrice": 3, "dozen": 12, "half": 0.5}

NUMBER_WORDS: Final = frozenset((*CARDINALS, *ORDINALS, *SCALES, *OTHER_NUMBERS))
"""Every word that can be a number or a part of one."""


def number_words(number: int) -> list[str]:
    """Spell a whole number from 0 to 999,999,999,999 in American English: 1205 -> one thousand two hundred five.

    Raises ValueError for a negative number.
    """
    if number < 0:
        raise ValueError(f"{number} is negative.")
    for name, size in reversed(SCALES.items()):
        if number >= size:
            rest = number % size
            return [*number_words(number // size), name, *(number_words(rest) if rest else [])]
    if number < len(ONES):
        return [ONES[number]]
    tens, ones = divmod(number, 10)
    return [TENS[tens - 2], *([ONES[ones]] if ones else [])]


def ordinal_words(number: int) -> list[str]:
    """Spell an ordinal: 21 -> twenty first. The range is that of `number_words`."""
    *front, last = number_words(number)
    return [*front, ordinal(last)]


def read_number(words: Sequence[str], at: int = 0) -> tuple[float | None, int]:
    """Return the number that begins at `words[at]`, and how many words it takes; (None, 0) for none.

    A word is in any case, or digits: "1,205", "3.5", "14:00" (its hour). Digits with two points ("1.2.3") are no
    number but take one word.
    """
    first = words[at]
    if first[0].isdecimal():
        digits = first.split(":")[0].replace(",", "")
        return (float(digits) if digits.count(".") < 2 else None), 1
    total: float = 0
    group: float = 0
    length = 0
    last = ""
    for word in (w.lower() for w in words[at:]):
        if word in SCALES:
            scale = SCALES[word]
            group = (group or 1) * scale
            if scale > 100:
                total, group = total + group, 0
        elif word in CARDINALS and _continues(last, word):
            group += CARDINALS[word]
        elif word in ORDINALS and _continues(last, word):
            return float(total + group + ORDINALS[word]), length + 1
        elif not length and word in OTHER_NUMBERS:
            return float(OTHER_NUMBERS[word]), 1
        elif word == "and" and last in SCALES and words[at + length + 1 : at + length + 2]:
            following = words[at + length + 1].lower()
            if following not in CARDINALS:
                break
        else:
            break
        length += 1
        last = word
    return (float(total + group), length) if length else (None, 0)


def _continues(last: str, word: str) -> bool:
    """Tell whether a word belongs to the number before it: "twenty five" is one number, "five six" are two."""
    if not last or last in SCALES or last == "and":
        return True
    return last in TENS and 0 < CARDINALS.get(word, ORDINALS.get(word, 0)) < 10
