"""The commit gate: holds a response's messages until it is committed, and drops them when it is rolled back.

A response is begun before it is known whether the player is done. Everything of it that others could notice goes
through here; work that can't be undone waits with `until_committed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mythicd.wire import messages as m


class CommitGate:
    """The gate of one response: closed, then committed."""

    def __init__(self, send: Callable[[m.ServerMessage], None], *, committed: bool = False) -> None:
        """`send` sends a message to the client. `committed`: open from the beginning."""
        self._send = send
        # Bounded by what waits with it: a response that may not sound makes a few phrases and stops.
        self._held: list[m.ServerMessage] = []
        self._committed = asyncio.Event()
        if committed:
            self._committed.set()

    @property
    def is_committed(self) -> bool:
        """Whether messages go out at once."""
        return self._committed.is_set()

    def send(self, message: m.ServerMessage) -> None:
        """Send a message now, or at the commit."""
        if self.is_committed:
            self._send(message)
        else:
            self._held.append(message)

    def drop_held(self) -> None:
        """Drop the messages that wait: the response is begun again."""
        self._held.clear()

    def commit(self) -> None:
        """Open the gate; what was held is sent, in order."""
        held, self._held = self._held, []
        self._committed.set()
        for message in held:
            self._send(message)

    async def until_committed(self) -> None:
        """Wait for the commit."""
        await self._committed.wait()
