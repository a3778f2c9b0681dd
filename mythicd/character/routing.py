"""Routes: which character a voice stream or a tool call belongs to. Bounded."""

from __future__ import annotations

import itertools

KEPT = 1024
"""Streams, and calls, that are kept; the oldest are dropped."""


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
        """Return the character of a voice stream; None for an unknown or old one."""
        return self._streams.get(stream)

    def open_call(self, call_id: str, npc_id: str) -> None:
        """Note whose call this is."""
        self._calls[call_id] = npc_id
        if len(self._calls) > KEPT:
            del self._calls[next(iter(self._calls))]

    def caller(self, call_id: str) -> str | None:
        """Return the character of a call; None for an unknown or old one."""
        return self._calls.get(call_id)
