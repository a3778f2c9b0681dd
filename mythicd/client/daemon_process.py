"""The daemon that a command needs: the one that runs, or one started for the command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import psutil
from rich.console import Console

from mythicd.errors import AlreadyRunning, DaemonError, DaemonUnreachable
from mythicd.paths import find
from mythicd.wire.discovery import Discovery, discover

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
"""How long the daemon may take to stop before it is killed; it needs less than two seconds."""
CONNECT_TIMEOUT_S = 2.0
EXPLAINED = (1, 2)
"""Exit codes of a daemon that has printed what was wrong: an error, or wrong usage."""


class DaemonStopped(Exception):
    """The daemon that was started here did not start. It has printed why: nothing is left to say."""


@contextlib.asynccontextmanager
async def running_daemon(
    data: Path, wanted: Mapping[str, str], arguments: Sequence[str], console: Console
) -> AsyncIterator[Discovery]:
    """Start a daemon unless one is running; stop it after the block if it was started here.

    `wanted` may name a `world` and a `profile`. Raises AlreadyRunning when a running daemon serves others, DaemonError,
    or DaemonStopped.
    """
    where = _running(data)
    if where is not None:
        check_served(where, data, wanted)
        yield where
        return
    chosen = [part for key, value in wanted.items() for part in (f"--{key}", value)]
    # Any port: this daemon is found by its discovery file, and the preferred port is left to a game's.
    command = [sys.executable, "-m", "mythicd", "run", "--headless", "--port", "0", "--data", str(data)]
    process = await asyncio.create_subprocess_exec(*command, *chosen, *arguments, stdin=asyncio.subprocess.DEVNULL)
    try:
        with console.status("starting mythicd …"):
            where = await _ready(data, process)
        yield where
    finally:
        await _stop(process)


def _running(data: Path) -> Discovery | None:
    """Return where the running daemon of a data dir is; None when there is none, or only the file of one that died."""
    try:
        where = discover(data)
    except DaemonUnreachable:
        return None
    if not psutil.pid_exists(where.pid):
        return None
    try:  # its process id may be another program's by now
        socket.create_connection((where.host, where.port), CONNECT_TIMEOUT_S).close()
    except OSError:
        return None
    return where


def check_served(where: Discovery, data: Path, wanted: Mapping[str, str]) -> None:
    """Raise AlreadyRunning when the daemon serves another world, or runs another profile, than is wanted; ConfigError
    when there is no such world or profile."""
    for key, served in (("world", where.world_dir), ("profile", where.profile_file)):
        name = wanted.get(key)
        if name is None or not served or (key == "profile" and name == "auto"):
            continue
        if not _is_same(find(f"{key}s", name, data), Path(served)):
            raise AlreadyRunning(
                f"The mythicd that is running for {data} (pid {where.pid}) has the {key} {served}, not {name!r}.",
                remedy=f"Stop it first, leave --{key} out to use it, or give another data dir with --data.",
            )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # what the daemon serves was removed
        return one.resolve() == other


async def _ready(data: Path, process: asyncio.subprocess.Process) -> Discovery:
    """Wait until the daemon of `process` is ready; return where it is. Raises DaemonError or DaemonStopped."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.returncode in EXPLAINED:
            raise DaemonStopped
        if process.returncode is not None:
            raise DaemonError(
                f"mythicd ended with exit code {process.returncode} while it was starting.",
                remedy="Run `mythicd run --log debug` and read its log.",
            )
        with contextlib.suppress(DaemonUnreachable):
            where = discover(data)
            if where.pid == process.pid:
                return where
        await asyncio.sleep(0.05)
    raise DaemonError(
        f"mythicd was not ready within {START_TIMEOUT_S:.0f} s: it did not write its discovery file in {data}.",
        remedy="Run `mythicd run` and read its log.",
    )


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
