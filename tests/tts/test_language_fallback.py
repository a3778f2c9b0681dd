"""A voice engine with espeak-ng for the languages that it lacks: Piper on a small voice, and the real espeak-ng."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tiny_piper_voice import RATE, write_voice

from mythicd.engines.tts import PiperVoice, VoiceSpec
from mythicd.errors import EngineError, ModelError
from mythicd.tts.espeak import EspeakTts
from mythicd.tts.language_fallback import LanguageFallback
from mythicd.tts.piper.engine import PiperTts

pytestmark = pytest.mark.engine

MARLA = VoiceSpec("marla", "en-us")
LUC = VoiceSpec("luc", "fr-fr")


def both(folder: Path, *pool: str) -> LanguageFallback:
    return LanguageFallback(PiperTts(lambda name: folder / f"{name}.onnx", pool, sample_rate=RATE), EspeakTts(RATE))


async def bytes_of(tts: LanguageFallback, text: str, voice: VoiceSpec) -> int:
    return sum([len(chunk.pcm) async for chunk in tts.speak(text, voice)])


@pytest.fixture
async def tts(tmp_path: Path) -> AsyncIterator[LanguageFallback]:
    write_voice(tmp_path / "en_GB-tiny.onnx", "seam")
    made = both(tmp_path, "en_GB-tiny")
    await made.start()
    yield made
    await made.stop()


async def test_each_voice_is_spoken_in_its_language(tts: LanguageFallback) -> None:
    for voice in (MARLA, LUC):
        await tts.prepare(voice)
        assert await bytes_of(tts, "Bonjour.", voice)
    assert (tts.language(MARLA), tts.language(LUC)) == ("en", "fr")
    assert tts.sample_rate == RATE
    (notice,) = tts.notices
    assert "'luc' is spoken by espeak-ng" in notice and "'fr'" in notice


async def test_preparing_twice_tells_once(tts: LanguageFallback) -> None:
    await tts.prepare(LUC)
    await tts.prepare(LUC)
    assert len(tts.notices) == 1


async def test_a_named_voice_that_is_missing_is_an_error(tts: LanguageFallback) -> None:
    with pytest.raises(ModelError, match=r"no file .*none\.onnx"):
        await tts.prepare(VoiceSpec("luc", "fr-fr", piper=PiperVoice("none")))
    assert not tts.notices


async def test_notices_of_the_first_engine_are_kept(tmp_path: Path) -> None:
    write_voice(tmp_path / "en_GB-whole.onnx", "tone")
    tts = both(tmp_path, "en_GB-whole")
    await tts.start()
    await tts.prepare(LUC)
    first, second = tts.notices
    assert "en_GB-whole" in first and "'luc'" in second
    await tts.stop()


async def test_closing_ends_the_engine_that_speaks(tts: LanguageFallback) -> None:
    await tts.prepare(MARLA)
    speech = tts.speak("One sentence. " * 50, MARLA)
    await anext(speech)
    await speech.aclose()
    assert await bytes_of(tts, "Still here.", MARLA)


async def test_a_first_engine_that_fails_starts_neither(tmp_path: Path) -> None:
    tts = both(tmp_path, "en_GB-missing")
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        await tts.start()
    with pytest.raises(EngineError):
        await tts.prepare(LUC)


async def test_stopping_ends_both(tts: LanguageFallback) -> None:
    await tts.prepare(MARLA)
    await tts.prepare(LUC)
    await tts.stop()
    for voice in (MARLA, LUC):
        with pytest.raises(EngineError):
            await bytes_of(tts, "Hello.", voice)
    await tts.start()
    assert await bytes_of(tts, "Hello.", MARLA)
