"""An engine in a child process, for engines that hold the GIL while they work, or may crash.

Calls are pickled and go through a pipe, one at a time. The child ends when its input ends, so it does not outlive its
parent. When the child dies, every later call raises EngineError.

multiprocessing is not used: it loads the parent's main module in the child, and forbids its children to have children.
The child is `sys.executable`: a program that embeds the interpreter must set that to one that accepts `-P -c`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any, Final

from mythicd.concurrency.worker_thread import WorkerThread
from mythicd.errors import EngineError, MythicError

log = logging.getLogger(__name__)

LEAVES_S: Final = 2.0
"""Seconds for the running call, and then for the child, to end before the child is killed."""

# The child imports from the parent's sys.path, and not from the current directory.
_BOOT: Final = (
    "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from mythicd.concurrency.child_process import serve; serve()"
)


class ChildProcess:
    """The child process of one engine, and the calls to it."""

    def __init__(self, name: str, make: Callable[[], object]) -> None:
        """`make` builds the engine in the child, so it must be a class or a module's function. Starts nothing."""
        self._name = name
        self._make = make
        self._worker: WorkerThread | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        process = self._process
        return process is not None and process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process's id; None when there is none."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the process and wait for its engine. Raises what `make` raises, and EngineError."""
        self._worker = WorkerThread(self._name)
        await self._worker.call(self._start)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the engine. Raises what it raises, and EngineError when the process is not running.

        Arguments and result are pickled. A call cancelled in the queue is never made; the result of one cancelled while
        it runs is discarded.
        """
        if self._worker is None:
            raise EngineError(f"The engine {self._name!r} is not running.", remedy="Start it first.")
        return await self._worker.call(self._ask, method, *arguments)

    def kill(self) -> None:
        """Kill the process: a running call fails. May be called from any thread."""
        process = self._process
        if process is not None:
            process.kill()

    async def close(self) -> None:
        """End the process; kill it after LEAVES_S of a running call. Closing twice does nothing."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        ended = asyncio.ensure_future(worker.call(self._end))
        await asyncio.wait([ended], timeout=LEAVES_S)
        if not ended.done():
            self.kill()
        await ended
        await worker.close()

    # --- on the worker's thread ---

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise EngineError(
                f"Cannot start the process of the engine {self._name!r}: {error}.",
                remedy="Check that the machine has free memory and processes.",
            ) from error
        try:
            self._send(sys.path)
            self._send(self._make)
            self._receive()
        except BaseException:
            self._end()
            raise

    def _ask(self, method: str, *arguments: Any) -> Any:
        self._send((method, arguments))
        return self._receive()

    def _send(self, what: object) -> None:
        if self._process is None:
            raise EngineError(f"The process of the engine {self._name!r} has ended.", remedy="Start it again.")
        try:
            _write(_pipe(self._process.stdin), what)
        except OSError:
            raise self._died() from None

    def _receive(self) -> Any:
        assert self._process is not None, "_send found a process"
        try:
            fine, value = pickle.load(_pipe(self._process.stdout))  # noqa: S301 - from our own child
        except Exception:  # after a bad pickle the start of the next answer is unknown
            raise self._died() from None
        if fine:
            return value
        raise value

    def _died(self) -> EngineError:
        process = self._process
        self._end()
        code = process.returncode if process is not None else None
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        return EngineError(
            f"The process of the engine {self._name!r} {how}.", remedy="Try again. If it happens again, see the log."
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):  # flushing the rest of the buffer fails without a reader
            _pipe(process.stdin).close()
        try:
            process.wait(LEAVES_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _pipe(process.stdout).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "Popen was called with PIPE"
    return pipe


def _write(pipe: IO[bytes], what: object) -> None:
    pickle.dump(what, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


# --- the child's side -------------------------------------------------------------------------------------------------


def serve() -> None:
    """Answer calls until the input ends. The parent's `sys.path` has been read from it already."""
    logging.basicConfig()
    # Ctrl-C in a terminal reaches the whole process group; the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of a library must not mix with the answers
    with contextlib.suppress(EOFError, OSError):  # the parent has ended or closed the pipe
        try:
            engine = pickle.load(asked)()  # noqa: S301 - from our own parent
        except Exception as error:
            _write(answers, (False, _portable(error)))
            return
        _write(answers, (True, None))
        while True:
            method, arguments = pickle.load(asked)  # noqa: S301
            try:
                answer = (True, getattr(engine, method)(*arguments))
            except Exception as error:
                answer = (False, _portable(error))
            _write(answers, answer)


def _portable(error: Exception) -> MythicError:
    """Return an error that can be pickled: a MythicError as it is; any other is logged and wrapped."""
    if isinstance(error, MythicError):
        return error
    log.error("engine call failed", exc_info=error)
    return EngineError(f"{type(error).__name__}: {error}")
