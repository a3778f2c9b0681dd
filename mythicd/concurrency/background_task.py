"""Background tasks: work that no turn depends on, such as a warm-up. One at a time; errors are only logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mythicd.errors import MythicError

log = logging.getLogger(__name__)


class BackgroundTask:
    """At most one running task of one kind."""

    def __init__(self, name: str) -> None:
        """`name` is the task's name in the log."""
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._cancelled: set[asyncio.Task[None]] = set()
        """Tasks that were cancelled and have not ended yet."""

    def start_if_idle(self, work: Callable[[], Awaitable[None]]) -> None:
        """Start the work, unless a task is running."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._do(work), name=self._name)

    def replace(self, work: Callable[[], Awaitable[None]]) -> None:
        """Cancel the running task, and start the work once it has ended."""
        self._cancel()

        async def after() -> None:
            await self._ended()
            await work()

        self._task = asyncio.create_task(self._do(after), name=self._name)

    async def finish(self, timeout_s: float) -> None:
        """Wait for the running task; cancel it after `timeout_s`."""
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=timeout_s)
        await self.stop()

    async def stop(self) -> None:
        """Cancel the running task, and return when it has ended."""
        self._cancel()
        await self._ended()

    def _cancel(self) -> None:
        task, self._task = self._task, None
        if task is not None and not task.done():
            self._cancelled.add(task)
            task.add_done_callback(self._cancelled.discard)
            task.cancel()

    async def _ended(self) -> None:
        if self._cancelled:
            await asyncio.wait(tuple(self._cancelled))

    async def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except MythicError as error:
            log.warning("%s failed: %s", self._name, error.code)
        except Exception:
            log.exception("%s failed", self._name)
