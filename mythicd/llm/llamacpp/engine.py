"""The in-process language model: the `Llm` Protocol over one llama.cpp model.

This side is asyncio: it hands requests to the engine thread and waits for replies. See engine_thread.py for the other
side.
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
from mythicd.llm.llamacpp.requests import EngineSnapshot, Forget, Order, Park, Refocus, ReplyQueue, Request, Rollback
from mythicd.llm.llamacpp.scheduler import Work
from mythicd.native import llamacpp
from mythicd.telemetry.counters import LlmCounters

_NO_GPU = (
    "The language model runs on the CPU although gpu.layers asks for a GPU: this llama.cpp was built without one, or"
    " finds no device. Build it for your GPU: CMAKE_ARGS=-DGGML_CUDA=ON (NVIDIA) or -DGGML_VULKAN=ON, then"
    " pip install --force-reinstall --no-deps --no-cache-dir --no-binary llama-cpp-python llama-cpp-python==0.3.36."
)


class LlamaLlm:
    """One GGUF model that writes for many characters. Implements `Llm`.

    It can be started again after `stop`. All methods are called on one event loop.
    """

    def __init__(self, model: Path, options: LlamaOptions | None = None) -> None:
        """`model` is a GGUF file, read by `start`. Raises ConfigError for options that contradict each other."""
        self.counters = LlmCounters()
        self.abilities = LlmAbilities(prepares=True, places_calls=True, adapters=True)
        """`prepares` is final after `start`: a model whose memory cannot be trimmed does not prepare."""
        self.notices: tuple[str, ...] = ()
        """What works less well than the options ask for; final after `start`."""
        self._path = model
        self._options = LlamaOptions() if options is None else options
        self._thread: EngineThread | None = None
        self._turning = asyncio.Lock()
        """Held during `start` and `stop`."""
        limits = self._options.limits
        batch = min(self._options.n_batch, self._options.n_ctx)
        needed = max(limits.streams + limits.chunk_least, self._options.n_seq_max + ROOTS + 1)
        if not 1 <= limits.chunk_least <= limits.chunk or limits.streams < 1 or batch < needed:
            raise ConfigError(
                f"A step may have {batch} tokens (n_batch, n_ctx); {limits.streams} streams with chunks of"
                f" {limits.chunk_least} to {limits.chunk} and {self._options.n_seq_max} sequences need {needed}.",
                remedy="Raise n_batch and n_ctx (gpu.ctx_tokens), or lower streams (scheduler.max_speakers), chunk or"
                " n_seq_max (gpu.sequences). Each must be at least 1.",
            )
        if not 1 <= limits.slice_tokens <= limits.burst_tokens:
            raise ConfigError(
                f"scheduler.min_slice_tokens is {limits.slice_tokens}, and burst_tokens is {limits.burst_tokens}.",
                remedy="Set min_slice_tokens to at least 1 and at most burst_tokens.",
            )

    async def start(self) -> None:
        """Load the model and warm it up. Raises EngineUnavailable or ModelError."""
        async with self._turning:
            if self._thread is None:
                self._thread = await self._load()
                self.abilities = replace(self.abilities, prepares=self._thread.trims)
                if self._options.gpu_layers and not llamacpp.supports_gpu():
                    self.notices = (_NO_GPU,)

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
        """Evaluate this prompt's system part and history into the KV cache, so that the next turn starts warm.

        It runs at the lowest priority, while replies are written, and returns when it is done. It is a hint: without
        room in the cache, or when the character begins to speak, it returns early. Raises ConfigError when the prompt
        is longer than a conversation may be, ModelError for an adapter that does not fit the model.
        """
        await self._do_ahead(npc_id, prompt, "warm-up")

    async def prepare(self, npc_id: str, prompt: Prompt, reading: Reading | None = None) -> None:
        """Evaluate a turn as far as it is known, up to the end of its last message; otherwise like `attend`.

        Tokens that an earlier `prepare` has evaluated are kept up to the first difference. It does nothing while the
        character writes a reply, and for a model whose memory cannot be trimmed. `reading` is updated with every step.
        """
        if prompt.turn:
            await self._do_ahead(npc_id, prompt, "prepare", reading)

    async def rollback(self, npc_id: str) -> None:
        """Remove what was prepared or written in this turn: the sequence ends where the turn began, to the token.

        Close the reply first: while it is being written, nothing is removed. For a model whose memory cannot be
        trimmed nothing is removed either; a later prompt that differs is evaluated from its beginning.
        """
        await self._order(Rollback(npc_id, ReplyQueue()))

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Write one reply: PrefillDone, then TextDelta and InlineCall, then Finished.

        Closing it cancels the reply before the model's next step. Raises Busy when the first token does not come
        within the request's patience; ConfigError when the prompt is longer than a conversation may be or a tool's
        schema cannot be made into a grammar; ModelError for an adapter that does not fit the model; EngineError when
        evaluation fails. Other characters' replies go on.
        """
        thread = self._running()
        limits = self._options.limits
        # A reply with a small `ahead_tokens` resumes at the first event read, others when half of them are read.
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
            thread.nudge()  # it sleeps if this stream was held back and was the only one

    def focus(self, npc_id: str, focus: Focus) -> None:
        """Set how much this character matters to the scheduler, and when the KV cache evicts."""
        if self._thread is not None:
            try:
                self._thread.submit(Refocus(npc_id, focus))
            except (BusyError, EngineError):
                pass  # a hint: it is sent again with the next change

    async def park(self, npc_id: str) -> None:
        """Move this character's KV cache to host memory; its next request restores it."""
        await self._order(Park(npc_id, ReplyQueue()))

    async def forget(self, npc_id: str) -> None:
        """Free everything that is held for this character; a reply it is writing fails with EngineError."""
        await self._order(Forget(npc_id, ReplyQueue()))

    async def stop(self) -> None:
        """Free the model. Replies being written fail with EngineError, within a few milliseconds."""
        async with self._turning:
            thread, self._thread = self._thread, None
            if thread is not None:
                thread.stop()
                await asyncio.shield(asyncio.to_thread(thread.join))

    def snapshot(self) -> EngineSnapshot:
        """Return the engine's requests and KV cache now.

        It does not wait for the engine thread: while that works, figures of one snapshot may be a step apart.
        """
        return EngineSnapshot() if self._thread is None else self._thread.snapshot()

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
