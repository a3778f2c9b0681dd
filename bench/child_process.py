"""The child process of a side: two builds of llama.cpp have the same symbols and cannot share a process.

The parent names a coroutine function, the child runs it on its side and returns the result:

    async def scene(side, **arguments) -> result          child.run(scene, **arguments) -> result

All clocks are the child's own, and only durations are returned. While one child works the others sleep.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import traceback
from collections.abc import Awaitable, Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, Protocol, Self, TypeVar

import psutil

T = TypeVar("T")

PATIENCE_S = 600.0
"""Longest time of a scene, in seconds; then the child counts as hung."""


class Startable(Protocol):
    """A side of the comparison."""

    async def start(self) -> None:
        """Load the model."""

    async def stop(self) -> None:
        """Free the model."""


class ChildFailed(Exception):
    """A failed child, with its traceback."""


class Child:
    """The process of one side."""

    def __init__(self, name: str, make: Callable[..., Startable], core: int | None = None, **options: Any) -> None:
        """`make` is called in the child with the options; `core` is the one CPU it may use, None for any."""
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, make, options, core), name=f"bench-{name}", daemon=True
        )
        self._process.start()
        theirs.close()
        self._ready = False

    def run(self, scene: Callable[..., Awaitable[T]], **arguments: Any) -> T:
        """Run a scene in the child and return its result. Raises ChildFailed with the child's traceback."""
        self.wait()
        self._pipe.send((scene, arguments))
        result: T = self._receive()
        return result

    def wait(self) -> None:
        """Wait until the child's side has started. Children that are started together load together."""
        if not self._ready:
            self._receive()
            self._ready = True

    def close(self) -> None:
        """End the process."""
        try:
            self._pipe.send(None)
            self._process.join(10)
        except OSError:
            pass  # it has ended already
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> Any:
        if not self._pipe.poll(PATIENCE_S):
            raise ChildFailed(f"{self.name} did not answer within {PATIENCE_S:.0f} s.")
        try:
            fine, value = self._pipe.recv()
        except EOFError:
            self._process.join(10)
            raise ChildFailed(f"{self.name} ended with exit code {self._process.exitcode}.") from None
        if not fine:
            raise ChildFailed(f"{self.name} failed:\n{value}")
        return value


def _serve(pipe: Connection, make: Callable[..., Startable], options: Mapping[str, Any], core: int | None) -> None:
    if core is not None:
        psutil.Process().cpu_affinity([core])
    os.environ["OMP_NUM_THREADS"] = "1"  # llama.cpp gets its number of threads; no library may start more
    asyncio.run(_live(pipe, make, options))


async def _live(pipe: Connection, make: Callable[..., Startable], options: Mapping[str, Any]) -> None:
    try:
        side = make(**options)
        await side.start()
    except BaseException:
        pipe.send((False, traceback.format_exc()))
        return
    pipe.send((True, None))
    try:
        while (order := await asyncio.to_thread(_next, pipe)) is not None:
            scene, arguments = order
            try:
                pipe.send((True, await scene(side, **arguments)))
            except Exception:
                pipe.send((False, traceback.format_exc()))
    finally:
        await side.stop()


def _next(pipe: Connection) -> Any:
    """Return the next order; None after the last."""
    try:
        return pipe.recv()
    except EOFError:
        return None
