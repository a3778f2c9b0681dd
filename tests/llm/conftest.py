"""Fixtures: a small random model, and engines that run it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import tiny_gguf
from asking import Start

from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.llm.llamacpp.options import LlamaOptions


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
async def start(model: Path) -> AsyncIterator[Start]:
    """Start engines, which are stopped after the test; assert that their threads have ended."""
    engines: list[LlamaLlm] = []

    async def begin(path: Path = model, **options: Any) -> LlamaLlm:
        engine = LlamaLlm(path, LlamaOptions(**{"n_ctx": 1024, **options}))
        await engine.start()
        engines.append(engine)
        return engine

    yield begin
    for engine in engines:
        await engine.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mythic-llm")]
