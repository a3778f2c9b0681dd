"""English as it is spoken: written text to the words that a recogniser knows.

The recogniser's language model is built from `spoken_words`, names get their pronunciation by it, and hypotheses are
compared through it. `comparable_words` also equates what is not an error of recognition: a contraction and its long
form, British and American spelling.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from mythicd.text.english.numbers import number_words, ordinal
from mythicd.text.english.words import WORD, straight_apostrophes

_LONGEST_NUMBER: Final = 9
"""A number of more digits is read digit by digit, like a serial number."""

_CLOCK = re.compile(r"\b(\d{1,2}):(\d{2})\b")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}\b)")
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_DECIMAL = re.compile(r"\b(\d+)\.(\d+)\b")
_HALF_DAY = re.compile(r"(?<=\d)\s*([ap])\.?m\b\.?")
_NUMBER = re.compile(r"\d+")

_LONG_FORMS: Final = {
    "won't": ("will", "not"),
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "shan't": ("shall", "not"),
    "let's": ("let", "us"),
}
_ENDINGS: Final = (("n't", "not"), ("'re", "are"), ("'ll", "will"), ("'ve", "have"), ("'m", "am"))
_IS_ENDING: Final = frozenset("what where who when how why it that there here he she".split())
"""Words whose 's is "is"; after any other word it is the genitive, which stays."""
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


def spoken_words(text: str) -> list[str]:
    """Return the words of `text` in lower case as they would be said: digits spelled out, no punctuation.

    Apostrophes inside a word stay (`don't`, `reed's`), hyphens separate words, letters of any script are kept.
    """
    text = straight_apostrophes(unicodedata.normalize("NFC", text).lower())
    text = _GROUPED.sub("", text).replace("&", " and ").replace("%", " percent ")
    text = _HALF_DAY.sub(r" \1 m ", text)
    text = _CLOCK.sub(_say_clock, text)
    text = _ORDINAL.sub(lambda match: " " + " ".join(_ordinal(match[1])) + " ", text)
    text = _DECIMAL.sub(lambda match: f" {match[1]} point {' '.join(match[2])} ", text)
    text = _NUMBER.sub(lambda match: " " + " ".join(_cardinal(match[0])) + " ", text)
    return WORD.findall(text)


def comparable_words(text: str) -> list[str]:
    """Return the words of `text` in the form in which two transcripts are compared."""
    words: list[str] = []
    for word in spoken_words(text):
        words += _long_form(_AMERICAN.get(word, word))
    return words


def _cardinal(digits: str) -> list[str]:
    if len(digits) > _LONGEST_NUMBER:
        return [word for digit in digits for word in number_words(int(digit))]
    return number_words(int(digits))


def _ordinal(digits: str) -> list[str]:
    *front, last = _cardinal(digits)
    return [*front, ordinal(last)]


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
