"""Helpers of the engine's tests: prompts, requests, and the engine's state after them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from mythicd.engines.llm import ChatMessage, Finished, LlmEvent, LlmRequest, Prompt, Sampling, TextDelta, ToolSpec
from mythicd.llm.llamacpp.context import Context
from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.llm.llamacpp.kv.allocator import KvAllocator
from mythicd.llm.llamacpp.kv.state import spare_sequences
from mythicd.llm.llamacpp.prompt_tokens import PromptTokens
from mythicd.llm.llamacpp.requests import Request
from mythicd.llm.llamacpp.scheduler import Scheduler
from mythicd.llm.llamacpp.tokenizer import Tokenizer

GREEDY = Sampling(temperature=0, max_tokens=24)
ENDLESS = Sampling(temperature=1, max_tokens=1500, seed=6)
"""The small model writes about 500 tokens with this seed, far more than it may be ahead of its reader."""
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


class Internals:
    """The private parts of a running engine. Tests that need more than `LlamaLlm.snapshot` name them only here."""

    def __init__(self, engine: LlamaLlm) -> None:
        assert engine._thread is not None
        self.thread = engine._thread

    @property
    def context(self) -> Context:
        assert self.thread._context is not None
        return self.thread._context

    @property
    def allocator(self) -> KvAllocator:
        return self.thread._allocator

    @property
    def scheduler(self) -> Scheduler:
        return self.thread._scheduler

    @property
    def prompts(self) -> PromptTokens:
        return self.thread._admission.prompts

    @property
    def tokenizer(self) -> Tokenizer:
        return self.thread._model.tokenizer

    @property
    def banned(self) -> tuple[int, ...]:
        """Tokens that no reply may contain."""
        return self.thread._admission.banned

    @property
    def requests(self) -> list[Request]:
        """The requests in the scheduler."""
        return list(self.thread._requests.values())

    def tokens(self, owner: str) -> tuple[int, ...]:
        """Return the tokens that are held for an owner."""
        return self.allocator.state.tokens(owner)

    def holds(self, owner: str, tokens: list[int], *, parked: bool = False) -> bool:
        """Tell whether the KV cache, or with `parked` host memory, holds these tokens for an owner."""
        return self.allocator.state.holds(owner, tokens, parked=parked)

    def is_delivering(self) -> bool:
        """Tell whether the calling thread is the one that delivers events."""
        return threading.current_thread() is self.thread._delivery

    def wrap(self, method: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace a method of the engine thread ("step", "run" or "write") by what `wrapper` makes of it."""
        setattr(self.thread, f"_{method}", wrapper(getattr(self.thread, f"_{method}")))

    def check(self) -> None:
        """Assert that an engine without requests agrees with llama.cpp about what its sequences hold."""
        thread = self.thread
        assert not thread._requests and not thread._waiting and not len(thread._scheduler)
        self.allocator.check()
        held = self.allocator.state.sequences()
        for sequence, size in held.values():
            assert self.context.last_position(sequence) == size - 1
        options = thread._options
        everything = options.n_seq_max + spare_sequences(options.kv_unified, self.allocator.state.trims)
        free = set(range(everything)) - {sequence for sequence, _ in held.values()}
        assert all(self.context.last_position(sequence) == -1 for sequence in free)
        assert thread._cache._saved.keys() == self.allocator.parked.keys()


async def settle(engine: LlamaLlm) -> None:
    """Wait until the engine thread has handled every cancellation, and check it against its snapshot and llama.cpp."""
    inside = Internals(engine)
    tidies, inside.thread._tidies = inside.thread._tidies, False  # nothing may be parked while it is checked
    await engine.forget("nobody")
    inside.check()
    snapshot = engine.snapshot()
    assert (snapshot.running, snapshot.waiting, snapshot.waiting_for_cells) == (0, 0, 0)
    assert snapshot.sequences == inside.allocator.state.sequences()
    assert snapshot.parked.keys() == inside.allocator.parked.keys()
    assert (snapshot.cells, snapshot.free_cells) == (inside.allocator.cells, inside.allocator.free_cells)
    inside.thread._tidies = tidies


async def until(happened: Callable[[], bool]) -> None:
    """Yield to the event loop until something has happened in the engine thread, for at most 10 s."""
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110  (the engine thread sets no event for this)
            await asyncio.sleep(0)


async def stick(engine: LlamaLlm, name: str = "marla") -> AsyncGenerator[LlmEvent, None]:
    """Begin a reply without reading it, with 8 `burst_tokens`; return when the engine thread holds it back."""
    reply = engine.generate(request(name, ask(MARLA, "hello"), ENDLESS))
    await anext(reply)
    await until(lambda: engine.counters.tokens_written >= 2 * 8)
    await asyncio.sleep(0.05)
    return reply
