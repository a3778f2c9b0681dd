"""The opening handshakes that clients really send, byte for byte, and what the daemon answers (RFC 6455, 4.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mythicd.character.environment import Engines
from mythicd.config.settings import Settings
from mythicd.server.gateway import Gateway, is_local_origin, names_this_machine
from mythicd.world.hot_reload import WorldFiles
from mythicd.world.live_world import LiveWorld
from mythicd.world.sessions import Sessions
from tests.fakes import FakeAsr, FakeLlm, FakeStore, FakeTts, FakeVad

ROOT = Path(__file__).parents[2]
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

CLIENTS = {
    "libwebsockets (Unreal)": (
        "GET /v1/ws HTTP/1.1\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nHost: 127.0.0.1\r\n"
        "Origin: http://127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + KEY + "TOKEN\r\n"
    ),
    "libwebsockets with a port": (
        "GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nOrigin: http://127.0.0.1:PORT\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\n" + KEY + "TOKEN\r\n"
    ),
    ".NET ClientWebSocket (Unity)": (
        "GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nTOKENConnection: Upgrade\r\nUpgrade: websocket\r\n"
        + KEY
        + "Sec-WebSocket-Protocol: mythic.v1\r\n\r\n"
    ),
    "Node ws": (
        "GET /v1/ws HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nTOKEN"
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nHost: localhost:PORT\r\n\r\n"
    ),
    "Node undici": (
        "GET /v1/ws HTTP/1.1\r\nhost: localhost:PORT\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\naccept: */*\r\n"
        "accept-language: *\r\nsec-fetch-mode: websocket\r\nuser-agent: node\r\nTOKEN\r\n"
    ),
    "websocket-client (Python)": (
        "GET /v1/ws HTTP/1.1\r\nUpgrade: websocket\r\nHost: localhost:PORT\r\nOrigin: http://localhost:PORT\r\n"
        + KEY
        + "Connection: Upgrade\r\nTOKEN\r\n"
    ),
    "websocket-client, upper case": (
        "GET /v1/ws HTTP/1.1\r\nUpgrade: websocket\r\nHost: LOCALHOST:PORT\r\nOrigin: HTTP://LOCALHOST\r\n"
        + KEY
        + "Connection: Upgrade\r\nTOKEN\r\n"
    ),
    "IPv6 loopback name": (
        "GET /v1/ws HTTP/1.1\r\nHost: [::1]:PORT\r\nOrigin: http://[::1]:PORT\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\n" + KEY + "TOKEN\r\n"
    ),
    "a page of this machine in a browser": (
        "GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nConnection: Upgrade\r\nPragma: no-cache\r\n"
        "Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0\r\nUpgrade: websocket\r\nOrigin: http://localhost:3000\r\n"
        "Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        "Sec-WebSocket-Protocol: mythic.v1, mythic.token.SECRET\r\n\r\n"
    ),
}
"""Client -> its handshake; TOKEN is the line with the token, PORT the daemon's port."""

BROWSER = (
    "GET /v1/ws HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + KEY
)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A real gateway in front of fake engines."""
    engines: Any = (FakeVad(), FakeAsr(), FakeLlm(), FakeTts(), FakeStore(), None, None)
    world = LiveWorld(WorldFiles(ROOT / "worlds" / "lanternport"), Engines(*engines), Settings(), notices=[])
    sessions = Sessions(world)
    gateway = Gateway(sessions, instance_id="id")
    await gateway.start(0)
    yield gateway
    await gateway.stop()
    await sessions.close()
    await world.close()


async def answer(gateway: Gateway, request: str) -> tuple[int, str]:
    """Send a raw request; return the status and what came with it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(request.encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status = int(head.split(" ", 2)[1])
    body = "" if status == 101 else (await asyncio.wait_for(reader.read(500), 5)).decode()
    writer.close()
    return status, head + body


def filled(gateway: Gateway, request: str, token: str | None = None) -> str:
    line = "" if token == "" else f"Authorization: Bearer {token or gateway.token}\r\n"
    return (
        request.replace("PORT", str(gateway.port))
        .replace("TOKEN", line)
        .replace("SECRET", gateway.token if token is None else token)
    )


@pytest.mark.parametrize("client", CLIENTS)
async def test_client_with_the_token_is_let_in(gateway: Gateway, client: str) -> None:
    status, head = await answer(gateway, filled(gateway, CLIENTS[client]))
    assert status == 101
    assert "s3pplmbitxaq9kygzzhzrbk+xoo=" in head.lower(), "the accept key of RFC 6455, 1.3"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("token", ["", "wrong"])
async def test_client_without_the_token_is_not(gateway: Gateway, client: str, token: str) -> None:
    status, body = await answer(gateway, filled(gateway, CLIENTS[client], token))
    assert status == 401 and '"TOKEN"' in body


@pytest.mark.parametrize(
    ("host", "origin", "status", "code"),
    [
        ("127.0.0.1:PORT", "https://example.com", 403, "ORIGIN"),
        ("127.0.0.1:PORT", "null", 403, "ORIGIN"),
        ("127.0.0.1:PORT", "http://127.0.0.1.example.com", 403, "ORIGIN"),
        ("127.0.0.1:PORT", "http://localhost.example.com:PORT", 403, "ORIGIN"),
        ("127.0.0.1:PORT", "http://example.com@127.0.0.1", 403, "ORIGIN"),
        ("127.0.0.1:PORT", "http://192.168.0.7", 403, "ORIGIN"),
        ("127.0.0.1:PORT", "file://", 403, "ORIGIN"),
        ("127.0.0.1:PORT", "", 403, "ORIGIN"),
        ("evil.example.com", "http://127.0.0.1", 421, "HOST"),
        ("evil.example.com:PORT", "http://evil.example.com:PORT", 421, "HOST"),
        ("127.0.0.1:1", "http://127.0.0.1", 421, "HOST"),
        ("localhost.:PORT", "http://localhost", 421, "HOST"),
    ],
)
async def test_foreign_host_or_origin_stays_out(
    gateway: Gateway, host: str, origin: str, status: int, code: str
) -> None:
    request = BROWSER.format(host=host, origin=origin) + "TOKEN\r\n"
    got, body = await answer(gateway, filled(gateway, request))
    assert got == status and f'"{code}"' in body


def test_names_of_this_machine() -> None:
    assert all(names_this_machine(host, 48140) for host in ("127.0.0.1", "LocalHost:48140", "[::1]", " localhost "))
    assert not any(
        names_this_machine(host, 48140) for host in ("", "0.0.0.0", "127.0.0.1:80", "127.1", "::1", "a.localhost")
    )
    assert all(map(is_local_origin, ("http://localhost", "https://127.0.0.1:9", "WS://[::1]:1")))
    assert not any(
        map(
            is_local_origin, ("localhost", "http://", "http://127.0.0.1/", "http://localhost:x", "chrome-extension://a")
        )
    )
