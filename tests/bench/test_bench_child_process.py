"""The child process of a side."""

from __future__ import annotations

import asyncio
import os

import pytest

from bench.child_process import Child, ChildFailed


class Counter:
    """A side that keeps a count."""

    def __init__(self, start: int) -> None:
        self.count = start

    async def start(self) -> None:
        if self.count < 0:
            raise ValueError("nothing to count")

    async def stop(self) -> None:
        pass


async def add(side: Counter, *, number: int) -> tuple[int, int]:
    await asyncio.sleep(0)
    side.count += number
    return side.count, os.getpid()


async def divide(side: Counter, *, by: int) -> float:
    return side.count / by


async def die(side: Counter) -> None:
    os._exit(3)


def test_child_keeps_its_side_between_scenes_and_after_a_failed_one() -> None:
    with Child("counter", Counter, start=5) as child:
        count, pid = child.run(add, number=2)
        assert count == 7 and pid != os.getpid()
        with pytest.raises(ChildFailed, match="ZeroDivisionError"):
            child.run(divide, by=0)
        assert child.run(add, number=1) == (8, pid)
        with pytest.raises(ChildFailed, match="exit code 3"):
            child.run(die)


def test_side_that_fails_to_start_reports_the_error() -> None:
    with Child("broken", Counter, start=-1) as child, pytest.raises(ChildFailed, match="nothing to count"):
        child.wait()
