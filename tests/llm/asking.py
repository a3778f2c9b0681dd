"""Words that the tests of the engine share: who is asked what, and what lies in the engine afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from mythicd.engines.llm import ChatMessage, Finished, LlmEvent, LlmRequest, Prompt, Sampling, TextDelta, ToolSpec
from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.llm.llamacpp.engine_thread import EngineThread
from mythicd.llm.llamacpp.kv.state import spare_sequences

GREEDY = Sampling(temperature=0, max_tokens=24)
ENDLESS = Sampling(temperature=1, max_tokens=1500, seed=6)
"""The small model writes some five hundred tokens with this seed: far more than it may be ahead of its reader."""
WORLD = "You are a character in Lanternport.\n## Rules\n- Never name the Keeper.\n- Stay polite."
MARLA = "\n\nYou are Marla, barkeep of the Blue Lantern. Style: warm."
ODO = "\n\nYou are Odo, smuggler and friend of cats. Style: terse."

Start = Callable[..., Awaitable[LlamaLlm]]


def user(words: str) -> ChatMessage:
    return ChatMessage("user", words)


def said(words: str) -> ChatMessage:
    return ChatMessage("assistant", words)


def ask(character: str, words: str, history: tuple[ChatMessage, ...] = ()) -> Prompt:
    return Prompt(WORLD, character, history, (user(f"## Lore\n- The market is east.\n## Player\n{words}"),))


def request(
    npc_id: str,
    prompt: Prompt,
    sampling: Sampling = GREEDY,
    tools: tuple[ToolSpec, ...] = (),
    *,
    patience_s: float = 60.0,
) -> LlmRequest:
    return LlmRequest(npc_id, "turn", prompt, tools, sampling, patience_s)


async def read(engine: LlamaLlm, wanted: LlmRequest) -> list[LlmEvent]:
    return [event async for event in engine.generate(wanted)]


def words(events: list[LlmEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def finished(events: list[LlmEvent]) -> Finished:
    last = events[-1]
    assert isinstance(last, Finished)
    return last


def engine_thread(engine: LlamaLlm) -> EngineThread:
    assert engine._thread is not None
    return engine._thread


async def settle(engine: LlamaLlm) -> None:
    """Wait until the engine thread has taken note of every cancellation, and check its books against llama.cpp's."""
    inside = engine_thread(engine)
    tidies, inside._tidies = inside._tidies, False  # while its books are read from here
    await engine.forget("nobody")
    assert not inside._requests and not inside._waiting and not len(inside._scheduler)
    inside._allocator.check()
    assert inside._context is not None
    held = inside._allocator.state.sequences()
    for sequence, size in held.values():
        assert inside._context.last_position(sequence) == size - 1
    options = inside._options
    everything = options.n_seq_max + spare_sequences(options.kv_unified, inside._allocator.state.trims)
    free = set(range(everything)) - {sequence for sequence, _ in held.values()}
    assert all(inside._context.last_position(sequence) == -1 for sequence in free)
    assert inside._cache._saved.keys() == inside._allocator.parked.keys()
    inside._tidies = tidies


async def until(happened: Callable[[], bool]) -> None:
    """Give way until something has happened in the engine thread."""
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110  (the engine thread has no event for what it does inside)
            await asyncio.sleep(0)


async def stick(engine: LlamaLlm, name: str = "marla") -> AsyncGenerator[LlmEvent, None]:
    """Begin a reply that nobody reads, 8 `burst_tokens` ahead; return when the engine thread has no more to do for
    it."""
    reply = engine.generate(request(name, ask(MARLA, "hello"), ENDLESS))
    await anext(reply)
    await until(lambda: engine.counters.tokens_written >= 2 * 8)
    await asyncio.sleep(0.05)
    return reply
