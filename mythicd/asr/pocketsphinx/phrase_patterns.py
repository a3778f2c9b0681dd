"""The notation of `player_phrases.py`: `(a|b)` is a choice, `[a]` may be left out, `{slot}` is filled later; all may
nest.

    expand("how much is (the|a) {item} [please]")
    -> how much is the {item} · how much is the {item} please · how much is a {item} · how much is a {item} please

A recursive descent over

    sequence := (word | slot | "(" choice ")" | "[" choice "]")*
    choice   := sequence ("|" sequence)*
"""

from __future__ import annotations

import re
from itertools import product

Sentence = tuple[str, ...]
"""Words and `{slot}` tokens in order."""

_TOKEN = re.compile(r"\{[a-z]+\}|[()\[\]|]|[a-z']+|\S")
_NAME = re.compile(r"\{[a-z]+\}|[a-z][a-z']*")


def expand(pattern: str) -> list[Sentence]:
    """Return every way to say `pattern`, in order, each once. Raises ValueError where the notation is wrong."""
    tokens = _TOKEN.findall(pattern)
    sentences, at = _choice(tokens, 0, pattern)
    if at != len(tokens):
        raise ValueError(f"{tokens[at]!r} closes nothing in the wording {pattern!r}.")
    return list(dict.fromkeys(sentences))


def _choice(tokens: list[str], at: int, pattern: str) -> tuple[list[Sentence], int]:
    """Parse alternatives up to a closing bracket or the end; return their sentences and where parsing stopped."""
    sentences, at = _sequence(tokens, at, pattern)
    while at < len(tokens) and tokens[at] == "|":
        more, at = _sequence(tokens, at + 1, pattern)
        sentences = sentences + more
    return sentences, at


def _sequence(tokens: list[str], at: int, pattern: str) -> tuple[list[Sentence], int]:
    """Parse one alternative; return its sentences and where parsing stopped."""
    parts: list[list[Sentence]] = []
    while at < len(tokens) and tokens[at] not in ("|", ")", "]"):
        token = tokens[at]
        if token in ("(", "["):
            inner, end = _choice(tokens, at + 1, pattern)
            closing = ")" if token == "(" else "]"
            if end >= len(tokens) or tokens[end] != closing:
                raise ValueError(f"{token!r} is not closed by {closing!r} in the wording {pattern!r}.")
            parts.append(inner if token == "(" else [*inner, ()])
            at = end + 1
        elif _NAME.fullmatch(token):
            parts.append([(token,)])
            at += 1
        else:
            raise ValueError(f"{token!r} has no meaning in the wording {pattern!r}.")
    return [sum(combination, ()) for combination in product(*parts)], at
