"""Our side: `LlamaLlm` through its Protocol, as the daemon uses it."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from bench.llm.side import Spent
from mythicd.engines.llm import Finished, LlmRequest, Prompt, Sampling, TextDelta
from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.llm.llamacpp.options import LlamaOptions

PATIENCE_S = 60.0
"""Longest wait: the peers' clients have no limit, and with four speakers 800 tokens can take over 10 s."""


def options(n_ctx: int = 8192, sequences: int = 16) -> LlamaOptions:
    """Return our engine's defaults, on one thread.

    Flash attention is set because the server enables it for every model, and the engine not for the small one of a
    quick run.
    """
    return LlamaOptions(n_ctx=n_ctx, n_seq_max=sequences, threads=1, flash=True)


def sampling(tokens: int) -> Sampling:
    """Return greedy sampling of a reply of exactly `tokens` tokens."""
    return Sampling(temperature=0, repeat_penalty=1.0, max_tokens=tokens)


class Ours:
    """Mythic's engine, with or without prefill. Implements `Side`."""

    def __init__(self, model: Path, options: LlamaOptions, *, ahead: bool = True) -> None:
        """With `ahead` off `prepare` does nothing: the question is evaluated only when it is asked."""
        self.engine = LlamaLlm(model, options)
        self.model, self.options = model, options
        self._ahead = ahead

    async def start(self) -> None:
        """Load the model."""
        await self.engine.start()

    async def stop(self) -> None:
        """Free the model."""
        await self.engine.stop()

    async def warm(self, npc: str, prompt: Prompt) -> None:
        """Evaluate the front."""
        await self.engine.attend(npc, prompt)

    async def prepare(self, npc: str, prompt: Prompt) -> None:
        """Evaluate the words so far."""
        if self._ahead:
            await self.engine.prepare(npc, prompt)

    async def reply(self, npc: str, prompt: Prompt, tokens: int, arrivals: list[float]) -> Spent:
        """Write a reply of exactly `tokens` tokens, and note when each arrives."""
        spent = Spent(0, 0, 0)
        request = LlmRequest(npc, "bench", prompt, (), sampling(tokens), PATIENCE_S)
        async with aclosing(self.engine.generate(request)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    arrivals.append(time.perf_counter())
                elif isinstance(event, Finished):
                    spent = Spent(event.prompt_tokens, event.evaluated_tokens, event.generated_tokens)
        return spent

    def borrow(self, npcs: Sequence[str]) -> tuple[int, list[int]]:
        """Return the address of llama.cpp's own context, and these characters' sequences in it.

        It may be used while an engine with `park_idle` off is idle; what is after a character's prompt may be changed.
        """
        thread = self.engine._thread
        assert thread is not None and thread._context is not None
        address = ctypes.cast(thread._context.pointer, ctypes.c_void_p).value
        assert address is not None
        held = thread._allocator.state.sequences()
        return address, [held[npc][0] for npc in npcs]

    async def leave(self, npc: str) -> None:
        """Forget the character."""
        await self.engine.forget(npc)
