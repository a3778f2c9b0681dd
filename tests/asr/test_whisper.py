"""The faster-whisper recogniser: errors at loading, and the real engine on a generated model."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hearing import HARBOUR_TOWN, hear

from mythicd.asr.whisper import WhisperAsr, check_model
from mythicd.audio.pcm import MIC_RATE
from mythicd.errors import AudioError, BusyError, EngineError, EngineUnavailable, ModelError

pytestmark = pytest.mark.engine

SECOND = bytes(2 * MIC_RATE)


def fake_files(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).write_bytes(b"not a model")
    return directory


def test_incomplete_model_raises_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="gone"):
        check_model(tmp_path / "gone")
    for name in ("model.bin", "tokenizer.json", "vocabulary.json"):
        with pytest.raises(ModelError, match=rf"lacks {name}") as caught:
            check_model(tmp_path)
        assert caught.value.remedy
        fake_files(tmp_path, name)
    check_model(tmp_path)


async def test_missing_package_raises_engine_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    engine = WhisperAsr(fake_files(tmp_path, "model.bin", "tokenizer.json", "vocabulary.json"))
    with pytest.raises(EngineUnavailable, match="faster-whisper is not installed") as caught:
        await engine.start()
    assert "mythicd[whisper]" in caught.value.remedy
    with pytest.raises(EngineError, match="not running"):
        await engine.open()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for the real engine that always returns the same sentence."""
    pytest.importorskip("faster_whisper", reason="needs the extra mythicd[whisper]")
    from tiny_whisper import write_tiny_whisper

    directory = tmp_path_factory.mktemp("whisper")
    write_tiny_whisper(directory)
    return directory


@pytest.fixture
async def asr(model_dir: Path) -> AsyncIterator[WhisperAsr]:
    engine = WhisperAsr(model_dir, max_streams=2)
    await engine.start()
    yield engine
    await engine.stop()


async def test_it_transcribes_with_partials(asr: WhisperAsr) -> None:
    stream = await asr.open()
    assert await stream.push(SECOND) == ""
    async with asyncio.timeout(30):
        while not (partial := await stream.push(b"")):
            pass
    assert partial == "where is the blue lantern"
    recognition = await stream.finish()
    assert recognition.text == "where is the blue lantern"
    assert 0.5 < recognition.confidence <= 1.0
    assert recognition.lang == "en"


async def test_a_guess_leaves_the_utterance_open(asr: WhisperAsr) -> None:
    stream = await asr.open()
    assert (await stream.guess()).text == ""
    await stream.push(SECOND)
    first = await stream.guess()
    assert first.text == "where is the blue lantern"
    await stream.push(b"")
    assert await stream.guess() is first
    await stream.push(SECOND)
    late = asyncio.create_task(stream.guess())
    await asyncio.sleep(0)
    late.cancel()
    await stream.push(SECOND)
    second = await stream.guess()
    assert second is not first
    assert await stream.finish() is second
    with pytest.raises(EngineError, match="over"):
        await stream.guess()


async def test_hotwords_reach_the_decoder(asr: WhisperAsr) -> None:
    before = await asr.open()
    await asr.learn(HARBOUR_TOWN)
    # This model's words depend on the token's position, which hotwords shift.
    assert (await hear(before, SECOND))[0].text == "where is the blue lantern"
    assert (await hear(await asr.open(), SECOND))[0].text != "where is the blue lantern"


async def test_streams_open_and_close(asr: WhisperAsr) -> None:
    first, second = await asr.open(), await asr.open()
    with pytest.raises(BusyError):
        await asr.open()
    await first.push(SECOND)
    await first.abandon()
    await first.abandon()
    assert (await second.finish()).text == ""
    with pytest.raises(EngineError, match="over"):
        await second.push(SECOND)
    assert (await hear(await asr.open(), SECOND))[0].text == "where is the blue lantern"


async def test_bad_audio_is_rejected_and_loses_nothing(asr: WhisperAsr) -> None:
    stream = await asr.open()
    await stream.push(SECOND)
    with pytest.raises(AudioError, match="2 bytes"):
        await stream.push(b"\x00")
    with pytest.raises(AudioError, match="longer than 30 s"):
        await stream.push(SECOND * 30)
    assert (await stream.finish()).text == "where is the blue lantern"


async def test_corrupt_model_raises_model_error(model_dir: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "vocabulary.json"):
        (tmp_path / name).write_bytes((model_dir / name).read_bytes())
    (tmp_path / "model.bin").write_bytes(b"garbage")
    with pytest.raises(ModelError, match="cannot be loaded on cpu as int8"):
        await WhisperAsr(tmp_path).start()
