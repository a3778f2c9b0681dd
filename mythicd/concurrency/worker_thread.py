"""The worker thread of one engine: blocking calls run there in order, and their results return to the event loop.

Native engines (llama.cpp, espeak-ng, ONNX Runtime) release the GIL while they work, but are not reentrant. So each
engine owns one `WorkerThread`. (pocketsphinx holds the GIL: child_process.py.)

The items of a stream pass through a bounded queue: when the reader is `ahead` items behind, the thread waits for it,
and all other work of the engine waits too. So read a stream to its end, or close it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from mythicd.errors import EngineError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class _Gate:
    """Backpressure of one stream: its thread gets at most `ahead` items ahead of the reader."""

    def __init__(self, ahead: int) -> None:
        self._room = threading.Semaphore(ahead)
        self.stopped = False
        self.refused = False
        """Whether the stream was ended because the engine was closed."""

    def enter(self) -> bool:
        """Wait on the thread for space for one item; return False if the stream was stopped."""
        self._room.acquire()
        return not self.stopped

    def leave(self) -> None:
        """Free the space of one item, which the reader has taken."""
        self._room.release()

    def stop(self) -> None:
        """Wake the thread: nothing more is read."""
        self.stopped = True
        self._room.release()


class _End:
    """The end of a stream, in the queue of its items."""


class WorkerThread:
    """One named thread that runs blocking calls and iterates blocking iterators."""

    def __init__(self, name: str, *, ahead: int = 256) -> None:
        """`ahead` is the most items that a stream buffers: 256 chunks of 60 ms are 15 s of speech."""
        self._name = name
        self._ahead = ahead
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._closed = False
        self._open: set[_Gate] = set()

    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one blocking call on the thread and return its result; its exception is raised here.

        A call cancelled in the queue never runs; the result of one cancelled while it runs is discarded. Raises
        EngineError after `close`.
        """

        def job() -> T:
            self._check_open()
            return function(*args, **kwargs)

        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._threads, job)

    async def stream(
        self, function: Callable[P, Iterator[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncGenerator[T, None]:
        """Iterate a blocking iterator on the thread, yielding each item here as soon as it exists.

        Closing this generator (or cancelling its reader) closes the blocking iterator before the thread takes its
        next job, so an engine sees `GeneratorExit` at its next yield and can stop in the middle. A reader that may be
        cancelled between two items holds the generator in `contextlib.aclosing`. Raises EngineError after `close`.
        """
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[T | _End] = asyncio.Queue()  # bounded by the gate
        gate = _Gate(self._ahead)

        def pump() -> None:
            gate.refused = self._closed
            self._check_open()
            iterator = function(*args, **kwargs)
            try:
                for item in iterator:
                    if not gate.enter():
                        gate.refused = self._closed
                        self._check_open()
                        break
                    loop.call_soon_threadsafe(items.put_nowait, item)
            finally:
                close = getattr(iterator, "close", None)
                if close is not None:
                    close()

        self._check_open()
        job = self._threads.submit(pump)
        running = asyncio.wrap_future(job)
        # Comes after all items, because the loop runs callbacks in the order in which they were given to it.
        running.add_done_callback(lambda _: items.put_nowait(_End()))
        self._open.add(gate)
        read = False
        try:
            while not isinstance(item := await items.get(), _End):
                gate.leave()
                yield item
            read = True
            running.result()  # raises what the iterator raised
        finally:
            self._open.discard(gate)
            gate.stop()
            if not job.cancel():
                # The thread leaves within one item; waiting for it keeps "closed" meaning "the engine is free again".
                await asyncio.wait([running])
                # An error from here is only logged, because raising it would hide why the reader left.
                failure = running.exception()
                if failure is not None and not read and not gate.refused:
                    log.error("%s: a stream failed after its reader had left", self._name, exc_info=failure)

    async def close(self) -> None:
        """Wait for the running call, stop the running stream, refuse queued work, and join the thread."""
        self._closed = True
        for gate in self._open:
            gate.stop()
        await asyncio.to_thread(self._threads.shutdown, wait=True)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError(f"The engine {self._name!r} has been stopped.", remedy="Start it again.")
