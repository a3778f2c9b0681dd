"""An engine in a child process: results, errors, and the death of either side."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from mythicd.concurrency.child_process import LEAVES_S, ChildProcess
from mythicd.errors import BusyError, EngineError, ModelError

needs_signals = pytest.mark.skipif(os.name == "nt", reason="there are no signals")


class Engine:
    """What the child's side calls."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, more: int) -> int:
        """Count."""
        self.count += more
        return self.count

    def pid(self) -> int:
        """Whose process it is."""
        return os.getpid()

    def busy(self) -> None:
        """Refuse."""
        raise BusyError("All lines are busy.", remedy="Wait.")

    def fail(self) -> None:
        """Raise an unexpected error."""
        raise ZeroDivisionError("by zero")

    def chatter(self) -> str:
        """Print, as libraries do."""
        os.write(1, b"loading model ...\n" * 1000)
        print("done", flush=True)
        return "quiet"

    def sleep(self, seconds: float) -> None:
        """Take long."""
        time.sleep(seconds)

    def hold(self, seconds: float) -> None:
        """Keep the interpreter's lock."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass

    def crash(self) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)

    def leave(self) -> None:
        """Exit without an answer."""
        os._exit(3)

    def strange(self) -> None:
        """Raise an error that can be pickled but not unpickled."""
        raise Strange("one", 2)


class Strange(EngineError):
    """An error with a signature of its own."""

    code = "STRANGE"

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} {number}")


class Unloadable:
    """An engine whose model is missing."""

    def __init__(self) -> None:
        raise ModelError("There is no model.", remedy="Get one.")


@pytest.fixture
async def child() -> AsyncIterator[ChildProcess]:
    one = ChildProcess("counter", Engine)
    await one.start()
    yield one
    await one.close()


async def test_calls_run_in_order_in_another_process(child: ChildProcess) -> None:
    assert await child.call("pid") == child.pid != os.getpid()
    assert await asyncio.gather(*(child.call("add", number) for number in (1, 2, 3))) == [1, 3, 6]


async def test_errors_of_the_child_are_raised_in_the_parent(child: ChildProcess) -> None:
    with pytest.raises(BusyError, match="All lines are busy") as caught:
        await child.call("busy")
    assert caught.value.remedy == "Wait."
    with pytest.raises(EngineError, match="ZeroDivisionError: by zero"):
        await child.call("fail")
    with pytest.raises(EngineError, match="AttributeError"):
        await child.call("nothing")
    assert await child.call("add", 1) == 1, "the child still works"


async def test_an_error_while_loading_is_raised_by_start() -> None:
    child = ChildProcess("unloadable", Unloadable)
    with pytest.raises(ModelError, match="no model") as caught:
        await child.start()
    assert caught.value.remedy == "Get one." and not child.alive
    await child.close()


async def test_printed_output_is_not_read_as_an_answer(child: ChildProcess, capfd: pytest.CaptureFixture[str]) -> None:
    assert await child.call("chatter") == "quiet"
    assert await child.call("add", 1) == 1
    assert capfd.readouterr().out == ""


@needs_signals
@pytest.mark.parametrize(("how", "told"), [("crash", "signal 9"), ("leave", "exit code 3")])
async def test_death_during_a_call_raises_with_its_cause(how: str, told: str) -> None:
    child = ChildProcess("counter", Engine)
    await child.start()
    with pytest.raises(EngineError, match=told):
        await child.call(how)
    assert not child.alive
    with pytest.raises(EngineError, match="has ended"):
        await child.call("add", 1)
    await child.close()


@needs_signals
async def test_death_between_calls_is_noticed(child: ChildProcess) -> None:
    child.kill()
    for _ in range(500):
        if not child.alive:
            break
        await asyncio.sleep(0.01)
    assert not child.alive


async def test_an_unreadable_answer_ends_the_process(child: ChildProcess) -> None:
    with pytest.raises(EngineError, match="counter"):
        await child.call("strange")
    assert not child.alive


async def test_the_child_imports_from_sys_path_not_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "signal.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.py").write_text("class Mine:\n    def name(self): return 'mine'\n")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    child = ChildProcess("mine", importlib.import_module("mine").Mine)
    await child.start()
    assert await child.call("name") == "mine"
    await child.close()


async def test_a_cancelled_call_does_not_disturb_the_next(child: ChildProcess) -> None:
    waiting = asyncio.create_task(child.call("sleep", 0.2))
    await asyncio.sleep(0.05)
    waiting.cancel()
    assert await child.call("add", 1) == 1


async def test_a_child_that_holds_its_gil_does_not_block_the_parent(child: ChildProcess) -> None:
    working, turns = asyncio.create_task(child.call("hold", 0.3)), 0
    while not working.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 50


async def test_close_kills_a_call_that_takes_too_long() -> None:
    child = ChildProcess("counter", Engine)
    await child.start()
    pid = child.pid
    assert pid is not None
    endless = asyncio.create_task(child.call("sleep", 60.0))
    await asyncio.sleep(0.05)
    begun = time.monotonic()
    await child.close()
    await child.close()
    assert time.monotonic() - begun < LEAVES_S + 3
    assert not psutil.pid_exists(pid)
    with pytest.raises(EngineError):
        await endless
    with pytest.raises(EngineError, match="not running"):
        await child.call("add", 1)


@needs_signals
async def test_the_child_ignores_ctrl_c(child: ChildProcess) -> None:
    assert child.pid is not None
    os.kill(child.pid, signal.SIGINT)
    assert await child.call("add", 1) == 1


def test_the_child_ends_when_its_parent_dies() -> None:
    script = (
        "import asyncio, os, signal\n"
        "from mythicd.concurrency.child_process import ChildProcess\n"
        "from tests.concurrency.test_child_process import Engine\n"
        "async def main():\n"
        "    child = ChildProcess('counter', Engine)\n"
        "    await child.start()\n"
        "    print(child.pid, flush=True)\n"
        "    os._exit(9)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 9, done.stderr
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(LEAVES_S)
    assert not psutil.pid_exists(int(done.stdout))
