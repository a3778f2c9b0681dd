"""Discovery: the file that tells clients where the daemon is, and the lock that allows one daemon for each data dir.

`<data>/run/daemon.json` (0600, in a 0700 folder) is replaced atomically at start and removed at a clean stop. It holds
the port and a token that is new at each start, so a program that takes over a dead daemon's port receives only an
expired token. Clients read the file again at each attempt to connect.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO

import msgspec

from mythicd.errors import AlreadyRunning, DaemonUnreachable, DataDirError
from mythicd.paths import discovery_file


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the discovery file: what a client needs to connect."""

    schema: str = "mythic-discovery-v1"
    instance_id: str
    """New at each start; `Welcome` repeats it."""
    pid: int
    started_at: str
    """UTC, ISO 8601."""
    version: str
    host: str = "127.0.0.1"
    port: int
    path: str = "/v1/ws"
    token: str
    protocol: tuple[int, ...] = (1,)
    profile_file: str = ""
    """Path of the profile that the daemon runs."""
    world_dir: str = ""
    """Path of the world's folder that it serves."""

    @property
    def url(self) -> str:
        """The WebSocket's address."""
        return f"ws://{self.host}:{self.port}{self.path}"


def publish(data: Path, discovery: Discovery) -> None:
    """Write the discovery file, readable by this user only. Raises DataDirError."""
    file = discovery_file(data)
    fresh = file.with_suffix(".new")
    try:
        _make_run_dir(data)
        # A file left by a crash may have other permissions, which would stay.
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(discovery), indent=2))
        os.replace(fresh, file)
    except OSError as error:
        raise DataDirError(
            f"Cannot write {file}: {error.strerror}.", remedy="Check the folder's permissions."
        ) from error


def _make_run_dir(data: Path) -> None:
    """Create `<data>/run` for this user only, or correct its permissions. Raises OSError."""
    folder = discovery_file(data).parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if sys.platform != "win32":
        folder.chmod(0o700)


def withdraw(data: Path, instance_id: str) -> None:
    """Remove the discovery file, if it still belongs to this instance."""
    file = discovery_file(data)
    with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeError):
        if msgspec.json.decode(file.read_bytes(), type=Discovery).instance_id == instance_id:
            file.unlink()


def discover(data: Path) -> Discovery:
    """Read the discovery file. Raises DaemonUnreachable when it is missing or damaged."""
    file = discovery_file(data)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Discovery)
    except FileNotFoundError:
        raise DaemonUnreachable(
            f"No daemon is running: {file} does not exist.", remedy="Start one with `mythicd run`."
        ) from None
    except (OSError, msgspec.DecodeError, UnicodeError) as error:
        raise DaemonUnreachable(
            f"{file} cannot be read: {error}.", remedy="Delete it and start the daemon again."
        ) from error


class InstanceLock:
    """The lock of a data dir, held by the daemon that serves it. The operating system frees it even after a crash."""

    def __init__(self, data: Path) -> None:
        self._path = discovery_file(data).with_name("daemon.lock")
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock. Raises AlreadyRunning (naming the holder), or DataDirError when the dir is not writable."""
        try:
            _make_run_dir(self._path.parent.parent)
            file = self._path.open("a+", encoding="utf-8", errors="replace")
            while not self._locked(file):
                file.close()
                file = self._path.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise DataDirError(
                f"The data dir {self._path.parent.parent} cannot be written: {error.strerror}.",
                remedy="Set MYTHIC_HOME to a folder that you own, or fix its permissions.",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def _locked(self, file: IO[str]) -> bool:
        """Lock the file; return False if its last holder has removed it, which makes this lock useless."""
        try:
            _lock(file)
        except OSError:
            file.seek(0)
            holder = file.read(32).strip() or "unknown"
            file.close()
            raise AlreadyRunning(
                f"Another mythicd (pid {holder}) serves {self._path.parent.parent}.",
                remedy="Use that one, stop it first, or set MYTHIC_HOME to another folder.",
            ) from None
        try:
            return os.path.samestat(os.fstat(file.fileno()), os.stat(self._path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Release the lock and remove its file."""
        if self._file is None:
            return
        # Unlinked while held, so that a process that has opened the old file sees in `_locked` that it is gone. On
        # Windows an open file cannot be unlinked, so it is closed first.
        if sys.platform == "win32":
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._file.close()
        self._file = None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        # One byte far after the pid, so that other processes can still read the pid.
        file.seek(1024)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)

else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
