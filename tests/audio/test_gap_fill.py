"""Microphone frames whose sample indexes jump, repeat or are wrong, and the audio that results."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.audio.gap_fill import GapFill
from mythicd.audio.pcm import MIC_RATE
from mythicd.character.mailbox import MicFrame
from mythicd.wire import messages as m
from tests.fakes import now
from tests.screenplay import Screenplay
from tests.virtual_time import run

FRAME = 320


def frame(value: int = 1) -> bytes:
    return value.to_bytes(2, "little") * FRAME


def test_frames_in_order_pass_unchanged() -> None:
    fill = GapFill(1)
    for number in range(5):
        pcm, at, troubles = fill.add(1000 + number * FRAME, frame(number), 0.02 * number)
        assert (pcm, at, troubles) == (frame(number), 0.02 * number, [])
    assert fill.add(None, frame(7), 0.1) == (frame(7), 0.1, []), "without an index it follows the last frame"


def test_a_gap_is_filled_with_silence_and_reported_once() -> None:
    fill = GapFill(3)
    fill.add(0, frame(), 0.0)
    pcm, _, (trouble,) = fill.add(3 * FRAME, frame(), 0.02)
    assert pcm == bytes(2 * 2 * FRAME) + frame()
    assert all(value in trouble.what for value in ("stream 3", "640 samples", "sample 960"))
    pcm, _, troubles = fill.add(5 * FRAME, frame(), 0.04)
    assert pcm == bytes(2 * FRAME) + frame() and troubles == []
    pcm, _, _ = fill.add(2**62, frame(), 0.06)
    assert len(pcm) == 2 * (MIC_RATE + FRAME), "at most a second of silence is filled in"
    assert fill.add(2**62 + FRAME, frame(), 0.08)[0] == frame()


def test_repeated_samples_are_dropped() -> None:
    fill = GapFill(1)
    fill.add(0, frame(1), 0.0)
    fill.add(FRAME, frame(2), 0.02)
    pcm, _, (trouble,) = fill.add(FRAME, frame(2), 0.04)
    assert pcm == b"" and "sample 320" in trouble.what and "sample 639" in trouble.what
    pcm, _, troubles = fill.add(FRAME + FRAME // 2, frame(3), 0.06)
    assert pcm == frame(3)[FRAME:] and troubles == []
    pcm, _, _ = fill.add(10 * MIC_RATE, frame(4), 0.08)
    assert fill.add(0, frame(5), 0.1)[0] == frame(5), "a stream that starts again continues from there"
    assert fill.add(FRAME, frame(6), 0.12)[0] == frame(6)


def test_a_stream_at_another_rate_is_reported() -> None:
    troubles = []
    fill = GapFill(1)
    for number in range(150):  # 48 kHz: three frames where there should be one
        for part in range(3):
            troubles += fill.add((3 * number + part) * FRAME, frame(), 0.02 * number)[2]
    (trouble,) = troubles
    assert re.search(r"\b48\d\d\d Hz", trouble.what) and "16000" in trouble.what


def test_a_stall_and_the_burst_after_it_keep_the_rate() -> None:
    fill = GapFill(1)
    for number in range(500):
        at = 0.02 * number
        at = 5.0 if 2.0 < at < 5.0 else at  # nothing arrived for three seconds, then all of it
        assert fill.add(number * FRAME, frame(), at)[2] == []


@given(st.lists(st.tuples(st.integers(-3000, 3000), st.integers(0, 400), st.floats(-1, 1)), max_size=40))
def test_any_frames_keep_the_clock_monotonic_and_silence_bounded(steps: list[tuple[int, int, float]]) -> None:
    fill = GapFill(1)
    sample, at, last, heard = 5000, 10.0, 0.0, 0
    for jump, count, later in steps:
        sample, at = max(0, sample + jump), at + later
        pcm, when, _ = fill.add(sample, bytes(2 * count), at)
        assert when >= last and len(pcm) % 2 == 0 and len(pcm) <= 2 * (MIC_RATE + count)
        last, heard = when, heard + len(pcm) // 2
    assert heard <= 400 * len(steps) + 3000 * len(steps)


@pytest.mark.parametrize("how", ["gap", "twice", "clock"])
def test_a_turn_survives_a_faulty_stream(how: str) -> None:
    async def play() -> None:
        async with Screenplay() as p:
            mic = p.press()
            for number in range(50):
                sample = number * FRAME + (5000 if how == "gap" and number > 30 else 0)
                for _ in range(2 if how == "twice" and number == 20 else 1):
                    at = now() - (5.0 if how == "clock" and number == 25 else 0.0)
                    p.npc.post(MicFrame(mic, b"\1\0" * FRAME, at, sample))
            p.let_go(mic)
            done = await p.done()
            assert done.heard == "when do you open" and done.played == done.reply
            told = [error.code for error in p.player.all(m.Error)]
            assert told == ([] if how == "clock" else ["BAD_AUDIO"])
            marks = [done.marks[mark] for mark in ("speech_start", "speech_end", "hard_end")]
            assert marks == sorted(marks)

    run(play())
