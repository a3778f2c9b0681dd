"""The language model as the rest of the house sees it: the `Llm` Protocol over one llama.cpp model in this process.

This side of the pump is all asyncio and does nothing but hand over and wait; see loop.py for the other side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from mythicd.engines import Finished, LlmEvent, LlmRequest, Prompt
from mythicd.errors import Busy, ConfigError, EngineError
from mythicd.llm.jobs import Forget, Job, Mailbox
from mythicd.llm.llama import LlamaOptions
from mythicd.llm.loop import Pump


class LlamaLlm:
    """One GGUF model that speaks for many characters. Implements `Llm`.

    It can be started again after `stop`. All its methods belong to one event loop.
    """

    def __init__(self, model: Path, options: LlamaOptions | None = None) -> None:
        """`model` is a GGUF file; nothing is read before `start`. Raises ConfigError for options that clash."""
        self._path = model
        self._options = LlamaOptions() if options is None else options
        self._pump: Pump | None = None
        limits = self._options.limits
        needed = limits.streams + max(limits.chunk, limits.chunk_alone)
        if min(limits.streams, limits.chunk, limits.chunk_alone) < 1 or self._options.n_batch < needed:
            raise ConfigError(
                f"n_batch is {self._options.n_batch}, and {limits.streams} streams with chunks of {limits.chunk}"
                f" or {limits.chunk_alone} tokens need {needed}.",
                remedy="Raise n_batch, or lower streams, chunk or chunk_alone; none may be below 1.",
            )

    async def start(self) -> None:
        """Load the model and warm it up. Raises EngineUnavailable or ModelError."""
        if self._pump is not None:
            return
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

        pump = Pump(self._path, self._options, ready)
        pump.start()
        try:
            await started
        except BaseException:
            pump.stop()
            await asyncio.shield(asyncio.to_thread(pump.join))
            raise
        self._pump = pump

    async def attend(self, npc_id: str, prompt: Prompt) -> None:
        """Make this prompt's system part and history ready in the KV cache, so that the next turn starts warm.

        It runs beside replies, at the lowest priority, and returns when it is done. It is no more than a hint: where
        there is no room now, or the character begins to speak, it returns without having finished. Raises ConfigError
        when the prompt is longer than the context.
        """
        job = Job(npc_id, prompt, Mailbox(), "warm-up")
        try:
            self._running().submit(job)
            await job.mailbox.get()
        except Busy:
            pass
        finally:
            job.cancelled = True

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Write one reply: PrefillDone, then TextDelta and InlineCall, then Finished.

        Closing it cancels the reply: the model's next step is without it. Raises Busy when too many speak at once or
        their prompts leave no room; ConfigError when the prompt is longer than the context or a tool's schema cannot
        be made into a grammar; EngineError when evaluation fails. Whatever is raised, no other character is concerned.
        """
        job = Job.reply(request, Mailbox())
        self._running().submit(job)
        try:
            while True:
                event = await job.mailbox.get()
                if event is None:
                    return
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            job.cancelled = True

    async def forget(self, npc_id: str) -> None:
        """Give back what the KV cache holds for this character; a reply it is writing fails with EngineError."""
        mailbox = Mailbox()
        self._running().submit(Forget(npc_id, mailbox))
        await mailbox.get()

    async def stop(self) -> None:
        """Free the model. Replies being written fail with EngineError, within a few milliseconds."""
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.stop()
            await asyncio.shield(asyncio.to_thread(pump.join))

    def _running(self) -> Pump:
        if self._pump is None:
            raise EngineError("The language model is not running.", remedy="Start it first.")
        return self._pump
