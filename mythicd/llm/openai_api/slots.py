"""Request slots: how many requests an OpenAI-compatible server gets at once, and the order of the others.

Requests wait here instead of in the server, because their importance is known here. A free slot goes to the most
important waiting character, and among equals to the first; importance is read when a slot becomes free.
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
    slot: asyncio.Future[bool]
    """True when it has a slot, False when the slots were closed."""


class Slots:
    """A semaphore with priorities and deadlines."""

    def __init__(self, most: int, importance: Callable[[str], int], counters: LlmCounters) -> None:
        """`importance` returns a character's importance now; higher goes first."""
        self._free = most
        self._most = most
        self._importance = importance
        self._counters = counters
        self._waiting: list[_Waiting] = []
        self._closed = False

    @asynccontextmanager
    async def take(self, npc_id: str, deadline: float) -> AsyncGenerator[None, None]:
        """Hold a slot. Raises Busy at the `deadline` (in the event loop's time), EngineError when closed."""
        await self._wait(npc_id, deadline)
        self._counters.writing += 1
        try:
            yield
        finally:
            self._counters.writing -= 1
            self._give_back()

    def close(self) -> None:
        """Fail all waiting and later requests with EngineError."""
        self._closed = True
        for waiting in self._waiting:
            if not waiting.slot.done():
                waiting.slot.set_result(False)
        self._waiting.clear()

    async def _wait(self, npc_id: str, deadline: float) -> None:
        if self._closed:
            raise _stopped()
        if self._free:  # then none waits
            self._free -= 1
            return
        me = _Waiting(npc_id, asyncio.get_running_loop().create_future())
        self._waiting.append(me)
        self._counters.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                given = await me.slot
        except BaseException as error:
            if me in self._waiting:
                self._waiting.remove(me)
            elif me.slot.done() and not me.slot.cancelled() and me.slot.result():
                self._give_back()  # the slot came at the same moment
            if isinstance(error, TimeoutError):
                raise BusyError(
                    f"All {self._most} request slots of the language model's server stayed in use.",
                    remedy="Raise scheduler.max_speakers if the server can run more requests, or scheduler.patience_s.",
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
            if not next_one.slot.done():
                self._free -= 1
                next_one.slot.set_result(True)


def _stopped() -> EngineError:
    return EngineError("The language model was stopped.", remedy="Start it again.")
