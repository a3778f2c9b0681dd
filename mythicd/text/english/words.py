"""English words as patterns: what counts as a word, and how "I" is written."""

from __future__ import annotations

import re
from typing import Final

WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
"""A word with its inner apostrophes: `don't`, `Reed's`."""

BARE_WORD: Final = re.compile(r"[^\W_]+")
"""A run of letters and digits: `don't` is two."""

FIRST_PERSON: Final = frozenset(("i", "i'm", "i'll", "i'd", "i've"))
"""Words that have a capital wherever they stand, in lower case and with straight apostrophes."""


def straight_apostrophes(text: str) -> str:
    """Return text with ' for each typographic ’, at the same place."""
    return text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
