"""One piece of work at a time, and none that is left behind."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from mythicd.concurrency.background_task import BackgroundTask
from mythicd.errors import EngineError
from tests.virtual_time import run


class Diary:
    """Work that says when it began, ended and was given up."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def work(self, name: str, ends_s: float = 0.0) -> object:
        async def do() -> None:
            self.said.append(f"{name} begins")
            try:
                await asyncio.sleep(1.0)
                self.said.append(f"{name} is done")
            finally:
                await asyncio.sleep(ends_s)
                self.said.append(f"{name} ends")

        return do


def test_one_at_a_time() -> None:
    async def play() -> None:
        side, diary = BackgroundTask("side"), Diary()
        side.start_if_idle(diary.work("a"))  # type: ignore[arg-type]
        side.start_if_idle(diary.work("b"))  # type: ignore[arg-type]
        await side.finish(10.0)
        side.start_if_idle(diary.work("c"))  # type: ignore[arg-type]
        await side.finish(0.5)
        assert diary.said == ["a begins", "a is done", "a ends", "c begins", "c ends"]

    run(play())


def test_what_comes_instead_waits_until_the_other_has_ended() -> None:
    async def play() -> None:
        side, diary = BackgroundTask("side"), Diary()
        side.start_if_idle(diary.work("a", 0.3))  # type: ignore[arg-type]
        await asyncio.sleep(0.5)
        side.replace(diary.work("b"))  # type: ignore[arg-type]
        await side.finish(10.0)
        assert diary.said == ["a begins", "a ends", "b begins", "b is done", "b ends"]

    run(play())


@pytest.mark.parametrize("waits", list(itertools.product([None, 0.0, 0.4], repeat=3)))
def test_nothing_is_left_when_it_is_stopped(waits: tuple[float | None, ...]) -> None:
    """Whatever was begun, replaced and not yet ended when: after `stop` it is over."""

    async def play() -> None:
        side, diary = BackgroundTask("side"), Diary()
        for name, wait_s in zip("abc", waits, strict=True):
            side.replace(diary.work(name, 0.1))  # type: ignore[arg-type]
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        await side.stop()
        begun = [said for said in diary.said if said.endswith("begins")]
        ended = [said for said in diary.said if said.endswith("ends")]
        assert len(begun) == len(ended)
        said = len(diary.said)
        await asyncio.sleep(5.0)
        assert len(diary.said) == said

    run(play())


def test_what_fails_harms_nobody() -> None:
    async def play() -> None:
        side, diary = BackgroundTask("side"), Diary()

        async def fail(error: Exception) -> None:
            raise error

        for error in (EngineError("gone"), ValueError("a bug")):
            side.start_if_idle(lambda error=error: fail(error))  # type: ignore[misc]
            await side.finish(1.0)
        side.start_if_idle(diary.work("a"))  # type: ignore[arg-type]
        await side.finish(10.0)
        assert diary.said[-1] == "a ends"

    run(play())
