"""The language model on an OpenAI-compatible server: llama-server, vLLM, SGLang, TensorRT-LLM, Ollama and others.

    LlmRequest -> request.py -> slots.py -> http.py -> server
    LlmEvent   <- response.py  <- sse.py <------------------'

The server schedules and keeps the KV cache; prompts cannot be evaluated ahead or rolled back. This side limits how many
requests it gets at once, and orders them. Patience runs from the request to the first word or call, with waiting and
reasoning; after that the server may be silent for STALL_S. Keep-alive comments count as silence.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

from mythicd.engines.llm import Finished, Focus, LlmAbilities, LlmEvent, LlmRequest, Prompt, Reading
from mythicd.errors import BusyError, ConfigError, EngineError, MythicError
from mythicd.http_client.connection import HttpConnection, HttpStream, not_running
from mythicd.llm.openai_api.http import begin, find_model
from mythicd.llm.openai_api.models import ServedModel
from mythicd.llm.openai_api.options import OpenAiOptions
from mythicd.llm.openai_api.request import DIALECTS, Dialect, request_body
from mythicd.llm.openai_api.response import ResponseParser
from mythicd.llm.openai_api.slots import Slots
from mythicd.llm.reply_parser import BadCall
from mythicd.llm.tool_schema import read_tool
from mythicd.telemetry.counters import LlmCounters

log = logging.getLogger(__name__)

STALL_S = 30.0
"""Longest time between two chunks in the middle of a reply."""

TAIL_S = 2.0
"""Longest wait for the usage figures after a reply, counted from its end."""

_LESS_THOUGHT = (
    "Raise llm.max_tokens, or reduce reasoning: for many models set llm.server.extra to"
    " {chat_template_kwargs: {enable_thinking: false}} or {reasoning_effort: low}."
)

_REASONING_PARSER = (
    "Start the server with its reasoning parser (vLLM, SGLang: --reasoning-parser; llama-server: --reasoning-format),"
    " or turn reasoning off: for many models set llm.server.extra to {chat_template_kwargs: {enable_thinking: false}}."
)


class OpenAiLlm:
    """One model on an OpenAI-compatible server, which writes for many characters. Implements `Llm`.

    It can be started again after `stop`. All methods are called on one event loop.
    """

    abilities = LlmAbilities(prepares=False, places_calls=False, adapters=False)

    def __init__(self, options: OpenAiOptions, environment: Mapping[str, str] | None = None) -> None:
        """`environment` holds the API key, read by `start`; None for the process's own."""
        self.counters = LlmCounters()
        self._options = options
        self._environment = os.environ if environment is None else environment
        self._focus: dict[str, Focus] = {}
        self._connection: HttpConnection | None = None
        self._starting = asyncio.Lock()
        self._opening: HttpConnection | None = None
        """The connection of a running `start`."""
        self._stops = 0
        self._slots = Slots(options.max_speakers, self._importance, self.counters)
        self._model = ServedModel("", "")
        self._dialect = Dialect()
        self._thinks_first = False
        """Whether replies begin inside reasoning that the chat template opens and the server does not separate."""
        self._thinks_aloud = False
        """Whether reasoning comes among the words: a stop string in it would end the reply at the server."""
        self._told_of_thoughts = False
        self.notices: tuple[str, ...] = ()
        """What seems wrong since the last start, for the user."""

    async def start(self) -> None:
        """Check that the server answers, and find the model.

        Raises EngineUnavailable when it cannot be reached; EngineError when `stop` is called meanwhile. If no model is
        set, it also raises EngineUnavailable when the server is not ready; ConfigError when it has not exactly one
        model, rejects the key, or lists no models; EngineError when the connection breaks. If one is set, `notices`
        tells of these.
        """
        stops = self._stops
        async with self._starting:
            if self._stops != stops:
                raise not_running(self._options.server.name)
            if self._connection is None:
                await self._connect()

    async def attend(self, npc_id: str, prompt: Prompt) -> None:
        """Do nothing: a server evaluates prompts only to write, and caches them by itself."""

    async def prepare(self, npc_id: str, prompt: Prompt, reading: Reading | None = None) -> None:
        """Do nothing, as `abilities` says."""

    async def rollback(self, npc_id: str) -> None:
        """Do nothing: nothing was prepared."""

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Write one reply: PrefillDone, then TextDelta, then each InlineCall, then Finished. Closing it cancels it.

        `ahead_tokens` is ignored: unread data waits in the connection. PrefillDone has a figure from llama-server only,
        otherwise 0. Raises Busy when no slot is free or no word comes in time, or the server is full; ConfigError when
        the server rejects the request, key or model, or a tool's schema cannot be made into a grammar;
        EngineUnavailable when it cannot be reached; EngineError when it fails or breaks the reply off.
        """
        now = asyncio.get_running_loop().time
        asked = now()
        with self._counted():
            _check_sampling(request)
            tools = [read_tool(spec) for spec in request.tools]
            reply = ResponseParser(tools, request.sampling.stop, thinking=self._thinks_first)
            try:
                async with self._stream(request, asked) as stream:
                    reply.content_type = stream.content_type
                    answering = False
                    silence = _Silence(reply, asked + request.patience_s)
                    while not reply.done and (chunk := await _read(stream, reply, silence)):
                        parts = reply.add(chunk)
                        if reply.answering and not answering:
                            answering = True
                            self.counters.ttft.observe(now() - asked)
                        for part in parts:
                            yield part
                        silence.note()
                rest = reply.end()
                if reply.reasoned and not reply.answering:
                    all_its = f" for all its {request.sampling.max_tokens} tokens" if reply.reason == "length" else ""
                    raise ConfigError(f"The language model reasoned{all_its} and said nothing.", remedy=_LESS_THOUGHT)
            finally:
                self._add_up(reply)
                self._learn(reply)
        # The reply counts as complete from here on, even if the reader closes it before its last call.
        for part in rest:
            yield part
        for call in reply.calls():
            if isinstance(call, BadCall):
                log.warning("Dropped a tool call: %s.", call.reason)
            else:
                yield call
        usage = reply.usage
        evaluated = usage.prompt_tokens - usage.cached_tokens
        yield Finished(reply.reason or "stop", usage.prompt_tokens, evaluated, reply.written)

    def focus(self, npc_id: str, focus: Focus) -> None:
        """Set how much this character matters: its requests get free slots before those of less important ones."""
        self._focus[npc_id] = focus

    async def park(self, npc_id: str) -> None:
        """Do nothing: this side holds no cache."""

    async def forget(self, npc_id: str) -> None:
        """Forget its focus; nothing else is held for it here. A reply that it is writing goes on."""
        self._focus.pop(npc_id, None)

    async def stop(self) -> None:
        """Close all connections. Replies, waiting or running, and a running `start` fail with EngineError."""
        self._stops += 1
        opening, connection, self._connection = self._opening, self._connection, None
        if connection is not None:
            self._slots.close()
        for each in (opening, connection):
            if each is not None:
                await each.close()

    async def _connect(self) -> None:
        stops = self._stops
        connection = self._opening = HttpConnection.open(self._options.server, self._environment)
        try:
            self._model = await find_model(connection, self._options.model)
            if self._stops != stops:
                raise not_running(self._options.server.name)
        except BaseException:
            await connection.close()
            raise
        finally:
            self._opening = None
        self._slots = Slots(self._options.max_speakers, self._importance, self.counters)
        self._connection = connection
        self.notices = (self._model.notice,) if self._model.notice else ()
        self._dialect = DIALECTS.get(self._model.server, Dialect())
        penalty = self._dialect.penalty
        how = f"sent as {penalty}" if penalty else "not sent: no equivalent is known for this server"
        log.info("Using language model %s at %s; repeat_penalty is %s.", self._model.name, self._options.url, how)

    @asynccontextmanager
    async def _stream(self, request: LlmRequest, asked: float) -> AsyncGenerator[HttpStream, None]:
        """Send the request when a slot is free, and release the slot in the end."""
        connection = self._connection
        if connection is None:
            raise not_running(self._options.server.name)
        deadline = asked + request.patience_s
        if self._thinks_aloud:
            request = replace(request, sampling=replace(request.sampling, stop=()))  # `ResponseParser` applies them
        body = request_body(request, self._model.name, self._dialect, self._options.extra)
        async with self._slots.take(request.npc_id, deadline):
            self.counters.queue_wait.observe(asyncio.get_running_loop().time() - asked)
            try:
                stream = await begin(connection, body, deadline)
            except TimeoutError:
                raise _too_slow("did not begin to answer") from None
            try:
                yield stream
            finally:
                stream.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count how a reply ends."""
        try:
            yield
        except BusyError:
            self.counters.refused += 1
            raise
        except MythicError:
            self.counters.failed += 1
            raise
        except (GeneratorExit, asyncio.CancelledError):
            self.counters.cancelled += 1
            raise
        self.counters.replies += 1

    def _add_up(self, reply: ResponseParser) -> None:
        self.counters.tokens_written += reply.written
        self.counters.tokens_reused += reply.usage.cached_tokens
        self.counters.tokens_new += reply.usage.prompt_tokens - reply.usage.cached_tokens

    def _learn(self, reply: ResponseParser) -> None:
        """Learn whether replies begin inside reasoning, from a server that does not separate it."""
        self._thinks_aloud = self._thinks_aloud or reply.thought_aloud
        if reply.spoke_at_once:
            self._thinks_first = False
        elif reply.began_in_thought:
            self._thinks_first = True
            if not self._told_of_thoughts:
                self._told_of_thoughts = True
                log.warning(
                    "The language model's server passes on %s's reasoning as words, and some was spoken. %s",
                    self._model.name,
                    _REASONING_PARSER,
                )

    def _importance(self, npc_id: str) -> int:
        """Rank characters that the player speaks to before those in view, and these before others."""
        focus = self._focus.get(npc_id, Focus())
        return 2 * focus.mic + focus.on_screen


