"""Repeated tails, the window, and the filter for what is invented in noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.asr.whisper.hallucination import is_invented
from mythicd.asr.whisper.log_mel import LogMel
from mythicd.asr.whisper.repetition import tidy, without_echo, without_late_repetition, without_repetition
from mythicd.asr.whisper.window import samples_of_window, voiced_end_s
from mythicd.audio.pcm import MIC_RATE
from mythicd.engines.asr import WordTime


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("When does the tavern close? When does the tavern close?", "When does the tavern close?"),
        ("When does the tavern close? When does the tav", "When does the tavern close?"),
        ("Who is the harbor master? Who is the harder master?", "Who is the harbor master?"),
        ("where is the market where is the market where is", "where is the market"),
        ("Good evening, Marla. Good evening.", "Good evening, Marla."),
        ("What happened in the great storm? What", "What happened in the great storm?"),
        ("I need your help. I need your help. I need your help.", "I need your help."),
    ],
)
def test_a_repeated_tail_is_cut(heard: str, said: str) -> None:
    assert without_repetition(heard) == said


@pytest.mark.parametrize(
    "said",
    ["", "No.", "no no", "No, no!", "Yes. Yes.", "very very good", "I know that that is true."]
    + ["You are what you are.", "It is what it is, I think.", "Is Marla here or is Hester here?"],
)
def test_what_people_repeat_stays(said: str) -> None:
    assert without_repetition(said) == said


def timed(text: str, starts: list[float]) -> tuple[WordTime, ...]:
    return tuple(WordTime(word, at, at + 0.1) for word, at in zip(text.split(), starts, strict=True))


def test_a_tail_after_the_speech_is_cut() -> None:
    words = timed("Where's the market? Where's the market? Where's", [0.1, 0.3, 0.4, 0.9, 1.0, 1.0, 1.1])
    assert without_late_repetition(words, 1.02) == words[:3]
    again = timed("Have you seen Rook tonight? Have you", [0.1, 0.2, 0.3, 0.5, 0.7, 1.02, 1.3])
    assert without_late_repetition(again, 1.2) == again[:5]


def test_a_tail_within_the_speech_stays() -> None:
    words = timed("Where's the market? Where's the ferry?", [0.2, 0.4, 0.5, 1.24, 1.4, 1.5])
    assert without_late_repetition(words, 1.9) == words
    twice = timed("Help me, help me.", [0.2, 0.4, 0.76, 0.9])
    assert without_late_repetition(twice, 1.04) == twice
    thrice = timed("Help me, help me. Help me.", [0.2, 0.4, 0.76, 0.9, 1.1, 1.2])
    assert without_late_repetition(thrice, 1.04) == thrice[:4]
    assert without_late_repetition((), 1.0) == ()


@given(st.lists(st.sampled_from("where is the market ? Stop. no".split()), max_size=14))
def test_the_first_words_always_stay(words: list[str]) -> None:
    found = without_repetition(" ".join(words)).split()
    assert found == words[: len(found)]
    assert bool(found) == bool(words)


def test_an_echo_after_the_end_of_speech_is_cut() -> None:
    yes = [WordTime("Yes.", 0.1, 0.5), WordTime("Yes.", 0.58, 0.6)]
    assert without_echo(yes, 0.6) == tuple(yes[:1])
    twice = [WordTime("Yes.", 0.1, 0.4), WordTime("Yes.", 0.5, 0.9)]
    assert without_echo(twice, 0.95) == tuple(twice)
    assert without_echo([], 1.0) == ()


def test_doubled_punctuation_is_removed() -> None:
    assert [tidy(each) for each in ("close?.", "close..", "close?", "", "a.b", "wait...")] == [
        *("close?", "close.", "close?", "", "a.b"),
        "wait.",
    ]


def test_noise_is_told_from_speech_by_both_probabilities() -> None:
    assert is_invented("Thank you.", 0.45, 0.9, is_prompted=True)
    assert not is_invented("Thank you.", 0.20, 0.9, is_prompted=True)
    assert not is_invented("Thank you.", 0.51, 0.9, is_prompted=False)
    assert is_invented("Thank you.", 0.72, 0.9, is_prompted=False)
    assert is_invented("Wren, Hester", 0.3, 0.2, is_prompted=True)
    assert not is_invented("Is Hester here?", 0.3, 0.8, is_prompted=True)
    assert is_invented("...", 0.0, 1.0, is_prompted=True) and is_invented("", 0.0, 1.0, is_prompted=False)


def test_the_window_is_speech_between_silences() -> None:
    speech = np.ones(MIC_RATE, np.float32) * np.tile(np.array([0.5, -0.3], np.float32), MIC_RATE // 2)
    window = samples_of_window(speech, 4.0)
    assert len(window) == 5.5 * MIC_RATE and window.dtype == np.float32
    within = window[MIC_RATE // 2 : MIC_RATE * 3 // 2]
    assert not window[: MIC_RATE // 2].any() and not window[MIC_RATE * 3 // 2 :].any()
    assert within.mean() == pytest.approx(0.0, abs=1e-6)
    assert np.allclose(within, speech - 0.1, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.0, 0.1, 25.0, 27.0, 29.5, 31.0, 60.0])
def test_the_window_is_at_most_30_s(seconds: float) -> None:
    speech = np.zeros(round(seconds * MIC_RATE), np.float32)
    window = samples_of_window(speech, 4.0)
    assert len(window) == min(30.0, 0.5 + min(seconds, 29.5) + 4.0) * MIC_RATE


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.02])
def test_the_end_of_speech_is_found_in_noise(noise: float) -> None:
    random = np.random.default_rng(3)
    speech = random.normal(0, noise, 3 * MIC_RATE).astype(np.float32)
    speech[MIC_RATE // 2 : 2 * MIC_RATE] += 0.3 * np.sin(np.arange(MIC_RATE * 3 // 2) * 0.1).astype(np.float32)
    assert voiced_end_s(speech) == pytest.approx(2.0, abs=0.04)


def test_the_end_of_speech_is_within_the_audio() -> None:
    for seconds in (0.0, 0.01, 0.02, 0.5):
        silence = np.zeros(round(seconds * MIC_RATE), np.float32)
        assert 0.0 <= voiced_end_s(silence) <= seconds
    assert voiced_end_s(np.ones(MIC_RATE, np.float32)) == 1.0


@pytest.mark.parametrize("seconds", [0.6, 4.5, 30.0])
def test_the_spectrogram_is_that_of_faster_whisper(seconds: float) -> None:
    extractors = pytest.importorskip("faster_whisper.feature_extractor")
    speech = np.random.default_rng(4).normal(0, 0.1, round(seconds * MIC_RATE)).astype(np.float32)
    speech[: len(speech) // 2] *= np.sin(np.arange(len(speech) // 2) * 0.01).astype(np.float32)
    for mels in (80, 128):
        extractor = extractors.FeatureExtractor(feature_size=mels)
        log_mel = LogMel(extractor.mel_filters, extractor.n_fft, extractor.hop_length)
        for samples in (speech, np.zeros_like(speech)):
            expected = extractor(samples)
            found = log_mel.of(samples)
            assert found.shape == expected.shape
            assert np.allclose(found, expected, atol=1e-3)
