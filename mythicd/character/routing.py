"""Which character a voice stream and a tool call belong to, for what the client says of them. Bounded."""

from __future__ import annotations

import itertools

KEPT = 1024
"""Streams and calls that are remembered."""


class Routes:
    """The streams and calls of one playthrough."""

    def __init__(self) -> None:
        self._streams: dict[int, str] = {}
        self._calls: dict[str, str] = {}
        self._next = itertools.count(1)

    def open_stream(self, npc_id: str) -> int:
        """Return a fresh stream id for this character's voice."""
        stream = next(self._next)
        self._streams[stream] = npc_id
        self._streams.pop(stream - KEPT, None)
        return stream

    def speaker(self, stream: int) -> str | None:
        """Return whose voice this stream is; None for one that never was, or was long ago."""
        return self._streams.get(stream)

    def open_call(self, call_id: str, npc_id: str) -> None:
        """Remember whose call this is."""
        self._calls[call_id] = npc_id
        if len(self._calls) > KEPT:
            del self._calls[next(iter(self._calls))]

    def caller(self, call_id: str) -> str | None:
        """Return whose call this is; None for one that never was, or was long ago."""
        return self._calls.get(call_id)
