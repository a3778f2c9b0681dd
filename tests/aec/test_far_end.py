"""The far end on the microphone's clock. Voices are ramps: the value of a sample is its position in the stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mythicd.aec.far_end import CUT_MS, DUCK_MS, FADE_MS, KEPT_S, LEAD_MS, LOOSE_LEAD_MS, MAX_STREAMS, FarEnd
from mythicd.audio.pcm import MIC_RATE

MS = MIC_RATE // 1000
LEAD = int(LEAD_MS) * MS
LOOSE_LEAD = int(LOOSE_LEAD_MS) * MS


def ramp(samples: int, start: int = 1) -> bytes:
    return np.arange(start, start + samples, dtype="<i2").tobytes()


def take(speaker: FarEnd, samples: int, frame: int = 320) -> np.ndarray:
    """Return the audio of the next frames, with zeros for silence."""
    taken = [speaker.take(frame) for _ in range(samples // frame)]
    return np.concatenate([np.zeros(frame) if one is None else one for one in taken])


def speaking(samples: int = 16000, *, at: int = 3200) -> FarEnd:
    """Return a far end whose stream 1 began at microphone sample `at`, by a playhead."""
    speaker = FarEnd()
    speaker.sent(1, ramp(samples), MIC_RATE)
    speaker.played(1, 0, at)
    return speaker


def test_voice_is_placed_at_the_playhead_minus_the_lead() -> None:
    heard = take(speaking(), 22400)
    begins = 3200 - LEAD
    assert not heard[:begins].any()
    assert heard[begins : begins + 16000].tolist() == list(range(1, 16001))
    assert not heard[begins + 16000 :].any()


def test_voice_without_a_playhead_is_silent() -> None:
    speaker = FarEnd()
    speaker.sent(1, ramp(16000), MIC_RATE)
    assert speaker.take(320) is None
    speaker.played(2, 0, 0)
    assert speaker.take(320) is None, "an unknown stream"


def test_playheads_count_at_the_rate_of_their_voice() -> None:
    speaker = FarEnd()
    speaker.sent(1, (np.ones(22050) * 1000).astype("<i2").tobytes(), 22050)
    speaker.played(1, 11025, 9600)
    heard = take(speaker, 16000)
    assert np.flatnonzero(heard > 500)[0] == pytest.approx(9600 - 8000 - LEAD, abs=30)


def test_coarse_playheads_move_nothing_and_a_stall_does() -> None:
    speaker = speaking()
    take(speaker, 6400)
    for played, mic in ((3200 - 300, 6400), (4000, 7200 - 319), (4800 - 250, 8000)):
        speaker.played(1, played, mic)
    assert speaker.take(320)[0] == 6400 + LEAD - 3200 + 1  # type: ignore[index]
    stall = 60 * MS
    speaker.played(1, 4800, 8000 + stall)
    assert speaker.take(320)[0] == 6720 + LEAD - 3200 + 1, "one stray playhead moved the voice"  # type: ignore[index]
    speaker.played(1, 5600, 8800 + stall)
    assert speaker.take(320)[0] == 7040 - stall + LEAD - 3200 + 1  # type: ignore[index]


def test_playhead_without_mic_sample_counts_at_its_arrival() -> None:
    speaker = FarEnd()
    speaker.sent(1, ramp(16000), MIC_RATE)
    speaker.arrived(6400)
    take(speaker, 6400)
    speaker.played(1, 0)
    assert speaker.take(320)[0] == LOOSE_LEAD + 1  # type: ignore[index]
    speaker.played(1, 320, 6400)
    assert speaker.take(320)[0] == 320 + 320 + LEAD + 1  # type: ignore[index]
    speaker.arrived(9600)
    for _ in range(3):
        speaker.played(1, 320)
    assert speaker.take(320)[0] == 3 * 320 + LEAD + 1, "a playhead without a sample replaced a precise one"  # type: ignore[index]


def test_ducked_voice_is_quieter_after_the_duck_delay() -> None:
    speaker = FarEnd()
    speaker.sent(1, np.full(32000, 1000, "<i2").tobytes(), MIC_RATE)
    speaker.played(1, 0, 0)
    speaker.ducked(1, -12.0)
    heard = take(speaker, 6400)
    quiet = np.flatnonzero(heard < 900)
    assert quiet[0] == pytest.approx(int(DUCK_MS) * MS - LEAD, abs=320)
    assert heard[-1] == pytest.approx(1000 * 10 ** (-12 / 20), rel=1e-3)
    speaker.arrived(6400)
    speaker.ducked(1, 0.0)
    assert take(speaker, 6400)[-1] == 1000
    speaker.ducked(7, -12.0)


def test_cut_voice_ends_now_and_then_at_the_reported_sample() -> None:
    speaker = speaking(at=0)
    speaker.arrived(3200)
    take(speaker, 3200)
    speaker.cut(1)
    rest = int(CUT_MS + FADE_MS) * MS
    heard = take(speaker, 6400)
    assert np.flatnonzero(heard)[-1] == pytest.approx(rest - LEAD, abs=1)
    other = speaking(at=0)
    other.arrived(3200)
    take(other, 1600)
    other.cut(1)
    other.stopped(1, 2400)
    assert take(other, 6400).max() == 2400
    other.cut(9)
    other.stopped(9, 0)


def test_voices_add_up() -> None:
    speaker = FarEnd()
    for stream in (1, 2):
        speaker.sent(stream, np.full(1600, stream * 100, "<i2").tobytes(), MIC_RATE)
        speaker.played(stream, 0, LEAD)
    assert take(speaker, 1600).tolist() == [300.0] * 1600


def test_new_microphone_counts_from_zero() -> None:
    speaker = speaking(at=0)
    take(speaker, 3200)
    speaker.open()
    assert speaker.take(320) is None
    speaker.played(1, 6400, 640)
    assert speaker.take(320)[0] == 6400 - 640 + 320 + LEAD + 1  # type: ignore[index]


def test_lost_audio_is_skipped() -> None:
    speaker = speaking(at=0)
    speaker.take(320)
    speaker.seek(1600)
    assert speaker.take(320)[0] == 1600 + LEAD + 1  # type: ignore[index]


def test_endless_voice_and_many_voices_take_bounded_memory() -> None:
    speaker = FarEnd()
    for stream in range(100):
        speaker.sent(stream, ramp(320), MIC_RATE)
    assert len(speaker._voices) == MAX_STREAMS
    for _ in range(200):
        speaker.sent(1000, ramp(3200), MIC_RATE)
    voice = speaker._voices[1000]
    assert len(voice.samples) == KEPT_S * MIC_RATE
    assert voice.known == 200 * 3200
    speaker.played(1000, voice.base, 0)
    take(speaker, 10 * MIC_RATE)
    assert len(voice.samples) < 8 * MIC_RATE
    speaker.stopped(1000, voice.known)
    take(speaker, 10 * MIC_RATE)
    assert 1000 not in speaker._voices


STREAM = st.integers(1, 3)
SAMPLE = st.integers(0, 100_000)
STEP = st.one_of(
    st.tuples(st.just("sent"), STREAM, st.integers(0, 4000)),
    st.tuples(st.just("played"), STREAM, SAMPLE, st.none() | SAMPLE),
    st.tuples(st.just("stopped"), STREAM, SAMPLE),
    st.tuples(st.just("cut"), STREAM),
    st.tuples(st.just("ducked"), STREAM, st.sampled_from([-12.0, 0.0])),
    st.tuples(st.sampled_from(["arrived", "seek", "take"]), st.integers(0, 4000)),
    st.tuples(st.just("open")),
)


@settings(deadline=None)
@given(st.lists(STEP, max_size=40))
def test_any_playheads_give_only_audio_that_was_sent(steps: list[tuple[object, ...]]) -> None:
    speaker, sent = FarEnd(), 0
    for verb, *arguments in steps:
        match verb, *arguments:
            case "sent", int(stream), int(samples):
                speaker.sent(stream, np.full(samples, 1000, "<i2").tobytes(), MIC_RATE)
                sent += samples
            case "take", int(samples):
                heard = speaker.take(samples)
                assert heard is None or (len(heard) == samples and 0 <= heard.max() <= 3000)
                assert heard is None or sent
            case _:
                getattr(speaker, str(verb))(*arguments)
