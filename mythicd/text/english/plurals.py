"""English plurals by their endings; irregular nouns (men, geese) are left as they are."""

from __future__ import annotations

from typing import Final

_PLURALS_OF_E: Final = frozenset("aches axes avalanches caches headaches moustaches niches pickaxes toothaches".split())
"""Plurals in -ches and -xes whose singular ends in e."""


def plural(noun: str) -> str:
    """Return the plural of a noun in lower case; one that ends in a single s is taken for a plural already."""
    if noun.endswith("s") and not noun.endswith("ss"):
        return noun
    if noun.endswith(("ss", "sh", "ch", "x", "z")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def singular(word: str) -> str:
    """Return a lower-case word without its plural ending.

    It is rough (`cookies` becomes `cooky`, `menus` stays), so use it on both sides of a comparison.
    """
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")) and word not in _PLURALS_OF_E:
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
