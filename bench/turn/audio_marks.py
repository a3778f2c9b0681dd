"""The audio of a question, and the samples that start and stop the clock, the same for all sides.

A question is cut to its first and its last audible sample, put into a room's soft noise, and passed on in frames of
20 ms at the pace of a microphone. The clock starts when the frame with the last audible sample is passed on; it stops
when the first audible sample of the answer would be played by a client that plays audio as it arrives.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mythicd.audio.pcm import MIC_RATE, SAMPLE_BYTES, Clip, to_array

FRAME = MIC_RATE // 50
"""Samples of a microphone's frame: 20 ms."""
AUDIBLE_DBFS = -50.0
"""Least level of an audible sample."""
ROOM_DBFS = -66.0
"""Level of the room's noise."""
LEAD_S = 0.4
"""Silence before the question."""
PATIENCE_S = 15.0
"""Longest wait for an answer, in seconds."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A spoken question at the microphone."""

    text: str
    frames: tuple[bytes, ...]
    """20 ms each, s16le at MIC_RATE: silence, the question, and silence for as long as an answer may take."""
    last: int
    """Number of the frame with the last audible sample."""


def audible(pcm: bytes) -> tuple[int, int] | None:
    """Return the numbers of the first and the last audible sample; None if there is none."""
    loud = np.flatnonzero(np.abs(to_array(pcm).astype(np.int32)) >= 32768 * 10 ** (AUDIBLE_DBFS / 20))
    return (int(loud[0]), int(loud[-1])) if len(loud) else None


def speech(text: str, clip: Clip) -> Speech:
    """Put a clip into a room's noise. Raises ValueError if it has no audible sample."""
    pcm = clip.at(MIC_RATE).pcm
    span = audible(pcm)
    if span is None:
        raise ValueError(f"{text!r} has no audible sample.")
    voice = to_array(pcm)[span[0] : span[1] + 1].astype(np.float64)
    before = int(LEAD_S * MIC_RATE)
    total = before + len(voice) + int(PATIENCE_S * MIC_RATE)
    sound = np.random.default_rng(1).normal(0.0, 32768 * 10 ** (ROOM_DBFS / 20), total // FRAME * FRAME)
    sound[before : before + len(voice)] += voice
    samples = np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes()
    size = FRAME * SAMPLE_BYTES
    frames = tuple(samples[at : at + size] for at in range(0, len(samples), size))
    return Speech(text, frames, (before + len(voice) - 1) // FRAME)


def piper_speech(voice: Path, text: str) -> Clip:
    """Speak a sentence with Piper's own package, for a player who sounds like a person."""
    from piper import PiperVoice, SynthesisConfig

    model = PiperVoice.load(voice)
    chunks = list(model.synthesize(text, SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)))
    return Clip(b"".join(chunk.audio_int16_bytes for chunk in chunks), model.config.sample_rate)


async def say(
    said: Speech,
    hand: Callable[[int, bytes], Awaitable[None]],
    *,
    release: Callable[[], Awaitable[None]] | None = None,
    over: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Pass the frames on in real time until `over`; return when the last audible one was passed on, in the clock's
    seconds.

    With `release` the key is released right after that frame, and nothing follows. Raises TimeoutError when the frames
    end before `over`.
    """
    begun = clock()
    ended = 0.0
    for number, frame in enumerate(said.frames):
        # A frame exists only after its last sample.
        await asyncio.sleep(max(0.0, begun + (number + 1) * FRAME / MIC_RATE - clock()))
        if number == said.last:
            ended = clock()
        if number <= said.last or release is None:
            await hand(number, frame)
        if number == said.last and release is not None:
            await release()
        if number > said.last and over():
            return ended
    raise TimeoutError(f"No answer to {said.text!r} within {PATIENCE_S:.0f} s.")
