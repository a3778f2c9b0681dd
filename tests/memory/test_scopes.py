"""Scopes never leak into one another, however similar their ids are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.config.settings import RagSettings
from mythicd.config.world_files import LoreEntry, PlacedLore
from mythicd.memory import lore, utterances, vectors
from mythicd.memory.database import open_database
from mythicd.memory.query import build_query
from mythicd.memory.records import Scope, Speaker, Utterance

IDS = st.sampled_from(["barkeep_01", "old_barkeep_01", "barkeep_01_ghost", "barkeep", "barkeep-01", "01", "Barkeep_01"])
SCOPES = st.builds(Scope, IDS, IDS, IDS, IDS, st.sampled_from(["root", "root-2"]))
RAG = RagSettings(topk_bm25=500, topk_vec=500)
QUERY = build_query("the lantern")
VECTOR = np.array([1.0, 0.0], dtype=np.float32)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    path: Path = tmp_path_factory.mktemp("scopes") / "memory.db"
    connection = open_database(path)
    connection.execute("pragma synchronous = off")
    vectors.use_source(connection, "unit", 2)
    yield connection
    connection.close()


def empty(db: apsw.Connection) -> None:
    db.execute("delete from lore; delete from lore_vectors; delete from utterance; delete from utterance_vectors")


@given(st.lists(st.tuples(SCOPES, IDS, st.booleans()), min_size=2, max_size=8, unique=True))
def test_utterances(db: apsw.Connection, said: list[tuple[Scope, str, bool]]) -> None:
    empty(db)
    for number, (scope, npc, embedded) in enumerate(said):
        text = f"the lantern number{number}"
        one = Utterance(npc, f"turn{number}", Speaker("player", "p"), text, 0.0, [npc], heard_text=text)
        row = utterances.add_utterance(db, scope, one)
        if embedded:
            vectors.add_heard(db, [(row, text)], VECTOR[None])
    for scope, npc, _ in said:
        own = {f"turn{n}" for n, (other, listener, _) in enumerate(said) if (other, listener) == (scope, npc)}
        assert {one.turn_id for one in utterances.recent(db, scope, npc, 99)} == own
        for vector in (None, VECTOR):
            found = utterances.candidates(db, scope, npc, QUERY, vector, RAG, 0.0, {}, ())
            assert {candidate.key for candidate in found} == own


@given(st.lists(st.tuples(IDS, IDS, IDS), min_size=2, max_size=8, unique=True))
def test_lore(db: apsw.Connection, places: list[tuple[str, str, str]]) -> None:
    empty(db)
    of_world: dict[tuple[str, str], list[PlacedLore]] = {}
    for game, world, zone in places:
        entry = LoreEntry(id=f"of_{zone}", text=f"The lantern of {game} {world} {zone}.")
        of_world.setdefault((game, world), []).append(PlacedLore(zone=zone, entry=entry))
    for (game, world), placed in of_world.items():
        lore.sync(db, game, world, placed, RAG)
        rows = vectors.lore_to_embed(db, game, world, 99)
        assert vectors.add_lore(db, rows, np.repeat(VECTOR[None], len(rows), axis=0)) == len(placed)
    for game, world, zone in places:
        for vector in (None, VECTOR):
            found = lore.candidates(db, Scope(game, world, "p", "q"), [zone], QUERY, vector, RAG)
            assert [candidate.line for candidate in found] == [f"The lantern of {game} {world} {zone}."]
