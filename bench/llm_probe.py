"""The same piece of work again and again, in the pauses of the soak: has a step become slower?

A step takes the longer, the more tokens it evaluates, and under a random load that changes from second to second by
more than any slowdown worth finding. So everybody is quiet for a moment, four strangers write the same replies to the
same prompts, and what counts is the time between two of their tokens: the step, and all that is done around it. What
half an hour has left behind (a fuller ledger, a fragmented KV cache, caches that never shrink) is in that time. In turn
with them a bare loop of `llama_decode` does the same in a context of its own, which nothing ever happens to: what the
machine does meanwhile hits both.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import llm_bare
from bench.llm_stats import gaps
from bench.llm_texts import Script
from mythicd.engines import LlmRequest, PrefillDone, Sampling, TextDelta
from mythicd.llm.engine import LlamaLlm

WRITERS = 4
TOKENS = 40
ROUNDS = 8
PERSONA = 100
"""Tokens."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What one pause has shown."""

    at: float
    """Seconds since the beginning."""
    gap: float
    """Median time between two tokens of a stranger, milliseconds."""
    bare: float
    """Median step of the bare loop, milliseconds."""
    ratio: float
    """Median of the one by the other, round by round."""


class Pause:
    """Everybody is quiet: what is begun goes on to its end, and nothing new begins."""

    def __init__(self) -> None:
        self._may_begin, self._all_quiet = asyncio.Event(), asyncio.Event()
        self._may_begin.set()
        self._all_quiet.set()
        self._acting = 0

    async def __aenter__(self) -> None:
        """Wait until nobody does anything."""
        self._may_begin.clear()
        await self._all_quiet.wait()

    async def __aexit__(self, *_: object) -> None:
        """Let them go on."""
        self._may_begin.set()

    async def begin(self) -> None:
        """Somebody wants to do something; returns when that may be. To be followed by `end`."""
        await self._may_begin.wait()
        self._acting += 1
        self._all_quiet.clear()

    def end(self) -> None:
        """Somebody has done it."""
        self._acting -= 1
        if not self._acting:
            self._all_quiet.set()


def yardstick(model: Path, script: Script) -> llm_bare.Bare:
    """Return the bare loop, with as many sequences as there are strangers, each as long as their prompts."""
    length = script.lengths.world + PERSONA
    bare = llm_bare.Bare(llm_bare.ours(), model, n_ctx=WRITERS * 2 * length, sequences=WRITERS, flash=True)
    for sequence in range(WRITERS):
        bare.prefill(length, sequence)
    return bare


async def probe(engine: LlamaLlm, script: Script, bare: llm_bare.Bare, at: float) -> Probe:
    """Time the strangers' replies; nobody else may want anything meanwhile. They are forgotten afterwards."""
    names = [f"stranger {number}" for number in range(WRITERS)]
    sequences, length = list(range(WRITERS)), script.lengths.world + PERSONA
    ours: list[float] = []
    bares: list[float] = []
    for _ in range(ROUNDS):
        arrivals = await asyncio.gather(*(_reply(engine, script, name) for name in names))
        # While the slowest still reads its prompt, or when the first is done, a step is another one.
        first, last = max(moments[0] for moments in arrivals), min(moments[-1] for moments in arrivals)
        within = [gaps([moment for moment in moments if first <= moment <= last]) for moments in arrivals]
        ours.append(1000 * float(np.median(np.concatenate(within))))
        steps = await asyncio.to_thread(bare.decode, sequences, [length] * WRITERS, TOKENS)
        for sequence in sequences:
            bare.trim(sequence, length)
        bares.append(1000 * float(np.median(steps)))
    for name in names:
        await engine.forget(name)
    ratio = float(np.median(np.divide(ours, bares)))
    return Probe(at, float(np.median(ours)), float(np.median(bares)), ratio)


async def _reply(engine: LlamaLlm, script: Script, name: str) -> list[float]:
    """Have a reply written; return when its tokens came, in seconds."""
    prompt = script.stranger(name, PERSONA, script.world())
    request = LlmRequest(name, "t1", prompt, (), Sampling(temperature=0.0, max_tokens=TOKENS), patience_s=60.0)
    async with aclosing(engine.generate(request)) as events:
        return [time.monotonic() async for event in events if isinstance(event, PrefillDone | TextDelta)]