class _Silence:
    """The deadline for the server's next data, which depends on the progress of the reply."""

    def __init__(self, reply: ResponseParser, patience_ends: float) -> None:
        """All times are in the event loop's time."""
        self._reply = reply
        self._chunks = 0
        self._whole = False
        self.ends = patience_ends
        """When data must have come."""

    def note(self) -> None:
        """Update the deadline after data was passed on: the reader's time does not count as the server's silence."""
        reply, now = self._reply, asyncio.get_running_loop().time()
        if reply.reason is not None:
            if not self._whole:  # once: the wait for the tail is not extended
                self._whole, self.ends = True, now + TAIL_S
        elif reply.answering and reply.chunks > self._chunks:
            self._chunks, self.ends = reply.chunks, now + STALL_S


async def _read(stream: HttpStream, reply: ResponseParser, silence: _Silence) -> bytes:
    """Return the next data; b"" at the end, and for an error after the end of the reply."""
    try:
        return await stream.read(silence.ends)
    except (TimeoutError, MythicError) as error:
        if reply.reason is not None:
            return b""
        if isinstance(error, MythicError):
            raise
        if not reply.answering:
            raise _too_slow("was still reasoning" if reply.reasoned else "did not write a word") from None
        raise EngineError(
            f"The language model's server was silent for {STALL_S:.0f} s in the middle of a reply.",
            remedy="Try again, and see the server's log.",
        ) from None


def _too_slow(why: str) -> BusyError:
    reasons = f" {_LESS_THOUGHT}" if "reasoning" in why else ""
    return BusyError(f"The language model's server {why} in time.", remedy=f"Try again in a moment.{reasons}")


def _check_sampling(request: LlmRequest) -> None:
    sampling = request.sampling
    if sampling.max_tokens < 1 or sampling.repeat_penalty <= 0:
        raise ConfigError(
            f"The sampling of {request.npc_id} is invalid: {sampling}.",
            remedy="Set max_tokens to at least 1, and repeat_penalty above 0 (1 for none).",
        )
