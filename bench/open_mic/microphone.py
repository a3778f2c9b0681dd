"""The player's microphone: always open, with speech, noise, and the echo of a loudspeaker.

It runs in real time, 20 ms at a time, like a sound card.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import MIC_RATE, Clip, Resampler, to_array
from mythicd.client.daemon_client import DaemonClient
from mythicd.engines.vad import VAD_FRAME
from mythicd.wire import messages as m

FRAME_S = VAD_FRAME / MIC_RATE
NOISE = 8.0
"""Standard deviation of the default noise, in sample steps: −72 dBFS."""


class Room:
    """An open microphone. `async with` opens and closes it."""

    def __init__(
        self,
        client: DaemonClient,
        npc_id: str,
        *,
        echo_db: float | None = None,
        echo_ms: float = 80.0,
        noise: float = NOISE,
    ) -> None:
        """`echo_db` is the level of the echo relative to the played audio; None for headphones.

        `noise` is the standard deviation of the noise, in sample steps.
        """
        self._client = client
        self._npc_id = npc_id
        self._gain = None if echo_db is None else 10 ** (echo_db / 20)
        self._delay = round(echo_ms / 1000 / FRAME_S)
        self._noise = noise
        self._said: deque[NDArray[np.float64]] = deque()
        self._dice = np.random.default_rng(1)
        self._heard: deque[NDArray[np.float64]] = deque([np.zeros(VAD_FRAME)] * self._delay)
        self._taken: dict[int, int] = {}
        """Samples of each voice stream that the loudspeaker has played."""
        self._resamplers: dict[int, tuple[Resampler, NDArray[np.float64]]] = {}
        self._silent = asyncio.Event()
        self._recording: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Room:
        self._recording = asyncio.create_task(self._record())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._recording is not None
        self._recording.cancel()
        await asyncio.gather(self._recording, return_exceptions=True)

    async def say(self, clip: Clip) -> None:
        """Say this now; return at its end."""
        sound = to_array(clip.at(MIC_RATE).pcm).astype(np.float64)
        frames = [sound[at : at + VAD_FRAME] for at in range(0, len(sound), VAD_FRAME)]
        self._said.extend(np.pad(frame, (0, VAD_FRAME - len(frame))) for frame in frames)
        self._silent.clear()
        await self._silent.wait()

    async def _record(self) -> None:
        async def blocks() -> AsyncIterator[bytes]:
            begun, number = time.monotonic(), 0
            while True:
                number += 1
                await asyncio.sleep(max(0.0, begun + number * FRAME_S - time.monotonic()))
                frame = self._dice.normal(0.0, self._noise, VAD_FRAME) + self._loudspeaker()
                if self._said:
                    frame += self._said.popleft()
                else:
                    self._silent.set()
                yield np.clip(np.rint(frame), -32768, 32767).astype("<i2").tobytes()

        await self._client.listen(self._npc_id, blocks())

    def _loudspeaker(self) -> NDArray[np.float64]:
        """Return the echo in this frame."""
        mixed = np.zeros(VAD_FRAME)
        for stream, voice in list(self._client.streams.items()):
            played = voice.playback.played
            before = self._taken.get(stream, 0)
            self._taken[stream] = played
            resampler, rest = self._resamplers.get(stream, (Resampler(voice.start.sample_rate, MIC_RATE), np.zeros(0)))
            new = bytes(voice.playback.pcm[2 * before : 2 * played])
            gain = 10 ** (voice.ducks[-1].gain_db / 20) if voice.ducks else 1.0
            rest = np.concatenate([rest, gain * to_array(resampler.add(new)).astype(np.float64)])
            now, rest = rest[:VAD_FRAME], rest[VAD_FRAME:]
            self._resamplers[stream] = resampler, rest
            mixed[: len(now)] += now
        self._heard.append(mixed)
        late = self._heard.popleft()
        return late * self._gain if self._gain is not None else np.zeros(VAD_FRAME)


async def until(client: DaemonClient, kind: type[m.Message], timeout_s: float = 20.0) -> list[m.ServerMessage]:
    """Return all messages up to and including the next of a kind."""
    seen: list[m.ServerMessage] = []
    async with asyncio.timeout(timeout_s):
        async for message in client.events():
            seen.append(message)
            if isinstance(message, kind):
                return seen
    raise AssertionError("The connection was closed.")
