"""Worker threads: order, errors, slow and cancelled readers of streams, and no leaked threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from mythicd.concurrency.worker_thread import WorkerThread
from mythicd.errors import EngineError

PATIENCE_S = 10.0
"""How long a test waits for a thread before it fails; never waited out when all is well."""


@pytest.fixture
async def worker() -> AsyncIterator[WorkerThread]:
    worker = WorkerThread("test-engine", ahead=4)
    yield worker
    await worker.close()


class Source:
    """A blocking iterator that records how many items it made and whether it was closed."""

    def __init__(self, count: int = 10**9, *, fails_at: int | None = None, tells_at: int | None = None) -> None:
        self.count = count
        self.fails_at = fails_at
        self.tells_at = tells_at
        self.made = 0
        self.told = threading.Event()
        self.closed = threading.Event()

    def __call__(self) -> Iterator[int]:
        try:
            for number in range(self.count):
                if number == self.fails_at:
                    raise ValueError(f"item {number} is bad")
                self.made = number + 1
                if self.made == self.tells_at:
                    self.told.set()
                yield number
        finally:
            self.closed.set()


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def held(worker: WorkerThread) -> tuple[threading.Event, asyncio.Task[bool]]:
    """Occupy the thread until the event is set."""
    gate = threading.Event()
    return gate, asyncio.ensure_future(worker.call(gate.wait, PATIENCE_S))


class TestCall:
    """One blocking call at a time, on the one thread."""

    async def test_result_arguments_and_thread_name(self, worker: WorkerThread) -> None:
        assert await worker.call(divmod, 7, 2) == (3, 1)
        assert await worker.call(int, "ff", base=16) == 255
        assert (await worker.call(lambda: threading.current_thread().name)).startswith("test-engine")

    async def test_an_exception_is_raised_and_the_thread_continues(self, worker: WorkerThread) -> None:
        with pytest.raises(ZeroDivisionError):
            await worker.call(divmod, 1, 0)
        assert await worker.call(divmod, 1, 1) == (1, 0)

    async def test_calls_run_in_order_and_never_two_at_once(self, worker: WorkerThread) -> None:
        order: list[int] = []
        inside = threading.Lock()

        def enter(number: int) -> None:
            assert inside.acquire(blocking=False), "two calls at once"
            order.append(number)
            inside.release()

        await asyncio.gather(*(worker.call(enter, number) for number in range(200)))
        assert order == list(range(200))

    async def test_a_call_cancelled_in_the_queue_never_runs(self, worker: WorkerThread) -> None:
        gate, holding = held(worker)
        ran = threading.Event()
        waiting = asyncio.create_task(worker.call(ran.set))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        await holding
        await worker.call(int)
        assert not ran.is_set()


class TestStream:
    """A blocking iterator, read from the event loop."""

    async def test_items_come_in_order(self, worker: WorkerThread) -> None:
        assert [item async for item in worker.stream(numbers, 1000)] == list(range(1000))

    async def test_items_come_as_soon_as_they_exist(self, worker: WorkerThread) -> None:
        gate = threading.Event()

        def slow() -> Iterator[str]:
            yield "first"
            assert gate.wait(PATIENCE_S)
            yield "second"

        items = []
        async for item in worker.stream(slow):
            items.append(item)
            gate.set()  # not before the first item was here
        assert items == ["first", "second"]

    async def test_an_exception_follows_the_items_before_it(self, worker: WorkerThread) -> None:
        items = []
        with pytest.raises(ValueError, match="item 3 is bad"):
            async for item in worker.stream(Source(fails_at=3)):
                items.append(item)
        assert items == [0, 1, 2]
        assert await worker.call(divmod, 1, 1) == (1, 0)

    async def test_an_exception_before_the_iterator_exists(self, worker: WorkerThread) -> None:
        def refuse() -> Iterator[int]:
            raise OSError("no such voice")

        with pytest.raises(OSError, match="no such voice"):
            await anext(worker.stream(refuse))

    async def test_closing_early_closes_the_iterator_and_frees_the_thread(self, worker: WorkerThread) -> None:
        source = Source()
        async with aclosing(worker.stream(source)) as stream:
            async for item in stream:
                if item == 2:
                    break
        assert source.closed.is_set(), "closed means that the engine is free again"
        assert await worker.call(divmod, 1, 1) == (1, 0)

    async def test_a_cancelled_reader_closes_the_iterator(self, worker: WorkerThread) -> None:
        source = Source(tells_at=20)

        async def read() -> None:
            async with aclosing(worker.stream(source)) as stream:
                async for _ in stream:
                    pass

        reader = asyncio.create_task(read())
        assert await asyncio.to_thread(source.told.wait, PATIENCE_S)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert source.closed.is_set()

    async def test_an_error_while_closing_is_logged_and_not_raised(
        self, worker: WorkerThread, caplog: pytest.LogCaptureFixture
    ) -> None:
        def stubborn() -> Iterator[int]:
            try:
                while True:
                    yield 1
            finally:
                raise OSError("the engine coughs")

        with pytest.raises(KeyError, match="mine"):
            async with aclosing(worker.stream(stubborn)) as stream:
                async for _ in stream:
                    raise KeyError("mine")
        (record,) = caplog.records
        assert record.exc_info and str(record.exc_info[1]) == "the engine coughs", "an error without a caller is logged"

    async def test_an_error_raised_to_the_reader_is_not_logged(
        self, worker: WorkerThread, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(ValueError, match="item 2 is bad"):
            async for _ in worker.stream(Source(fails_at=2)):
                pass
        assert not caplog.records

    async def test_close_while_the_reader_leaves_logs_nothing(
        self, worker: WorkerThread, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with aclosing(worker.stream(Source())) as stream:
            await anext(stream)
            closing = asyncio.create_task(worker.close())
            await asyncio.sleep(0)
        await closing
        assert not caplog.records

    async def test_a_stream_closed_in_the_queue_never_starts(self, worker: WorkerThread) -> None:
        gate, holding = held(worker)
        source = Source(fails_at=0)
        reader = asyncio.ensure_future(anext(worker.stream(source)))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        gate.set()
        await holding
        await worker.call(int)
        assert not source.closed.is_set()


class TestBackpressure:
    """A slow reader stops the thread: buffers are bounded, and nothing deadlocks."""

    async def test_the_thread_is_at_most_ahead_items_ahead(self, worker: WorkerThread) -> None:
        source = Source()
        async with aclosing(worker.stream(source)) as stream:
            for expected in range(50):
                assert await anext(stream) == expected
                await asyncio.sleep(0.001)
                # Four may wait, and the thread holds a fifth.
                assert source.made <= expected + 1 + 4 + 1

    async def test_a_stopped_reader_stops_the_thread_and_close_wakes_it(self, worker: WorkerThread) -> None:
        source = Source(tells_at=6)  # one is read, four wait, the thread holds one
        stream = worker.stream(source)
        await anext(stream)
        assert await asyncio.to_thread(source.told.wait, PATIENCE_S)
        await asyncio.sleep(0.01)
        assert source.made == 6
        await asyncio.wait_for(stream.aclose(), PATIENCE_S)
        assert source.closed.is_set()

    async def test_a_slow_reader_still_gets_everything(self, worker: WorkerThread) -> None:
        items = []
        async for item in worker.stream(numbers, 40):
            items.append(item)
            await asyncio.sleep(0)
        assert items == list(range(40))


class TestClose:
    """After `close` there is no thread, and no caller waits forever."""

    async def test_it_joins_the_thread(self) -> None:
        worker = WorkerThread("short-lived")
        thread = await worker.call(threading.current_thread)
        await worker.close()
        assert not thread.is_alive()
        await worker.close()

    async def test_later_calls_and_streams_are_refused(self) -> None:
        worker = WorkerThread("short-lived")
        await worker.close()
        with pytest.raises(EngineError, match="'short-lived'"):
            await worker.call(int)
        with pytest.raises(EngineError, match="'short-lived'"):
            await anext(worker.stream(numbers, 3))

    async def test_the_running_call_ends_and_the_queued_are_refused(self) -> None:
        worker = WorkerThread("busy")
        gate, holding = held(worker)
        queued = asyncio.create_task(worker.call(int))
        reading = asyncio.ensure_future(anext(worker.stream(numbers, 3)))
        await asyncio.sleep(0)
        closing = asyncio.create_task(worker.close())
        await asyncio.sleep(0)
        gate.set()
        assert await holding
        for waiting in (queued, reading):
            with pytest.raises(EngineError, match="'busy'"):
                await asyncio.wait_for(waiting, PATIENCE_S)
        await closing

    async def test_close_does_not_wait_for_a_sleeping_reader(self) -> None:
        worker = WorkerThread("abandoned", ahead=2)
        source = Source()
        stream = worker.stream(source)
        await anext(stream)
        await asyncio.wait_for(worker.close(), PATIENCE_S)
        assert source.closed.is_set()
        with pytest.raises(EngineError, match="'abandoned'"):
            while True:
                await anext(stream)


async def test_a_thousand_streams_leak_no_thread() -> None:
    before = threading.active_count()
    worker = WorkerThread("tireless", ahead=2)
    for number in range(1000):
        source = Source(4)
        async with aclosing(worker.stream(source)) as stream:
            async for item in stream:
                if item == number % 5:
                    break
        assert source.closed.is_set()
    assert threading.active_count() == before + 1
    await worker.close()
    assert threading.active_count() <= before + 1  # asyncio's own pool may keep the thread that joined ours
