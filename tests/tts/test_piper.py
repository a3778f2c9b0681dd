"""Piper behind the Tts Protocol: its real loading and synthesis code, on a voice that the test makes."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tiny_piper_voice import RATE, write_voice

from mythicd.engines.tts import VoiceChunk, VoiceSpec
from mythicd.errors import EngineError, EngineUnavailable, ModelError
from mythicd.tts.phrase_buffer import Phrase
from mythicd.tts.piper import PiperTts, _Sound, _starts_of_words, read_alignment
from mythicd.tts.speakable_text import spoken
from mythicd.tts.speech_queue import SpeechQueue

pytestmark = pytest.mark.engine

VOICE = VoiceSpec("marla", "tiny.onnx")


async def say(tts: PiperTts, text: str, voice: VoiceSpec = VOICE) -> list[VoiceChunk]:
    return [chunk async for chunk in tts.speak(text, voice)]


def samples(chunks: list[VoiceChunk]) -> int:
    return sum(len(chunk.pcm) for chunk in chunks) // 2


# --- reading alignments (no package needed) --------------------------------------------------------------------------


def test_marks_join_the_sounds_they_belong_to() -> None:
    sounds = [_Sound(phoneme, 100) for phoneme in "^hˈiːl ˌa,$"]
    onsets, words = read_alignment(sounds)
    assert [(onset.sample, onset.ipa, onset.stress) for onset in onsets] == [
        (0, "", 0),
        (100, "h", 0),
        (200, "iː", 1),
        (500, "l", 0),
        (700, "a", 2),
        (900, "", 0),
        (1000, "", 0),
    ]
    assert words == [100, 700]


@pytest.mark.parametrize(
    ("spoken_words", "expected"),
    [
        ({"at": 1, "3.5": 3, "now": 1, "at 3.5 now": 5}, {0: "at", 1: "3.5", 4: "now"}),
        ({"of": 1, "the": 1, "day": 1, "—": 0, "of the day —": 2}, {0: "of", 1: "the"}),
        ({"—": 0, "so": 1, "— so": 1}, {0: "so"}),
    ],
)
def test_words_are_counted_off(spoken_words: dict[str, int], expected: dict[int, str]) -> None:
    text = max(spoken_words, key=len)
    starts = _starts_of_words(text, spoken_words.__getitem__)
    assert {number: text[start:end] for number, (start, end) in starts.items()} == expected


async def test_without_piper_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(EngineUnavailable, match=r"mythicd\[piper\]"):
        await PiperTts(tmp_path).start()


# --- the real package ------------------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    pytest.importorskip("piper")
    pytest.importorskip("onnx")
    write_voice(tmp_path / "tiny.onnx")
    return tmp_path


@pytest.fixture
async def tts(directory: Path) -> AsyncIterator[PiperTts]:
    engine = PiperTts(directory)
    await engine.start()
    await engine.prepare(VOICE)
    yield engine
    await engine.stop()


async def test_sounds_and_words_lie_in_the_audio(tts: PiperTts) -> None:
    text = "Hello there, friend. Mind the blue lantern."
    chunks = await say(tts, text)
    assert len(chunks) == 2, "a chunk per sentence"
    total = samples(chunks)
    onsets = [onset for chunk in chunks for onset in chunk.phonemes]
    assert all(a.sample <= b.sample for a, b in pairwise(onsets))
    assert 0 <= onsets[0].sample and onsets[-1].sample < total
    assert [onset.ipa for onset in onsets[:6]] == ["", "h", "ə", "l", "o", "ʊ"]
    assert any(onset.stress == 1 for onset in onsets)
    words = [word for chunk in chunks for word in chunk.words]
    assert [text[word.start : word.end] for word in words] == text.split()
    sound = np.frombuffer(chunks[0].pcm, "<i2")
    assert np.abs(sound.astype(int)).max() > 5000
    second = next(word for word in words if text[word.start : word.end] == "Mind")
    assert samples(chunks[:1]) <= second.sample < samples(chunks[:1]) + 0.1 * RATE


async def test_numbers_and_merged_words_keep_their_places(tts: PiperTts) -> None:
    for text in ("It costs 3.5 gold at noon", "the end of the day in the night", "twenty 21 — 22 … and so"):
        chunks = await say(tts, text)
        words = [word for chunk in chunks for word in chunk.words]
        assert all(a.sample <= b.sample and a.end <= b.start for a, b in pairwise(words))
        assert len(words) >= len(text.split()) - 3
        assert all(text[word.start : word.end] in text.split() for word in words)


async def test_another_rate_moves_the_times(directory: Path, tts: PiperTts) -> None:
    fine = PiperTts(directory, 48_000)
    await fine.start()
    one, other = await say(tts, "Hello there, friend."), await say(fine, "Hello there, friend.")
    assert samples(one) / RATE == pytest.approx(samples(other) / 48_000, abs=0.01)
    for a, b in zip(one[0].phonemes, other[0].phonemes, strict=True):
        assert a.sample / RATE == pytest.approx(b.sample / 48_000, abs=0.001)
    await fine.stop()


async def test_rate_makes_it_slower(tts: PiperTts) -> None:
    slow = VoiceSpec("marla", "tiny.onnx", rate=100)
    assert samples(await say(tts, "Hello there", slow)) > 1.3 * samples(await say(tts, "Hello there"))


async def test_it_feeds_the_queue(tts: PiperTts) -> None:
    queue = SpeechQueue(tts.sample_rate)
    queue.begin(Phrase("Hello there.", 0), spoken("Hello there."))
    for chunk in await say(tts, "Hello there."):
        queue.add(chunk)
    queue.end()
    frames = queue.take(0)
    assert frames and frames[0].visemes
    shown = 0
    for frame in frames:
        for event in frame.visemes:
            assert event.start == shown
            shown = event.end
    assert shown == frames[-1].end
    assert queue.heard(frames[-1].end) == 12


@pytest.mark.parametrize("text", ["", "...", "\0", "\ud800", "[[h@l'oU]]", "🙂", "word " * 40])
async def test_odd_text_is_safe(tts: PiperTts, text: str) -> None:
    await say(tts, text)


async def test_closing_frees_the_engine(tts: PiperTts) -> None:
    speech = tts.speak("One sentence. " * 50, VOICE)
    await anext(speech)
    begun = time.perf_counter()
    await speech.aclose()
    assert time.perf_counter() - begun < 1
    assert samples(await say(tts, "Still here.")) > 0


async def test_missing_and_broken_voices_name_their_file(directory: Path, tts: PiperTts) -> None:
    with pytest.raises(ModelError, match=r"'tom'.*none\.onnx"):
        await tts.prepare(VoiceSpec("tom", "none.onnx"))
    (directory / "half.onnx").write_bytes((directory / "tiny.onnx").read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"half\.onnx\.json"):
        await tts.prepare(VoiceSpec("tom", "half.onnx"))
    (directory / "half.onnx.json").write_bytes((directory / "tiny.onnx.json").read_bytes())
    with pytest.raises(ModelError, match=r"'tom'.*half\.onnx "):
        await tts.prepare(VoiceSpec("tom", "half.onnx"))
    (directory / "half.onnx.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"'tom'.*half\.onnx "):
        await tts.prepare(VoiceSpec("tom", "half.onnx"))
    assert samples(await say(tts, "Still here.")) > 0


async def test_it_must_be_started(directory: Path) -> None:
    with pytest.raises(EngineError, match="start"):
        await PiperTts(directory).prepare(VOICE)
