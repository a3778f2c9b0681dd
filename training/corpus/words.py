"""Ordinary words by class, as lists."""

from __future__ import annotations

from functools import cache
from random import Random

from training.corpus.expand import expand
from training.corpus.textfiles import sections


@cache
def words(name: str) -> tuple[str, ...]:
    """Return all entries of one class of words.txt (patterns unexpanded)."""
    entries: list[str] = []
    for line in sections("words.txt")[name]:
        depth = 0
        start = 0
        for at, mark in enumerate(line):
            depth += (mark == "(") - (mark == ")")
            if mark == "," and depth == 0:
                entries.append(line[start:at].strip())
                start = at + 1
        entries.append(line[start:].strip())
    return tuple(filter(None, entries))


def word(name: str, rng: Random) -> str:
    """Return one entry of a class, expanded."""
    entries = words(name)
    return expand(entries[int(rng.random() * len(entries))], rng)


def phrase(section: str, rng: Random) -> str:
    """Return one phrase of a section of phrases.txt, with its slots."""
    return expand(rng.choice(sections("phrases.txt")[section]), rng)
