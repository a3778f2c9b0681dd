"""Text as it is spoken: written text -> the words a recogniser knows, and how far two transcripts are apart.

`spoken_words` is the one door between writing and speech: the language model is built from its output, names get their
pronunciation by it, and hypotheses are compared through it. `comparable_words` forgives further what is no mistake of
recognition: a contraction against its long form, British against American spelling.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

_ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS: Final = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS: Final = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_LONGEST_NUMBER = 9
"""Digits beyond which a number is read digit by digit, as one reads a serial number."""

_CLOCK = re.compile(r"\b(\d{1,2}):(\d{2})\b")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}\b)")
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_DECIMAL = re.compile(r"\b(\d+)\.(\d+)\b")
_HALF_DAY = re.compile(r"(?<=\d)\s*([ap])\.?m\b\.?")
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")

_LONG_FORMS: Final = {
    "won't": ("will", "not"),
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "shan't": ("shall", "not"),
    "let's": ("let", "us"),
}
_ENDINGS: Final = (("n't", "not"), ("'re", "are"), ("'ll", "will"), ("'ve", "have"), ("'m", "am"))
_IS_ENDING: Final = frozenset("what where who how when why it that there here he she".split())
"""Words whose 's is "is"; behind any other word it is the genitive, which stays."""
_AMERICAN: Final = {
    "harbour": "harbor",
    "harbours": "harbors",
    "colour": "color",
    "favour": "favor",
    "favourite": "favorite",
    "armour": "armor",
    "honour": "honor",
    "neighbour": "neighbor",
    "rumour": "rumor",
    "rumours": "rumors",
    "grey": "gray",
    "jewellery": "jewelry",
    "ok": "okay",
}


def number_words(number: int) -> list[str]:
    """Spell a whole number from 0 to 999,999,999 as American English says it: 1205 -> one thousand two hundred five."""
    for size, name in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = number % size
            return [*number_words(number // size), name, *(number_words(rest) if rest else [])]
    if number < len(_ONES):
        return [_ONES[number]]
    tens, ones = divmod(number, 10)
    return [_TENS[tens], *([_ONES[ones]] if ones else [])]


def spoken_words(text: str) -> list[str]:
    """Return the words of `text` in lower case as they would be said: digits spelled out, punctuation gone.

    Apostrophes inside a word stay (`don't`, `reed's`), hyphens part words, letters of any script are kept.
    """
    text = unicodedata.normalize("NFC", text).lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = _GROUPED.sub("", text).replace("&", " and ").replace("%", " percent ")
    text = _HALF_DAY.sub(r" \1 m ", text)
    text = _CLOCK.sub(_say_clock, text)
    text = _ORDINAL.sub(lambda match: " " + " ".join(_ordinal(match[1])) + " ", text)
    text = _DECIMAL.sub(lambda match: f" {match[1]} point {' '.join(match[2])} ", text)
    text = _NUMBER.sub(lambda match: " " + " ".join(_cardinal(match[0])) + " ", text)
    return _WORD.findall(text)


def comparable_words(text: str) -> list[str]:
    """Return the words of `text` in the form in which two transcripts are compared."""
    words: list[str] = []
    for word in spoken_words(text):
        words += _long_form(_AMERICAN.get(word, word))
    return words


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the fewest insertions, deletions and substitutions of words between the two (Levenshtein distance)."""
    previous = list(range(len(hypothesis) + 1))
    for row, expected in enumerate(reference, 1):
        current = [row]
        for column, heard in enumerate(hypothesis, 1):
            current.append(
                min(previous[column] + 1, current[column - 1] + 1, previous[column - 1] + (expected != heard))
            )
        previous = current
    return previous[-1]


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Return word errors per word of the reference, both made comparable; it may exceed 1.

    An empty reference gives 0 for an empty hypothesis and otherwise the number of words that were heard in nothing.
    """
    expected, heard = comparable_words(reference), comparable_words(hypothesis)
    return word_errors(expected, heard) / max(1, len(expected))


def _cardinal(digits: str) -> list[str]:
    if len(digits) > _LONGEST_NUMBER:
        return [word for digit in digits for word in number_words(int(digit))]
    return number_words(int(digits))


def _ordinal(digits: str) -> list[str]:
    *front, last = _cardinal(digits)
    if last in _ORDINALS:
        return [*front, _ORDINALS[last]]
    return [*front, (last[:-1] + "ie" if last.endswith("y") else last) + "th"]


def _say_clock(match: re.Match[str]) -> str:
    hour, minute = _cardinal(match[1]), int(match[2])
    if minute == 0:
        return " ".join(hour) + " "
    # 2:05 is said "two oh five".
    return " ".join([*hour, *(["oh"] if minute < 10 else []), *number_words(minute)]) + " "


def _long_form(word: str) -> tuple[str, ...]:
    if word in _LONG_FORMS:
        return _LONG_FORMS[word]
    for ending, full in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending):
            return (word[: -len(ending)], full)
    if word.endswith("'s") and word[:-2] in _IS_ENDING:
        return (word[:-2], "is")
    return (word,)
