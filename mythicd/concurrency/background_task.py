"""Work that no turn depends on: warming up, looking ahead. One piece at a time, and its failure is only logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mythicd.errors import MythicError

log = logging.getLogger(__name__)


class BackgroundTask:
    """Room for one piece of work of one kind."""

    def __init__(self, name: str) -> None:
        """`name` says whose and which, for the log."""
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._given_up: set[asyncio.Task[None]] = set()
        """What was cancelled and has not ended yet."""

    def start_if_idle(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do this, unless something of the kind is being done already."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._do(work), name=self._name)

    def replace(self, work: Callable[[], Awaitable[None]]) -> None:
        """Give up what is being done, and do this when that has ended."""
        self._give_up()

        async def after() -> None:
            await self._ended()
            await work()

        self._task = asyncio.create_task(self._do(after), name=self._name)

    async def finish(self, timeout_s: float) -> None:
        """Wait until it is done; what takes longer is given up."""
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=timeout_s)
        await self.stop()

    async def stop(self) -> None:
        """Give it up, and return when it has ended."""
        self._give_up()
        await self._ended()

    def _give_up(self) -> None:
        task, self._task = self._task, None
        if task is not None and not task.done():
            self._given_up.add(task)
            task.add_done_callback(self._given_up.discard)
            task.cancel()

    async def _ended(self) -> None:
        if self._given_up:
            await asyncio.wait(tuple(self._given_up))

    async def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except MythicError as error:
            log.warning("%s: %s", self._name, error.code)
        except Exception:
            log.exception("%s", self._name)
