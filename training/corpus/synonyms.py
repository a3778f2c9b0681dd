"""Synonyms of the words of a question, so that its meaning does not depend on one wording."""

from __future__ import annotations

import re
from functools import cache
from random import Random

from training.corpus.textfiles import sections

_SHARE = 0.25
"""Probability that a word with synonyms is replaced."""


@cache
def _others() -> tuple[dict[str, tuple[str, ...]], re.Pattern[str]]:
    table: dict[str, tuple[str, ...]] = {}
    for lines in sections("synonyms.txt").values():
        for line in lines:
            group = [entry.strip() for entry in line.split(",")]
            for entry in group:
                table[entry] = (*table.get(entry, ()), *(other for other in group if other != entry))
    longest_first = sorted(table, key=lambda entry: (-len(entry), entry))
    # Not inside a slot's braces or a longer word.
    return table, re.compile(rf"(?<![\w{{'])({'|'.join(map(re.escape, longest_first))})(?![\w}}'])")


def varied(pattern: str, rng: Random) -> str:
    """Return the pattern with some words replaced; slots stay."""
    table, word = _others()

    def other(found: re.Match[str]) -> str:
        return rng.choice(table[found[1]]) if rng.random() < _SHARE else found[1]

    return word.sub(other, pattern)
