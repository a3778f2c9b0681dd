"""The probe of the soak: has a step become slower?

The time of a step depends on its tokens, which vary under random load by more than any slowdown worth finding. So in a
pause four probe characters write the same replies to the same prompts, and the time between two of their tokens counts:
the step, and all work around it, with what the run has left (more entries, a fragmented KV cache, caches that never
shrink). In turn with them a bare loop of `llama_decode` does the same in its own context, so that changes of the
machine affect both.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.llm import raw_llamacpp
from bench.llm.engine_scenarios import step_of_engine
from bench.llm.mythic_side import Ours
from bench.llm.prompts import Script

WRITERS = 4
TOKENS = 40
ROUNDS = 8
PERSONA = 100
"""Tokens of a reply."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of one pause."""

    at: float
    """Seconds since the beginning."""
    gap: float
    """Median over the rounds of the mean time between two tokens of a probe character, milliseconds."""
    bare: float
    """The same of the bare loop's steps, milliseconds."""
    ratio: float
    """Median of their ratio, round by round."""


def yardstick(model: Path, script: Script) -> raw_llamacpp.Bare:
    """Return the bare loop, with as many sequences as probe characters, each as long as their prompts."""
    length = script.lengths.world + PERSONA
    bare = raw_llamacpp.Bare(raw_llamacpp.ours(), model, n_ctx=WRITERS * 2 * length, sequences=WRITERS, flash=True)
    for sequence in range(WRITERS):
        bare.prefill(length, sequence)
    return bare


async def probe(side: Ours, script: Script, bare: raw_llamacpp.Bare, at: float) -> Probe:
    """Time the probe characters' replies, while the engine has no other requests; then forget the characters."""
    names = [f"stranger {number}" for number in range(WRITERS)]
    prompts = [script.stranger(name, PERSONA, script.world()) for name in names]
    sequences, length = list(range(WRITERS)), script.lengths.world + PERSONA
    ours: list[float] = []
    bares: list[float] = []
    for name, prompt in zip(names, prompts, strict=True):  # so that all start to write at once
        await side.reply(name, prompt, 1, [])
    for _ in range(ROUNDS):
        ours.append(await step_of_engine(side, names, prompts, TOKENS))
        took = await asyncio.to_thread(bare.decode, sequences, [length] * WRITERS, TOKENS)
        for sequence in sequences:
            bare.trim(sequence, length)
        bares.append(1000 * float(np.mean(took)))
    for name in names:
        await side.leave(name)
    ratio = float(np.median(np.divide(ours, bares)))
    return Probe(at, float(np.median(ours)), float(np.median(bares)), ratio)
