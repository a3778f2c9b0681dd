"""The body of a response, cut into JSON events: server-sent events, JSON lines, or one JSON value.

Which of them it is, is known by its first byte and not by its type: streams are served as text/plain, or without a
type, and a server that cannot stream sends the whole reply as JSON. Ollama's own API sends JSON lines.
"""

from __future__ import annotations

from codecs import BOM_UTF8

import msgspec

from mythicd.errors import EngineError
from mythicd.llm.openai_api.sse import MAX_EVENT, EventStreamParser

MAX_HEAD = 1024
"""Bytes of the beginning that are kept for an error message."""


class BodyParser:
    """Parses a body."""

    def __init__(self) -> None:
        self._parser: EventStreamParser | _JsonParser | None = None
        self._begun = b""
        """What came before the first byte that tells the form."""
        self.head = b""
        """The beginning of the body."""

    def add(self, chunk: bytes) -> list[bytes]:
        """Add bytes, cut anywhere; return the JSON of each event they complete. Raises EngineError when too long."""
        if len(self.head) < MAX_HEAD:
            self.head += chunk[: MAX_HEAD - len(self.head)]
        if self._parser is not None:
            return self._parser.add(chunk)
        self._begun = (self._begun + chunk).lstrip()
        first = self._begun.removeprefix(BOM_UTF8).lstrip()[:1]
        if not first or BOM_UTF8.startswith(self._begun):
            return []
        self._parser = _JsonParser() if first in b"{[" else EventStreamParser()
        begun, self._begun = self._begun.removeprefix(BOM_UTF8), b""
        return self._parser.add(begun)

    def finish(self) -> list[bytes]:
        """End the body; return the events that were not closed."""
        return [] if self._parser is None else self._parser.finish()


class _JsonParser:
    """Parses JSON values: one on each line, or one over many lines. An array counts as its items."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._value = bytearray()
        """The value so far, without the unfinished line."""

    def add(self, chunk: bytes) -> list[bytes]:
        *lines, rest = chunk.split(b"\n")
        events: list[bytes] = []
        for line in lines:
            self._line += line
            events += self._end_line()
        self._line += rest
        if len(self._line) + len(self._value) > MAX_EVENT:
            raise EngineError(
                f"The language model's server sent a reply of more than {MAX_EVENT} bytes.",
                remedy="See the server's log, and check llm.server.url.",
            )
        return events

    def finish(self) -> list[bytes]:
        self._value += self._line
        self._line.clear()
        value = self._value.strip()
        return (self._items(value) or [bytes(value)]) if value else []

    def _end_line(self) -> list[bytes]:
        line = bytes(self._line)
        self._line.clear()
        # A value over many lines is tried where its last line may be: in text that is indented, at its left edge.
        last = not self._value or line.rstrip() in (b"}", b"]")
        self._value += line + b"\n"
        events = self._items(self._value) if last and line.rstrip().endswith((b"}", b"]")) else []
        if events or not self._value.strip():
            self._value.clear()
        return events

    @staticmethod
    def _items(value: bytearray) -> list[bytes]:
        """Return the values in it; none if it is not complete JSON."""
        try:
            if value.lstrip().startswith(b"["):
                return [bytes(item) for item in msgspec.json.decode(value, type=list[msgspec.Raw])]
            msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return []
        return [bytes(value)]
