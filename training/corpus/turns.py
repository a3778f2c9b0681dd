"""Turns of all sorts, as typed or as recognised."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.corpus import noise
from training.corpus.ask_lore import (
    fact_turn,
    happening_turn,
    harmless_turn,
    open_turn,
    refuse_turn,
    unknown_turn,
)
from training.corpus.ask_self import memory_turn, past_turn, scene_turn, self_turn, talk_turn
from training.corpus.ask_tools import cannot_turn, tool_turn
from training.corpus.block import Block
from training.corpus.cast import Cast
from training.corpus.turn import Turn

_SORTS: tuple[tuple[Callable[[Cast, Block, Random], Turn | None], float], ...] = (
    (fact_turn, 55), (unknown_turn, 9), (open_turn, 5), (happening_turn, 9), (refuse_turn, 9), (harmless_turn, 3),
    (tool_turn, 33), (talk_turn, 9), (scene_turn, 6), (memory_turn, 14), (past_turn, 6), (self_turn, 4),
    (cannot_turn, 1),
)  # fmt: skip


def make_turn(cast: Cast, block: Block, rng: Random) -> Turn:
    """Return a turn of a random sort that these surroundings allow, as typed or as recognised."""
    makers, weights = zip(*_SORTS, strict=True)
    turn: Turn | None = None
    while turn is None:
        turn = rng.choices(makers, weights)[0](cast, block, rng)
    if not turn.noisy:
        if rng.random() < 0.5:
            turn.words = noise.as_heard(turn.words, rng, rng.choice((0, 0, 1, 1)))
            turn.noisy = True
        elif rng.random() < 0.8:
            turn.words += rng.choice(("?", "?", ".", "!"))
    return turn
