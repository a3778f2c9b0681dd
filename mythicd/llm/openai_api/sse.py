"""Server-sent events of an OpenAI-compatible server.

Events are those of WHATWG HTML, 9.2: an optional byte order mark, lines that end with CR LF, LF or CR, an empty line
after each event, and comments, which some servers send to keep the connection open. The data of an event of type
`error`, and of a line `error: …` (llama-server until 2025), is returned as the JSON object `{"error": data}`.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8

from mythicd.errors import EngineError

MAX_EVENT = 1 << 20
"""Most bytes in one event; one token takes about 300."""


class EventStreamParser:
    """Parses a stream of server-sent events."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        """Bytes of the event so far."""
        self._is_error = False
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
            self._is_error = self._is_error or name == b"error" or (name == b"event" and value.strip() == b"error")
            if name in (b"data", b"error"):
                self._data.append(value.removeprefix(b" "))
            return None
        event, self._data, self._size = b"\n".join(self._data), [], 0
        is_error, self._is_error = self._is_error, False
        return _error(event) if is_error and event else event or None


def _error(data: bytes) -> bytes:
    """Return an error as JSON; its data may be JSON or text."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        data = json.dumps(data.decode(errors="replace")).encode()
    return b'{"error": %s}' % data
