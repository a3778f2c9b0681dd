"""The worker pool: blocking calls on several threads, the most urgent first, and calls that are cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mythicd.concurrency.worker_pool import WorkerPool
from mythicd.errors import EngineError


class Work:
    """Blocking calls that end when they are told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._events: dict[str, threading.Event] = {}

    def do(self, name: str) -> str:
        self.begun.append(name)
        self._event(f"begun {name}").set()
        assert self._event(f"end {name}").wait(10)
        self.ended.append(name)
        return threading.current_thread().name

    async def until_begun(self, *names: str) -> None:
        for name in names:
            assert await asyncio.to_thread(self._event(f"begun {name}").wait, 10)

    def end(self, name: str) -> None:
        self._event(f"end {name}").set()

    def _event(self, name: str) -> threading.Event:
        return self._events.setdefault(name, threading.Event())


async def test_calls_run_on_as_many_threads_as_workers() -> None:
    pool, work = WorkerPool("pool", 2), Work()
    tasks = [asyncio.create_task(pool.run(None, work.do, name)) for name in "abc"]
    await work.until_begun("a", "b")
    await asyncio.sleep(0.02)
    assert set(work.begun) == {"a", "b"}
    for name in "abc":
        work.end(name)
    assert len(set(await asyncio.gather(*tasks))) == 2
    await pool.close()


async def test_the_most_urgent_waiting_call_goes_first() -> None:
    pool, work = WorkerPool("pool", 1), Work()
    urgencies = {"guess": 1.0, "late": 1.0, "final": 0.0}
    first = asyncio.create_task(pool.run(None, work.do, "first"))
    await work.until_begun("first")
    waiting = []
    for name in urgencies:
        waiting.append(asyncio.create_task(pool.run(lambda name=name: urgencies[name], work.do, name)))
        await asyncio.sleep(0)
    urgencies["late"] = -1.0  # urgency is asked for when a thread is free
    for name in ("first", *urgencies):
        work.end(name)
    await asyncio.gather(first, *waiting)
    assert work.begun == ["first", "late", "final", "guess"]
    await pool.close()


async def test_a_call_cancelled_in_the_queue_never_runs() -> None:
    pool, work = WorkerPool("pool", 1), Work()
    first, second = (asyncio.create_task(pool.run(None, work.do, name)) for name in ("first", "second"))
    await work.until_begun("first")
    second.cancel()
    work.end("first")
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    work.end("third")
    await pool.run(None, work.do, "third")
    assert work.begun == ["first", "third"]
    await pool.close()


async def test_a_cancelled_running_call_holds_its_thread() -> None:
    pool, work = WorkerPool("pool", 2), Work()
    first = asyncio.create_task(pool.run(None, work.do, "first"))
    await work.until_begun("first")
    first.cancel()
    # The other thread is free: the next call must not wait for the one that is still at work.
    work.end("second")
    await pool.run(None, work.do, "second")
    assert work.ended == ["second"]
    work.end("first")
    with pytest.raises(asyncio.CancelledError):
        await first
    await pool.close()


async def test_an_error_reaches_the_caller_and_frees_the_thread() -> None:
    pool = WorkerPool("pool", 1)

    def fail() -> None:
        raise ValueError("broken")

    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            await pool.run(None, fail)
    assert await pool.run(None, int, "7") == 7
    await pool.close()


async def test_close_waits_and_then_calls_are_refused() -> None:
    pool, work = WorkerPool("pool", 1), Work()
    running, waiting = (asyncio.create_task(pool.run(None, work.do, name)) for name in ("running", "waiting"))
    await work.until_begun("running")
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0.02)
    assert not closing.done()
    work.end("running")
    await closing
    await running
    with pytest.raises(EngineError, match="stopped"):
        await waiting
    with pytest.raises(EngineError, match="stopped"):
        await pool.run(None, int, "7")
    assert work.begun == ["running"]
