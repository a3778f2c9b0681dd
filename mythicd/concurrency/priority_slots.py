"""Priority slots: a fixed number of users of an engine at once, the most urgent of those that wait first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

Urgency = Callable[[], float]
"""Returns how long a user could wait: the smallest value goes first. Asked whenever a slot becomes free."""


class PrioritySlots:
    """The slots of an engine. All methods run on one event loop."""

    def __init__(self, count: int) -> None:
        """`count` is the number of slots, at least 1."""
        self._free = count
        self._waiting: list[tuple[asyncio.Future[None], Urgency | None]] = []

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._waiting)

    @asynccontextmanager
    async def slot(self, urgency: Urgency | None = None) -> AsyncGenerator[None, None]:
        """Hold a slot; wait for one where all are taken. None counts as 0; equals are served in order of arrival."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(urgency)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, urgency: Urgency | None) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (granted, urgency)
        self._waiting.append(entry)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():  # cancelled after the slot was granted
                self._release()
            else:
                self._waiting.remove(entry)
            raise

    def _release(self) -> None:
        """Free a slot in the loop's next round, so that who leaves it and asks again at once is among the waiting."""
        asyncio.get_running_loop().call_soon(self._grant)

    def _grant(self) -> None:
        """Give a slot to the most urgent of those that wait."""
        waiting = [index for index, (granted, _) in enumerate(self._waiting) if not granted.done()]
        if not waiting:
            self._free += 1
            return
        granted, _ = self._waiting.pop(min(waiting, key=self._urgency))
        granted.set_result(None)

    def _urgency(self, index: int) -> float:
        urgency = self._waiting[index][1]
        return 0.0 if urgency is None else urgency()
