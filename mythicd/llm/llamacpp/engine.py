"""The language model as the rest of the house sees it: the `Llm` Protocol over one llama.cpp model in this process.

This side of the engine thread is all asyncio and does nothing but hand over and wait; see engine_thread.py for the
other side.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

from mythicd.engines.llm import Finished, Focus, LlmAbilities, LlmEvent, LlmRequest, Prompt, Reading
from mythicd.errors import BusyError, ConfigError, EngineError
from mythicd.llm.llamacpp.engine_thread import EngineThread
from mythicd.llm.llamacpp.kv.state import ROOTS
from mythicd.llm.llamacpp.options import LlamaOptions
from mythicd.llm.llamacpp.requests import Forget, Order, Park, Refocus, ReplyQueue, Request, Rollback
from mythicd.llm.llamacpp.scheduler import Work
from mythicd.telemetry.counters import LlmCounters


class LlamaLlm:
    """One GGUF model that speaks for many characters. Implements `Llm`.

    It can be started again after `stop`. All its methods belong to one event loop.
    """

    def __init__(self, model: Path, options: LlamaOptions | None = None) -> None:
        """`model` is a GGUF file; nothing is read before `start`. Raises ConfigError for options that clash."""
        self.counters = LlmCounters()
        self.abilities = LlmAbilities(prepares=True, places_calls=True, adapters=True)
        """Known for certain once it has started: what a model's memory cannot take back is not prepared."""
        self._path = model
        self._options = LlamaOptions() if options is None else options
        self._thread: EngineThread | None = None
        self._turning = asyncio.Lock()
        """Held while it is being started or stopped."""
        limits = self._options.limits
        batch = min(self._options.n_batch, self._options.n_ctx)
        needed = max(limits.streams + limits.chunk_least, self._options.n_seq_max + ROOTS + 1)
        if not 1 <= limits.chunk_least <= limits.chunk or limits.streams < 1 or batch < needed:
            raise ConfigError(
                f"A step may have {batch} tokens (n_batch, n_ctx); {limits.streams} streams with chunks of"
                f" {limits.chunk_least} to {limits.chunk} and {self._options.n_seq_max} sequences need {needed}.",
                remedy="Raise n_batch and n_ctx, or lower streams, chunk or n_seq_max; none may be below 1.",
            )
        if not 1 <= limits.slice_tokens <= limits.burst_tokens:
            raise ConfigError(
                f"Every reply cannot have {limits.slice_tokens} of {limits.burst_tokens} tokens.",
                remedy="Set min_slice_tokens to at least 1 and at most burst_tokens.",
            )

    async def start(self) -> None:
        """Load the model and warm it up. Raises EngineUnavailable or ModelError."""
        async with self._turning:
            if self._thread is None:
                self._thread = await self._load()
                self.abilities = replace(self.abilities, prepares=self._thread.trims)

    async def _load(self) -> EngineThread:
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()

        def settle(error: Exception | None) -> None:
            if started.done():
                return  # `start` was cancelled
            if error is None:
                started.set_result(None)
            else:
                started.set_exception(error)

        def ready(error: Exception | None) -> None:
            loop.call_soon_threadsafe(settle, error)

        thread = EngineThread(self._path, self._options, self.counters, ready)
        thread.start()
        try:
            await started
        except BaseException:
            thread.stop()
            await asyncio.shield(asyncio.to_thread(thread.join))
            raise
        return thread

    async def attend(self, npc_id: str, prompt: Prompt) -> None:
        """Make this prompt's system part and history ready in the KV cache, so that the next turn starts warm.

        It runs beside replies, at the lowest priority, and returns when it is done. It is no more than a hint: where
        there is no room now, or the character begins to speak, it returns without having finished. Raises ConfigError
        when the prompt is longer than a conversation may be, ModelError for an adapter that does not fit the model.
        """
        await self._do_ahead(npc_id, prompt, "warm-up")

    async def prepare(self, npc_id: str, prompt: Prompt, reading: Reading | None = None) -> None:
        """Evaluate a turn as far as it is known, up to the end of its last message; else as `attend`.

        What an earlier `prepare` has evaluated is kept as far as it is the same. While the character writes a reply,
        nothing is done, nor where the model's memory cannot be trimmed. `reading` is kept up to date, step by step.
        """
        if prompt.turn:
            await self._do_ahead(npc_id, prompt, "prepare", reading)

    async def rollback(self, npc_id: str) -> None:
        """Take back what was prepared or written in this turn: the character holds its front again, to the token.

        Close the reply first; while it is being written, nothing is taken back. Nor is it where the model's memory
        cannot be trimmed: there, what no later prompt goes on from is evaluated anew.
        """
        await self._order(Rollback(npc_id, ReplyQueue()))

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Write one reply: PrefillDone, then TextDelta and InlineCall, then Finished.

        Closing it cancels the reply: the model's next step is without it. Raises Busy when its first token does not
        come within its patience; ConfigError when the prompt is longer than a conversation may be or a tool's schema
        cannot be made into a grammar; ModelError for an adapter that does not fit the model; EngineError when
        evaluation fails. Whatever is raised, no other character is concerned.
        """
        thread = self._running()
        limits = self._options.limits
        # One that may be little ahead goes on with the first event that is read, and else once half of them are.
        replies = ReplyQueue(min(limits.most_ahead(request.ahead_tokens) - 1, limits.burst_tokens), thread.nudge)
        queued = Request.reply(request, replies, time.monotonic())
        thread.submit(queued)
        try:
            while True:
                event = await replies.get()
                if event is None:
                    return
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            queued.cancelled = True
            thread.nudge()  # it may sleep, having stopped this stream since nobody read it

    def focus(self, npc_id: str, focus: Focus) -> None:
        """Tell how much this character matters from now on: to the scheduler, and when the KV cache runs short."""
        if self._thread is not None:
            try:
                self._thread.submit(Refocus(npc_id, focus))
            except (BusyError, EngineError):
                pass  # the engine thread is overwhelmed, and who matters is told again when it changes; or it has ended

    async def park(self, npc_id: str) -> None:
        """Move what the KV cache holds for this character to host memory; it comes back when it is wanted."""
        await self._order(Park(npc_id, ReplyQueue()))

    async def forget(self, npc_id: str) -> None:
        """Give back everything that is held for this character; a reply it is writing fails with EngineError."""
        await self._order(Forget(npc_id, ReplyQueue()))

    async def stop(self) -> None:
        """Free the model. Replies being written fail with EngineError, within a few milliseconds."""
        async with self._turning:
            thread, self._thread = self._thread, None
            if thread is not None:
                thread.stop()
                await asyncio.shield(asyncio.to_thread(thread.join))

    async def _do_ahead(self, npc_id: str, prompt: Prompt, work: Work, reading: Reading | None = None) -> None:
        queued = Request(npc_id, prompt, ReplyQueue(), work, time.monotonic(), reading=reading)
        try:
            self._running().submit(queued)
            await queued.replies.get()
        except BusyError:
            pass
        finally:
            queued.cancelled = True

    async def _order(self, order: Order) -> None:
        self._running().submit(order)
        await order.replies.get()

    def _running(self) -> EngineThread:
        if self._thread is None:
            raise EngineError("The language model is not running.", remedy="Start it first.")
        return self._thread
