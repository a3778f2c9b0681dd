"""Invalid input: a clear error, and the next turn still works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from mythicd.client.daemon_client import DaemonClient
from mythicd.wire import codec, frames
from mythicd.wire import messages as m
from tests.daemon import process
from tests.daemon.process import DaemonProcess


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def bearer(daemon: DaemonProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {daemon.where.token}"}


async def open_socket(daemon: DaemonProcess, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    """Open a socket without sending Hello."""
    return await http.ws_connect(daemon.where.url, headers=bearer(daemon), max_msg_size=0)


async def greeted(daemon: DaemonProcess, http: aiohttp.ClientSession, name: str) -> aiohttp.ClientWebSocketResponse:
    """Open a socket, send Hello, and receive Welcome and Status."""
    socket = await open_socket(daemon, http)
    await socket.send_str(codec.encode(process.hello(name)))
    assert isinstance(codec.decode_server((await socket.receive(5)).data), m.Welcome)
    assert isinstance(codec.decode_server((await socket.receive(5)).data), m.Status)
    return socket


async def error_from(socket: aiohttp.ClientWebSocketResponse) -> m.Error:
    message = codec.decode_server((await socket.receive(5)).data)
    assert isinstance(message, m.Error), message
    assert message.remedy
    return message


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "TOKEN"),
        ({"Authorization": "Bearer wrong"}, 401, "TOKEN"),
        ({"Authorization": "Bearer ünïcode"}, 401, "TOKEN"),
        ({"Origin": "https://example.com", "Authorization": "right"}, 403, "ORIGIN"),
        ({"Origin": "null", "Authorization": "right"}, 403, "ORIGIN"),
        ({"Host": "evil.example.com", "Authorization": "right"}, 421, "HOST"),
        ({"Host": "127.0.0.1:1", "Authorization": "right"}, 421, "HOST"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/ws", "/readyz", "/nowhere"])
async def test_requests_are_checked_before_their_route(
    daemon: DaemonProcess, http: aiohttp.ClientSession, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    if headers.get("Authorization") == "right":
        headers = {**headers, **bearer(daemon)}
    async with http.get(daemon.base + path, headers=headers) as response:
        assert response.status == status
        answer: dict[str, Any] = await response.json()
        assert answer["code"] == code
        assert answer["remedy"]


async def test_the_token_may_come_as_a_subprotocol(daemon: DaemonProcess, http: aiohttp.ClientSession) -> None:
    protocols = ("mythic.v1", f"mythic.token.{daemon.where.token}")
    async with http.ws_connect(daemon.where.url, protocols=protocols) as socket:
        assert socket.protocol == "mythic.v1"
    with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
        await http.ws_connect(daemon.where.url, protocols=("mythic.v1", "mythic.token.wrong"))


async def test_health_needs_no_token(daemon: DaemonProcess, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{daemon.base}/healthz") as response:
        assert response.status == 200
    async with http.get(f"{daemon.base}/readyz", headers=bearer(daemon)) as response:
        assert (response.status, (await response.json())["ready"]) == (200, True)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("not json", "BAD_MESSAGE", "not JSON"),
        ('{"type":"Dance"}', "BAD_MESSAGE", "'Dance'"),
        ('{"type":"TextInput","npc_id":"barkeep_01"}', "BAD_MESSAGE", "`text`"),
        ('{"type":"TextInput","npc_id":"nobody","text":"hi"}', "UNKNOWN_NPC", "'nobody'"),
        ('{"type":"Attend","npc_id":"nobody"}', "UNKNOWN_NPC", "'nobody'"),
        ('{"type":"MicStop","stream":77}', "UNKNOWN_STREAM", "77"),
        ('{"type":"MicStart","stream":78}', "BAD_MESSAGE", "names no character"),
        ('{"type":"Playhead","stream":99,"played_samples":1}', "UNKNOWN_STREAM", "99"),
        ('{"type":"TextInput","npc_id":"barkeep_01","text":"\\ud83d"}', "BAD_MESSAGE", "a lone surrogate"),
        ('{"type":"TextInput","npc_id":"barkeep_01","text":" \\n "}', "BAD_MESSAGE", "blanks"),
        ('{"type":"TextInput","npc_id":"barkeep_01","text":"' + "x" * 3000 + '"}', "BAD_MESSAGE", "2000"),
        ('{"type":"MicStart","stream":79,"sample_rate":48000}', "BAD_MESSAGE", "48000"),
        ('{"type":"Attend","npc_id":"my barkeep"}', "BAD_MESSAGE", "'my barkeep'"),
        ('{"type":"Attend","npc_id":"barkeep_01","x":' + "[" * 30000 + "]" * 30000 + "}", "BAD_MESSAGE", "nested"),
    ],
)
async def test_bad_messages_are_answered_and_survived(
    daemon: DaemonProcess, http: aiohttp.ClientSession, text: str, code: str, says: str
) -> None:
    socket = await greeted(daemon, http, "bad-messages")
    await socket.send_str(text)
    error = await error_from(socket)
    assert (error.code, says in error.message) == (code, True), error
    await socket.send_str('{"type":"Attend","npc_id":"barkeep_01"}')
    await socket.send_str('{"type":"Attend","npc_id":"still_here"}')
    assert (await error_from(socket)).code == "UNKNOWN_NPC", "the connection stays open"
    await socket.close()


@pytest.mark.parametrize(
    ("frame", "code", "close"),
    [
        (b"XX" + bytes(22), "BAD_FRAME", 4400),
        (b"MY\x02" + bytes(21), "BAD_FRAME", 4400),
        (b"short", "BAD_FRAME", 4400),
        (frames.pack_frame(frames.Frame(1, 1, 0, 0, b"odd")), "BAD_FRAME", 4400),
        (frames.pack_frame(frames.Frame(1, 1, 0, 0, bytes(5 * 1024 * 1024))), "TOO_LARGE", 1009),
    ],
    ids=["magic", "version", "short", "odd", "5 MiB"],
)
async def test_bad_frames_close_with_a_reason(
    daemon: DaemonProcess, http: aiohttp.ClientSession, frame: bytes, code: str, close: int
) -> None:
    socket = await greeted(daemon, http, "bad-frames")
    await socket.send_bytes(frame)
    assert (await error_from(socket)).code == code
    assert (await socket.receive(5)).type is aiohttp.WSMsgType.CLOSE
    assert socket.close_code == close


async def test_a_frame_of_an_unknown_stream_is_reported_once(
    daemon: DaemonProcess, http: aiohttp.ClientSession
) -> None:
    socket = await greeted(daemon, http, "unknown-stream")
    for _ in range(3):
        await socket.send_bytes(frames.pack_frame(frames.Frame(1, 9, 0, 0, b"\0\0")))
    assert (await error_from(socket)).code == "UNKNOWN_STREAM"
    await socket.send_str('{"type":"Attend","npc_id":"nobody"}')
    assert (await error_from(socket)).code == "UNKNOWN_NPC"
    await socket.close()


async def test_a_two_megabyte_string(daemon: DaemonProcess, http: aiohttp.ClientSession) -> None:
    socket = await greeted(daemon, http, "huge")
    await socket.send_str('{"type":"TextInput","npc_id":"barkeep_01","text":"' + "a" * 2_000_000 + '"}')
    assert (await error_from(socket)).code == "TOO_LARGE"
    assert (await socket.receive(5)).type is aiohttp.WSMsgType.CLOSE
    assert socket.close_code == 1009


async def test_hello_must_come_first_and_in_our_version(daemon: DaemonProcess, http: aiohttp.ClientSession) -> None:
    socket = await open_socket(daemon, http)
    await socket.send_str('{"type":"Attend","npc_id":"barkeep_01"}')
    assert (await error_from(socket)).code == "HELLO_EXPECTED"
    assert (await socket.receive(5)).data == 4400
    socket = await open_socket(daemon, http)
    await socket.send_str('{"type":"Hello","game":"g","schema_version":"v7"}')
    assert (await error_from(socket)).code == "VERSION"
    assert (await socket.receive(5)).data == 4406


async def test_a_client_that_vanishes_in_the_middle_of_a_turn(
    daemon: DaemonProcess, http: aiohttp.ClientSession
) -> None:
    for name in ("listening", "thinking", "speaking"):
        socket = await greeted(daemon, http, f"vanish-{name}")
        if name == "listening":
            await socket.send_str('{"type":"MicStart","stream":1,"npc_id":"barkeep_01"}')
            await socket.send_bytes(frames.pack_frame(frames.Frame(1, 1, 0, 0, bytes(640))))
        else:
            await socket.send_str('{"type":"TextInput","npc_id":"barkeep_01","text":"When does the tavern open?"}')
        if name == "speaking":
            while (await socket.receive(10)).type is not aiohttp.WSMsgType.BINARY:
                pass
        transport = socket.get_extra_info("socket")
        assert transport is not None
        socket._response.connection.transport.abort()  # type: ignore[union-attr]
        await asyncio.sleep(0.05)
    async with await DaemonClient.connect(daemon.data, process.hello("after-vanish")) as client:
        await client.send(m.TextInput(npc_id="barkeep_01", text="Hello there!"))
        assert isinstance((await client.turn())[-1], m.TurnTimeline)


async def test_a_second_client_of_the_same_playthrough_takes_over(daemon: DaemonProcess) -> None:
    async with await DaemonClient.connect(daemon.data, process.hello("twice")) as first:
        async with await DaemonClient.connect(daemon.data, process.hello("twice")) as second:
            await second.send(m.TextInput(npc_id="barkeep_01", text="Hello there!"))
            assert isinstance((await second.turn())[-1], m.TurnTimeline)
            del first
