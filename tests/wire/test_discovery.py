"""The discovery file and the lock: one daemon for each data dir, readable by its user only."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
import pytest

from mythicd.errors import AlreadyRunning, DaemonUnreachable, DataDirError
from mythicd.paths import discovery_file
from mythicd.wire import discovery as d

ROOT = Path(__file__).parents[2]
NOWHERE = Path(os.devnull) / "mythic"
"""No user, not even root, can create a folder below a file."""


def described(instance_id: str = "one", port: int = 48140) -> d.Discovery:
    return d.Discovery(
        instance_id=instance_id,
        pid=os.getpid(),
        started_at="2026-01-01T00:00:00Z",
        version="0.1.0",
        port=port,
        token="t" * 43,
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestFile:
    """Published atomically, for this user only, and withdrawn by its owner only."""

    def test_published_and_found(self, tmp_path: Path) -> None:
        d.publish(tmp_path, described())
        assert d.discover(tmp_path) == described()
        assert d.discover(tmp_path).url == "ws://127.0.0.1:48140/v1/ws"

    def test_its_content_for_plugins(self, tmp_path: Path) -> None:
        d.publish(tmp_path, described())
        raw = msgspec.json.decode((tmp_path / "run" / "daemon.json").read_bytes())
        assert raw == {
            "schema": "mythic-discovery-v1",
            "instance_id": "one",
            "pid": os.getpid(),
            "started_at": "2026-01-01T00:00:00Z",
            "version": "0.1.0",
            "host": "127.0.0.1",
            "port": 48140,
            "path": "/v1/ws",
            "token": "t" * 43,
            "protocol": [1],
            "profile_file": "",
            "world_dir": "",
        }

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows guards a profile's folders by access lists")
    def test_for_this_user_only(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            d.publish(tmp_path, described())
        finally:
            os.umask(before)
        assert mode(tmp_path / "run") == 0o700
        assert mode(tmp_path / "run" / "daemon.json") == 0o600

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows guards a profile's folders by access lists")
    def test_wider_permissions_of_old_files_are_corrected(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        run.mkdir()
        run.chmod(0o755)
        for name in ("daemon.json", "daemon.new"):
            (run / name).write_text("old")
            (run / name).chmod(0o644)
        d.publish(tmp_path, described())
        assert mode(run) == 0o700
        assert mode(run / "daemon.json") == 0o600

    def test_replaced_atomically(self, tmp_path: Path) -> None:
        """A concurrent reader sees the old or the new file, never none and never a part."""
        d.publish(tmp_path, described(port=1))
        done = threading.Event()

        def write() -> None:
            for port in range(1, 300):
                d.publish(tmp_path, described(port=port))
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        last = 0
        while not done.is_set():
            port = d.discover(tmp_path).port
            assert port >= last
            last = port
        writer.join()
        assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["daemon.json"]

    def test_withdrawn(self, tmp_path: Path) -> None:
        d.publish(tmp_path, described())
        d.withdraw(tmp_path, "one")
        assert list((tmp_path / "run").iterdir()) == []
        d.withdraw(tmp_path, "one")

    def test_another_daemons_file_is_kept(self, tmp_path: Path) -> None:
        d.publish(tmp_path, described("two"))
        d.withdraw(tmp_path, "one")
        assert d.discover(tmp_path).instance_id == "two"

    def test_no_daemon(self, tmp_path: Path) -> None:
        with pytest.raises(DaemonUnreachable, match=r"daemon\.json does not exist") as caught:
            d.discover(tmp_path)
        assert "mythicd run" in caught.value.remedy

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b'{"port": 1}', b'{"port": "x"}', b"\xff\xfe", b'{"schema": "\xff"}']
    )
    def test_a_damaged_file(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "daemon.json").write_bytes(content)
        with pytest.raises(DaemonUnreachable, match=r"daemon\.json cannot be read") as caught:
            d.discover(tmp_path)
        assert "Delete" in caught.value.remedy
        d.withdraw(tmp_path, "one")
        assert (tmp_path / "run" / "daemon.json").exists()
        d.publish(tmp_path, described())
        assert d.discover(tmp_path) == described()

    def test_where_nothing_can_be_written(self) -> None:
        with pytest.raises(DataDirError, match=str(discovery_file(NOWHERE))) as caught:
            d.publish(NOWHERE, described())
        assert caught.value.remedy


HOLD = """
import sys
from pathlib import Path
from mythicd.wire.discovery import InstanceLock
lock = InstanceLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.readline()
lock.release()
"""


@contextmanager
def holder(data: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


class TestLock:
    """Held by one process at a time, and never longer than that process lives."""

    def test_taken_and_released(self, tmp_path: Path) -> None:
        lock = d.InstanceLock(tmp_path)
        lock.acquire()
        assert (tmp_path / "run" / "daemon.lock").read_text() == str(os.getpid())
        lock.release()
        assert list((tmp_path / "run").iterdir()) == []
        lock.release()
        lock.acquire()
        lock.release()

    def test_a_second_daemon_is_refused_with_the_first_ones_pid(self, tmp_path: Path) -> None:
        with holder(tmp_path) as first:
            with pytest.raises(AlreadyRunning, match=rf"pid {first.pid}") as caught:
                d.InstanceLock(tmp_path).acquire()
            assert "MYTHIC_HOME" in caught.value.remedy
            first.communicate("\n", timeout=10)
            assert first.returncode == 0
            lock = d.InstanceLock(tmp_path)
            lock.acquire()
            lock.release()

    def test_a_refused_daemon_does_not_disturb_the_holder(self, tmp_path: Path) -> None:
        with holder(tmp_path) as first:
            refused = d.InstanceLock(tmp_path)
            with pytest.raises(AlreadyRunning):
                refused.acquire()
            refused.release()
            assert (tmp_path / "run" / "daemon.lock").read_text() == str(first.pid)
            with pytest.raises(AlreadyRunning):
                d.InstanceLock(tmp_path).acquire()

    @pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
    def test_freed_when_its_holder_is_killed(self, tmp_path: Path) -> None:
        with holder(tmp_path) as first:
            first.send_signal(signal.SIGKILL)
            first.wait(10)
            lock = d.InstanceLock(tmp_path)
            lock.acquire()
            assert (tmp_path / "run" / "daemon.lock").read_text() == str(os.getpid())
            lock.release()

    @pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be unlinked there")
    def test_a_lock_on_a_removed_file_is_retried(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second daemon opens the file just before the first one, stopping, removes it; then a third one comes."""
        first, second, third = (d.InstanceLock(tmp_path) for _ in range(3))
        first.acquire()
        real, calls = d._lock, 0

        def late(file: IO[str]) -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                first.release()
            real(file)

        monkeypatch.setattr(d, "_lock", late)
        second.acquire()
        assert calls == 2
        with pytest.raises(AlreadyRunning):
            third.acquire()
        second.release()

    def test_a_damaged_lock_file_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "daemon.lock").write_bytes(b"\xff\xfe" * 100)
        lock = d.InstanceLock(tmp_path)
        lock.acquire()
        assert (tmp_path / "run" / "daemon.lock").read_text() == str(os.getpid())
        lock.release()

    def test_where_nothing_can_be_written(self) -> None:
        with pytest.raises(DataDirError, match="Not a directory") as caught:
            d.InstanceLock(NOWHERE).acquire()
        assert "MYTHIC_HOME" in caught.value.remedy
