"""Patterns: `(show|tell) me {e}( please|)` stands for every choice of its alternatives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from random import Random

_SLOT = re.compile(r"\{(\w+)\}")
_SPACES = re.compile(r" {2,}")


class Choice(tuple[tuple["str | Choice", ...], ...]):
    """Alternatives, each a sequence of literal texts and further choices."""


@cache
def parse(pattern: str) -> tuple[str | Choice, ...]:
    """Return the pattern as a sequence of literals and choices. Raises ValueError for unbalanced brackets."""
    sequence, end = _sequence(pattern, 0, nested=False)
    if end != len(pattern):
        raise ValueError(f"unbalanced ')' at {end} in {pattern!r}")
    return sequence


def _sequence(text: str, at: int, *, nested: bool) -> tuple[tuple[str | Choice, ...], int]:
    parts: list[str | Choice] = []
    literal = ""
    while at < len(text):
        mark = text[at]
        if mark == "(":
            if literal:
                parts.append(literal)
                literal = ""
            choice, at = _choice(text, at + 1)
            parts.append(choice)
        elif mark == ")" or (nested and mark == "|"):
            break
        else:
            literal += mark
            at += 1
    if literal:
        parts.append(literal)
    return tuple(parts), at


def _choice(text: str, at: int) -> tuple[Choice, int]:
    options: list[tuple[str | Choice, ...]] = []
    while True:
        option, at = _sequence(text, at, nested=True)
        options.append(option)
        if at >= len(text):
            raise ValueError(f"missing ')' in {text!r}")
        at += 1
        if text[at - 1] == ")":
            return Choice(options), at


def _pick(sequence: tuple[str | Choice, ...], rng: Random) -> str:
    return "".join(
        part if isinstance(part, str) else _pick(part[int(rng.random() * len(part))], rng) for part in sequence
    )


def expand(pattern: str, rng: Random) -> str:
    """Return one expansion of the pattern, with its slots."""
    return _SPACES.sub(" ", _pick(parse(pattern), rng)).strip()


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return the text with each `{slot}` replaced."""
    return _SLOT.sub(lambda found: values[found[1]], text)


def slots(pattern: str) -> frozenset[str]:
    """Return the slots of a pattern."""
    return frozenset(_SLOT.findall(pattern))


def alternatives(text: str, rng: Random) -> str:
    """Expand one of several patterns that are separated by top-level bars."""
    return expand(f"({text})", rng)


def count(pattern: str) -> int:
    """Return the number of expansions (repeats included)."""

    def of(sequence: tuple[str | Choice, ...]) -> int:
        total = 1
        for part in sequence:
            if isinstance(part, Choice):
                total *= sum(of(option) for option in part)
        return total

    return of(parse(pattern))
