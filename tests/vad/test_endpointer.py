"""The endpointer: sequences of probabilities, and the events that they make."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mythicd.engines.vad import VAD_FRAME
from mythicd.vad.endpointer import Endpoint, Endpointer, EndpointSettings, HardEnd, SoftEnd, SpeechResumed, SpeechStart

MS = 16
"""Samples in a millisecond."""


def frames(ms: int, probability: float) -> list[float]:
    return [probability] * (ms // 20)


def speech(ms: int) -> list[float]:
    return frames(ms, 0.9)


def silence(ms: int) -> list[float]:
    return frames(ms, 0.05)


def test_one_utterance_from_start_to_end() -> None:
    events = Endpointer().add(silence(1000) + speech(600) + silence(700))
    assert events == [
        SpeechStart(sample=1060 * MS, start=600 * MS, first_voiced=1000 * MS),
        SoftEnd(sample=1660 * MS, last_voiced=1600 * MS),
        HardEnd(sample=2100 * MS, last_voiced=1600 * MS, reason="silence"),
    ]


def test_events_come_with_the_frame_that_decides_them() -> None:
    endpointer = Endpointer()
    assert endpointer.add(speech(40)) == []
    assert [type(event) for event in endpointer.add(speech(20))] == [SpeechStart]
    assert endpointer.speaking
    endpointer.add(speech(100))
    assert endpointer.add(silence(40)) == []
    assert [type(event) for event in endpointer.add(silence(20))] == [SoftEnd]


def test_click_is_not_speech() -> None:
    assert Endpointer().add((speech(40) + silence(100)) * 20) == []


def test_wavering_probability_does_not_split_a_word() -> None:
    wavering = [0.9, 0.4, 0.4, 0.36, 0.6, 0.4] * 5
    events = Endpointer().add(wavering + silence(600))
    assert [type(event) for event in events] == [SpeechStart, SoftEnd, HardEnd]
    assert Endpointer().add([0.45] * 100) == [], "speech below the start threshold started"


def test_speech_resumes_after_a_soft_end() -> None:
    events = Endpointer().add(speech(300) + silence(200) + speech(300) + silence(600))
    assert [type(event) for event in events] == [SpeechStart, SoftEnd, SpeechResumed, SoftEnd, HardEnd]
    assert events[2] == SpeechResumed(540 * MS)
    assert events[-1] == HardEnd(1300 * MS, 800 * MS, "silence")


def test_a_click_while_waiting_does_not_resume_nor_move_the_end() -> None:
    events = Endpointer().add(speech(300) + silence(200) + speech(20) + silence(600))
    assert [type(event) for event in events] == [SpeechStart, SoftEnd, HardEnd]
    assert events[-1] == HardEnd(800 * MS, 300 * MS, "silence")


def test_the_wait_can_be_set_while_waiting() -> None:
    endpointer = Endpointer()
    endpointer.add(speech(300) + silence(100))
    endpointer.wait_ms = 200
    assert endpointer.add(silence(100)) == [HardEnd(500 * MS, 300 * MS, "silence")]
    assert endpointer.wait_ms == 500, "the wait held for the next utterance"

    endpointer.add(speech(300) + silence(100))
    endpointer.wait_ms = 900
    assert endpointer.add(silence(780)) == []
    endpointer.wait_ms = 0
    assert [type(event) for event in endpointer.add(silence(20))] == [HardEnd]
    with pytest.raises(ValueError, match="-1"):
        endpointer.wait_ms = -1


def test_wait_is_reset_when_speech_resumes() -> None:
    endpointer = Endpointer()
    endpointer.add(speech(300) + silence(100))
    endpointer.wait_ms = 1000
    endpointer.add(speech(100))
    assert endpointer.wait_ms == 500


def test_preroll_starts_after_the_last_utterance() -> None:
    events = Endpointer().add(speech(300) + silence(500) + speech(300))
    assert events[-2] == HardEnd(800 * MS, 300 * MS, "silence")
    assert events[-1] == SpeechStart(860 * MS, 800 * MS, 800 * MS)


def test_utterance_ends_at_the_longest_length() -> None:
    settings = EndpointSettings(max_utterance_ms=2000)
    events = Endpointer(settings).add(speech(5000))
    assert [type(event) for event in events] == [SpeechStart, HardEnd, SpeechStart, HardEnd, SpeechStart]
    assert events[1] == HardEnd(2000 * MS, 2000 * MS, "too_long")


def test_push_to_talk_ends_at_once_and_keeps_the_tail() -> None:
    endpointer = Endpointer()
    endpointer.add(silence(400))
    endpointer.press()
    assert [type(event) for event in endpointer.add(speech(300) + silence(2000))] == [SpeechStart, SoftEnd]
    resumed = endpointer.add(speech(100) + silence(40))
    assert [type(event) for event in resumed] == [SpeechResumed]
    assert endpointer.release() == [HardEnd(2840 * MS, 2800 * MS, "released")]
    assert not endpointer.speaking


def test_push_to_talk_takes_no_audio_from_before_it() -> None:
    endpointer = Endpointer()
    endpointer.add(silence(1000))
    endpointer.press()
    [start] = endpointer.add(speech(100))
    assert start == SpeechStart(1060 * MS, 1000 * MS, 1000 * MS)


def test_push_to_talk_with_one_short_word_is_an_utterance() -> None:
    endpointer = Endpointer()
    endpointer.press()
    assert endpointer.add(silence(200) + speech(40) + silence(60)) == []
    assert endpointer.release() == [SpeechStart(300 * MS, 0, 200 * MS), HardEnd(300 * MS, 300 * MS, "released")]


def test_push_to_talk_without_voice_makes_no_utterance() -> None:
    endpointer = Endpointer()
    endpointer.press()
    assert endpointer.add(silence(900)) == []
    assert endpointer.release() == []


def test_closed_microphone_ends_the_utterance() -> None:
    endpointer = Endpointer()
    endpointer.add(speech(200))
    assert endpointer.close() == [HardEnd(200 * MS, 200 * MS, "closed")]
    assert endpointer.close() == []


def test_samples_count_from_where_the_stream_begins() -> None:
    [start] = Endpointer(start=1_000_000).add(speech(60))
    assert start == SpeechStart(1_000_000 + 60 * MS, 1_000_000, 1_000_000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_threshold": 0.3},
        {"stop_threshold": 0.0},
        {"start_threshold": 1.1},
        {"soft_ms": 600},
        {"soft_ms": 0},
        {"min_speech_ms": 0},
        {"max_utterance_ms": 400},
    ],
)
def test_contradictory_settings_raise_value_error(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must hold"):
        EndpointSettings(**wrong)  # type: ignore[arg-type]


def check(events: list[Endpoint], settings: EndpointSettings) -> None:
    """Assert SpeechStart (SoftEnd SpeechResumed)* [SoftEnd] HardEnd per utterance, in the order of the samples."""
    last_sample, last_end, state = 0, 0, "quiet"
    for event in events:
        assert event.sample >= last_sample
        last_sample = event.sample
        match event:
            case SpeechStart():
                assert state == "quiet"
                assert last_end <= event.start <= event.first_voiced <= event.sample
                assert event.first_voiced - event.start <= settings.preroll_ms * MS
                state = "speaking"
            case SoftEnd():
                assert state == "speaking"
                assert event.sample - event.last_voiced >= settings.soft_ms * MS
                state = "waiting"
            case SpeechResumed():
                assert state == "waiting"
                state = "speaking"
            case HardEnd():
                assert state in ("speaking", "waiting")
                assert last_end <= event.last_voiced <= event.sample
                if event.reason == "silence":
                    assert state == "waiting"
                last_end, state = event.sample, "quiet"


PROBABILITY = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.34, 0.35, 0.49, 0.5, 1.0, float("nan")]))
STEP = st.one_of(
    st.tuples(st.just("add"), st.lists(PROBABILITY, max_size=30)),
    st.tuples(st.just("add"), st.tuples(st.integers(1, 60), PROBABILITY).map(lambda run: [run[1]] * run[0])),
    st.tuples(st.sampled_from(["press", "release", "close"]), st.none()),
    st.tuples(st.just("wait"), st.floats(0, 2000)),
)


@settings(deadline=None)
@given(st.lists(STEP, max_size=40))
def test_any_sequence_gives_well_formed_events(steps: list[tuple[str, list[float] | float | None]]) -> None:
    settings = EndpointSettings(max_utterance_ms=3000)
    endpointer, events = Endpointer(settings), list[Endpoint]()
    for verb, argument in steps:
        match verb, argument:
            case "add", list():
                events += endpointer.add(argument)
            case "wait", float():
                endpointer.wait_ms = argument
            case "press", _:
                endpointer.press()
            case "release", _:
                events += endpointer.release()
            case "close", _:
                events += endpointer.close()
    open_utterance = endpointer.speaking
    closing = endpointer.close()
    assert bool(closing) == open_utterance
    check(events + closing, settings)


@settings(deadline=None)
@given(st.lists(PROBABILITY, max_size=300), st.integers(1, 17))
def test_chunking_gives_the_same_events(probabilities: list[float], size: int) -> None:
    whole = Endpointer().add(probabilities)
    endpointer = Endpointer()
    pieces = [
        event for at in range(0, len(probabilities), size) for event in endpointer.add(probabilities[at : at + size])
    ]
    assert pieces == whole
    assert endpointer.samples == len(probabilities) * VAD_FRAME
