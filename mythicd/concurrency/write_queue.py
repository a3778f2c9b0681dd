"""The write queue: ordered, bounded database writes of one character, off the turn's path."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mythicd.errors import MythicError, StoreError

log = logging.getLogger(__name__)

MAX_NOTES = 256
"""Most writes that wait; more than a player can cause in minutes."""

Note = Callable[[], Awaitable[object]]
"""One write to the store."""


class WriteQueue:
    """One character's queue of writes to the store."""

    def __init__(self, name: str, on_error: Callable[[MythicError], None]) -> None:
        """`on_error` is called for each write that fails or is dropped."""
        self._name = name
        self._on_error = on_error
        self._notes: asyncio.Queue[Note | None] = asyncio.Queue(MAX_NOTES)
        self._writing: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start to write."""
        self._writing = asyncio.create_task(self._write(), name=f"{self._name} notes")

    def add(self, note: Note) -> None:
        """Queue a write, after all earlier ones."""
        try:
            self._notes.put_nowait(note)
        except asyncio.QueueFull:
            self._on_error(
                StoreError(
                    f"{MAX_NOTES} writes of {self._name} to the memory database are waiting; one more was dropped.",
                    remedy="Check the disk that holds the data dir.",
                )
            )

    async def settled(self) -> None:
        """Wait until everything added so far is written."""
        await self._notes.join()

    async def close(self) -> None:
        """Write what is left, and end."""
        if self._writing is not None:
            await self._notes.put(None)
            await self._writing
            self._writing = None

    async def _write(self) -> None:
        while (note := await self._notes.get()) is not None:
            try:
                await note()
            except MythicError as error:
                log.error("%s: a write to the memory database failed: %s", self._name, error)
                self._on_error(error)
            except Exception:
                # The writer must go on: without it nothing more is written, and `close` never ends.
                log.exception("%s: a write to the memory database failed", self._name)
                self._on_error(
                    StoreError(
                        f"A write of {self._name} to the memory database failed.", remedy="See the daemon's log."
                    )
                )
            finally:
                self._notes.task_done()
        self._notes.task_done()
