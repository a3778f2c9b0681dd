"""Retrieval finds the right line for most questions, and none for what the lore does not say."""

from __future__ import annotations

import pytest
from quality import SCOPE, ask_all, quality, read, saltmere

from mythicd.config.settings import RagSettings
from mythicd.memory.minilm import MiniLmEmbedder
from mythicd.memory.store import Store

pytestmark = pytest.mark.engine


def test_there_are_enough_questions_and_each_answer_exists() -> None:
    content = read()
    ids = {entry["id"] for entry in content["lore"]}
    for part in ("tune", "held"):
        questions = content["questions"][part]
        assert len(questions) >= 40
        assert {question["answer"] for question in questions} <= ids | {"none"}
        assert len({question["ask"] for question in questions}) == len(questions)


@pytest.mark.parametrize("part", ["tune", "held"])
async def test_with_vectors(part: str, store: Store, embedder: MiniLmEmbedder) -> None:
    await store.sync_lore(SCOPE, saltmere(), RagSettings(), embedder)
    measured = quality(await ask_all(store, embedder, part))
    assert measured.hit_at_1 >= 0.80
    assert measured.hit_at_3 >= 0.84
    assert measured.false_positives <= 0.15
    assert measured.lines <= 1.6, "few lines: a small model gets lost among many"


@pytest.mark.parametrize("part", ["tune", "held"])
async def test_with_words_alone(part: str, store: Store) -> None:
    await store.sync_lore(SCOPE, saltmere(), RagSettings())
    measured = quality(await ask_all(store, None, part))
    assert measured.hit_at_1 >= 0.55
    assert measured.hit_at_3 >= 0.58
    assert measured.false_positives <= 0.15
    assert measured.lines <= 1.6
