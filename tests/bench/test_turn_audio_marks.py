"""The audio of a question, and the samples that start and stop the clock."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from bench.turn.audio_marks import FRAME, LEAD_S, ROOM_DBFS, audible, say, speech
from mythicd.audio.pcm import MIC_RATE, Clip, to_array
from tests.virtual_time import run


def tone(before: int, loud: int, after: int) -> bytes:
    """Return a clip: samples of silence, of −20 dBFS, and of silence."""
    return np.concatenate([np.zeros(before), np.full(loud, 3277), np.zeros(after)]).astype("<i2").tobytes()


def test_sample_below_the_least_level_is_not_audible() -> None:
    assert audible(tone(100, 50, 70)) == (100, 149)
    soft = np.full(400, 60, "<i2").tobytes()  # -54.7 dBFS
    assert audible(soft) is None
    assert audible(b"") is None


def test_clock_starts_with_the_frame_of_the_last_audible_sample() -> None:
    said = speech("hello", Clip(tone(777, 1000, 5000), MIC_RATE))
    assert all(len(frame) == 2 * FRAME for frame in said.frames)
    sound = np.abs(to_array(b"".join(said.frames)).astype(int))
    lead = int(LEAD_S * MIC_RATE)
    # The clip's own silence is cut off; the room's noise is soft before and after.
    assert sound[lead : lead + 1000].min() > 3000
    assert said.last == (lead + 999) // FRAME
    room = np.concatenate([sound[:lead], sound[lead + 1000 :]])
    assert 20 * np.log10(np.sqrt((room**2.0).mean()) / 32768) == pytest.approx(ROOM_DBFS, abs=0.5)


def test_silent_clip_raises_value_error() -> None:
    with pytest.raises(ValueError, match="audible"):
        speech("hello", Clip(bytes(2000), MIC_RATE))


def handed(*, key: bool, over_after: int | None) -> tuple[list[tuple[float, int]], float, float]:
    """Say something in virtual time; return (time, frame number) of each frame, when the key was released, and the
    clock.
    """
    said = speech("hello", Clip(tone(0, 10 * FRAME, 0), MIC_RATE))
    frames: list[tuple[float, int]] = []
    released = [0.0]

    async def main() -> float:
        clock = asyncio.get_running_loop().time

        async def hand(number: int, pcm: bytes) -> None:
            assert pcm == said.frames[number]
            frames.append((clock(), number))

        async def release() -> None:
            released[0] = clock()

        ends = None if over_after is None else (said.last + over_after + 1) * FRAME / MIC_RATE
        return await say(
            said,
            hand,
            release=release if key else None,
            over=lambda: ends is not None and clock() > ends,
            clock=clock,
        )

    ended = run(main())
    assert ended == pytest.approx((said.last + 1) * FRAME / MIC_RATE)  # a frame exists after its recording
    return frames, released[0], ended


def test_open_microphone_gets_frames_until_the_answer_ends() -> None:
    frames, _, _ = handed(key=False, over_after=50)
    assert [number for _, number in frames] == list(range(len(frames)))
    assert frames[-1][0] == pytest.approx(len(frames) * FRAME / MIC_RATE)
    assert len(frames) > 30 + 50


def test_released_key_gets_no_more_frames() -> None:
    frames, released, ended = handed(key=True, over_after=50)
    assert frames[-1][0] == ended == released


def test_missing_answer_raises_timeout_error() -> None:
    with pytest.raises(TimeoutError, match="'hello'"):
        handed(key=True, over_after=None)
