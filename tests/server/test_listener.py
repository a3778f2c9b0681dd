"""The listening socket: a preferred port gives way to a free one, a demanded port does not."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest

from mythicd.errors import PortTaken
from mythicd.server.listener import listen


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as other:
        return int(other.getsockname()[1])


def test_a_free_port_is_taken_on_the_loopback_only() -> None:
    port = free_port()
    with listen(port) as listener:
        assert listener.getsockname() == ("127.0.0.1", port)
        socket.create_connection(("127.0.0.1", port), 2.0).close()


def test_any_port() -> None:
    with listen(0) as one, listen(0) as other:
        assert one.getsockname()[1] != other.getsockname()[1]


def test_a_demanded_port_that_is_taken_is_an_error(taken: int) -> None:
    with pytest.raises(PortTaken, match=str(taken)) as caught:
        listen(taken)
    assert "--port 0" in caught.value.remedy


def test_a_preferred_port_that_is_taken_gives_way(taken: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), listen(taken, else_any=True) as listener:
        port = listener.getsockname()[1]
        assert port != taken
    assert str(taken) in caplog.text and str(port) in caplog.text


def test_two_daemons_cannot_have_the_same_port() -> None:
    """Also before either serves a request."""
    with listen(0) as first, listen(first.getsockname()[1], else_any=True) as second:
        assert first.getsockname()[1] != second.getsockname()[1]


def test_a_port_is_free_again_after_connections_were_closed_by_us() -> None:
    """It must not give way to its own connections in TIME_WAIT after a restart."""
    with listen(0) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port), 2.0)
        listener.setblocking(True)
        served, _ = listener.accept()
        served.close()
        client.recv(1)
        client.close()
    listen(port).close()
