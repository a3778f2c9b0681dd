"""What the player says, and which sample of it counts."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from bench.turn.audio_marks import FRAME, LEAD_S, ROOM_DBFS, audible, say, speech
from mythicd.audio.pcm import MIC_RATE, Clip, to_array
from tests.virtual_time import run


def tone(before: int, loud: int, after: int) -> bytes:
    """A clip of samples: silence, something at -20 dBFS, silence."""
    return np.concatenate([np.zeros(before), np.full(loud, 3277), np.zeros(after)]).astype("<i2").tobytes()


def test_only_what_can_be_heard_is_audible() -> None:
    assert audible(tone(100, 50, 70)) == (100, 149)
    soft = np.full(400, 60, "<i2").tobytes()  # -54.7 dBFS
    assert audible(soft) is None
    assert audible(b"") is None


def test_the_clock_starts_with_the_frame_of_the_last_audible_sample() -> None:
    said = speech("hello", Clip(tone(777, 1000, 5000), MIC_RATE))
    assert all(len(frame) == 2 * FRAME for frame in said.frames)
    sound = np.abs(to_array(b"".join(said.frames)).astype(int))
    lead = int(LEAD_S * MIC_RATE)
    # The clip's own silence is cut off; the room is soft before and behind.
    assert sound[lead : lead + 1000].min() > 3000
    assert said.last == (lead + 999) // FRAME
    room = np.concatenate([sound[:lead], sound[lead + 1000 :]])
    assert 20 * np.log10(np.sqrt((room**2.0).mean()) / 32768) == pytest.approx(ROOM_DBFS, abs=0.5)


def test_a_silent_clip_is_no_question() -> None:
    with pytest.raises(ValueError, match="nothing can be heard"):
        speech("hello", Clip(bytes(2000), MIC_RATE))


def handed(*, key: bool, over_after: int | None) -> tuple[list[tuple[float, int]], float, float]:
    """Say something in virtual time: ((moment, frame number) of each frame, when the key was let go, the clock)."""
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
    assert ended == pytest.approx((said.last + 1) * FRAME / MIC_RATE)  # a frame exists once it is recorded
    return frames, released[0], ended


def test_an_open_microphone_is_fed_until_the_answer_is_over() -> None:
    frames, _, _ = handed(key=False, over_after=50)
    assert [number for _, number in frames] == list(range(len(frames)))
    assert frames[-1][0] == pytest.approx(len(frames) * FRAME / MIC_RATE)
    assert len(frames) > 30 + 50


def test_nothing_is_said_behind_a_key_that_was_let_go() -> None:
    frames, released, ended = handed(key=True, over_after=50)
    assert frames[-1][0] == ended == released


def test_an_answer_that_never_comes_is_not_waited_for_for_ever() -> None:
    with pytest.raises(TimeoutError, match="no answer to 'hello'"):
        handed(key=True, over_after=None)
