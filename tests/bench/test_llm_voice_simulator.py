"""The simulated voice."""

from __future__ import annotations

import pytest

from bench.llm.voice_simulator import Voice


def voice() -> Voice:
    return Voice(rate=10, first_phrase=20)


def test_voice_starts_with_the_first_phrase_and_never_stutters() -> None:
    speaker = voice()
    speaker.add(10, 1.0)
    assert speaker.begun is None and speaker.ahead(5.0) == 10
    speaker.add(10, 1.5)
    assert speaker.begun == 1.5
    for second in range(1, 10):
        speaker.add(10, 1.5 + second)
    speaker.finish(12.5)
    assert (speaker.stutters, speaker.silence) == (0, 0)


def test_late_text_makes_it_stutter() -> None:
    speaker = voice()
    speaker.add(20, 0.0)  # enough until 2.0
    speaker.add(20, 5.0)  # out of text for 3 s, then enough until 7.0
    speaker.add(10, 8.0)  # out of text for 1 s
    speaker.finish(8.5)
    assert speaker.stutters == 2
    assert speaker.silence == pytest.approx(4.0)


def test_each_wait_is_one_stutter_and_the_end_is_not() -> None:
    speaker = voice()
    speaker.add(20, 0.0)
    speaker.add(0, 3.0)
    speaker.add(10, 4.0)
    speaker.finish(5.0)  # it has just spoken all text
    assert speaker.stutters == 1
    assert speaker.silence == pytest.approx(2.0)
    assert speaker.ahead(9.0) == 0


def test_reply_shorter_than_a_phrase_is_spoken_at_its_end() -> None:
    speaker = voice()
    speaker.add(5, 0.0)
    speaker.finish(7.0)
    assert (speaker.begun, speaker.stutters) == (7.0, 0)


def test_ahead_is_the_text_not_yet_spoken() -> None:
    speaker = voice()
    speaker.add(100, 0.0)
    assert speaker.ahead(3.0) == pytest.approx(70)
    speaker.add(50, 4.0)
    assert speaker.ahead(4.0) == pytest.approx(110)
    assert speaker.too_far_ahead(80, 4.0) == pytest.approx(3)
    assert speaker.too_far_ahead(200, 4.0) == 0


def test_voice_that_has_not_started_never_delays_the_writer() -> None:
    speaker = voice()
    speaker.add(15, 0.0)
    assert speaker.too_far_ahead(10, 0.0) == 0  # it waits for its first phrase, which would then never come
