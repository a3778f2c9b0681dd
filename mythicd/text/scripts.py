"""Unicode scripts: which one a letter belongs to, which ones a language is written in, and their punctuation.

Python knows no scripts, so the blocks that hold letters are listed here. Digits, punctuation and signs belong to none.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection
from typing import Final

_BLOCKS: Final = (
    (0x0041, "Latin"),
    (0x0370, "Greek"),
    (0x0400, "Cyrillic"),
    (0x0530, "Armenian"),
    (0x0590, "Hebrew"),
    (0x0600, "Arabic"),
    (0x0700, "Syriac"),
    (0x0750, "Arabic"),
    (0x0780, "Thaana"),
    (0x07C0, "other"),
    (0x08A0, "Arabic"),
    (0x0900, "Devanagari"),
    (0x0980, "Bengali"),
    (0x0A00, "Gurmukhi"),
    (0x0A80, "Gujarati"),
    (0x0B00, "Odia"),
    (0x0B80, "Tamil"),
    (0x0C00, "Telugu"),
    (0x0C80, "Kannada"),
    (0x0D00, "Malayalam"),
    (0x0D80, "Sinhala"),
    (0x0E00, "Thai"),
    (0x0E80, "Lao"),
    (0x0F00, "Tibetan"),
    (0x1000, "Myanmar"),
    (0x10A0, "Georgian"),
    (0x1100, "Hangul"),
    (0x1200, "Ethiopic"),
    (0x13A0, "other"),
    (0x1780, "Khmer"),
    (0x1800, "Mongolian"),
    (0x18B0, "other"),
    (0x1C80, "Cyrillic"),
    (0x1C90, "Georgian"),
    (0x1CC0, "other"),
    (0x1D00, "Latin"),
    (0x1F00, "Greek"),
    (0x2000, "Latin"),
    (0x2C00, "other"),
    (0x2C60, "Latin"),
    (0x2C80, "other"),
    (0x2DE0, "Cyrillic"),
    (0x2E00, "Han"),
    (0x3040, "Hiragana"),
    (0x30A0, "Katakana"),
    (0x3100, "Bopomofo"),
    (0x3130, "Hangul"),
    (0x3190, "Han"),
    (0x31A0, "Bopomofo"),
    (0x31C0, "Han"),
    (0x31F0, "Katakana"),
    (0x3200, "Han"),
    (0xA000, "other"),
    (0xA640, "Cyrillic"),
    (0xA6A0, "other"),
    (0xA720, "Latin"),
    (0xA800, "other"),
    (0xA8E0, "Devanagari"),
    (0xA900, "other"),
    (0xA960, "Hangul"),
    (0xA980, "other"),
    (0xAB30, "Latin"),
    (0xAB70, "other"),
    (0xAC00, "Hangul"),
    (0xD800, "other"),
    (0xF900, "Han"),
    (0xFB00, "Latin"),
    (0xFB13, "Armenian"),
    (0xFB1D, "Hebrew"),
    (0xFB50, "Arabic"),
    (0xFE10, "other"),
    (0xFE70, "Arabic"),
    (0xFF00, "Latin"),
    (0xFF66, "Katakana"),
    (0xFFA0, "Hangul"),
    (0x10000, "other"),
    (0x1B000, "Hiragana"),
    (0x1B170, "other"),
    (0x1D400, "Latin"),
    (0x1D6A8, "Greek"),
    (0x1D7CC, "other"),
    (0x1EE00, "Arabic"),
    (0x1EF00, "other"),
    (0x20000, "Han"),
    (0x32000, "other"),
)
"""Where each stretch of blocks begins, with its script; it ends where the next one begins."""
_STARTS: Final = [start for start, _ in _BLOCKS]

_OF_LANGUAGES: Final = {
    "Cyrillic": "ru uk be bg sr mk kk ky tg mn tt ba cv",
    "Greek": "el grc",
    "Arabic": "ar fa ur ps sd ug",
    "Hebrew": "he yi",
    "Armenian": "hy hyw",
    "Georgian": "ka",
    "Devanagari": "hi mr ne sa kok",
    "Bengali": "bn as bpy",
    "Gurmukhi": "pa",
    "Gujarati": "gu",
    "Odia": "or",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Sinhala": "si",
    "Thai": "th",
    "Lao": "lo",
    "Khmer": "km",
    "Myanmar": "my shn",
    "Tibetan": "bo dz",
    "Ethiopic": "am ti",
    "Hangul": "ko",
    "Han": "zh cmn yue hak nan ja ko",
    "Bopomofo": "zh cmn",
    "Hiragana": "ja",
    "Katakana": "ja",
}
"""Scripts besides Latin, with the languages that are written in them. Every voice also reads Latin letters."""

SENTENCE_MARKS: Final = "。！？．｡।॥؟۔።፧։།။។"
"""Marks that end a sentence in scripts other than Latin; no blank need follow."""
CLAUSE_MARKS: Final = "，、；：､،؛፣፤၊"
"""Marks that end a clause in such scripts."""

BLANKLESS_LETTER: Final = re.compile(
    "[\u0e00-\u0eff\u0f40-\u0fbc\u1000-\u109f\u1780-\u17d3\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff"
    "\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d"
    "\U0001b000-\U0001b16f\U00020000-\U0003134f]"
)
"""A letter of a script that puts no blanks between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan."""


_MARK = re.compile(
    "[\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0903\u093a-\u094f\u0951-\u0957"
    "\u0981-\u0983\u09bc-\u09cd\u0a01-\u0a4d\u0a81-\u0acd\u0b01-\u0b4d\u0b82-\u0bcd\u0c00-\u0c4d\u0c81-\u0ccd"
    "\u0d00-\u0d4d\u0d81-\u0ddf\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ecd\u102b-\u103e\u17b4-\u17d3]"
)
"""Combining marks of scripts whose words are full of them."""


def script_of(letter: str) -> str:
    """Return the script of one letter (or combining mark), such as "Latin"; "other" for one that is not listed."""
    if letter < "\u0370":
        return "Latin"
    return _BLOCKS[bisect_right(_STARTS, ord(letter)) - 1][1]


def scripts_of(languages: Collection[str]) -> frozenset[str]:
    """Return the scripts that a voice of these languages reads.

    A language is given by its code or a tag or voice name that begins with it: "en", "en-us+f2", "de_DE-thorsten".
    """
    codes = {re.split(r"[^a-z]", language.lower(), maxsplit=1)[0] for language in languages}
    return frozenset(
        ("Latin", *(script for script, users in _OF_LANGUAGES.items() if not codes.isdisjoint(users.split())))
    )


def unreadable(text: str, languages: Collection[str]) -> list[tuple[int, int]]:
    """Return the stretches of `text` in scripts that a voice of these languages cannot read, as (start, end).

    A stretch holds the digits and signs that touch it, and everything between two of its letters in which no readable
    letter stands. It never holds whitespace at its ends.
    """
    if text.isascii():
        return []
    readable = scripts_of(languages)
    stretches: list[tuple[int, int]] = []
    is_open = False
    for at, char in enumerate(text):
        if char.isalpha() or "\u0300" <= char and _is_mark(char):
            if script_of(char) in readable:
                is_open = False
            elif is_open:
                stretches[-1] = (stretches[-1][0], at + 1)
            else:
                stretches.append((at, at + 1))
                is_open = True
    return [_with_touching(text, start, end) for start, end in stretches]


def _is_mark(char: str) -> bool:
    """Tell whether a combining mark belongs to one script; those for all scripts count as Latin."""
    return not char.isalnum() and char > "\u036f" and _MARK.match(char) is not None


def _with_touching(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the stretch with the digits and marks that touch it: the "5" of a count is read with its noun."""
    while start and (text[start - 1].isdigit() or text[start - 1] in "「『《（"):
        start -= 1
    while end < len(text) and (text[end].isdigit() or text[end] in "」』》）。！？，、；：।؟،؛" or _is_mark(text[end])):
        end += 1
    return start, end
