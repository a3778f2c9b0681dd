"""Background tasks: one at a time, and none left running after `stop`."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from mythicd.concurrency.background_task import BackgroundTask
from mythicd.errors import EngineError
from tests.virtual_time import run


class Journal:
    """Work that records when it begins, is done and ends."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def work(self, name: str, ends_s: float = 0.0) -> object:
        async def do() -> None:
            self.entries.append(f"{name} begins")
            try:
                await asyncio.sleep(1.0)
                self.entries.append(f"{name} is done")
            finally:
                await asyncio.sleep(ends_s)
                self.entries.append(f"{name} ends")

        return do


def test_one_at_a_time() -> None:
    async def play() -> None:
        side, journal = BackgroundTask("side"), Journal()
        side.start_if_idle(journal.work("a"))  # type: ignore[arg-type]
        side.start_if_idle(journal.work("b"))  # type: ignore[arg-type]
        await side.finish(10.0)
        side.start_if_idle(journal.work("c"))  # type: ignore[arg-type]
        await side.finish(0.5)
        assert journal.entries == ["a begins", "a is done", "a ends", "c begins", "c ends"]

    run(play())


def test_a_replacement_starts_after_the_cancelled_task_ends() -> None:
    async def play() -> None:
        side, journal = BackgroundTask("side"), Journal()
        side.start_if_idle(journal.work("a", 0.3))  # type: ignore[arg-type]
        await asyncio.sleep(0.5)
        side.replace(journal.work("b"))  # type: ignore[arg-type]
        await side.finish(10.0)
        assert journal.entries == ["a begins", "a ends", "b begins", "b is done", "b ends"]

    run(play())


@pytest.mark.parametrize("waits", list(itertools.product([None, 0.0, 0.4], repeat=3)))
def test_stop_leaves_no_task_running(waits: tuple[float | None, ...]) -> None:
    """Whatever was started or replaced, and when: after `stop` it has ended."""

    async def play() -> None:
        side, journal = BackgroundTask("side"), Journal()
        for name, wait_s in zip("abc", waits, strict=True):
            side.replace(journal.work(name, 0.1))  # type: ignore[arg-type]
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        await side.stop()
        begun = [said for said in journal.entries if said.endswith("begins")]
        ended = [said for said in journal.entries if said.endswith("ends")]
        assert len(begun) == len(ended)
        said = len(journal.entries)
        await asyncio.sleep(5.0)
        assert len(journal.entries) == said

    run(play())


def test_an_error_does_not_block_later_tasks() -> None:
    async def play() -> None:
        side, journal = BackgroundTask("side"), Journal()

        async def fail(error: Exception) -> None:
            raise error

        for error in (EngineError("gone"), ValueError("a bug")):
            side.start_if_idle(lambda error=error: fail(error))  # type: ignore[misc]
            await side.finish(1.0)
        side.start_if_idle(journal.work("a"))  # type: ignore[arg-type]
        await side.finish(10.0)
        assert journal.entries[-1] == "a ends"

    run(play())
