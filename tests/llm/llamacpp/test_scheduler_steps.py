"""The length of a step, and how much of a prompt is in it. Streams are numbers."""

from __future__ import annotations

import pytest

from mythicd.engines.llm import Focus
from mythicd.llm.llamacpp.scheduler import Limits
from tests.llm.timed_model import MS, Model


def test_a_chunk_is_as_large_as_the_step_may_be_long() -> None:
    model = Model(Limits(streams=4, chunk=2000, chunk_least=4), decode=40 * MS)
    model.speak(1, 2)
    model.add(3, 9000)
    assert 175 <= model.step()[3] <= 184  # step_s is 225 ms, of which 42 go to the two that write
    model.remove(1)
    model.remove(2)
    assert 960 <= model.step()[3] <= 1040  # alone_s is a second
    model.scheduler.focus("npc4", Focus(mic=True), model.now)
    model.add(4, 1)
    while not model.written[4]:
        model.step()
    assert 30 <= model.step()[3] <= 37  # and while first words are written, first_s


def test_those_who_write_are_slowed_down_by_a_bounded_factor() -> None:
    model = Model(Limits(streams=4, chunk=500, chunk_least=4), decode=20 * MS)
    model.speak(1, 2)
    model.add(3, 2000)
    assert 116 <= model.step()[3] <= 122  # six and a half times the 22 ms that the two take


def test_on_a_fast_machine_a_step_is_as_long_as_voices_stay_fed_with_ease() -> None:
    model = Model(Limits(streams=4, chunk=500, chunk_least=4), decode=5 * MS)
    model.speak(1, 2)
    model.add(3, 2000)
    assert 88 <= model.step()[3] <= 94  # 100 ms, though six and a half times 7 ms are 46
    model.add(4, 1)
    while not model.written[4]:
        model.step()
    assert 44 <= model.step()[3] <= 50, "not while somebody's first words are awaited"
    model.remove(3)
    model.remove(4)
    model.add(5, 2000, "warm-up")
    assert 36 <= model.step()[5] <= 40, "nor for what is done ahead"


def test_what_is_done_ahead_takes_short_steps_while_somebody_is_spoken_to() -> None:
    model = Model(Limits(streams=4, chunk=2000, chunk_least=4))
    model.speak(1)
    model.remove(1)
    model.add(2, 9000, "warm-up")
    assert 240 <= model.step()[2] <= 260  # ahead_s
    model.scheduler.focus("npc7", Focus(mic=True), model.now)
    assert 70 <= model.step()[2] <= 80  # first_s


def test_a_step_does_not_run_on_long_after_somebodys_time_is_over() -> None:
    model = Model(Limits(streams=4, chunk=2000, chunk_least=4))
    model.speak(1)
    model.remove(1)
    model.add(2, 9000)
    assert sum(part.tokens for part in model.scheduler.next_batch(model.now).slices) > 900
    assert 290 < sum(part.tokens for part in model.scheduler.next_batch(model.now, model.now + 0.6).slices) < 310
    assert 70 < sum(part.tokens for part in model.scheduler.next_batch(model.now, model.now - 5).slices) < 80


@pytest.mark.parametrize("patience_s", [0.1, 0.3, 0.7, 1.1, 1.5, 1.9, 3.0, 10.0])
@pytest.mark.parametrize("writers", [0, 2])
def test_nobodys_time_is_far_over_though_steps_take_twice_as_long_as_they_did(patience_s: float, writers: int) -> None:
    limits = Limits(streams=4, chunk=2000, chunk_least=4)
    model = Model(limits)
    model.speak(1, 2)
    for stream in (1, 2)[writers:]:
        model.remove(stream)
    model.add(3, 90_000)
    model.slower = 2.0
    until = model.now + patience_s
    while model.now < until:
        assert 3 in model.step(until)
    assert model.now - until <= 2 * limits.first_s


def test_a_chunk_is_never_smaller_than_is_worth_reading_the_weights_for() -> None:
    model = Model(decode=400 * MS)
    model.speak(1)
    model.add(2, 40)
    assert model.step() == {1: 1, 2: 4}


def test_before_anything_is_known_of_the_model_chunks_are_bearable() -> None:
    model = Model(Limits(chunk_least=8))
    model.add(1, 500)
    assert model.step() == {1: 16}


def test_what_may_be_for_nothing_is_read_in_short_steps_and_by_whole_rows() -> None:
    model = Model(Limits(), token=6 * MS)
    model.add(1, 64)
    model.step()
    took = {}
    for stream, work, ahead in ((2, "prepare", 0), (3, "reply", 24), (4, "reply", 0)):
        model.remove(stream - 1)
        model.add(stream, 400, work, ahead_tokens=ahead)  # type: ignore[arg-type]
        took[stream] = model.step()[stream]
    assert took[2] == 8 == 50 // 6 // 4 * 4, "a turn that is being said"
    assert took[3] == 24 == 150 // 6 // 4 * 4 < 150 // 6, "an answer to a guess"
    assert took[4] > 100, "an answer to what was said"
    model.add(5, 400, "prepare")
    model.remove(4)
    model.slower = 4
    for _ in range(40):
        model.add(6, 16)
        model.step()
        model.remove(6)
    assert model.step() == {5: 4}, "on a slow machine four, which take hardly longer than one"


def longest_gap(model: Model, stream: int, steps: int) -> float:
    """Return the longest time between two tokens of a stream over so many steps."""
    longest, last, written = 0.0, model.now, model.written[stream]
    for _ in range(steps):
        model.step()
        if model.written[stream] > written:
            longest, last, written = max(longest, model.now - last), model.now, model.written[stream]
    return longest


def test_whoever_speaks_is_fed_beside_a_newcomer_with_another_adapter() -> None:
    model = Model(Limits(streams=4, chunk=500, chunk_least=4), decode=30 * MS, token=6 * MS)
    model.speak(1)
    model.add(2, 600, adapter="red")
    assert longest_gap(model, 1, 12) < 0.27, "a voice needs 3.7 tokens a second"


def test_several_adapters_with_prompts_share_the_time_in_which_a_voice_is_fed() -> None:
    model = Model(Limits(streams=4, chunk=500, chunk_least=4), decode=30 * MS, token=6 * MS)
    model.speak(1)
    model.add(2, 600, adapter="red")
    model.add(3, 600, adapter="blue")
    assert longest_gap(model, 1, 18) < 0.32


def test_first_words_are_waited_for_whatever_the_adapter_of_a_newcomer() -> None:
    model = Model(Limits(streams=4, chunk=500, chunk_least=4), decode=10 * MS)
    model.speak(2)
    model.remove(2)
    model.add(1, 1)
    while not model.written[1]:
        model.step()
    model.add(3, 600, adapter="red")
    assert longest_gap(model, 1, 8) < 0.1  # first_s, and the step of the one that writes


def test_what_is_done_ahead_with_another_adapter_is_no_longer_than_beside_the_same() -> None:
    model = Model(Limits(streams=4, chunk=500, chunk_least=4), decode=10 * MS)
    model.speak(1)
    model.add(2, 600, "warm-up", adapter="red")
    assert longest_gap(model, 1, 60) < 0.1
