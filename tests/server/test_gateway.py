"""A connection's two send queues and its close: control overtakes media, and a client that does not read is cut off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mythicd.server.connection import CLOSE_TOO_SLOW, GOODBYE_S, MAX_CONTROL, MAX_MEDIA, Connection
from mythicd.wire import codec, frames
from mythicd.wire import messages as m
from tests.virtual_time import run


class FakeSocket:
    """Accepts what is sent, unless it is blocked."""

    def __init__(self) -> None:
        self.closed = False
        self.close_code: int | None = None
        self.sent: list[str | bytes] = []
        self.free = asyncio.Event()
        self.free.set()

    async def send_str(self, data: str) -> None:
        await self.free.wait()
        self.sent.append(data)

    async def send_bytes(self, data: bytes) -> None:
        await self.free.wait()
        self.sent.append(data)

    async def close(self, *, code: int, message: bytes) -> None:
        await self.free.wait()
        self.closed, self.close_code = True, code


class FakeTransport(asyncio.Transport):
    """Records that it was aborted."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True


class Line:
    """A connection with its writer running."""

    def __init__(self) -> None:
        self.socket, self.transport = FakeSocket(), FakeTransport()
        socket: Any = self.socket
        self.connection = Connection(socket, "client 1", self.transport)
        self.writer = asyncio.create_task(self.connection.write())

    def frame(self, stream: int, number: int) -> frames.Frame:
        return frames.Frame(frames.FrameType.TTS_PCM, stream, number, number * 100, b"\0\0")

    def kinds(self) -> list[str]:
        return [
            type(codec.decode_server(item)).__name__
            if isinstance(item, str)
            else f"frame {frames.unpack_frame(item).stream}"
            for item in self.socket.sent
        ]

    async def end(self) -> None:
        self.writer.cancel()
        await asyncio.gather(self.writer, return_exceptions=True)


def start(stream: int) -> m.StreamStart:
    return m.StreamStart(stream=stream, npc_id="marla", turn_id="t", sample_rate=24000)


def test_control_overtakes_media_and_a_cut_stream_is_gone() -> None:
    async def play() -> None:
        line = Line()
        line.socket.free.clear()
        await asyncio.sleep(0)
        line.connection.send(start(1))
        await asyncio.sleep(0)  # the writer is blocked by this one
        for number in range(3):
            line.connection.send_frame(line.frame(1, number))
            line.connection.send_frame(line.frame(2, number))
        line.connection.send(m.StreamEnd(stream=2, samples=300, turn_id="t"))
        line.connection.send(m.StreamEnd(stream=1, samples=300, turn_id="t"))
        line.connection.drop_media(1)
        line.connection.send(m.Cutoff(stream=1))
        line.socket.free.set()
        await asyncio.sleep(0.1)
        assert line.kinds() == ["StreamStart", "Cutoff", "frame 2", "frame 2", "frame 2", "StreamEnd"]
        await line.end()

    run(play())


@pytest.mark.parametrize("kind", ["control", "media"])
@pytest.mark.parametrize("stuck", [True, False])
def test_a_slow_client_is_cut_off_even_when_the_writer_is_blocked(stuck: bool, kind: str) -> None:
    async def play() -> None:
        line = Line()
        line.socket.free.clear()
        for number in range(2 * max(MAX_CONTROL, MAX_MEDIA)):
            if kind == "control":
                line.connection.send(m.Busy(npc_id="marla", reason="x", retry_after_ms=1))
            else:
                line.connection.send_frame(line.frame(1, number))
            if number == 0:
                await asyncio.sleep(0)
        assert len(line.connection._control) + len(line.connection._media) == 0, "the queues are emptied"
        if not stuck:
            line.socket.free.set()
        await asyncio.sleep(GOODBYE_S + 0.1)
        assert line.writer.done() and line.transport.aborted is stuck
        assert line.socket.close_code == (None if stuck else CLOSE_TOO_SLOW)
        await line.end()

    run(play())


def test_close_sends_the_queued_messages_first() -> None:
    async def play() -> None:
        line = Line()
        await asyncio.sleep(0)
        line.connection.send(m.Cutoff(stream=1))
        line.connection.send_frame(line.frame(1, 0))
        line.connection.close(4409, "taken over")
        line.connection.send(m.Cutoff(stream=2))
        await line.writer
        assert (line.kinds(), line.socket.close_code) == (["Cutoff"], 4409)

    run(play())
