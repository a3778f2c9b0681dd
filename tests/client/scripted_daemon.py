"""A daemon whose answers a test writes, behind a real WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from mythicd.wire import codec
from mythicd.wire import messages as m
from mythicd.wire.discovery import Discovery
from mythicd.wire.frames import Frame, FrameType, pack_frame

NPC = "barkeep_01"
WELCOME = m.Welcome(
    instance_id="one",
    version="0",
    profile="starter",
    mic_rate=16000,
    voice_rate=16000,
    characters=(m.CharacterInfo(npc_id=NPC, name="Marla", zone="harbor"),),
)

Answer = m.ServerMessage | Frame | str | int
"""A message, a frame, a raw text frame, or a close code."""


@dataclass
class ScriptedDaemon:
    """Answers each message of its client by a script."""

    script: Callable[[m.ClientMessage], Sequence[Answer]]
    where: Discovery = field(init=False)
    received: list[m.ClientMessage] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def received_kind(self, kind: type[m.Message]) -> None:
        """Wait for a message of this kind."""
        async with asyncio.timeout(5.0):
            while not any(isinstance(message, kind) for message in self.received):
                self._news.clear()
                await self._news.wait()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for incoming in socket:
            if incoming.type is not WSMsgType.TEXT:
                continue
            message = codec.decode_client(incoming.data)
            self.received.append(message)
            self._news.set()
            answers = [WELCOME, m.Status(ready=True)] if isinstance(message, m.Hello) else self.script(message)
            for answer in answers:
                if isinstance(answer, int):
                    await socket.close(code=answer)
                    return socket
                elif isinstance(answer, str):
                    await socket.send_str(answer)
                elif isinstance(answer, Frame):
                    await socket.send_bytes(pack_frame(answer))
                else:
                    await socket.send_str(codec.encode(answer))
        return socket


@asynccontextmanager
async def scripted(script: Callable[[m.ClientMessage], Sequence[Answer]]) -> AsyncIterator[ScriptedDaemon]:
    """Run a scripted daemon."""
    daemon = ScriptedDaemon(script)
    app = web.Application()
    app.router.add_get("/v1/ws", daemon.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = int(runner.addresses[0][1])
    daemon.where = Discovery(instance_id="one", pid=1, started_at="", version="0", port=port, token="t")
    try:
        yield daemon
    finally:
        await runner.cleanup()


def state(turn_id: str, name: str) -> m.NpcState:
    """Return a change of the character's state."""
    return m.NpcState(npc_id=NPC, turn_id=turn_id, state=name)  # type: ignore[arg-type]


def done(turn_id: str, reply: str = "Aye.", **fields: str) -> m.TurnTimeline:
    """Return the end of a turn."""
    given = {"heard": "hi", "played": reply, **fields}
    return m.TurnTimeline(npc_id=NPC, turn_id=turn_id, marks={}, reply=reply, **given)


def voice(stream: int, turn_id: str, samples: int, rate: int = 16000) -> list[Answer]:
    """Return a whole voice stream of a constant sound."""
    pcm = b"\x00\x10" * samples
    return [
        m.StreamStart(stream=stream, npc_id=NPC, turn_id=turn_id, sample_rate=rate),
        Frame(FrameType.TTS_PCM, stream, 0, 0, pcm),
        m.StreamEnd(stream=stream, samples=samples, turn_id=turn_id),
    ]
