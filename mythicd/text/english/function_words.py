"""English function words, and the stems of inflected words."""

from __future__ import annotations

import re
from typing import Final

ARTICLES: Final = frozenset(("the", "a", "an"))

DETERMINERS: Final = ARTICLES | frozenset("my your this that these those his her our their no any some".split())
"""Words that introduce a noun ("the ferry", "any ferry") and do not stand before a proper name."""

FUNCTION_WORDS: Final = DETERMINERS | frozenset(
    "i you he she it we they me him us them is are was were be been am do does did has have had will would can could of"
    " to in on at by for from with and or but not so if as than then there here what who where when why how".split()
)
"""Words with a grammatical role and little meaning of their own."""

_SUFFIX = re.compile(r"(?:ing|ed|es|s|ly)$")


def possible_stems(word: str) -> tuple[str, ...]:
    """Return what a lower-case word may be a form of ("hailing": "hail", "haile"), of at least three letters."""
    stem = _SUFFIX.sub("", word)
    return (stem, f"{stem}e") if 3 <= len(stem) < len(word) else ()
