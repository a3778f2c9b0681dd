"""What an OpenAI-compatible server's stream is made of: server-sent events, each of which holds a chunk of a reply.

The events are those of WHATWG HTML, 9.2: a byte order mark may come before the first, lines end with CR LF, LF or CR,
an empty line ends an event, and comments are what some servers send to show that they are still there. Of a chunk only
what is used here is read and checked; servers add much of their own.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Any

import msgspec

from mythicd.errors import EngineError

MAX_EVENT = 1 << 20
"""Bytes in one event, beyond which the server is not to be trusted: one token takes some 300."""


class Function(msgspec.Struct):
    """What is called; in pieces."""

    name: str | None = None
    arguments: Any = None
    """JSON as text by the API, a few letters at a time; some servers send an object. A wrong call fails no reply."""


class CallDelta(msgspec.Struct):
    """A piece of a call."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct):
    """What is new in the reply."""

    content: str | list[Any] | None = None
    """Text, or parts of which each tells its type; Mistral's API sends these for models that think."""
    reasoning_content: Any = None
    """llama-server, SGLang and older vLLM name the model's thoughts so …"""
    reasoning: Any = None
    """… Ollama and newer vLLM so."""
    tool_calls: list[CallDelta] | None = None

    @property
    def words(self) -> str:
        """What of the content is to be spoken."""
        if not isinstance(self.content, list):
            return self.content or ""
        parts = (part for part in self.content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(text for part in parts if isinstance(text := part.get("text"), str))

    @property
    def thinks(self) -> bool:
        """Whether it holds a thought that the server tells apart."""
        parts = self.content if isinstance(self.content, list) else ()
        told = any(isinstance(part, dict) and part.get("type") == "thinking" for part in parts)
        return told or bool(self.reasoning_content or self.reasoning)


class StreamChoice(msgspec.Struct):
    """One of the replies, of which only one is asked for."""

    delta: Delta | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    """What the server counted. Whatever it is that it tells, a reply does not fail for it."""

    told_prompt: Any = msgspec.field(default=None, name="prompt_tokens")
    told_completion: Any = msgspec.field(default=None, name="completion_tokens")
    details: Any = msgspec.field(default=None, name="prompt_tokens_details")

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt; 0 where it does not tell."""
        return _count(self.told_prompt) or 0

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that it had evaluated before; 0 where it does not tell."""
        told = self.details.get("cached_tokens") if isinstance(self.details, dict) else None
        return min(_count(told) or 0, self.prompt_tokens)

    @property
    def completion_tokens(self) -> int | None:
        """Tokens written; None where it does not tell."""
        return _count(self.told_completion)


def _count(told: Any) -> int | None:
    return max(0, told) if isinstance(told, int) and not isinstance(told, bool) else None


class Progress(msgspec.Struct):
    """How far the prompt is evaluated; llama-server's own."""

    total: int
    cache: int
    """Of these, how many were evaluated before."""
    processed: int
    """How many are done, with those of the cache."""


class Chunk(msgspec.Struct):
    """One event of the stream."""

    choices: list[StreamChoice] | None = None
    told_usage: Any = msgspec.field(default=None, name="usage")
    prompt_progress: Progress | None = None
    """In the first ones, before the choices."""
    error: Any = None
    """What went wrong, in place of the rest."""

    @property
    def usage(self) -> Usage | None:
        """What was counted: in the last one, behind the choices."""
        return msgspec.convert(self.told_usage, Usage) if isinstance(self.told_usage, dict) else None


def read_chunk(event: bytes) -> Chunk | None:
    """Return the chunk that an event holds; None for the mark at the end. Raises EngineError."""
    if event.strip() == b"[DONE]":
        return None
    try:
        return msgspec.json.decode(event, type=Chunk)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise EngineError(
            f"The language model's server sent what is no chunk of a reply ({error}).",
            remedy="See whether llm.server.url leads to an OpenAI-compatible server.",
        ) from None


class EventStreamParser:
    """Takes apart a stream of server-sent events."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        """Bytes of the event so far."""
        self._after_return = False
        self._begun = False
        """Whether the first line has come."""

    def add(self, chunk: bytes) -> list[bytes]:
        """Take bytes cut anywhere; return the data of each event they completed. Raises EngineError when too long."""
        if self._after_return and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_return = False
        if not chunk:
            return []
        self._after_return = chunk.endswith(b"\r")
        *ends, rest = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        events = [event for end in ends if (event := self._end_line(end)) is not None]
        self._grow(rest)
        return events

    def finish(self) -> list[bytes]:
        """No more comes: return the event that was not closed, if there is one."""
        events = (self._end_line(b""), self._end_line(b""))
        return [event for event in events if event is not None]

    def _grow(self, piece: bytes) -> None:
        self._line.append(piece)
        self._size += len(piece) + 1
        if self._size > MAX_EVENT:
            raise EngineError(
                f"The language model's server sent an event of more than {MAX_EVENT} bytes.",
                remedy="See its log, and whether llm.server.url leads to the right program.",
            )

    def _end_line(self, end: bytes) -> bytes | None:
        """Take the end of a line; return the event, if this was the empty line behind one."""
        self._grow(end)
        line = b"".join(self._line)
        self._line.clear()
        if not self._begun:
            self._begun = True
            line = line.removeprefix(BOM_UTF8)
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            return None
        event, self._data, self._size = b"\n".join(self._data), [], 0
        return event or None
