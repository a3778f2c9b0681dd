"""Step times learnt from measurements: noise moves them little, and a width that was slow is tried again."""

from __future__ import annotations

import pytest

from mythicd.errors import BusyError
from mythicd.llm.llamacpp.scheduler import Limits
from mythicd.llm.llamacpp.step_times import StepTimes
from tests.llm.timed_model import MS, Model


def seen(times: StepTimes, writers: int, seconds: float, steps: int) -> None:
    for _ in range(steps):
        times.observe(writers, 0, seconds)


def test_nothing_is_known_at_first() -> None:
    times = StepTimes()
    assert times.decode_s(1) == times.decode_s(4) == 0
    assert times.tokens_within(1, 1.0) is None


def test_a_width_is_learnt_by_itself() -> None:
    times = StepTimes()
    for _ in range(60):
        times.observe(1, 0, 16 * MS)
        times.observe(4, 0, 30 * MS)
    assert times.decode_s(1) == pytest.approx(16 * MS, rel=0.01)
    assert times.decode_s(4) == pytest.approx(30 * MS, rel=0.01)
    assert 16 * MS < times.decode_s(2) < 30 * MS
    assert times.decode_s(8) > 30 * MS


def test_a_step_that_took_ten_times_as_long_says_little() -> None:
    times = StepTimes()
    seen(times, 1, 16 * MS, 20)
    times.observe(1, 0, 160 * MS)
    assert times.decode_s(1) <= 1.25 * 16 * MS


def test_nor_does_the_first_of_its_width() -> None:
    times = StepTimes()
    seen(times, 1, 16 * MS, 20)
    expected = times.decode_s(2)
    times.observe(2, 0, 250 * MS)
    assert times.decode_s(2) <= 1.25 * expected


def test_what_has_not_been_seen_for_long_is_taken_from_what_has() -> None:
    times = StepTimes()
    for _ in range(40):
        times.observe(1, 0, 150 * MS)
        times.observe(2, 0, 300 * MS)
    assert times.decode_s(2) > 0.25
    seen(times, 1, 16 * MS, 200)
    assert times.decode_s(2) < 30 * MS


def test_of_two_that_take_turns_neither_is_forgotten() -> None:
    times = StepTimes()
    for _ in range(20):
        seen(times, 1, 16 * MS, 30)
        seen(times, 2, 40 * MS, 30)
    assert times.decode_s(2) == pytest.approx(40 * MS, rel=0.05)


def test_fewer_than_write_now_are_not_forgotten_and_no_slower() -> None:
    times = StepTimes()
    for _ in range(40):
        times.observe(1, 0, 50 * MS)
        times.observe(4, 0, 110 * MS)
    seen(times, 4, 110 * MS, 200)
    assert times.decode_s(1) == pytest.approx(50 * MS, rel=0.01)
    assert times.decode_s(1) < times.decode_s(2) < times.decode_s(3) < 110 * MS
    seen(times, 4, 40 * MS, 200)
    assert times.decode_s(1) <= times.decode_s(4) == pytest.approx(40 * MS, rel=0.01)


def test_a_second_voice_is_taken_in_again_when_a_slow_time_is_over() -> None:
    model = Model(Limits(streams=4), decode=15 * MS, more=10 * MS)
    model.speak(1, 2)
    model.slower = 12.0  # the game loads a level
    for _ in range(40):
        model.step()
    with pytest.raises(BusyError):
        model.scheduler.require_room(None)
    model.remove(2)
    model.slower = 1.0
    for _ in range(300):
        model.step()
        model.scheduler.read(1, 0)
    model.scheduler.require_room(None)


def test_two_share_every_step_again_after_one_that_took_ten_times_as_long() -> None:
    model = Model(Limits(streams=4), decode=16 * MS, more=9 * MS)
    model.speak(1)
    model.add(2, 8)
    while not model.written[2]:
        model.step()
    model.slower = 10.0
    model.step()
    model.slower = 1.0
    assert all(set(model.step()) == {1, 2} for _ in range(10))
