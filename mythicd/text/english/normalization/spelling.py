"""Number spelling: digits as they are written to English words, joined as in edited prose ("twenty-one")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mythicd.text.english.numbers import ONES, TENS, number_words, ordinal
from mythicd.text.english.plurals import plural

_LONGEST: Final = 15
"""A number of more digits is read digit by digit."""
_TRILLION: Final = 1_000_000_000_000

FRACTION_SIGNS: Final = {
    "½": (1, 2),
    "⅓": (1, 3),
    "⅔": (2, 3),
    "¼": (1, 4),
    "¾": (3, 4),
    "⅕": (1, 5),
    "⅖": (2, 5),
    "⅗": (3, 5),
    "⅘": (4, 5),
    "⅙": (1, 6),
    "⅚": (5, 6),
    "⅐": (1, 7),
    "⅛": (1, 8),
    "⅜": (3, 8),
    "⅝": (5, 8),
    "⅞": (7, 8),
    "⅑": (1, 9),
    "⅒": (1, 10),
    "↉": (0, 3),
}
"""Signs for fractions, with numerator and denominator."""

DETERMINERS: Final = frozenset("a an the this that each every another other my your his her its our their no".split())
"""Words after which a fraction has no article: "the half loaf"."""


def cardinal(number: int) -> str:
    """Return a whole number in words: 1205 -> one thousand two hundred five."""
    if number >= _TRILLION:
        rest = number % _TRILLION
        return f"{cardinal(number // _TRILLION)} trillion" + (f" {cardinal(rest)}" if rest else "")
    return _hyphenated(number_words(number))


def ordinal_words(number: int) -> str:
    """Return an ordinal: 21 -> twenty-first."""
    head, separator, last = cardinal(number).rpartition("-" if number % 100 > 20 and number % 10 else " ")
    return head + separator + ordinal(last)


def spell_digits(digits: str) -> str:
    """Return digits one by one; other characters are left out."""
    return " ".join(ONES[int(digit)] for digit in digits if digit in "0123456789")


def spell_whole(digits: str) -> str:
    """Return the words for a run of digits: as a number, or digit by digit with a leading zero or beyond 15 digits."""
    if len(digits) > _LONGEST or (len(digits) > 1 and digits[0] == "0"):
        return spell_digits(digits)
    return cardinal(int(digits))


def spell_decimal(whole: str, part: str) -> str:
    """Return a decimal number: 3.05 -> three point zero five."""
    return f"{spell_whole(whole or '0')} point {spell_digits(part)}"


def spell_year(year: int) -> str:
    """Return a year: 1984 -> nineteen eighty-four, 2005 -> two thousand five, 1066 -> ten sixty-six."""
    century, rest = divmod(year, 100)
    if not 1000 <= year <= 9999 or year % 1000 < 10:
        return cardinal(year)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def spell_decade(digits: str) -> str:
    """Return a decade or century: 1990 -> nineteen nineties, 80 -> eighties, 1900 -> nineteen hundreds."""
    if digits in ("100", "1000"):
        return "hundreds" if digits == "100" else "thousands"
    if len(digits) == 4 and digits[1:] != "000":
        century, years = cardinal(int(digits[:2])), digits[2:]
        if years == "00":
            return f"{century} hundreds"
        return f"{century} {_plural_of(cardinal(int(years)))}"
    return _plural_of(spell_whole(digits))


def spell_fraction(over: int, under: int, *, article: bool = True) -> str:
    """Return a fraction: 1/2 -> a half, 3/4 -> three quarters, 5/16 -> five sixteenths. `under` is at least 2."""
    if under == 2:
        part = "half" if over == 1 else "halves"
    elif under == 4:
        part = "quarter" if over == 1 else "quarters"
    else:
        part = ordinal_words(under) + ("" if over == 1 else "s")
    if over == 1:
        if not article:
            return part if under == 2 else f"one {part}"
        return f"a{'n' if part.startswith('eigh') else ''} {part}"
    return f"{cardinal(over)} {part}"


def spell_mixed(whole: str, over: int, under: int) -> str:
    """Return a whole number with a fraction: one and a half."""
    return f"{spell_whole(whole)} and {spell_fraction(over, under)}"


def _hyphenated(words: Sequence[str]) -> str:
    joined = ""
    for before, word in zip(("", *words), words, strict=False):
        joined += ("-" if before in TENS and word in ONES else " " if before else "") + word
    return joined


def _plural_of(words: str) -> str:
    """Return number words in the plural: nineties, sixes, hundreds."""
    head, separator, last = words.rpartition(" ")
    return head + separator + plural(last)
