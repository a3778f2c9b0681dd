"""Server-sent events of an OpenAI-compatible server, each of which holds a chunk of a reply.

Events are those of WHATWG HTML, 9.2: an optional byte order mark, lines that end with CR LF, LF or CR, an empty line
after each event, and comments, which some servers send to keep the connection open. Only the used members of a chunk
are read and checked; servers add others.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Any

import msgspec

from mythicd.errors import EngineError

MAX_EVENT = 1 << 20
"""Most bytes in one event; one token takes about 300."""


class Function(msgspec.Struct):
    """A piece of a called function."""

    name: str | None = None
    arguments: Any = None
    """A piece of JSON text; some servers send an object. Not checked here, since an invalid call is only dropped."""


class CallDelta(msgspec.Struct):
    """A piece of a call."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct):
    """A piece of the reply."""

    content: str | list[Any] | None = None
    """Text, or typed parts, which Mistral's API sends for reasoning models."""
    reasoning_content: Any = None
    """Reasoning, as llama-server, SGLang and older vLLM name it."""
    reasoning: Any = None
    """Reasoning, as Ollama and newer vLLM name it."""
    tool_calls: list[CallDelta] | None = None

    @property
    def words(self) -> str:
        """The spoken part of the content."""
        if not isinstance(self.content, list):
            return self.content or ""
        parts = (part for part in self.content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(text for part in parts if isinstance(text := part.get("text"), str))

    @property
    def thinks(self) -> bool:
        """Whether it has reasoning that the server separates."""
        parts = self.content if isinstance(self.content, list) else ()
        told = any(isinstance(part, dict) and part.get("type") == "thinking" for part in parts)
        return told or bool(self.reasoning_content or self.reasoning)


class StreamChoice(msgspec.Struct):
    """One of the replies; only one is requested."""

    delta: Delta | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    """The server's usage figures; invalid ones do not fail a reply."""

    told_prompt: Any = msgspec.field(default=None, name="prompt_tokens")
    told_completion: Any = msgspec.field(default=None, name="completion_tokens")
    details: Any = msgspec.field(default=None, name="prompt_tokens_details")

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt; 0 if unknown."""
        return _count(self.told_prompt) or 0

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that came from the server's cache; 0 if unknown."""
        told = self.details.get("cached_tokens") if isinstance(self.details, dict) else None
        return min(_count(told) or 0, self.prompt_tokens)

    @property
    def completion_tokens(self) -> int | None:
        """Tokens written; None if unknown."""
        return _count(self.told_completion)


def _count(told: Any) -> int | None:
    return max(0, told) if isinstance(told, int) and not isinstance(told, bool) else None


class Progress(msgspec.Struct):
    """Prompt progress; llama-server only."""

    total: int
    cache: int
    """Tokens of these that came from the cache."""
    processed: int
    """Tokens that are done, including those from the cache."""


class Chunk(msgspec.Struct):
    """One event of the stream."""

    choices: list[StreamChoice] | None = None
    told_usage: Any = msgspec.field(default=None, name="usage")
    prompt_progress: Progress | None = None
    """In the first chunks, before the choices."""
    error: Any = None
    """An error, instead of the other members."""

    @property
    def usage(self) -> Usage | None:
        """The usage figures; in the last chunk, after the choices."""
        return msgspec.convert(self.told_usage, Usage) if isinstance(self.told_usage, dict) else None


def read_chunk(event: bytes) -> Chunk | None:
    """Return the chunk in an event; None for the end mark `[DONE]`. Raises EngineError."""
    if event.strip() == b"[DONE]":
        return None
    try:
        return msgspec.json.decode(event, type=Chunk)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise EngineError(
            f"The language model's server sent an invalid chunk of a reply ({error}).",
            remedy="Check that llm.server.url is an OpenAI-compatible server.",
        ) from None


class EventStreamParser:
    """Parses a stream of server-sent events."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        """Bytes of the event so far."""
        self._after_return = False
        self._begun = False
        """Whether the first line has come."""

    def add(self, chunk: bytes) -> list[bytes]:
        """Add bytes, cut anywhere; return the data of each event they complete. Raises EngineError when too long."""
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
        """End the stream; return the event that was not closed, if there is one."""
        events = (self._end_line(b""), self._end_line(b""))
        return [event for event in events if event is not None]

    def _grow(self, piece: bytes) -> None:
        self._line.append(piece)
        self._size += len(piece) + 1
        if self._size > MAX_EVENT:
            raise EngineError(
                f"The language model's server sent an event of more than {MAX_EVENT} bytes.",
                remedy="See the server's log, and check llm.server.url.",
            )

    def _end_line(self, end: bytes) -> bytes | None:
        """Add the end of a line; return the event if this was the empty line after one."""
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
