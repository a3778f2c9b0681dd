"""One daemon for all tests that do not change it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mythicd.client.daemon_client import DaemonClient
from tests.daemon import process


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[process.DaemonProcess]:
    """A running daemon with the sample world; it must still run at the end."""
    running = process.start(tmp_path_factory.mktemp("mythic") / "data")
    yield running
    assert running.process.poll() is None, "the daemon died during the tests"
    running.stop()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[process.DaemonProcess]:
    """A running daemon with the engines that it chooses by itself: Whisper and Piper."""
    running = process.start(tmp_path_factory.mktemp("real") / "data", process.WORLD, "--profile", "auto")
    yield running
    assert running.process.poll() is None, "the daemon died during the tests"
    running.stop()


@pytest.fixture
async def real_client(real: process.DaemonProcess, request: pytest.FixtureRequest) -> AsyncIterator[DaemonClient]:
    """A client of the real engines with a playthrough of its own."""
    async with await DaemonClient.connect(real.data, process.hello(_name(request))) as connected:
        yield connected


@pytest.fixture
async def client(daemon: process.DaemonProcess, request: pytest.FixtureRequest) -> AsyncIterator[DaemonClient]:
    """A client with a playthrough of its own."""
    async with await DaemonClient.connect(daemon.data, process.hello(_name(request))) as connected:
        yield connected


def _name(request: pytest.FixtureRequest) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:60]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A copy of the sample world."""
    return process.own_world(tmp_path / "world")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: all of them run the daemon with its engines."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.engine)
