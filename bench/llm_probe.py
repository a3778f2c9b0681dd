"""The same piece of work again and again, in the pauses of the soak: has a step become slower?

A step takes the longer, the more tokens it evaluates, and under a random load that changes from second to second by
more than any slowdown worth finding. So everybody is quiet for a moment, four strangers write the same replies to the
same prompts, and what counts is the time between two of their tokens: the step, and all that is done around it. What
half an hour has left behind (a fuller ledger, a fragmented KV cache, caches that never shrink) is in that time.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from bench.llm_stats import gaps
from bench.llm_texts import Script
from mythicd.engines import LlmRequest, PrefillDone, Sampling, TextDelta
from mythicd.llm.engine import LlamaLlm

WRITERS = 4
TOKENS = 40
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """What one pause has shown."""

    at: float
    """Seconds since the beginning."""
    gap: float
    """Median time between two tokens of a stranger, milliseconds."""
    machine: float
    """Median time of a fixed piece of arithmetic, between the rounds, milliseconds."""


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


async def probe(engine: LlamaLlm, script: Script, at: float) -> Probe:
    """Time the strangers' replies; nobody else may want anything meanwhile. They are forgotten afterwards."""
    names = [f"stranger {number}" for number in range(WRITERS)]
    between: list[float] = []
    machine = [arithmetic()]
    for _ in range(ROUNDS):
        arrivals = await asyncio.gather(*(_reply(engine, script, name) for name in names))
        # While the slowest still reads its prompt, or when the first is done, a step is another one.
        first, last = max(moments[0] for moments in arrivals), min(moments[-1] for moments in arrivals)
        for moments in arrivals:
            between += gaps([moment for moment in moments if first <= moment <= last])
        machine.append(arithmetic())
    for name in names:
        await engine.forget(name)
    return Probe(at, 1000 * float(np.median(between)), float(np.median(machine)))


def arithmetic() -> float:
    """Time a fixed piece of arithmetic, in milliseconds: how fast the machine is just now."""
    square = np.ones((384, 384), np.float32)
    begun = time.perf_counter()
    for _ in range(4):
        square @ square
    return 1000 * (time.perf_counter() - begun)


async def _reply(engine: LlamaLlm, script: Script, name: str) -> list[float]:
    """Have a reply written; return when its tokens came, in seconds."""
    prompt = script.stranger(name, 100, script.world())
    request = LlmRequest(name, "t1", prompt, (), Sampling(temperature=0.0, max_tokens=TOKENS), patience_s=60.0)
    async with aclosing(engine.generate(request)) as events:
        return [time.monotonic() async for event in events if isinstance(event, PrefillDone | TextDelta)]
