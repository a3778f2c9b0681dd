"""The quality of retrieval on questions.yaml: hits among answerable questions, false hits among the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from mythicd.config.settings import RagSettings
from mythicd.config.world_files import LoreEntry, PersonaCard, PlacedLore, World
from mythicd.memory.minilm import MiniLmEmbedder
from mythicd.memory.query import build_query
from mythicd.memory.ranking import ScoredLine
from mythicd.memory.records import Scope
from mythicd.memory.store import Store

SCOPE = Scope("saltmere", "default", "player", "default")


@dataclass(frozen=True)
class Answered:
    """One question, and what was found for it."""

    ask: str
    answer: str | None
    found: Sequence[ScoredLine]

    @property
    def keys(self) -> list[str]:
        return [line.key for line in self.found]


@dataclass(frozen=True)
class Quality:
    """Figures over many questions, each 0–1 but the last."""

    hit_at_1: float
    hit_at_3: float
    false_positives: float
    """Share of the questions without an answer for which something was found all the same."""
    lines: float
    """Mean number of lines found for a question that has an answer."""


def read() -> dict[str, Any]:
    """Return the content of questions.yaml."""
    content: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "questions.yaml").read_text("utf-8"))
    return content


def world(entries: Sequence[LoreEntry], zone: str = "") -> World:
    """Return a world of this lore and one character."""
    return World(
        path=Path("saltmere"),
        title="Saltmere",
        rules=(),
        topics=(),
        characters={"bess": PersonaCard(name="Bess")},
        lore=tuple(PlacedLore(zone=zone, entry=entry) for entry in entries),
        things={},
        tools={},
        voices={},
    )


def saltmere() -> World:
    """Return the town of questions.yaml."""
    return world([msgspec.convert(entry, LoreEntry) for entry in read()["lore"]])


async def ask_all(store: Store, embedder: MiniLmEmbedder | None, part: str) -> list[Answered]:
    """Ask every question of a part (`tune` or `held`) in a store that holds the town."""
    answered = []
    for question in read()["questions"][part]:
        query = build_query(question["ask"])
        vector = None if embedder is None else (await embedder.embed([query.text]))[0]
        found = await store.search_lore(SCOPE, (), query, vector, RagSettings())
        answer = None if question["answer"] == "none" else question["answer"]
        answered.append(Answered(question["ask"], answer, found))
    return answered


def quality(answered: Sequence[Answered]) -> Quality:
    """Count the hits."""
    known = [one for one in answered if one.answer is not None]
    absent = [one for one in answered if one.answer is None]
    return Quality(
        hit_at_1=sum(one.keys[:1] == [one.answer] for one in known) / len(known),
        hit_at_3=sum(one.answer in one.keys[:3] for one in known) / len(known),
        false_positives=sum(bool(one.found) for one in absent) / len(absent),
        lines=sum(len(one.found) for one in known) / len(known),
    )
