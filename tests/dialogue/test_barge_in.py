"""Signs of listening and true interruptions: the policy on made-up voices, and on real ones through real engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.open_mic.barge_in_offline import sweep
from mythicd.dialogue.barge_in import BargeIn, BargeInSettings, Verdict

LISTENING, STOPS, OPEN = Verdict.BACKCHANNEL, Verdict.INTERRUPTION, Verdict.UNDECIDED


def test_a_command_stops_at_once() -> None:
    voice = BargeIn()
    assert voice.add(200.0, "the") is OPEN
    assert voice.add(280.0, "stop") is STOPS
    assert voice.end(400.0, "okay", 1.0) is STOPS, "what is decided stays so"


def test_length_stops() -> None:
    voice = BargeIn()
    assert voice.add(740.0, "where does the") is OPEN
    assert voice.add(760.0, "where does the") is STOPS
    assert BargeIn().add(880.0, "show me") is OPEN
    assert BargeIn().add(900.0, "market harbor") is STOPS
    assert BargeIn().add(900.0, "okay them") is OPEN, "half of a second okay"
    assert BargeIn().add(800.0, "them to him") is OPEN, "the middle of hmm, hmm"
    assert BargeIn().add(800.0, "okay will pay") is OPEN, "the middle of okay, okay"
    assert BargeIn().add(800.0, "okay will you pay") is STOPS
    assert BargeIn().add(1480.0, "okay okay") is OPEN
    assert BargeIn().add(1500.0, "okay okay") is STOPS


@pytest.mark.parametrize("words", ["mhm", "uh huh", "right", "okay okay", "oh i see", "of course", "Yeah"])
def test_signs_of_listening_do_not(words: str) -> None:
    assert BargeIn().end(700.0, words, 0.9) is LISTENING


def test_what_is_not_understood_does_not_if_it_is_short() -> None:
    assert BargeIn().end(500.0, "", 0.0) is LISTENING
    assert BargeIn().end(1300.0, "", 0.0) is LISTENING
    assert BargeIn().end(1400.0, "", 0.0) is STOPS
    assert BargeIn().end(300.0, "who", 0.9) is LISTENING
    assert BargeIn().end(300.0, "hello", 0.9) is STOPS
    assert BargeIn().end(300.0, "hello", 0.1) is LISTENING


def test_words_that_nobody_says_so_fast_or_so_slowly_were_not_understood() -> None:
    assert BargeIn().end(280.0, "hello there", 0.6) is LISTENING, "good"
    assert BargeIn().end(560.0, "hello there", 0.6) is STOPS
    assert BargeIn().end(280.0, "stop it now", 0.6) is STOPS, "a command is one at any speed"
    assert BargeIn().end(960.0, "do the", 0.9) is LISTENING, "oh, I see"
    assert BargeIn().end(640.0, "and who are you", 0.9) is STOPS
    assert BargeIn().end(960.0, "market", 0.9) is STOPS, "it has content"
    voice = BargeIn()
    assert voice.end(400.0, "okay", 1.0) is LISTENING
    assert voice.add(420.0, "okay") is OPEN
    assert voice.end(640.0, "okay stall", 0.6) is STOPS, "where it began nobody knows so well"


def test_a_sign_and_then_a_question() -> None:
    voice = BargeIn()
    assert voice.end(400.0, "okay", 1.0) is LISTENING
    assert voice.add(1000.0, "okay") is OPEN, "the pause is no voice"
    assert voice.add(1300.0, "okay where is") is OPEN
    assert voice.end(1700.0, "okay where is it", 0.9) is STOPS


def test_a_command_behind_a_sign_that_was_more_words_when_it_stood_alone() -> None:
    for words in ("okay stop", "stop"):
        voice = BargeIn()
        assert voice.end(400.0, "them to him", 0.1) is LISTENING
        assert voice.add(1000.0, "them to him") is OPEN
        assert voice.add(1300.0, words) is STOPS
        voice = BargeIn()
        assert voice.end(400.0, "them to him", 0.1) is LISTENING
        assert voice.add(1000.0, "them to him") is OPEN
        assert voice.end(1300.0, words, 0.9) is STOPS
    voice = BargeIn()
    assert voice.end(400.0, "hmm hmm", 0.9) is LISTENING
    assert voice.add(1000.0, "hmm hmm") is OPEN
    assert voice.end(1400.0, "hello there", 0.9) is STOPS


def test_a_sign_and_another_one() -> None:
    voice = BargeIn()
    assert voice.end(400.0, "okay", 1.0) is LISTENING
    assert voice.end(400.0, "okay", 1.0) is LISTENING, "the pause was looked at twice"
    assert voice.add(900.0, "") is OPEN
    assert voice.add(1300.0, "okay right") is OPEN
    assert voice.end(1300.0, "okay right", 0.9) is LISTENING
    assert voice.end(1300.0, "okay right", 0.9) is LISTENING


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 300), st.sampled_from(["", "mhm", "the", "stop", "where is it"])))
)
def test_an_interruption_is_final_and_only_an_end_says_that_somebody_listens(
    steps: list[tuple[bool, float, str]],
) -> None:
    voice = BargeIn()
    voiced, before = 0.0, OPEN
    for ends, more, words in steps:
        voiced += more
        verdict = voice.end(voiced, words, 0.9) if ends else voice.add(voiced, words)
        assert verdict is voice.verdict
        assert verdict is STOPS or before is not STOPS
        assert ends or verdict is not LISTENING
        before = verdict


@pytest.mark.parametrize("field", ["long_ms", "sentence_ms", "longest_ms", "unclear_ms"])
def test_longer_settings_never_stop_more(field: str) -> None:
    patient = BargeInSettings(**{field: 5000.0})
    for voiced in range(100, 2000, 100):
        for words in ("", "who", "where is the", "okay right", "hello"):
            if BargeIn(patient).add(voiced, words) is STOPS:
                assert BargeIn().add(voiced, words) is STOPS


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("models")


@pytest.mark.engine
async def test_every_second_one_over_a_speaking_character(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    over, against = await sweep(models, (0,))
    went_on = [each for each in over if each.stopped_ms is None]
    times = sorted(each.stopped_ms for each in against if each.stopped_ms is not None)
    with capsys.disabled():
        print(f"\n  spoke on at {len(went_on)} of {len(over)} signs of listening,", end="")
        print(f" stopped at {len(times)} of {len(against)} interruptions after {times[len(times) // 2]:.0f} ms", end="")
        print(f" (p95 {times[int(0.95 * len(times))]:.0f})", end="")
    assert len(over) == len(against) == 50
    # Measured: 94 and 98 %, in other voices and other noise 91 and 95 %; promised are 90 and 95 %. No espeak-ng says a
    # word twice in the same samples, and other processors round otherwise: two cases more may go wrong before it is
    # called broken.
    assert len(went_on) >= 0.86 * len(over), [each for each in over if each.stopped_ms is not None]
    assert len(times) >= 0.90 * len(against), [each for each in against if each.stopped_ms is None]
