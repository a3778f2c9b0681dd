"""The XTTS engine: Coqui's own model code, on a small model with random weights that the test makes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mythicd.audio.wav import write_wav
from mythicd.engines.tts import ClonedVoice, VoiceChunk, VoiceSpec
from mythicd.errors import AudioError, EngineError, EngineUnavailable, ModelError
from mythicd.tts.phrase_buffer import Phrase
from mythicd.tts.speakable_text import spoken
from mythicd.tts.speech_queue import SpeechQueue
from mythicd.tts.xtts import FILES, XttsOptions, XttsTts, parts

pytestmark = [
    pytest.mark.engine,
    # transformers' warnings about what Coqui's code calls.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

TEXT = "Mind the blue lantern by the market gate."
ANA = VoiceSpec("ana", "en-us+f2", xtts=ClonedVoice("Ana Florence"))


async def say(tts: XttsTts, text: str = TEXT, voice: VoiceSpec = ANA) -> list[VoiceChunk]:
    return [chunk async for chunk in tts.speak(text, voice)]


def pcm(chunks: list[VoiceChunk]) -> np.ndarray:
    return np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<i2")


# --- without the package ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
async def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    for other in FILES:
        if other != name:
            (tmp_path / other).write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match=name):
        await XttsTts(XttsOptions(tmp_path)).start()


async def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FILES:
        (tmp_path / name).write_text("{}", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineUnavailable, match=r"mythicd\[xtts\]"):
        await XttsTts(XttsOptions(tmp_path)).start()


async def test_it_must_be_started(tmp_path: Path) -> None:
    tts = XttsTts(XttsOptions(tmp_path))
    with pytest.raises(EngineError, match="start"):
        await tts.prepare(ANA)
    with pytest.raises(EngineError, match="start"):
        await say(tts)
    await tts.stop()


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("", 5, []),
        ("one two", 7, ["one two"]),
        ("one two three", 7, ["one two", "three"]),
        ("onetwothree", 4, ["onet", "woth", "ree"]),
        (" a  b ", 1, ["a", "b"]),
    ],
)
def test_long_text_is_divided_at_blanks(text: str, limit: int, expected: list[str]) -> None:
    assert parts(text, limit) == expected


def test_language_is_that_of_the_entry(tmp_path: Path) -> None:
    tts = XttsTts(XttsOptions(tmp_path))
    assert tts.language(VoiceSpec("x", "en-us", xtts=ClonedVoice("a", language="zh-cn"))) == "zh"
    assert tts.language(VoiceSpec("x", "de+f2")) == "de"


# --- the model -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("TTS")
    from tiny_xtts import write_model

    return write_model(tmp_path_factory.mktemp("xtts"))


@pytest.fixture
async def tts(directory: Path) -> AsyncIterator[XttsTts]:
    engine = XttsTts(XttsOptions(directory, chunk_tokens=8))
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A recording of six seconds, by espeak-ng."""
    from mythicd.audio.pcm import Clip
    from mythicd.native.espeakng import EspeakNg

    espeak, sound = EspeakNg.load(), bytearray()

    def take(chunk: VoiceChunk) -> bool:
        sound.extend(chunk.pcm)
        return True

    espeak.speak("The ferry leaves at dawn, and the market opens at nine. " * 2, "en-us+m3", 165, 50, take)
    write_wav(tmp_path / "sample.wav", Clip(bytes(sound), espeak.sample_rate))
    return tmp_path / "sample.wav"


async def test_audio_is_streamed_with_onsets(tts: XttsTts) -> None:
    await tts.prepare(ANA)
    chunks = await say(tts)
    sound = pcm(chunks)
    assert len(chunks) >= 3, "a chunk for each eight tokens"
    assert 0.9 < len(sound) / tts.sample_rate < 1.7
    assert np.abs(sound.astype(int)).max() > 300
    words = [word for chunk in chunks for word in chunk.words]
    assert [TEXT[word.start : word.end] for word in words] == TEXT.split()
    phonemes = [onset for chunk in chunks for onset in chunk.phonemes]
    for onsets in (words, phonemes):
        assert all(a.sample <= b.sample for a, b in pairwise(onsets))
        assert onsets[-1].sample <= len(sound)


