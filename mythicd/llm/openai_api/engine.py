"""The language model on an OpenAI-compatible server: llama-server, vLLM, SGLang, TensorRT-LLM, Ollama and others.

    LlmRequest -> request.py -> slots.py -> http.py -> server
    LlmEvent   <- response.py  <- sse.py <------------------'

The server keeps the KV cache and decides what runs next; nothing can be evaluated ahead or taken back. What is decided
here is how many requests it is given at once, and which come first.

**Patience** runs from the request to the first word or call: waiting for a place here, waiting for the server, and
thinking all count, since the player hears nothing. From then on the server may be silent for `STALL_S` at most. What it
sends only to keep the connection open is silence too.
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
from mythicd.llm.openai_api.http import HttpConnection, HttpStream, stopped
from mythicd.llm.openai_api.models import ServedModel
from mythicd.llm.openai_api.options import OpenAiOptions
from mythicd.llm.openai_api.request import DIALECTS, Dialect, request_body
from mythicd.llm.openai_api.response import ResponseParser
from mythicd.llm.openai_api.slots import Slots
from mythicd.llm.reply_parser import BadCall
from mythicd.llm.tool_schema import read_tool
from mythicd.telemetry.counters import LlmCounters

logger = logging.getLogger(__name__)

STALL_S = 30.0
"""Longest time between two chunks in the middle of a reply."""

TAIL_S = 2.0
"""Longest wait for the figures behind a reply, counted from its end."""

_LESS_THOUGHT = (
    "Raise llm.max_tokens, or have it think less: for many models llm.server.extra:"
    " {chat_template_kwargs: {enable_thinking: false}} or {reasoning_effort: low}."
)

_REASONING_PARSER = (
    "Start the server with its reasoning parser (vLLM, SGLang: --reasoning-parser; llama-server: --reasoning-format),"
    " or switch thinking off: for many models llm.server.extra: {chat_template_kwargs: {enable_thinking: false}}."
)


class OpenAiLlm:
    """One model on an OpenAI-compatible server, which speaks for many characters. Implements `Llm`.

    It can be started again after `stop`. All its methods belong to one event loop.
    """

    abilities = LlmAbilities(prepares=False, places_calls=False, adapters=False)

    def __init__(self, options: OpenAiOptions, environment: Mapping[str, str] | None = None) -> None:
        """`environment` holds the API key, and is not read before `start`; the process's own if None."""
        self.counters = LlmCounters()
        self._options = options
        self._environment = os.environ if environment is None else environment
        self._focus: dict[str, Focus] = {}
        self._connection: HttpConnection | None = None
        self._starting = asyncio.Lock()
        self._opening: HttpConnection | None = None
        """The connection of a `start` that is on its way."""
        self._stops = 0
        self._places = Slots(options.max_speakers, self._importance, self.counters)
        self._model = ServedModel("", "")
        self._dialect = Dialect()
        self._thinks_first = False
        """Whether replies begin inside a thought that the chat template has opened, and the server does not know."""
        self._thinks_aloud = False
        """Whether it writes thoughts among the words: a stop string in them would end the reply at the server."""
        self._told_of_thoughts = False

    async def start(self) -> None:
        """See that the server is there and has the model.

        Raises EngineUnavailable when it cannot be reached or is not ready; ConfigError when it has no such model, wants
        another key, or is no such server; EngineError when the connection breaks, or it is stopped meanwhile.
        """
        stops = self._stops
        async with self._starting:
            if self._stops != stops:
                raise stopped()
            if self._connection is None:
                await self._connect()

    async def attend(self, npc_id: str, prompt: Prompt) -> None:
        """Do nothing: a server evaluates a prompt only to write, and keeps of it what it likes."""

    async def prepare(self, npc_id: str, prompt: Prompt, reading: Reading | None = None) -> None:
        """Do nothing, as `abilities` says."""

    async def rollback(self, npc_id: str) -> None:
        """Do nothing: nothing was prepared, and what the server keeps it finds again by its text, or not at all."""

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """Write one reply: PrefillDone, then TextDelta, then each InlineCall, then Finished. Closing it cancels it.

        A server cannot be held back: `ahead_tokens` is ignored, and what is not read waits in the connection.
        PrefillDone knows its figure from llama-server only; elsewhere it is 0. Raises Busy when neither a place nor a
        word comes in time or the server has no room; ConfigError when the server does not take the request, key or
        model, or a tool's schema cannot be kept; EngineUnavailable when it cannot be reached; EngineError when it fails
        or breaks off.
        """
        now = asyncio.get_running_loop().time
        asked = now()
        with self._counted():
            _check_sampling(request)
            tools = [read_tool(spec) for spec in request.tools]
            reply = ResponseParser(tools, request.sampling.stop, thinking=self._thinks_first)
            try:
                async with self._stream(request, asked) as stream:
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
                    raise ConfigError(f"The language model thought{all_its} and said nothing.", remedy=_LESS_THOUGHT)
            finally:
                self._add_up(reply)
                self._learn(reply)
        # From here on it is written whole, even if nobody wants to hear of all its calls.
        for part in rest:
            yield part
        for call in reply.calls():
            if isinstance(call, BadCall):
                logger.warning("A tool call was dropped: %s.", call.reason)
            else:
                yield call
        usage = reply.usage
        evaluated = usage.prompt_tokens - usage.cached_tokens
        yield Finished(reply.reason or "stop", usage.prompt_tokens, evaluated, reply.written)

    def focus(self, npc_id: str, focus: Focus) -> None:
        """Tell how much this character matters: whose request goes first where more are asked than there are places."""
        self._focus[npc_id] = focus

    async def park(self, npc_id: str) -> None:
        """Do nothing: nothing is held for it here."""

    async def forget(self, npc_id: str) -> None:
        """Forget how much it matters; nothing else is held for it here. What it is writing goes on."""
        self._focus.pop(npc_id, None)

    async def stop(self) -> None:
        """Close all connections. Replies being written, those that wait, and a `start` under way fail: EngineError."""
        self._stops += 1
        opening, connection, self._connection = self._opening, self._connection, None
        if connection is not None:
            self._places.close()
        for each in (opening, connection):
            if each is not None:
                await each.close()

    async def _connect(self) -> None:
        stops = self._stops
        connection = self._opening = HttpConnection.open(self._options, self._environment)
        try:
            self._model = await connection.find_model()
            if self._stops != stops:
                raise stopped()
        except BaseException:
            await connection.close()
            raise
        finally:
            self._opening = None
        self._places = Slots(self._options.max_speakers, self._importance, self.counters)
        self._connection = connection
        self._dialect = DIALECTS.get(self._model.server, Dialect())
        penalty = self._dialect.penalty
        how = f"sent as {penalty}" if penalty else "not sent, as this server is not known to have one like it"
        logger.info("Language model %s at %s; repeat_penalty is %s.", self._model.name, self._options.url, how)

    @asynccontextmanager
    async def _stream(self, request: LlmRequest, asked: float) -> AsyncGenerator[HttpStream, None]:
        """Send the request when it has a place, which is free again in the end."""
        connection = self._connection
        if connection is None:
            raise stopped()
        deadline = asked + request.patience_s
        if self._thinks_aloud:
            request = replace(request, sampling=replace(request.sampling, stop=()))  # `ResponseParser` heeds them
        body = request_body(request, self._model.name, self._dialect, self._options.extra)
        async with self._places.take(request.npc_id, deadline):
            self.counters.queue_wait.observe(asyncio.get_running_loop().time() - asked)
            try:
                stream = await connection.begin(body, deadline)
            except TimeoutError:
                raise _too_slow("has not begun to answer") from None
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
        """Remember where the model's words begin, which a server that does not know how it thinks does not tell."""
        self._thinks_aloud = self._thinks_aloud or reply.thought_aloud
        if reply.spoke_at_once:
            self._thinks_first = False
        elif reply.began_in_thought:
            self._thinks_first = True
            if not self._told_of_thoughts:
                self._told_of_thoughts = True
                logger.warning(
                    "The language model's server takes %s's thoughts for words, and some have been spoken. %s",
                    self._model.name,
                    _REASONING_PARSER,
                )

    def _importance(self, npc_id: str) -> int:
        """Whom the player speaks to goes before whom it sees, and these before the others."""
        focus = self._focus.get(npc_id, Focus())
        return 2 * focus.mic + focus.on_screen


