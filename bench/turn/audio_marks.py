"""What the player says, and when which sample of it and of the answer counts. The same for all sides.

A question is cut to its first and its last sample that can be heard, laid into a room's soft noise, and handed over in
frames of 20 ms at the pace at which a microphone would have recorded them. The clock starts when the frame with the
last such sample is handed over; it stops where the first sample of the answer that can be heard would be played by a
client that plays what arrives at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from mythicd.audio.pcm import MIC_RATE, SAMPLE_BYTES, Clip, to_array

FRAME = MIC_RATE // 50
"""Samples of a microphone's frame: 20 ms."""
AUDIBLE_DBFS = -50.0
"""From this level on a sample can be heard."""
ROOM_DBFS = -66.0
"""Level of the room's noise."""
LEAD_S = 0.4
"""Silence before the question."""
PATIENCE_S = 15.0
"""How long an answer is waited for."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A spoken question at the microphone."""

    text: str
    frames: tuple[bytes, ...]
    """20 ms each, s16le at MIC_RATE: silence, the question, and silence for as long as an answer may take."""
    last: int
    """Number of the frame with the last sample that can be heard."""


def audible(pcm: bytes) -> tuple[int, int] | None:
    """Return the numbers of the first and the last sample that can be heard; None when there is none."""
    loud = np.flatnonzero(np.abs(to_array(pcm).astype(np.int32)) >= 32768 * 10 ** (AUDIBLE_DBFS / 20))
    return (int(loud[0]), int(loud[-1])) if len(loud) else None


def speech(text: str, clip: Clip) -> Speech:
    """Lay a clip into a room. Raises ValueError when nothing of it can be heard."""
    pcm = clip.at(MIC_RATE).pcm
    span = audible(pcm)
    if span is None:
        raise ValueError(f"nothing can be heard of {text!r}")
    voice = to_array(pcm)[span[0] : span[1] + 1].astype(np.float64)
    before = int(LEAD_S * MIC_RATE)
    total = before + len(voice) + int(PATIENCE_S * MIC_RATE)
    sound = np.random.default_rng(1).normal(0.0, 32768 * 10 ** (ROOM_DBFS / 20), total // FRAME * FRAME)
    sound[before : before + len(voice)] += voice
    samples = np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes()
    size = FRAME * SAMPLE_BYTES
    frames = tuple(samples[at : at + size] for at in range(0, len(samples), size))
    return Speech(text, frames, (before + len(voice) - 1) // FRAME)


async def say(
    said: Speech,
    hand: Callable[[int, bytes], Awaitable[None]],
    *,
    release: Callable[[], Awaitable[None]] | None = None,
    over: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Hand the frames over at real-time pace until `over`; return when the last audible one was, on the clock in s.

    With `release` the key is let go right behind that frame, and nothing follows. Raises TimeoutError when the frames
    are at an end before it is over.
    """
    begun = clock()
    ended = 0.0
    for number, frame in enumerate(said.frames):
        # A frame exists only once its last sample was recorded.
        await asyncio.sleep(max(0.0, begun + (number + 1) * FRAME / MIC_RATE - clock()))
        if number == said.last:
            ended = clock()
        if number <= said.last or release is None:
            await hand(number, frame)
        if number == said.last and release is not None:
            await release()
        if number > said.last and over():
            return ended
    raise TimeoutError(f"no answer to {said.text!r} within {PATIENCE_S:.0f} s")
