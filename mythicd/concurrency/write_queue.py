"""What one character has to write down, written in order by one task, so that no turn waits for the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mythicd.errors import MythicError, StoreError

log = logging.getLogger(__name__)

MAX_NOTES = 256
"""Most notes that wait; more than a player can cause in minutes."""

Note = Callable[[], Awaitable[object]]
"""Writes something down."""


class WriteQueue:
    """Notes on their way to the store."""

    def __init__(self, name: str, on_error: Callable[[MythicError], None]) -> None:
        """`on_error` is told of notes that could not be written."""
        self._name = name
        self._on_error = on_error
        self._notes: asyncio.Queue[Note | None] = asyncio.Queue(MAX_NOTES)
        self._writing: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to write."""
        self._writing = asyncio.create_task(self._write(), name=f"{self._name} notes")

    def add(self, note: Note) -> None:
        """Write this down after everything before it."""
        try:
            self._notes.put_nowait(note)
        except asyncio.QueueFull:
            self._on_error(
                StoreError(
                    f"{MAX_NOTES} notes of {self._name} wait for the memory database; one more was lost.",
                    remedy="Look at the disk it lies on.",
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
                log.error("%s does not remember something: %s", self._name, error)
                self._on_error(error)
            except Exception:
                # The writer outlives everything: without it nothing would be remembered, and `close` never end.
                log.exception("%s does not remember something", self._name)
                self._on_error(
                    StoreError(f"Something of {self._name} was not written down.", remedy="Look at the daemon's log.")
                )
            finally:
                self._notes.task_done()
        self._notes.task_done()