class _Silence:
    """How long the server may be silent; that depends on how far the reply is."""

    def __init__(self, reply: ResponseParser, patience_ends: float) -> None:
        """All times are the event loop's."""
        self._reply = reply
        self._chunks = 0
        self._whole = False
        self.ends = patience_ends
        """Until when something must come."""

    def note(self) -> None:
        """Take note of what has come and was passed on: the time that its reader took is not the server's."""
        reply, now = self._reply, asyncio.get_running_loop().time()
        if reply.reason is not None:
            if not self._whole:  # once: what is still to come is not waited for again and again
                self._whole, self.ends = True, now + TAIL_S
        elif reply.answering and reply.chunks > self._chunks:
            self._chunks, self.ends = reply.chunks, now + STALL_S


async def _read(stream: HttpStream, reply: ResponseParser, silence: _Silence) -> bytes:
    """Return what comes next; nothing at the end, or when what would come behind the end of the reply is lost."""
    try:
        return await stream.read(silence.ends)
    except (TimeoutError, MythicError) as error:
        if reply.reason is not None:
            return b""
        if isinstance(error, MythicError):
            raise
        if not reply.answering:
            raise _too_slow("is still thinking" if reply.reasoned else "has not come to a word") from None
        raise EngineError(
            f"The language model's server has been silent for {STALL_S:.0f} s in the middle of a reply.",
            remedy="Try again; its own log tells why.",
        ) from None


def _too_slow(why: str) -> BusyError:
    thinks = f" {_LESS_THOUGHT}" if "thinking" in why else ""
    return BusyError(f"The language model's server {why} in time.", remedy=f"Try again in a moment.{thinks}")


def _check_sampling(request: LlmRequest) -> None:
    sampling = request.sampling
    if sampling.max_tokens < 1 or sampling.repeat_penalty <= 0:
        raise ConfigError(
            f"The sampling of {request.npc_id} cannot be used: {sampling}.",
            remedy="max_tokens must be at least 1, and repeat_penalty above 0 (1 for none).",
        )
