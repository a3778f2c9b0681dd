"""Notes are written in order, and one that fails costs only itself."""

from __future__ import annotations

import asyncio

from mythicd.concurrency.write_queue import MAX_NOTES, WriteQueue
from mythicd.errors import MythicError, StoreError


async def test_notes_are_written_in_order_and_all_before_it_closes() -> None:
    written: list[int] = []
    told: list[MythicError] = []
    notebook = WriteQueue("marla", told.append)

    def note(number: int) -> None:
        async def write() -> None:
            await asyncio.sleep(0)
            if number == 2:
                raise StoreError("The disk is full.", remedy="Free some.")
            written.append(number)

        notebook.add(write)

    notebook.open()
    for number in range(5):
        note(number)
    await notebook.close()
    assert written == [0, 1, 3, 4]
    assert [error.what for error in told] == ["The disk is full."]


async def test_what_does_not_fit_is_told_and_not_waited_for() -> None:
    told: list[MythicError] = []
    notebook = WriteQueue("marla", told.append)

    async def write() -> None:
        pass

    for _ in range(MAX_NOTES + 3):
        notebook.add(write)
    assert len(told) == 3
    assert "marla" in told[0].what
    notebook.open()
    await notebook.settled()
    await notebook.close()
