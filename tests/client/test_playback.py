"""Playback on virtual time: heard samples are counted exactly, whatever the network does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.client.playback import Playback, PlaybackEvent, Played, Started, Stopped

RATE = 1000
"""A sample is a millisecond."""


def audio(ms: int) -> bytes:
    return bytes(2 * ms)


def test_it_waits_for_the_prebuffer_then_plays_and_stops() -> None:
    playback = Playback(RATE, prebuffer_ms=40, report_ms=50)
    playback.add(audio(39))
    assert playback.advance(0.0) == []
    playback.add(audio(81))
    assert playback.advance(0.010) == [Started()]
    assert playback.advance(0.050) == []
    assert playback.played == 40
    assert playback.advance(0.060) == [Played(50)]
    playback.end()
    assert playback.advance(0.130) == [Played(120), Stopped(120)]
    assert playback.stopped
    assert playback.underruns == 0


def test_a_stream_shorter_than_the_prebuffer_is_played_once_it_has_ended() -> None:
    playback = Playback(RATE, prebuffer_ms=40)
    playback.add(audio(5))
    assert playback.advance(0.0) == []
    playback.end()
    assert playback.advance(1.0) == [Started()]
    assert playback.advance(1.005) == [Stopped(5)]


def test_a_stream_without_audio_stops_without_having_started() -> None:
    playback = Playback(RATE)
    playback.end()
    assert playback.advance(0.0) == [Stopped(0)]
    assert playback.advance(1.0) == []


def test_an_underrun_holds_the_playhead_until_the_buffer_is_full_again() -> None:
    playback = Playback(RATE, prebuffer_ms=40, report_ms=1000)
    playback.add(audio(50))
    playback.advance(0.0)
    playback.advance(0.051)
    assert playback.played == 50
    playback.advance(0.2)
    assert playback.played == 50
    assert playback.underruns == 0, "it is not known yet whether more audio comes"
    playback.add(audio(39))
    assert playback.advance(0.3) == []
    assert playback.played == 50
    playback.add(audio(1))
    assert playback.advance(0.4) == [], "it resumes, but it does not start again"
    assert playback.underruns == 1
    playback.advance(0.41)
    assert playback.played == 60


def test_a_late_end_is_not_an_underrun() -> None:
    playback = Playback(RATE, prebuffer_ms=10)
    playback.add(audio(20))
    playback.advance(0.0)
    playback.advance(0.5)
    playback.end()
    assert playback.advance(0.6) == [Stopped(20)]
    assert playback.underruns == 0


def test_a_cut_is_immediate_and_counts_to_the_sample() -> None:
    playback = Playback(RATE, prebuffer_ms=10)
    playback.add(audio(1000))
    playback.advance(0.0)
    assert playback.cut(0.033) == [Stopped(33)]
    assert playback.advance(5.0) == []
    assert playback.cut(6.0) == []
    assert playback.played == 33


def test_a_cut_before_the_first_sound_starts_nothing() -> None:
    playback = Playback(RATE, prebuffer_ms=10)
    playback.add(audio(1000))
    assert playback.cut(0.5) == [Stopped(0)]


def test_a_cut_after_the_end_reports_stopped_once() -> None:
    playback = Playback(RATE, prebuffer_ms=10)
    playback.add(audio(20))
    playback.end()
    playback.advance(0.0)
    assert playback.cut(1.0) == [Stopped(20)]


def test_all_audio_is_kept() -> None:
    playback = Playback(RATE)
    playback.add(b"ab")
    playback.add(b"cdef")
    assert bytes(playback.pcm) == b"abcdef"


@dataclass(frozen=True)
class Step:
    """What happens to a stream at one moment: time passes, audio comes, or it is ended or cut."""

    kind: str
    amount: int = 0


steps = st.lists(
    st.builds(Step, st.sampled_from(["wait", "add"]), st.integers(0, 120))
    | st.builds(Step, st.sampled_from(["end", "cut"]) | st.just("wait"), st.integers(1, 30)),
    max_size=40,
)


def play(playback: Playback, script: list[Step], watch: Callable[[float, int], None]) -> list[PlaybackEvent]:
    """Run a script on virtual time; `watch` sees (now, samples received so far) after each step."""
    now, received, events = 0.0, 0, list[PlaybackEvent]()
    for step in script:
        match step.kind:
            case "wait":
                now += step.amount / 1000
                events += playback.advance(now)
            case "add":
                playback.add(audio(step.amount))
                received += step.amount
            case "end":
                playback.end()
            case "cut":
                events += playback.cut(now)
        watch(now, received)
    return events


@given(steps, st.integers(0, 80), st.integers(1, 100))
def test_the_playhead_never_exceeds_time_or_audio(script: list[Step], prebuffer: int, report: int) -> None:
    playback = Playback(RATE, prebuffer_ms=prebuffer, report_ms=report)
    heads = [(0.0, 0)]

    def watch(now: float, received: int) -> None:
        last_now, last = heads[-1]
        assert playback.played <= received, "more was heard than received"
        assert playback.played >= last, "the playhead ran backwards"
        assert playback.played - last <= (now - last_now) * RATE + 1, "the playhead ran faster than time"
        heads.append((now, playback.played))

    events = play(playback, script, watch)
    played = [event.samples for event in events if isinstance(event, Played)]
    assert played == sorted(set(played)), "reports only ever grow"
    assert [type(event) for event in events].count(Started) <= 1
    assert [type(event) for event in events].count(Stopped) == int(playback.stopped)
    if playback.stopped:
        assert events[-1] == Stopped(playback.played)
    if playback.played:
        assert events[0] == Started()


@given(steps)
def test_every_ended_stream_stops_and_was_heard_completely(script: list[Step]) -> None:
    script = [step for step in script if step.kind not in ("cut", "end")]
    playback = Playback(RATE)
    play(playback, script, lambda now, received: None)
    playback.end()
    received = sum(step.amount for step in script if step.kind == "add")
    now = 1000.0
    for _ in range(3):
        events = playback.advance(now)
        now += 100.0
        if playback.stopped:
            break
    assert events[-1] == Stopped(received)


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 48_000])
def test_an_hour_of_playing_does_not_drift(rate: int) -> None:
    playback = Playback(rate, report_ms=1e9)
    playback.add(bytes(2 * rate))
    playback.advance(0.0)
    for second in range(1, 3600):
        playback.add(bytes(2 * rate))
        playback.pcm.clear()  # kept audio is not tested here
        playback.advance(float(second))
        assert playback.played == second * rate
    assert playback.underruns == 0


def test_latency_of_a_device_delays_what_is_heard() -> None:
    playback = Playback(RATE, prebuffer_ms=10, report_ms=50, latency_ms=100)
    playback.add(audio(120))
    playback.end()
    assert playback.advance(0.0) == [Started()]
    assert playback.is_playing
    assert playback.advance(0.090) == [] and playback.played == 0
    assert playback.advance(0.150) == [Played(50)]
    assert playback.advance(0.220) == [Played(120), Stopped(120)]
    assert not playback.is_playing
