"""The write queue: writes are made in order, and a failed one does not stop the others."""

from __future__ import annotations

import asyncio

from mythicd.concurrency.write_queue import MAX_NOTES, WriteQueue
from mythicd.errors import MythicError, StoreError


async def test_writes_are_made_in_order_and_before_close_returns() -> None:
    written: list[int] = []
    told: list[MythicError] = []
    queue = WriteQueue("marla", told.append)

    def note(number: int) -> None:
        async def write() -> None:
            await asyncio.sleep(0)
            if number == 2:
                raise StoreError("The disk is full.", remedy="Free some.")
            written.append(number)

        queue.add(write)

    queue.open()
    for number in range(5):
        note(number)
    await queue.close()
    assert written == [0, 1, 3, 4]
    assert [error.what for error in told] == ["The disk is full."]


async def test_a_full_queue_reports_an_error_without_waiting() -> None:
    told: list[MythicError] = []
    queue = WriteQueue("marla", told.append)

    async def write() -> None:
        pass

    for _ in range(MAX_NOTES + 3):
        queue.add(write)
    assert len(told) == 3
    assert all(isinstance(error, StoreError) and "marla" in error.what for error in told)
    queue.open()
    await queue.settled()
    await queue.close()
