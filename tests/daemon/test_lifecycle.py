"""Start and stop of the daemon, and errors of its data dir, port, model and world."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mythicd.client.daemon_client import DaemonClient
from mythicd.errors import DaemonUnreachable
from mythicd.wire import messages as m
from mythicd.wire.discovery import discover
from tests.daemon import process


def run_daemon(*arguments: str, data: Path, timeout: float = 60) -> tuple[int, str]:
    """Run `mythicd run` until it ends by itself; return exit code and output."""
    done = subprocess.run(
        [sys.executable, "-m", "mythicd", "run", "--headless", "--data", str(data), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.realtime
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_within_two_seconds_and_leaves_only_its_data(tmp_path: Path, number: int) -> None:
    daemon = process.start(tmp_path / "data")
    assert (daemon.data / "run" / "daemon.json").stat().st_mode & 0o777 == 0o600
    assert daemon.stop(number) < 2.0
    assert daemon.process.returncode == 0
    left = {str(path.relative_to(daemon.data)) for path in daemon.data.rglob("*") if path.is_file()}
    assert {name for name in left if not name.startswith("models/")} == {"memory.db"}, left
    with pytest.raises(DaemonUnreachable):
        discover(daemon.data)


@pytest.mark.realtime
async def test_it_stops_within_two_seconds_in_the_middle_of_a_turn(tmp_path: Path) -> None:
    daemon = process.start(tmp_path / "data")
    async with await DaemonClient.connect(daemon.data, process.hello("stop")) as client:
        await client.send(m.TextInput(npc_id="barkeep_01", text="Tell me about the tavern."))
        async for message in client.events():
            if isinstance(message, m.StreamStart):
                break
        assert daemon.stop() < 2.0
    assert daemon.process.returncode == 0


def test_two_daemons_of_one_data_dir(tmp_path: Path) -> None:
    daemon = process.start(tmp_path / "data")
    code, output = run_daemon("--port", "0", data=daemon.data)
    assert code == 1
    assert f"pid {daemon.process.pid}" in output and "AlreadyRunning" in output
    assert discover(daemon.data).pid == daemon.process.pid
    daemon.stop()


def test_a_killed_daemon_can_be_replaced(tmp_path: Path) -> None:
    daemon = process.start(tmp_path / "data")
    daemon.process.kill()
    daemon.process.wait()
    again = process.start(tmp_path / "data")
    assert again.where.token != daemon.where.token
    again.stop()


def test_a_demanded_port_that_is_taken_is_told_before_the_engines_are_loaded(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    # A model that is missing would be the error if the port came later.
    (data / "config.yaml").write_text(f"gpu: {{llm_model: {tmp_path / 'missing.gguf'}}}\n")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, output = run_daemon("--port", str(port), data=data)
    assert code == 1
    assert "PortTaken" in output and f"Port {port}" in output and "--port 0" in output
    assert "missing.gguf" not in output and "Traceback" not in output
    assert not (data / "run" / "daemon.json").exists()


async def test_two_data_dirs_with_one_preferred_port_run_side_by_side(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = []
    for name in ("one", "two"):
        data = tmp_path / name
        data.mkdir()
        (data / "config.yaml").write_text(f"server: {{port: {port}}}\n")
        running.append(process.start(data, port=None))
    first, second = running
    assert first.where.port == port != second.where.port
    log = (tmp_path / "two.log").read_text()
    assert f"port {port} " in log and f"port {second.where.port}" in log
    for daemon in running:
        async with await DaemonClient.connect(daemon.data, process.hello("side-by-side")) as client:
            assert client.welcome.instance_id == daemon.where.instance_id
        daemon.stop()


def test_the_discovery_file_says_what_is_served(tmp_path: Path, world: Path) -> None:
    daemon = process.start(tmp_path / "data", world)
    assert Path(daemon.where.world_dir) == world.resolve()
    assert Path(daemon.where.profile_file).name == "starter.yaml"
    daemon.stop()


@pytest.mark.parametrize("port", ["70000", "-1"])
def test_an_impossible_port_is_explained(tmp_path: Path, port: str) -> None:
    code, output = run_daemon(f"--port={port}", data=tmp_path / "data")
    assert code == 1 and "server.port" in output and "Traceback" not in output


def test_a_data_dir_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, output = run_daemon(data=tmp_path / "file" / "data")
    assert code == 1
    assert "DataDirError" in output and str(tmp_path / "file" / "data") in output and "MYTHIC_HOME" in output


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "starter-x.gguf"),
        (b"%PDF-1.7 not a model", "GGUF"),
        (b"GGUF" + os.urandom(64), "starter-x.gguf"),
    ],
    ids=["missing", "a PDF", "corrupt"],
)
def test_an_invalid_language_model_is_explained(tmp_path: Path, content: bytes | None, says: str) -> None:
    model = tmp_path / "starter-x.gguf"
    if content is not None:
        model.write_bytes(content)
    data = tmp_path / "data"
    data.mkdir()
    (data / "config.yaml").write_text(f"gpu: {{llm_model: {model}}}\n")
    code, output = run_daemon("--port", "0", data=data)
    assert code == 1, output
    assert says in output and "Traceback" not in output


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("world.yaml", lambda text: text.replace("title:", "titel:"), "Did you mean 'title'"),
        ("world.yaml", lambda text: text + "\ntopics: 7\n", "topics"),
        ("world.yaml", lambda text: "title:\tT\n\trules: x\n", "tabs"),
        ("world.yaml", lambda text: "", "world.yaml"),
        ("world.yaml", lambda text: "title: [", "world.yaml"),
    ],
    ids=["misspelt key", "wrong type", "tab", "empty", "not YAML"],
)
def test_an_invalid_world_is_explained(tmp_path: Path, world: Path, file: str, change: object, says: str) -> None:
    assert callable(change)
    (world / file).write_text(change((world / file).read_text()))
    code, output = run_daemon("--port", "0", "--world", str(world), data=tmp_path / "data")
    assert code == 1
    assert says in output and file.split("/")[-1] in output and "Traceback" not in output


async def test_a_world_without_lore_runs_with_a_notice(tmp_path: Path, world: Path) -> None:
    for file in (world / "lore").glob("*.yaml"):
        file.unlink()
    daemon = process.start(tmp_path / "data", world)
    async with await DaemonClient.connect(daemon.data, process.hello("no-lore")) as client:
        await client.send(m.TextInput(npc_id="barkeep_01", text="When does the tavern close?"))
        turn = await client.turn()
        status = next(message for message in turn if isinstance(message, m.Status))
        assert any("no lore" in notice for notice in status.notices)
        assert isinstance(turn[-1], m.TurnTimeline)
    daemon.stop()


def test_unknown_profile_and_world(tmp_path: Path) -> None:
    code, output = run_daemon("--profile", "gpu-99gb", data=tmp_path / "data")
    assert code == 1 and "gpu-99gb" in output
    code, output = run_daemon("--world", "atlantis", data=tmp_path / "data")
    assert code == 1 and "atlantis" in output


@pytest.mark.realtime
async def test_thirty_turns_leak_no_memory(tmp_path: Path) -> None:
    daemon = process.start(tmp_path / "data")
    measured = psutil.Process(daemon.process.pid)

    async def turns(client: DaemonClient, count: int) -> None:
        for index in range(count):
            question = ("When does the tavern close?", "Where is the market?", "Who are you?")[index % 3]
            await client.send(m.TextInput(npc_id="barkeep_01", text=question))
            assert isinstance((await client.turn())[-1], m.TurnTimeline)

    async with await DaemonClient.connect(daemon.data, process.hello("leak"), speed=20.0) as client:
        await turns(client, 10)
        before = measured.memory_info().rss
        await turns(client, 20)
        grown = (measured.memory_info().rss - before) / 1e6
    daemon.stop()
    assert grown < 10, f"{grown:.1f} MB in 20 turns"
