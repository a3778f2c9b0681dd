"""Estimates of how many tokens a text has, where no tokenizer is at hand."""

from __future__ import annotations

BYTES_A_TOKEN = 3.0
"""Cautious: English has 3.5–4.5 letters a token in the vocabularies of current models, and Chinese, with three bytes a
character, about one character."""


def estimate_tokens(text: str) -> int:
    """Return an estimate of a text's tokens, rather too high than too low: budgets are held with it."""
    return int(len(text.encode(errors="replace")) / BYTES_A_TOKEN) + 1
