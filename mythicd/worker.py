"""One engine's own thread: blocking calls run there in order, and what they yield comes back to the event loop.

Native engines (llama.cpp, pocketsphinx, espeak-ng, ONNX Runtime) release the GIL while they work but must not be
entered twice at once. Each engine therefore owns one `Worker`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _End:
    """Closes a stream's queue."""


class _Raised(Generic[T]):
    """Carries an exception from the thread to the loop."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Worker:
    """A single named thread and the two ways to use it."""

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one blocking call on the thread and return its result; its exception is raised here."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))

    async def stream(
        self, function: Callable[P, Iterator[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncGenerator[T, None]:
        """Iterate a blocking iterator on the thread, yielding each item here as soon as it exists.

        Closing this generator (or cancelling its reader) closes the blocking iterator before the thread takes its
        next job, so an engine sees `GeneratorExit` at its next yield and can stop in the middle.
        """
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[T | _End | _Raised[T]] = asyncio.Queue()
        stopped = False

        def pump() -> None:
            iterator = function(*args, **kwargs)
            try:
                for item in iterator:
                    if stopped:
                        break
                    loop.call_soon_threadsafe(items.put_nowait, item)
            except BaseException as error:  # carried over, not swallowed: the reader raises it
                loop.call_soon_threadsafe(items.put_nowait, _Raised(error))
            else:
                loop.call_soon_threadsafe(items.put_nowait, _End())
            finally:
                close = getattr(iterator, "close", None)
                if close is not None:
                    close()

        running = loop.run_in_executor(self._threads, pump)
        try:
            while True:
                item = await items.get()
                if isinstance(item, _End):
                    return
                if isinstance(item, _Raised):
                    raise item.error
                yield item
        finally:
            stopped = True
            # The thread leaves within one item; waiting for it keeps "closed" meaning "the engine is free again".
            await asyncio.shield(running)

    async def close(self) -> None:
        """Let the running job end, drop the queued ones, and join the thread."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
