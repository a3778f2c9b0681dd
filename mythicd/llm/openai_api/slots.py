"""Who may ask an OpenAI-compatible server now: so many requests at once, the others wait here.

They wait here rather than in the server, because here it is known who matters. A place goes to the most important of
those who wait, and among equals to who came first; how important a character is, is asked when a place is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mythicd.errors import BusyError, EngineError
from mythicd.telemetry.counters import LlmCounters


@dataclass(eq=False, slots=True)
class _Waiting:
    npc_id: str
    place: asyncio.Future[bool]
    """True: it has one. False: there will be none any more."""


class Slots:
    """A number of places, and those who wait for one, of whom none waits longer than its patience."""

    def __init__(self, most: int, importance: Callable[[str], int], counters: LlmCounters) -> None:
        """`importance` tells of a character how much it matters just now; more goes first."""
        self._free = most
        self._most = most
        self._importance = importance
        self._counters = counters
        self._waiting: list[_Waiting] = []
        self._closed = False

    @asynccontextmanager
    async def take(self, npc_id: str, deadline: float) -> AsyncGenerator[None, None]:
        """Hold a place; `deadline` is in the event loop's time. Raises Busy then, EngineError when closed."""
        await self._wait(npc_id, deadline)
        self._counters.writing += 1
        try:
            yield
        finally:
            self._counters.writing -= 1
            self._give_back()

    def close(self) -> None:
        """Send away all who wait, and who comes later."""
        self._closed = True
        for waiting in self._waiting:
            if not waiting.place.done():
                waiting.place.set_result(False)
        self._waiting.clear()

    async def _wait(self, npc_id: str, deadline: float) -> None:
        if self._closed:
            raise _stopped()
        if self._free:  # then nobody waits
            self._free -= 1
            return
        me = _Waiting(npc_id, asyncio.get_running_loop().create_future())
        self._waiting.append(me)
        self._counters.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                given = await me.place
        except BaseException as error:
            if me in self._waiting:
                self._waiting.remove(me)
            elif me.place.done() and not me.place.cancelled() and me.place.result():
                self._give_back()  # it came in the same moment
            if isinstance(error, TimeoutError):
                raise BusyError(
                    f"All {self._most} places at the language model's server were taken for too long.",
                    remedy="Raise scheduler.max_speakers if the server can do more at once, or scheduler.patience_s.",
                ) from None
            raise
        finally:
            self._counters.waiting -= 1
        if not given:
            raise _stopped()

    def _give_back(self) -> None:
        self._free += 1
        while self._waiting and self._free:
            next_one = max(self._waiting, key=lambda waiting: self._importance(waiting.npc_id))  # the first of equals
            self._waiting.remove(next_one)
            if not next_one.place.done():
                self._free -= 1
                next_one.place.set_result(True)


def _stopped() -> EngineError:
    return EngineError("The language model was stopped.", remedy="Start it again.")
