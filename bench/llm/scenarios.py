"""Scenes that every side plays in its own process. Durations are in milliseconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.llm.side import Side, Spent
from bench.stats import gaps_within
from mythicd.engines.llm import Prompt


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn, from the request to the first token."""

    ttft: float
    spent: Spent


@dataclass(frozen=True, slots=True)
class Arrival:
    """Effect of a newcomer's long prompt on the speakers, and its own wait."""

    longest: float
    gaps: tuple[float, ...]
    """All speakers' token gaps between the newcomer's request and its first token."""
    quiet: float
    """Median of the speakers' token gaps before."""
    ttft: float


SPEECH = 400
"""Most tokens of a speaker that a newcomer interrupts."""


async def come_near(side: Side, *, npc: str, front: Prompt) -> float:
    """Evaluate a character's front, when it comes into view or its turn is over; return how long that took."""
    begun = time.perf_counter()
    await side.warm(npc, front)
    return 1000 * (time.perf_counter() - begun)


async def ask(side: Side, *, npc: str, partials: Sequence[Prompt], prompt: Prompt, tokens: int) -> Turn:
    """Play a turn: the partials of the question, the question, the reply. `come_near` with the next turn's front ends
    it.

    The partials are off the critical path, and their time is not in `ttft`.
    """
    for partial in partials:
        await side.prepare(npc, partial)
    arrivals: list[float] = []
    begun = time.perf_counter()
    spent = await side.reply(npc, prompt, tokens, arrivals)
    if spent.written != tokens or len(arrivals) != tokens:
        raise RuntimeError(f"{tokens} tokens were requested; {spent.written} were written, {len(arrivals)} arrived.")
    return Turn(1000 * (arrivals[0] - begun), spent)


async def leave(side: Side, *, npc: str) -> None:
    """Forget a character."""
    await side.leave(npc)


async def newcomer(side: Side, *, speakers: Sequence[Prompt], prompt: Prompt, before: int) -> Arrival:
    """Let several write; when each has written `before` tokens, a newcomer with a long prompt is spoken to."""
    streams: list[list[float]] = [[] for _ in speakers]
    tasks = [
        asyncio.create_task(side.reply(f"speaker {number}", speaker, SPEECH, stream))
        for number, (speaker, stream) in enumerate(zip(speakers, streams, strict=True))
    ]
    try:
        while any(len(stream) < before for stream in streams):
            await asyncio.sleep(0.002)
            for task in tasks:
                if task.done():
                    task.result()
        arrivals: list[float] = []
        begun = time.perf_counter()
        first = asyncio.create_task(side.reply("newcomer", prompt, 2, arrivals))
        tasks.append(first)
        await first
        # Gaps during the newcomer's wait, and the step with its first token.
        end = arrivals[0]
        await asyncio.sleep(0.05)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    found = [1000 * gap for stream in streams for gap in gaps_within(stream, begun, end)]
    calm = sorted(1000 * gap for stream in streams for gap in gaps_within(stream, 0.0, begun))
    await side.leave("newcomer")
    for number in range(len(speakers)):
        await side.leave(f"speaker {number}")
    return Arrival(max(found), tuple(found), calm[len(calm) // 2], 1000 * (end - begun))
