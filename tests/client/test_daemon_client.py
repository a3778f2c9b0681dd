"""The reference client against a scripted daemon: its sound device, and the end of its connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mythicd.audio.pcm import Clip
from mythicd.client.daemon_client import DaemonClient
from mythicd.errors import DaemonUnreachable
from mythicd.wire import messages as m
from mythicd.wire.discovery import Discovery
from tests.client.scripted_daemon import NPC, Answer, ScriptedDaemon, scripted, voice


class FakeLoudspeaker:
    """Records what it is given."""

    latency_ms = 20.0

    def __init__(self) -> None:
        self.pcm = b""
        self.calls: list[str] = []

    def play(self, pcm: bytes) -> None:
        self.pcm += pcm

    def set_gain(self, gain_db: float) -> None:
        self.calls.append(f"gain {gain_db}")

    def silence(self) -> None:
        self.calls.append("silence")


@asynccontextmanager
async def connected(*sent: Answer) -> AsyncIterator[tuple[DaemonClient, FakeLoudspeaker, ScriptedDaemon]]:
    """Connect, with a sound device, to a daemon that sends this after TextInput."""
    async with scripted(lambda message: sent if isinstance(message, m.TextInput) else ()) as daemon:
        async with await DaemonClient.connect(Path(), m.Hello(game="tests"), discovery=daemon.where) as client:
            loudspeaker: Any = FakeLoudspeaker()
            client.loudspeaker = loudspeaker
            await client.send(m.TextInput(npc_id=NPC, text="hi"))
            yield client, loudspeaker, daemon


async def test_a_voice_is_given_to_the_sound_device_whole() -> None:
    async with connected(*voice(1, "t-1", 3200)) as (client, loudspeaker, daemon):
        await daemon.received_kind(m.PlaybackStopped)
        assert loudspeaker.pcm == client.streams[1].clip.pcm and len(loudspeaker.pcm) == 6400
        assert loudspeaker.calls == ["gain 0.0"]


async def test_duck_and_cutoff_reach_the_sound_device() -> None:
    softer, cut = m.Duck(stream=1, gain_db=-12.0), m.Cutoff(stream=1)
    begin = voice(1, "t-1", 32000)[:2]
    async with connected(*begin, softer) as (client, loudspeaker, daemon):
        await daemon.received_kind(m.Playhead)
        await client._take(cut)
        await daemon.received_kind(m.PlaybackStopped)
        assert "gain -12.0" in loudspeaker.calls and loudspeaker.calls[-1] == "silence"
        given = len(loudspeaker.pcm)
        client.streams[1].playback.add(b"\0\0" * 1600)
        await asyncio.sleep(0.05)
        assert len(loudspeaker.pcm) == given, "nothing after the cut"


async def test_a_closed_connection_stays_closed_for_every_reader() -> None:
    async with connected(4409) as (client, _, _):
        async with asyncio.timeout(5.0):
            await client.closed.wait()
            assert [message async for message in client.events() if isinstance(message, m.TurnTimeline)] == []
            assert [message async for message in client.events()] == []
            assert await client.next_event(1.0) is None and await client.next_event(1.0) is None
            assert client.pending_events() == []
            with pytest.raises(DaemonUnreachable, match="took over"):
                await client.turn()


async def test_sending_after_the_close_tells_the_reason() -> None:
    async with connected(1001) as (client, _, _):
        await client.closed.wait()
        for sending in (client.send(m.Attend(npc_id=NPC)), client.speak(NPC, Clip(bytes(640), 16000))):
            with pytest.raises(DaemonUnreachable, match="shutting down"):
                await sending


async def test_a_port_that_never_answers_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mythicd.client.daemon_client.CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        where = Discovery(instance_id="one", pid=1, started_at="", version="0", port=port, token="t")
        with pytest.raises(DaemonUnreachable, match=str(port)):
            await DaemonClient.connect(Path(), m.Hello(game="tests"), discovery=where)
