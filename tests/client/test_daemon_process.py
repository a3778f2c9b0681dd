"""The daemon of a command: the one that runs, if it serves what is wanted, or one started for the command."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from mythicd.client import daemon_process
from mythicd.client.daemon_process import DaemonStopped, _ready, _running, _stop, check_served, running_daemon
from mythicd.errors import AlreadyRunning, ConfigError, DaemonError
from mythicd.wire.discovery import Discovery, publish

ROOT = Path(__file__).parents[2]
LANTERNPORT = ROOT / "worlds" / "lanternport"
STARTER = ROOT / "profiles" / "starter.yaml"


def described(port: int = 1, pid: int | None = None, **fields: str) -> Discovery:
    return Discovery(
        instance_id="one", pid=pid or os.getpid(), started_at="", version="0", port=port, token="t", **fields
    )


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class TestServed:
    """A running daemon is used only for the world and profile that are wanted."""

    served = described(profile_file=str(STARTER), world_dir=str(LANTERNPORT))

    @pytest.mark.parametrize(
        "wanted",
        [
            {},
            {"world": "lanternport"},
            {"world": str(LANTERNPORT), "profile": "starter"},
            {"world": str(LANTERNPORT / ".." / "lanternport"), "profile": str(STARTER)},
        ],
    )
    def test_the_same_is_used(self, tmp_path: Path, wanted: dict[str, str]) -> None:
        check_served(self.served, tmp_path, wanted)

    @pytest.mark.parametrize("key", ["world", "profile"])
    def test_another_is_refused(self, tmp_path: Path, key: str) -> None:
        other = tmp_path / "worlds" / "other" if key == "world" else tmp_path / "profiles" / "other.yaml"
        other.parent.mkdir()
        other.write_text("")
        with pytest.raises(AlreadyRunning, match=f"{os.getpid()}.*{key}.*'other'") as caught:
            check_served(self.served, tmp_path, {key: "other"})
        assert f"--{key}" in caught.value.remedy and "--data" in caught.value.remedy

    def test_an_unknown_world_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="atlantis"):
            check_served(self.served, tmp_path, {"world": "atlantis"})

    def test_a_world_that_was_removed_is_another(self, tmp_path: Path) -> None:
        served = described(world_dir=str(tmp_path / "gone"))
        with pytest.raises(AlreadyRunning, match="gone"):
            check_served(served, tmp_path, {"world": "lanternport"})

    def test_a_daemon_that_does_not_say_is_used(self, tmp_path: Path) -> None:
        check_served(described(), tmp_path, {"world": "lanternport"})


class TestRunning:
    """A discovery file alone is not a daemon."""

    def test_none_without_a_file(self, tmp_path: Path) -> None:
        assert _running(tmp_path) is None

    def test_found_when_it_listens(self, tmp_path: Path, port: int) -> None:
        publish(tmp_path, described(port))
        assert _running(tmp_path) == described(port)

    def test_none_when_its_process_is_gone(self, tmp_path: Path, port: int) -> None:
        publish(tmp_path, described(port, pid=2**22 + 1))
        assert _running(tmp_path) is None

    def test_none_when_its_process_id_is_anothers_now(self, tmp_path: Path, port: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            free = listener.getsockname()[1]
        publish(tmp_path, described(free))
        assert _running(tmp_path) is None


async def process_of(program: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)


class TestStart:
    """A daemon that does not start is told once."""

    async def test_one_that_explained_itself_needs_no_second_error(self, tmp_path: Path) -> None:
        process = await process_of("raise SystemExit(1)")
        with pytest.raises(DaemonStopped):
            await _ready(tmp_path, process)

    async def test_one_that_was_killed_is_reported(self, tmp_path: Path) -> None:
        process = await process_of("import os; os.kill(os.getpid(), 9)")
        with pytest.raises(DaemonError, match="-9"):
            await _ready(tmp_path, process)

    async def test_one_that_takes_too_long_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(daemon_process, "START_TIMEOUT_S", 0.2)
        process = await process_of("import time; time.sleep(60)")
        with pytest.raises(DaemonError, match=str(tmp_path)):
            await _ready(tmp_path, process)
        await _stop(process)
        assert process.returncode is not None

    async def test_one_that_does_not_stop_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(daemon_process, "STOP_TIMEOUT_S", 0.2)
        process = await process_of(
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
        )
        assert process.stdout is not None
        await process.stdout.readline()
        await _stop(process)
        assert process.returncode == -9

    async def test_an_unknown_world_is_told_by_the_daemon_alone(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(DaemonStopped):
            async with running_daemon(tmp_path, {"world": "atlantis"}, (), Console()):
                raise AssertionError("it has no world to serve")
        assert capfd.readouterr().err.count("atlantis'") == 1