async def test_another_rate_has_as_many_seconds(directory: Path) -> None:
    tts = XttsTts(XttsOptions(directory), 16_000)
    await tts.start()
    assert 0.9 < len(pcm(await say(tts))) / 16_000 < 1.7
    await tts.stop()


async def test_it_feeds_the_queue(tts: XttsTts) -> None:
    queue = SpeechQueue(tts.sample_rate)
    queue.begin(Phrase(TEXT, 0), spoken(TEXT))
    for chunk in await say(tts):
        queue.add(chunk)
    queue.end()
    frames = queue.take(0)
    while more := queue.take(frames[-1].end):
        frames += more
    shown = 0
    for frame in frames:
        for event in frame.visemes:
            assert event.start == shown
            shown = event.end
    assert shown == frames[-1].end
    assert queue.heard(frames[-1].end) == len(TEXT)


async def test_the_license_is_told(tts: XttsTts) -> None:
    assert any("non-commercial" in notice for notice in tts.notices)


async def test_a_sample_is_imitated_once(tts: XttsTts, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    compute = tts._model.get_speaker_embedding
    monkeypatch.setattr(
        tts._model, "get_speaker_embedding", lambda *args: (calls.append(args[0].shape[-1]), compute(*args))[1]
    )
    voice = VoiceSpec("copy", "en-us", xtts=ClonedVoice(sample=sample))
    await tts.prepare(voice)
    assert len(pcm(await say(tts, voice=voice))) > 5000
    assert len(calls) == 1
    assert 4 * 22_050 < calls[0] <= 10 * 22_050


async def test_the_conditioning_is_that_of_coqui(tts: XttsTts, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Coqui reads a file with torchaudio, which needs ffmpeg; here its place is taken by soundfile."""
    import soundfile
    import torch
    import torchaudio

    def load(path: str) -> tuple[Any, int]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return torch.from_numpy(samples.T), rate

    monkeypatch.setattr(torchaudio, "load", load)
    config = tts._model.config
    expected = tts._model.get_conditioning_latents(
        audio_path=str(sample),
        max_ref_length=config.max_ref_len,
        gpt_cond_len=config.gpt_cond_len,
        gpt_cond_chunk_len=config.gpt_cond_chunk_len,
    )
    for mine, coquis in zip(tts._imitate("copy", sample), expected, strict=True):
        assert torch.allclose(mine, coquis, atol=1e-3)


async def test_a_changed_sample_is_read_again(tts: XttsTts, sample: Path) -> None:
    cloned = ClonedVoice(sample=sample)
    before = tts._conditioning("copy", cloned)
    assert tts._conditioning("copy", cloned) is before
    from mythicd.audio.wav import read_wav

    clip = read_wav(sample)
    write_wav(sample, replace(clip, pcm=clip.pcm[: len(clip.pcm) // 4 * 3 // 2 * 2]))
    assert tts._conditioning("copy", cloned) is not before


async def test_unusable_samples_are_named(tts: XttsTts, sample: Path, tmp_path: Path) -> None:
    from mythicd.audio.wav import read_wav

    def voice(file: Path) -> VoiceSpec:
        return VoiceSpec("copy", "en-us", xtts=ClonedVoice(sample=file))

    with pytest.raises(AudioError, match=r"'copy'.*nowhere\.wav"):
        await tts.prepare(voice(tmp_path / "nowhere.wav"))
    clip = read_wav(sample)
    write_wav(tmp_path / "short.wav", replace(clip, pcm=clip.pcm[: clip.rate * 2 * 2]))
    with pytest.raises(AudioError, match=r"'copy'.*short\.wav is 2\.0 s"):
        await tts.prepare(voice(tmp_path / "short.wav"))
    (tmp_path / "text.wav").write_text("hello", encoding="utf-8")
    with pytest.raises(AudioError, match=r"text\.wav"):
        await tts.prepare(voice(tmp_path / "text.wav"))
    assert len(pcm(await say(tts)))


async def test_an_unknown_speaker_names_similar_ones(tts: XttsTts) -> None:
    with pytest.raises(ModelError, match=r"'x'.*'Anna Florenz'.*Ana Florence"):
        await tts.prepare(VoiceSpec("x", "en-us", xtts=ClonedVoice("Anna Florenz")))


async def test_an_unknown_language_names_the_known_ones(tts: XttsTts) -> None:
    for voice in (VoiceSpec("x", "sw"), VoiceSpec("x", "en-us", xtts=ClonedVoice("Ana Florence", language="sw"))):
        with pytest.raises(ModelError, match=r"'sw'.*\ben\b"):
            await tts.prepare(voice)


async def test_a_voice_without_entry_gets_always_the_same_speaker(directory: Path, tts: XttsTts) -> None:
    voices = [VoiceSpec(f"voice_{number}", "en-us") for number in range(20)]
    chosen = [tts._cloned(voice).speaker for voice in voices]
    assert set(chosen) == {"Ana Florence", "Badr Odhiambo"}
    assert chosen == [tts._cloned(voice).speaker for voice in voices]
    await tts.prepare(voices[0])
    one = XttsTts(XttsOptions(directory, speakers=("Badr Odhiambo",)))
    await one.start()
    assert {one._cloned(voice).speaker for voice in voices} == {"Badr Odhiambo"}
    await one.stop()


async def test_a_model_without_speakers_asks_for_a_sample(tmp_path: Path, directory: Path) -> None:
    for name in FILES:
        (tmp_path / name).symlink_to(directory / name)
    tts = XttsTts(XttsOptions(tmp_path))
    await tts.start()
    with pytest.raises(ModelError, match="sample"):
        await tts.prepare(VoiceSpec("x", "en-us"))
    await tts.stop()


@pytest.mark.parametrize("text", ["", "...", "\0", "\ud800", "🙂", "a\0b \ud800 c", "漢字 x"])
async def test_odd_text_is_safe(tts: XttsTts, text: str) -> None:
    await say(tts, text)
    assert len(pcm(await say(tts, "Still here.")))


async def test_text_longer_than_the_models_limit_is_spoken(tts: XttsTts) -> None:
    one, long = await say(tts, "word " * 10), await say(tts, "word " * 120)
    assert len(pcm(long)) == pytest.approx(3 * len(pcm(one)), rel=0.1), "in three parts of 250 letters at most"
    assert len([word for chunk in long for word in chunk.words]) == 120


async def test_closing_frees_the_engine(tts: XttsTts) -> None:
    speech = tts.speak("word " * 200, ANA)
    await anext(speech)
    await speech.aclose()
    assert len(pcm(await say(tts, "Still here.")))


async def test_phrases_at_once_are_spoken_one_after_another(tts: XttsTts) -> None:
    order: list[str] = []

    async def speak(text: str, lead: float) -> None:
        async for _ in tts.speak(text, ANA, lambda: lead):
            pass
        order.append(text)

    async with asyncio.TaskGroup() as group:
        group.create_task(speak("First.", 9))
        await asyncio.sleep(0)
        for text, lead in (("Far.", 5), ("Near.", 1)):
            group.create_task(speak(text, lead))
    assert order == ["First.", "Near.", "Far."]


async def test_a_failing_model_is_reported(tts: XttsTts, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    with monkeypatch.context() as patch:

        def fail(*args: Any, **settings: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory.\nMore lines.")

        patch.setattr(tts._model.hifigan_decoder, "forward", fail)
        with pytest.raises(EngineError, match=r"CUDA out of memory\. More lines\. Try"):
            await say(tts)
    assert len(pcm(await say(tts)))


@pytest.mark.parametrize("name", FILES)
async def test_a_broken_file_is_reported(tmp_path: Path, directory: Path, name: str) -> None:
    for other in FILES:
        (tmp_path / other).write_bytes((directory / other).read_bytes()[: 1000 if other == name else None])
    tts = XttsTts(XttsOptions(tmp_path))
    with pytest.raises(ModelError, match=str(tmp_path)):
        await tts.start()
    await tts.stop()


async def test_a_model_of_other_sizes_is_reported(tmp_path: Path, directory: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes((directory / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config["model_args"]["gpt_layers"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be loaded"):
        await XttsTts(XttsOptions(tmp_path)).start()


async def test_cuda_that_is_not_there_is_reported(directory: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(EngineUnavailable, match=r"tts\.device"):
        await XttsTts(XttsOptions(directory, device="cuda")).start()
    tts = XttsTts(XttsOptions(directory, device="auto"))
    await tts.start()
    await tts.stop()


async def test_it_may_be_started_again(tts: XttsTts) -> None:
    await tts.stop()
    await tts.start()
    assert len(pcm(await say(tts)))
