"""An engine in a process of its own: for one that keeps the interpreter's lock while it works, or may crash.

    parent                                                 child: another interpreter, the same modules
    Child(name, make) ── start ──> process ──────────────> engine = make()
    await child.call("method", …) ── pipe, in order ─────> engine.method(…)
                                  <──────────── result, or the exception it raised

One call at a time, on a thread that waits outside the interpreter's lock. The child lives as long as its input: when
the parent ends, however it ends, the child reads the end of it and goes. When the child dies, every call raises
EngineError from then on.

multiprocessing would load the parent's main module in the child and keep processes that are children from having some.
The child is `sys.executable`: a program that embeds the interpreter sets that to one that takes `-P -c`.
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
"""How long a child may take to end once nobody asks it any more."""

# The parent's modules, wherever it has them from, and not those that lie where it was started.
_BOOT: Final = (
    "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from mythicd.concurrency.child_process import serve; serve()"
)


class ChildProcess:
    """One engine's process, and the calls to it."""

    def __init__(self, name: str, make: Callable[[], object]) -> None:
        """`make` is called in the child, so it is a class or a module's function. Nothing is started yet."""
        self._name = name
        self._make = make
        self._worker: WorkerThread | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether calls can be made."""
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
        """Call a method of the engine. Raises what it raises, and EngineError when the process is not there.

        What passes is pickled. Cancelled while it waits for its turn, a call is never made; while it runs, it ends
        unheard.
        """
        if self._worker is None:
            raise EngineError(f"The engine {self._name!r} is not running.", remedy="Start it first.")
        return await self._worker.call(self._ask, method, *arguments)

    def kill(self) -> None:
        """End the process at once: whatever it is in the middle of fails. May be called from any thread."""
        process = self._process
        if process is not None:
            process.kill()

    async def close(self) -> None:
        """End the process, in the middle of a call if that takes long. Closing twice does nothing."""
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
                f"The process of the engine {self._name!r} cannot be started: {error}.",
                remedy="See whether the machine has memory and processes left.",
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
            raise EngineError(f"The process of the engine {self._name!r} has ended.", remedy="Start another one.")
        try:
            _write(_pipe(self._process.stdin), what)
        except OSError:
            raise self._died() from None

    def _receive(self) -> Any:
        assert self._process is not None, "it was asked something"
        try:
            fine, value = pickle.load(_pipe(self._process.stdout))  # noqa: S301 - from our own child
        except Exception:  # what cannot be unpickled leaves nobody knowing where the next answer begins
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
            f"The process of the engine {self._name!r} {how}.", remedy="Try again; the log may say more."
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):  # what is left in the buffer has no reader
            _pipe(process.stdin).close()
        try:
            process.wait(LEAVES_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _pipe(process.stdout).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "asked for when the process was started"
    return pipe


def _write(pipe: IO[bytes], what: object) -> None:
    pickle.dump(what, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


# --- the child's side -------------------------------------------------------------------------------------------------


def serve() -> None:
    """Answer calls until the input ends. The parent's `sys.path` has been read from it already."""
    logging.basicConfig()
    # Ctrl-C in a terminal reaches the whole group, and is the parent's to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not stand among the answers
    with contextlib.suppress(EOFError, OSError):  # the parent is gone, or wants no more
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
    """Return the error as it can be pickled: our own are. Of others the log has the rest."""
    if isinstance(error, MythicError):
        return error
    log.error("an engine failed", exc_info=error)
    return EngineError(f"{type(error).__name__}: {error}")
