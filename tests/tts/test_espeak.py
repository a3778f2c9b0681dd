"""espeak-ng behind the Tts Protocol."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from itertools import pairwise

import numpy as np
import pytest

from mythicd.engines.tts import Tts, VoiceChunk, VoiceSpec
from mythicd.errors import ConfigError, EngineError, EngineUnavailable, ModelError
from mythicd.native import espeakng
from mythicd.native.espeakng import EspeakNg
from mythicd.tts.espeak import EspeakTts

pytestmark = pytest.mark.engine

MARLA = VoiceSpec("marla", "en-us+f2", rate=165, pitch=45)
TEXT = "Mind the blue lantern by the market gate."
SPOKEN_APART = TEXT.split()


@pytest.fixture(params=[None, 24_000, 16_000])
async def tts(request: pytest.FixtureRequest) -> AsyncIterator[EspeakTts]:
    engine = EspeakTts(request.param)
    await engine.start()
    assert engine.sample_rate == (request.param or 22_050)
    yield engine
    await engine.stop()


async def say(tts: Tts, text: str, voice: VoiceSpec = MARLA) -> list[VoiceChunk]:
    return [chunk async for chunk in tts.speak(text, voice)]


def pcm(chunks: list[VoiceChunk]) -> np.ndarray:
    return np.frombuffer(b"".join(chunk.pcm for chunk in chunks), dtype="<i2")


async def test_it_speaks_with_timings_at_any_rate(tts: EspeakTts) -> None:
    await tts.prepare(MARLA)
    chunks = await say(tts, TEXT)
    sound = pcm(chunks)
    assert len(chunks) > 10
    assert 2 < len(sound) / tts.sample_rate < 4
    assert 800 < np.sqrt(np.mean(sound.astype(float) ** 2)) < 10_000
    words = [word for chunk in chunks for word in chunk.words]
    assert [TEXT[word.start : word.end] for word in words] == SPOKEN_APART
    phonemes = [onset for chunk in chunks for onset in chunk.phonemes]
    assert all(a.sample <= b.sample for a, b in pairwise(words))
    assert all(a.sample <= b.sample for a, b in pairwise(phonemes))
    assert 0.9 * len(sound) < phonemes[-1].sample <= len(sound) + tts.sample_rate // 100


async def test_resampling_moves_neither_sounds_nor_words() -> None:
    plain, fine = EspeakTts(), EspeakTts(48_000)
    await plain.start()
    await fine.start()
    one, other = await say(plain, TEXT), await say(fine, TEXT)
    assert len(pcm(one)) / 22_050 == pytest.approx(len(pcm(other)) / 48_000, abs=0.01)
    for a, b in zip([w for c in one for w in c.words], [w for c in other for w in c.words], strict=True):
        assert a.sample / 22_050 == pytest.approx(b.sample / 48_000, abs=0.01)
    await plain.stop()
    await fine.stop()


async def test_the_first_chunk_comes_at_once(tts: EspeakTts) -> None:
    await tts.prepare(MARLA)
    waits = []
    for _ in range(10):
        begun = time.perf_counter()
        async for _chunk in tts.speak(TEXT, MARLA):
            waits.append(time.perf_counter() - begun)
            break
    assert min(waits) < 0.02  # 0.4 ms on a quiet core


async def test_closing_stops_the_voice_and_frees_the_engine(tts: EspeakTts) -> None:
    speech = tts.speak("This goes on and on and on. " * 100, MARLA)
    await anext(speech)
    begun = time.perf_counter()
    await speech.aclose()
    assert time.perf_counter() - begun < 0.1  # 1 ms on a quiet core
    assert len(await say(tts, "Still here.")) > 3


async def test_two_characters_speak_at_once(tts: EspeakTts) -> None:
    tom = VoiceSpec("tom", "en-us+m3", pitch=20)
    alone = [len(pcm(await say(tts, TEXT, voice))) for voice in (MARLA, tom)]
    together = await asyncio.gather(say(tts, TEXT, MARLA), say(tts, TEXT, tom))
    assert [len(pcm(chunks)) for chunks in together] == pytest.approx(alone, rel=0.01)


@pytest.mark.parametrize("text", ["", "   ", "...", "\0", "\ud800", "🙂" * 3, "x" * 5000])
async def test_odd_text_is_safe(tts: EspeakTts, text: str) -> None:
    await say(tts, text)


@pytest.mark.parametrize(
    ("model", "near"), [("en-uk+m3", "en-us"), ("en-us+m33", r"\+m3"), ("zzz", "such as"), ("", "such as")]
)
async def test_unknown_voice_names_itself_and_similar_ones(tts: EspeakTts, model: str, near: str) -> None:
    with pytest.raises(ModelError, match=near) as caught:
        await tts.prepare(VoiceSpec("barkeep", model))
    assert repr(model) in str(caught.value)
    assert "'barkeep'" in str(caught.value)
    with pytest.raises(ModelError):
        await say(tts, "hello", VoiceSpec("barkeep", model))


@pytest.mark.parametrize("wrong", [{"rate": 79}, {"rate": 451}, {"pitch": -1}, {"pitch": 100}])
async def test_voice_out_of_range_is_refused(tts: EspeakTts, wrong: dict[str, int]) -> None:
    (name, value), *_ = wrong.items()
    with pytest.raises(ConfigError, match=rf"'barkeep'.*{name} {value}\b.*\d+–\d+"):
        await tts.prepare(VoiceSpec("barkeep", "en-us", **wrong))


async def test_it_must_be_started_and_may_be_started_again() -> None:
    tts = EspeakTts()
    with pytest.raises(EngineError, match="start"):
        await say(tts, "hello")
    await tts.start()
    await tts.stop()
    await tts.stop()
    with pytest.raises(EngineError, match="start"):
        await tts.prepare(MARLA)
    await tts.start()
    assert len(await say(tts, "hello")) > 3
    await tts.stop()


async def test_without_the_library_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(espeakng, "_SYSTEM_LIBRARIES", ())
    monkeypatch.setattr(EspeakNg, "_loaded", None)
    with pytest.raises(EngineUnavailable, match="espeakng-loader"):
        await EspeakTts().start()


@pytest.mark.parametrize(
    ("model", "language"),
    [
        ("en-gb+m3", "en"),
        ("en", "en"),
        ("de", "de"),
        ("ru+f2", "ru"),
        ("cmn-latn-pinyin", "cmn"),
        ("de_DE-thorsten", "de"),
        ("narrator", "en"),
    ],
)
def test_a_voice_has_the_language_of_its_name(model: str, language: str) -> None:
    assert EspeakTts().language(VoiceSpec("x", model)) == language
