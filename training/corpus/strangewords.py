"""Invented words: they replace some content words of a block at all positions.

The generator knows about three thousand words; a real world's lore has others. Words of the patterns themselves are
kept, since they determine what is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from random import Random

from training.corpus.names import invented
from training.corpus.textfiles import sections
from training.corpus.words import word

_WORD = re.compile(r"[a-z]+")
_PATTERN_FILES = ("kinds.txt", "phrases.txt", "tools.txt", "talk.txt", "open.txt", "cast.txt", "tones.txt")


@cache
def _pattern_words() -> frozenset[str]:
    return frozenset(
        found
        for name in _PATTERN_FILES
        for lines in sections(name).values()
        for line in lines
        for found in _WORD.findall(line)
    )


def _fresh(rng: Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return invented(rng)
    if roll < 0.7:  # the beginning of one word and the end of another, whose tokens differ from those of listed words
        front, back = (word(rng.choice(("thingnoun", "animal", "placenoun", "trade")), rng) for _ in range(2))
        return (front[: rng.randint(2, 4)] + back[-rng.randint(2, 5) :]).replace(" ", "").replace("'", "")
    joined = word("thingnoun", rng) + word(rng.choice(("animal", "placenoun", "thingnoun", "suffix")), rng)
    return joined.replace(" ", "")


def replacement(lore: list[str], untouchable: str, rng: Random) -> Callable[[str], str]:
    """Return a function that replaces words in any text of the block; words of `untouchable` stay."""
    kept = _pattern_words() | set(_WORD.findall(untouchable))
    words = sorted({w for text in lore for w in _WORD.findall(text) if len(w) > 3} - kept)
    chosen = {old: _fresh(rng) for old in rng.sample(words, min(len(words), rng.randint(1, 4)))}
    if not chosen:
        return lambda text: text
    pattern = re.compile(rf"\b({'|'.join(chosen)})\b")
    return lambda text: pattern.sub(lambda found: chosen[found[1]], text)
