"""The pool of worker threads: blocking calls of many users, the most urgent first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mythicd.concurrency.priority_slots import PrioritySlots, Urgency
from mythicd.concurrency.worker_thread import WorkerThread

P = ParamSpec("P")
T = TypeVar("T")


class WorkerPool:
    """Worker threads that share one line of waiting calls."""

    def __init__(self, name: str, workers: int) -> None:
        """`workers` is the number of threads, at least 1."""
        self._idle = [WorkerThread(f"{name}-{number}") for number in range(1, workers + 1)]
        self._all = tuple(self._idle)
        self._slots = PrioritySlots(workers)

    async def run(self, urgency: Urgency | None, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one blocking call on a thread and return its result.

        Where all threads are busy, the smallest `urgency` is served first. A call that is cancelled while it runs
        ends first, and its result is discarded. Raises EngineError after `close`.
        """
        async with self._slots.slot(urgency):
            worker = self._idle.pop()
            job = asyncio.ensure_future(worker.call(function, *args, **kwargs))
            try:
                return await asyncio.shield(job)
            except asyncio.CancelledError:
                await asyncio.wait([job])  # the slot is free when the thread is
                if not job.cancelled():
                    job.exception()
                raise
            finally:
                self._idle.append(worker)

    async def close(self) -> None:
        """Wait for the running calls, refuse waiting ones, and join the threads."""
        for worker in self._all:
            await worker.close()
