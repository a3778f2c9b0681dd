"""A turn's timeline, the microphone clock, and percentiles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import percentile
from mythicd.audio.mic_clock import MicClock
from mythicd.telemetry.timeline import Mark, Timeline, spans


class TestTimeline:
    """Marks of one turn."""

    def test_a_mark_keeps_its_first_time(self) -> None:
        timeline = Timeline()
        timeline.mark(Mark.FIRST_PHRASE, 1.0)
        timeline.mark(Mark.FIRST_PHRASE, 2.0)
        assert timeline.marks == {Mark.FIRST_PHRASE: 1.0}

    def test_times_are_milliseconds_after_the_end_of_speech(self) -> None:
        timeline = Timeline()
        timeline.mark(Mark.FIRST_AUDIBLE, 10.75)
        timeline.mark(Mark.SPEECH_START, 8.0)
        timeline.mark(Mark.SPEECH_END, 10.0)
        assert timeline.relative_ms() == {"speech_start": -2000, "speech_end": 0, "first_audible": 750}
        assert list(timeline.relative_ms()) == ["speech_start", "speech_end", "first_audible"]

    def test_without_an_end_of_speech_they_count_from_the_first_mark(self) -> None:
        timeline = Timeline()
        timeline.mark(Mark.LLM_DONE, 5.0)
        timeline.mark(Mark.CONTEXT_READY, 4.0)
        assert timeline.relative_ms() == {"context_ready": 0, "llm_done": 1000}
        assert Timeline().relative_ms() == {}

    def test_simultaneous_marks_are_in_the_order_of_a_turn(self) -> None:
        timeline = Timeline()
        for mark in reversed(Mark):
            timeline.mark(mark, 1.0)
        assert list(timeline.relative_ms()) == [mark.value for mark in Mark]

    def test_between(self) -> None:
        timeline = Timeline()
        timeline.mark(Mark.SPEECH_END, 1.0)
        timeline.mark(Mark.FIRST_AUDIBLE, 1.5)
        assert timeline.between_ms(Mark.SPEECH_END, Mark.FIRST_AUDIBLE) == 500
        assert timeline.between_ms(Mark.SPEECH_END, Mark.LLM_DONE) is None

    @given(st.dictionaries(st.sampled_from(list(Mark)), st.floats(0, 1e6), max_size=16))
    def test_the_waterfall_is_in_order_and_without_gaps(self, marks: dict[Mark, float]) -> None:
        relative = Timeline(dict(marks)).relative_ms()
        rows = spans(relative)
        assert [name for name, _, _ in rows] == list(relative)
        assert all(start <= end for _, start, end in rows)
        assert all(above[2] == below[1] for above, below in zip(rows, rows[1:], strict=False))


class TestMicClock:
    """Sample indexes to monotonic time, by the arrival of frames."""

    def test_a_sample_was_spoken_before_its_frame_arrived(self) -> None:
        clock = MicClock(16_000)
        for frame in range(1, 11):
            clock.add(320 * frame, 100 + 0.02 * frame)
        assert clock.when(3200) == pytest.approx(100.2)
        assert clock.when(3040) == pytest.approx(100.19)
        assert clock.when(0) == pytest.approx(100.0)

    def test_a_frame_that_came_late_does_not_move_the_ones_before(self) -> None:
        clock = MicClock(16_000)
        clock.add(320, 1.0)
        clock.add(640, 1.5)  # the network held it up
        assert clock.when(320) == pytest.approx(1.0)
        assert clock.when(480) == pytest.approx(1.49)

    def test_without_frames_there_is_no_time(self) -> None:
        assert MicClock(16_000).when(0) is None

    def test_a_sample_not_yet_arrived_has_the_latest_time(self) -> None:
        clock = MicClock(16_000)
        clock.add(320, 7.0)
        assert clock.when(5000) == 7.0

    def test_its_memory_is_bounded_and_older_samples_are_extrapolated(self) -> None:
        clock = MicClock(16_000, window_s=1.0)
        for frame in range(1, 1001):
            clock.add(320 * frame, 0.02 * frame)
        assert len(clock._stamps) == 50
        assert clock.when(320) == pytest.approx(0.02)

    @given(st.lists(st.tuples(st.integers(1, 2000), st.floats(0, 0.2)), min_size=1, max_size=40), st.data())
    def test_steady_frames_give_every_sample_its_true_time(
        self, frames: list[tuple[int, float]], data: st.DataObject
    ) -> None:
        """However frames are cut, if each arrives when its last sample was spoken, every sample has its true time."""
        clock, end = MicClock(16_000), 0
        for samples, _ in frames:
            end += samples
            clock.add(end, 50 + end / 16_000)
        sample = data.draw(st.integers(0, end))
        assert clock.when(sample) == pytest.approx(50 + sample / 16_000)

    @given(st.lists(st.floats(0, 0.2), min_size=1, max_size=40), st.integers(0, 40 * 320))
    def test_a_sample_is_never_later_than_its_frame(self, delays: list[float], sample: int) -> None:
        clock, arrived = MicClock(16_000), 0.0
        arrivals = []
        for index, delay in enumerate(delays):
            arrived = max(arrived, 0.02 * (index + 1) + delay)
            arrivals.append(arrived)
            clock.add(320 * (index + 1), arrived)
        when = clock.when(sample)
        assert when is not None
        frame = min(max(math.ceil(sample / 320) - 1, 0), len(arrivals) - 1)
        assert arrivals[frame] - 0.02 - 1e-9 <= when <= arrivals[frame] + 1e-9


class TestPercentile:
    """Equal to what statisticians compute."""

    @given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0, 1))
    def test_against_numpy(self, values: list[float], share: float) -> None:
        assert percentile(values, share) == pytest.approx(float(np.quantile(values, share)), abs=1e-6)

    def test_of_nothing(self) -> None:
        assert math.isnan(percentile([], 0.5))
