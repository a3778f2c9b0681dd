"""Whether what is being done counts. Until it does, nothing that it wants to say leaves; undone, it never was.

An answer is begun while nobody knows yet whether the player is done. Everything of it that somebody else could notice
goes through here: messages wait in order until the commit, and whoever is about to do what cannot be undone waits with
them (`until_committed`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mythicd.wire import messages as m


class Commitment:
    """One answer's: open, then committed or, if it is never committed, as good as undone."""

    def __init__(self, send: Callable[[m.ServerMessage], None], *, committed: bool = False) -> None:
        """`send` lets a message out. `committed`: it counts from the beginning."""
        self._send = send
        # Bounded by what waits with it: a reply that may not sound makes a few phrases and stops.
        self._held: list[m.ServerMessage] = []
        self._committed = asyncio.Event()
        if committed:
            self._committed.set()

    @property
    def is_committed(self) -> bool:
        """Whether it counts."""
        return self._committed.is_set()

    def send(self, message: m.ServerMessage) -> None:
        """Let a message out now, or when it counts."""
        if self.is_committed:
            self._send(message)
        else:
            self._held.append(message)

    def forget(self) -> None:
        """What was going to be said is not: it is begun again."""
        self._held.clear()

    def commit(self) -> None:
        """It counts from now on; what was held leaves, in order."""
        held, self._held = self._held, []
        self._committed.set()
        for message in held:
            self._send(message)

    async def until_committed(self) -> None:
        """Wait until it counts."""
        await self._committed.wait()
