"""Virtual time: an event loop whose clock jumps to the next timer, so that a test of minutes takes milliseconds.

Mark a test with `@pytest.mark.virtual` to run it in such a loop. Nothing is patched: the code under test takes its
clock as an argument and gets this loop's. While timers are pending the loop never waits; without any it waits for
threads, and raises RuntimeError when none answers.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_S = 10.0
"""Real seconds in which something must happen when no timer is pending."""


class _JumpingSelector(selectors.BaseSelector):
    """A selector that polls the sockets without waiting, and advances the clock instead."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = self._real.select(PATIENCE_S)
            if not ready:
                raise RuntimeError("Deadlock: no task is runnable and no timer is set.")
            return ready
        ready = self._real.select(0)
        if not ready and timeout > 0:
            self.now += timeout
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with its own clock, which starts at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(main: Coroutine[Any, Any, T], *, limit_s: float = 3600.0) -> T:
    """Run a test in virtual time, in which it may take `limit_s` seconds.

    Raises:
        TimeoutError: the test took longer, or waits for something that never happens.
        AssertionError: the test left a task running, or an error that only the loop's exception handler got.
    """
    unseen: list[Mapping[str, Any]] = []

    async def bounded() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
        async with asyncio.timeout(limit_s):
            result = await main
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"tasks left running: {left}"
        return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(bounded())
    assert not unseen, f"unhandled errors: {unseen}"
    return result
