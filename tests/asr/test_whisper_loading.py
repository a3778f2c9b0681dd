"""Loading of Whisper models: what is wrong with files, packages, devices and options, on a model of 2 MB."""

from __future__ import annotations

import shutil
import struct
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ctranslate2
import numpy as np
import psutil
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from tiny_whisper import write_tiny_whisper

from mythicd.asr.whisper.engine import WhisperAsr
from mythicd.asr.whisper.model import NO_NAMES, WhisperModel, check_model
from mythicd.asr.whisper.options import WhisperOptions
from mythicd.audio.pcm import MIC_RATE
from mythicd.engines.asr import Vocabulary
from mythicd.errors import ConfigError, EngineError, EngineUnavailable, ModelError

pytestmark = pytest.mark.engine

SENTENCE = "where is the blue lantern"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for the real engine that always returns the same sentence."""
    directory = tmp_path_factory.mktemp("whisper")
    write_tiny_whisper(directory, SENTENCE)
    return directory


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny, tmp_path / "model")


async def refused(directory: Path, error: type[Exception], match: str, **options: Any) -> None:
    """Start an engine that must not start, and check that it says what to do."""
    engine = WhisperAsr(directory, WhisperOptions(**options))
    with pytest.raises(error, match=match) as caught:
        await engine.start()
    assert getattr(caught.value, "remedy", "")
    with pytest.raises(EngineError, match="not running"):
        await engine.open()


async def test_each_missing_file_is_named(copy: Path, tmp_path: Path) -> None:
    await refused(tmp_path / "gone", ModelError, "gone does not exist")
    for name in ("model.bin", "tokenizer.json", "vocabulary.json"):
        kept = (copy / name).rename(tmp_path / name)
        await refused(copy, ModelError, f"lacks {name}")
        kept.rename(copy / name)
    (copy / "vocabulary.json").rename(copy / "vocabulary.txt")
    check_model(copy)
    await refused(copy / "model.bin", ModelError, "does not exist")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
async def test_a_truncated_model_is_a_model_error(copy: Path, share: float) -> None:
    weights = (copy / "model.bin").read_bytes()
    (copy / "model.bin").write_bytes(weights[: int(len(weights) * share)])
    await refused(copy, ModelError, "cannot be loaded on cpu as int8")


async def test_garbage_files_are_model_errors(copy: Path, tiny: Path) -> None:
    for name in ("model.bin", "tokenizer.json", "vocabulary.json"):
        (copy / name).write_bytes(b"garbage")
        await refused(copy, ModelError, "cannot be loaded on cpu as int8")
        shutil.copy(tiny / name, copy / name)


async def test_a_model_of_another_version_is_a_model_error(copy: Path) -> None:
    weights = (copy / "model.bin").read_bytes()
    (version,) = struct.unpack_from("<I", weights)
    assert version < 99
    (copy / "model.bin").write_bytes(struct.pack("<I", 99) + weights[4:])
    await refused(copy, ModelError, "version")


async def test_a_language_the_model_lacks_is_a_model_error(tiny: Path) -> None:
    await refused(tiny, ModelError, r"'de' \(asr.lang\)", language="de")
    await refused(tiny, ModelError, r"'xx' \(asr.lang\)", language="xx")


async def test_cuda_without_a_device_is_unavailable(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    await refused(tiny, EngineUnavailable, "asr.device is cuda", device="cuda")


async def test_auto_without_a_device_runs_on_the_cpu(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    engine = WhisperAsr(tiny, WhisperOptions(device="auto"))
    await engine.start()
    assert len(engine.notices) == 1 and "no CUDA device" in engine.notices[0]
    await engine.stop()


async def test_a_precision_the_cpu_lacks_becomes_int8(tiny: Path) -> None:
    engine = WhisperAsr(tiny, WhisperOptions(precision="float16"))
    await engine.start()
    stream = await engine.open()
    await stream.push(bytes(2 * MIC_RATE))
    assert (await stream.finish()).text == SENTENCE
    assert len(engine.notices) == 1 and "asr.precision" in engine.notices[0]
    await engine.stop()


async def test_a_model_larger_than_memory_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = namedtuple("memory", "available")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(1000))
    await refused(tiny, ModelError, r"needs about 0.0 GiB, and 0.0 GiB are free")


async def test_a_missing_package_names_the_extra(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("faster_whisper", "ctranslate2"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            await refused(tiny, EngineUnavailable, "faster-whisper is not installed")


@pytest.mark.parametrize(
    ("option", "value"),
    [("threads", 0), ("threads", 65), ("workers", 0), ("beam", 0), ("beam", 11), ("partial_ms", 99)]
    + [("partial_ms", 2001), ("max_streams", 0)],
)
def test_options_out_of_range_are_config_errors(option: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"asr\.{option} is {value}\.") as caught:
        WhisperOptions(**{option: value})  # type: ignore[arg-type]
    assert "from" in caught.value.remedy


async def test_it_starts_again_after_stop(tiny: Path) -> None:
    engine = WhisperAsr(tiny)
    for _ in range(2):
        await engine.start()
        await engine.learn(Vocabulary())
        stream = await engine.open()
        await stream.push(bytes(2 * MIC_RATE))
        assert (await stream.finish()).text == SENTENCE
        await engine.stop()
        with pytest.raises(EngineError, match="not running"):
            await engine.open()
    await engine.stop()


async def test_stop_during_work_ends_streams_with_an_error(tiny: Path) -> None:
    engine = WhisperAsr(tiny)
    await engine.start()
    streams = [await engine.open() for _ in range(3)]
    for stream in streams:
        await stream.push(bytes(2 * MIC_RATE))
    await engine.stop()
    for stream in streams:
        with pytest.raises(EngineError):
            await stream.finish()
    with pytest.raises(EngineError, match="not running"):
        await engine.learn(Vocabulary())


class Recorder:
    """The parts of a loaded model that a prompt is made from."""

    def __init__(self, tokenizer: Any, *, is_multilingual: bool) -> None:
        self.hf_tokenizer = tokenizer
        self.model = self
        self.is_multilingual = is_multilingual
        self.feature_extractor = FeatureExtractor()
        self.prompts: list[list[int]] = []
        self.lengths: list[int] = []

    def encode(self, features: Any) -> Any:
        return features

    def generate(self, encoded: Any, prompts: list[list[int]], *, max_length: int, **_: Any) -> list[Any]:
        self.prompts += prompts
        self.lengths.append(max_length)
        return [SimpleNamespace(sequences_ids=[[]], scores=[0.0], no_speech_prob=0.0)]


def made(tiny: Path, *, is_multilingual: bool, language: str = "en") -> tuple[WhisperModel, Recorder, Any]:
    from tokenizers import AddedToken, Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken(f"<|{code}|>", special=True, normalized=False) for code in ("en", "de")])
    recorder = Recorder(tokenizer, is_multilingual=is_multilingual)
    return WhisperModel(recorder, WhisperOptions(language=language), "cpu"), recorder, tokenizer.token_to_id


def test_a_multilingual_model_gets_language_and_task(tiny: Path) -> None:
    speech = np.zeros(2 * MIC_RATE, np.float32)
    model, recorder, token = made(tiny, is_multilingual=True, language="de")
    model.partial(speech, NO_NAMES)
    assert recorder.prompts == [
        [token(f"<|{name}|>") for name in ("startoftranscript", "de", "transcribe", "notimestamps")]
    ]
    assert recorder.lengths[0] <= 4 + 2 * 6 + 6
    model, recorder, token = made(tiny, is_multilingual=False)
    model.partial(speech, NO_NAMES)
    assert recorder.prompts == [[token("<|startoftranscript|>"), token("<|notimestamps|>")]]


def test_the_prompt_has_as_many_names_as_fit(tiny: Path) -> None:
    model, recorder, token = made(tiny, is_multilingual=False)
    names = [f"Name{number}" for number in range(100)]
    prompt = model.name_prompt(names)
    assert prompt.tokens[0] == token("<|startofprev|>")
    assert 100 < len(prompt.tokens) <= 121
    text = recorder.hf_tokenizer.decode(prompt.tokens[1:])
    assert text.startswith(" Name0, Name1, ") and text.endswith(".")
    assert "name0" in prompt.words and "name99" not in prompt.words
    model.partial(np.zeros(MIC_RATE, np.float32), prompt)
    assert recorder.prompts == [[*prompt.tokens, token("<|startoftranscript|>"), token("<|notimestamps|>")]]
    assert model.name_prompt([]) == NO_NAMES
    assert model.name_prompt(["x" * 500]) == NO_NAMES
