"""Our side: the real daemon in its own process, and a player at its socket.

The player plays audio in real time and reports the playhead, as a game's plugin does. The clock of an answer stops at
the player's end of the socket, before the jitter buffer (40 ms by default), which any client of any stack has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bench.turn.audio_marks import FRAME, Speech, audible, say
from bench.turn.side import Answer
from mythicd.client.daemon_client import DaemonClient
from mythicd.server.daemon import Daemon
from mythicd.telemetry.timeline import Mark
from mythicd.wire import messages as m

TURN_TIMEOUT_S = 30.0


class Ours:
    """The daemon."""

    def __init__(self, data: Path, overrides: Mapping[str, Any]) -> None:
        self.daemon = Daemon(data, overrides)

    async def start(self) -> None:
        """Start the daemon, and warm it up."""
        await self.daemon.start()

    async def stop(self) -> None:
        """Stop the daemon."""
        await self.daemon.stop()


async def prompt_tokens(ours: Ours) -> tuple[int, int]:
    """Return the prompt tokens of all replies so far: (evaluated in the turn, found in the KV cache)."""
    figures = ours.daemon.world.engines.llm.counters
    return figures.tokens_new, figures.tokens_reused


class Player:
    """A player with an open microphone or a key. Implements `Side`; the tokens are the daemon's to tell."""

    def __init__(self, data: Path, mode: Literal["open", "push_to_talk"]) -> None:
        self._data, self._mode = data, mode
        self._npc = ""
        self._mics = 0

    async def start(self) -> None:
        """Connect. Each mode is its own playthrough, with its own conversations."""
        hello = m.Hello(game="bench", client="bench", playthrough=self._mode)
        self._client = await DaemonClient.connect(self._data, hello)

    async def stop(self) -> None:
        """Disconnect."""
        await self._client.close()

    async def meet(self, npc: str) -> None:
        """Tell the daemon which character comes into view and which one leaves it."""
        if self._npc:
            await self._client.send(m.Attend(npc_id=self._npc, attending=False))
        self._npc = npc
        await self._client.send(m.Attend(npc_id=npc))

    async def turn(self, said: Speech) -> Answer:
        """Ask the character, and wait for the end of its answer."""
        client, held = self._client, self._mode == "push_to_talk"
        known = set(client.streams)
        self._mics += 1
        mic = self._mics
        await client.send(m.MicStart(stream=mic, npc_id=self._npc, mode=self._mode))
        answering = asyncio.create_task(client.turn(TURN_TIMEOUT_S))

        async def hand(number: int, pcm: bytes) -> None:
            await client.send_pcm(mic, number, number * FRAME, pcm)

        async def release() -> None:
            await client.send(m.MicStop(stream=mic))

        try:
            ended = await say(said, hand, release=release if held else None, over=answering.done)
        finally:
            if not held:
                await release()
            if not answering.done():
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
        done = answering.result()[-1]
        voices = [voice for number, voice in sorted(client.streams.items()) if number not in known]
        span = audible(voices[0].clip.pcm) if voices else None
        if not isinstance(done, m.TurnTimeline) or span is None or voices[0].first_frame_s is None:
            raise RuntimeError(f"The turn failed: {done}")
        if voices[0].start.kind != "reply" or Mark.FIRST_MURMUR in done.marks:
            raise RuntimeError("Audio that is not an answer was heard first.")
        begun = voices[0].first_frame_s + span[0] / voices[0].start.sample_rate
        return Answer(1000 * (begun - ended), done.heard, done.reply, 0, 0, dict(done.marks))
