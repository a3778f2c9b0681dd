"""Fixtures: a store on a new file, and one real embedder for all memory tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mythicd.memory.minilm import MiniLmEmbedder
from mythicd.memory.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "memory.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the model is converted once for all tests."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
async def embedder(model_cache: Path) -> AsyncIterator[MiniLmEmbedder]:
    embedder = MiniLmEmbedder(model_cache)
    await embedder.start()
    yield embedder
    await embedder.stop()
