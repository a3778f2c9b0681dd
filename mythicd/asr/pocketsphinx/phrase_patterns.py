"""Phrase patterns: `(a|b)` is a choice, `[a]` is optional, `{slot}` is filled later; all may nest.

`expand("how much is (the|a) {item} [please]")` returns how much is the {item} · how much is the {item} please · how
much is a {item} · how much is a {item} please. The parser is a recursive descent:

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
    """Return all sentences of `pattern`, in order, each once. Raises ValueError for invalid notation."""
    tokens = _TOKEN.findall(pattern)
    sentences, at = _choice(tokens, 0, pattern)
    if at != len(tokens):
        raise ValueError(f"Unmatched {tokens[at]!r} in the phrase {pattern!r}.")
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
                raise ValueError(f"Missing {closing!r} after {token!r} in the phrase {pattern!r}.")
            parts.append(inner if token == "(" else [*inner, ()])
            at = end + 1
        elif _NAME.fullmatch(token):
            parts.append([(token,)])
            at += 1
        else:
            raise ValueError(f"Unexpected {token!r} in the phrase {pattern!r}.")
    return [sum(combination, ()) for combination in product(*parts)], at
