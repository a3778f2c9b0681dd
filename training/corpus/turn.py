"""A question and its reply, and the phrases that any of them may be wrapped in."""

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
    """What the player says, and what is to be answered."""

    sort: str
    """`fact`, `unknown`, `refuse`, `tool` …"""
    words: str
    reply: str
    """In the model's native form, pointer first."""
    gold: str = ""
    """What a right reply must contain, lower case."""
    noisy: bool = False
    """Whether the words have been through the recogniser's noise."""
    about: tuple[Fact, Wording] | None = None
    """What was asked, where a line of lore answers it."""


def quote(block: Block, number: int, cast: Cast, rng: Random) -> str:
    """The sentence behind a pointer, in the character's tone."""
    pointer, sentence = line_pointer(number), block.sentence(number)
    ending = f", {cast.phrase('closer', rng)}." if rng.random() < float(cast.tone["closing"]) else "."
    if rng.random() < float(cast.tone["opening"]):
        return f"{pointer} {cast.phrase('opener', rng)}.{pointer} {sentence}{ending}"
    return f"{pointer} {sentence}{ending}"


def unknown(cast: Cast, rng: Random) -> str:
    return f"{UNKNOWN} {cast.phrase('unknown', rng)}."


def polite(text: str, cast: Cast, rng: Random) -> str:
    """The core question with what people put around it."""
    roll = rng.random()
    if roll < 0.5:
        return text
    if roll < 0.75:
        lead = phrase("lead", rng)
        return f"{fill(lead, {'name': cast.name})} {text}"
    if roll < 0.92:
        return f"{text} {fill(rng.choice(sections('phrases.txt')['tail']), {'name': cast.name})}"
    return f"{rng.choice(sections('phrases.txt')['story'])} {text}"
