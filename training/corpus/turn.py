"""Turns: a question and its reply, and the phrases around them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from training.chat import UNKNOWN, line_pointer
from training.corpus.block import Block
from training.corpus.cast import Cast
from training.corpus.expand import fill
from training.corpus.facts import Fact, Wording
from training.corpus.textfiles import sections
from training.corpus.words import phrase


@dataclass(slots=True)
class Turn:
    """The player's words, and the target reply."""

    sort: str
    """`fact`, `unknown`, `refuse`, `tool` …"""
    words: str
    reply: str
    """The reply in the model's native form, pointer first."""
    gold: str = ""
    """Words that a correct reply contains, in lower case."""
    noisy: bool = False
    """Whether the words have the recogniser's noise."""
    about: tuple[Fact, Wording] | None = None
    """The question, if a line of lore answers it."""


def quote(block: Block, number: int, cast: Cast, rng: Random) -> str:
    """Return the sentence after a pointer, in the character's tone."""
    pointer, sentence = line_pointer(number), block.sentence(number)
    ending = f", {cast.phrase('closer', rng)}." if rng.random() < float(cast.tone["closing"]) else "."
    if rng.random() < float(cast.tone["opening"]):
        return f"{pointer} {cast.phrase('opener', rng)}.{pointer} {sentence}{ending}"
    return f"{pointer} {sentence}{ending}"


def unknown(cast: Cast, rng: Random) -> str:
    return f"{UNKNOWN} {cast.phrase('unknown', rng)}."


def polite(text: str, cast: Cast, rng: Random) -> str:
    """Return the core question with the phrases around it."""
    roll = rng.random()
    if roll < 0.5:
        return text
    if roll < 0.75:
        lead = phrase("lead", rng)
        return f"{fill(lead, {'name': cast.name})} {text}"
    if roll < 0.92:
        return f"{text} {fill(rng.choice(sections('phrases.txt')['tail']), {'name': cast.name})}"
    return f"{rng.choice(sections('phrases.txt')['story'])} {text}"
