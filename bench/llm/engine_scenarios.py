"""Scenes of our engine alone: against llama.cpp itself, against time, or against itself with another setting.

All run in the process of our side. Durations are in milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import repeat

from bench.llm import raw_llamacpp
from bench.llm.mythic_side import Ours, sampling
from bench.llm.voice_simulator import Voice
from mythicd.engines.llm import LlmRequest, Prompt, TextDelta
from mythicd.errors import BusyError

MOST_AHEAD = 120
"""Characters that a voice is ahead when it stops reading: about two sentences."""


@dataclass(frozen=True, slots=True)
class Parking:
    """Times of parking and restoring a character, and of evaluating its prompt instead."""

    prefill: float
    park: float
    restore: float


async def park_and_restore(side: Ours, *, neighbour: Prompt, prompt: Prompt, rounds: int) -> list[Parking]:
    """Prefill a character after a resident world, then park it and restore it.

    The first round does not count: the first copy waits for memory that has never been used.
    """
    await side.warm("neighbour", neighbour)
    found = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        await side.warm("traveller", prompt)
        there = time.perf_counter()
        await side.engine.park("traveller")
        gone = time.perf_counter()
        await side.warm("traveller", prompt)
        back = time.perf_counter()
        await side.leave("traveller")
        found.append(Parking(1000 * (there - begun), 1000 * (gone - there), 1000 * (back - gone)))
    await side.leave("neighbour")
    return found[1:]


@dataclass(frozen=True, slots=True)
class Steps:
    """Times of one token for every stream: through the engine, and by `llama_decode` alone."""

    engine: float
    bare: float


async def decode(side: Ours, *, prompts: Sequence[Prompt], tokens: int, rounds: int) -> list[Steps]:
    """Write with several streams, and do the same with a bare loop on the engine's own context, in turn.

    With its own context the comparison fails: of two equal contexts in one process, one is up to 7 % slower, depending
    on where its memory is.
    """
    names = [f"writer {number}" for number in range(len(prompts))]
    starts = [(await side.reply(name, prompt, 1, [])).prompt for name, prompt in zip(names, prompts, strict=True)]
    found = []
    for _ in range(rounds):
        engine = await step_of_engine(side, names, prompts, tokens)
        context, sequences = side.borrow(names)
        with raw_llamacpp.Loop(raw_llamacpp.bound(raw_llamacpp.ours()), context) as bare:
            for sequence, length in zip(sequences, starts, strict=True):
                bare.trim(sequence, length)
            took = await asyncio.to_thread(bare.decode, sequences, starts, tokens)
            for sequence, length in zip(sequences, starts, strict=True):
                bare.trim(sequence, length)
        # The engine's time starts after its first step, so the loop's does too.
        found.append(Steps(engine, 1000 * sum(took[1:]) / (tokens - 1)))
    for name in names:
        await side.leave(name)
    return found


async def step_of_engine(side: Ours, names: Sequence[str], prompts: Sequence[Prompt], tokens: int) -> float:
    """Return the time of one step while all write, counted from when the last began until the first ended."""
    streams: list[list[float]] = [[] for _ in names]
    await asyncio.gather(*map(side.reply, names, prompts, repeat(tokens), streams))
    begin = max(stream[0] for stream in streams)
    end = min(stream[-1] for stream in streams)
    steps = sum(begin < moment <= end for moment in streams[0])
    return 1000 * (end - begin) / steps


@dataclass(frozen=True, slots=True)
class Chorus:
    """Results of several requests at once."""

    spoke: int
    busy: int
    stutters: int
    """Times that a voice ran out of text."""
    silence: float
    """Milliseconds that voices were out of text, in all."""
    longest: float
    """Longest wait for a first token or for Busy."""


async def speak_at_once(side: Ours, *, prompts: Sequence[Prompt], tokens: int, patience_s: float) -> Chorus:
    """Start several requests at once; each has a voice that speaks the text at the speed of speech."""

    async def speak(npc: str, prompt: Prompt) -> tuple[Voice | None, float]:
        voice, first = Voice(), 0.0
        request = LlmRequest(npc, "bench", prompt, (), sampling(tokens), patience_s)
        begun = time.perf_counter()
        try:
            async with aclosing(side.engine.generate(request)) as events:
                async for event in events:
                    now = time.perf_counter()
                    if isinstance(event, TextDelta):
                        first = first or now - begun
                        voice.add(len(event.text), now)
                        await asyncio.sleep(voice.too_far_ahead(MOST_AHEAD, now))
        except BusyError:
            return None, time.perf_counter() - begun
        voice.finish(time.perf_counter())
        return voice, first

    names = [f"voice {number}" for number in range(len(prompts))]
    ends = await asyncio.gather(*map(speak, names, prompts))
    for name in names:
        await side.leave(name)
    voices = [voice for voice, _ in ends if voice is not None]
    return Chorus(
        spoke=len(voices),
        busy=len(ends) - len(voices),
        stutters=sum(voice.stutters for voice in voices),
        silence=1000 * sum(voice.silence for voice in voices),
        longest=1000 * max(wait for _, wait in ends),
    )


async def rotate(
    side: Ours, *, prompts: Sequence[Prompt], casts: Mapping[str, Sequence[str | None]], tokens: int, rounds: int
) -> dict[str, list[float]]:
    """Write with four streams, with the adapters of each cast, in turn; return for each cast the time of a token."""
    found: dict[str, list[float]] = {name: [] for name in casts}
    for _ in range(rounds):
        for cast, adapters in casts.items():
            names = [f"{cast} {number}" for number in range(len(prompts))]
            dressed = [replace(p, adapter=adapter) for p, adapter in zip(prompts, adapters, strict=True)]
            for name, prompt in zip(names, dressed, strict=True):
                await side.warm(name, prompt)
            streams: list[list[float]] = [[] for _ in names]
            await asyncio.gather(*map(side.reply, names, dressed, repeat(tokens), streams))
            begin, end = max(stream[0] for stream in streams), min(stream[-1] for stream in streams)
            written = sum(begin < moment <= end for stream in streams for moment in stream)
            found[cast].append(1000 * (end - begin) / written)
            for name in names:
                await side.leave(name)
    return found


async def residents(side: Ours, *, counts: Sequence[int], length: int, steps: int) -> dict[str, dict[int, float]]:
    """Return the time of a bare decode step with `residents` other sequences, in a unified and in a split KV cache."""
    found: dict[str, dict[int, float]] = {}
    sequences = max(counts) + 1
    for kind, unified in (("unified", True), ("split", False)):
        with raw_llamacpp.Bare(
            raw_llamacpp.ours(),
            side.model,
            n_ctx=sequences * 2 * length,
            sequences=sequences,
            unified=unified,
            flash=True,
        ) as bare:
            bare.prefill(length)
            found[kind] = {}
            for count in counts:
                for resident in range(1, count + 1):
                    bare.clone(0, resident)
                took = sorted(await asyncio.to_thread(bare.decode, [0], [length], steps))
                found[kind][count] = 1000 * took[len(took) // 2]
                bare.trim(-1, length)
    return found
