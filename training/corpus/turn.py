"""A question and its reply, and the phrases that any of them may be wrapped in."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from training.chat import UNKNOWN, line_pointer
from training.corpus.block import Block
from training.corpus.cast import Cast
from training.corpus.expand import fill


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
        lead = rng.choice(_LEADS)
        return f"{fill(lead, {'name': cast.name})} {text}"
    if roll < 0.92:
        return f"{text} {fill(rng.choice(_TAILS), {'name': cast.name})}"
    return f"{rng.choice(_STORIES)} {text}"


_LEADS = (
    "hey", "excuse me", "say", "listen", "hello", "please", "so", "and", "well", "{name}", "friend", "tell me", "sorry",
    "hey {name}", "good evening", "one question", "quick question", "pardon me", "i have a question", "by the way", "now",
    "hello {name}", "my friend", "sir", "just tell me", "one more thing", "but", "okay", "actually", "maybe you can help me",
    "i wonder", "come on", "good day", "may i ask", "let me ask you this", "hi", "oh", "right then", "look", "also", "then",
)  # fmt: skip
_TAILS = (
    "please", "friend", "{name}", "then", "again", "by the way", "if i may ask", "these days", "do you know", "exactly", "now",
    "if you don't mind", "around here", "anyway", "my friend", "i wonder", "would you say", "i forgot", "thank you", "sir",
    "do you think", "actually", "in your opinion", "tell me", "any idea", "can you tell me", "i'm curious", "quickly",
)  # fmt: skip
_STORIES = (
    "i just arrived in town", "i have come a long way", "a man at the gate sent me to you", "they told me to ask you",
    "i am new here", "nobody wants to tell me", "my friend asked me to find out", "you seem to know everything",
    "we had a bet", "i am in a hurry", "it is important", "i heard you can help", "someone told me you would know",
    "i am writing a book", "my brother wants to know", "i have been wondering", "before i leave", "just out of interest",
)  # fmt: skip
