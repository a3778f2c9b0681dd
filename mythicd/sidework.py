"""Work that no turn depends on: warming up, looking ahead. One piece at a time, and its failure is only logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mythicd.errors import MythicError

log = logging.getLogger(__name__)


class SideWork:
    """Room for one piece of work of one kind."""

    def __init__(self, name: str) -> None:
        """`name` says whose and which, for the log."""
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do this, unless something of the kind is being done already."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._do(work), name=self._name)

    async def stop(self) -> None:
        """Give it up, and return when it has ended."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except MythicError as error:
            log.warning("%s: %s", self._name, error.code)
        except Exception:
            log.exception("%s", self._name)
