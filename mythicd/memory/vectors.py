"""The vec0 tables: vectors of lore lines and of heard utterances, with exact scope columns.

Scopes are partition keys, so that a search reads only its own scope's vectors (0.1–0.5 ms, where a whole table of
10,000 takes 8 ms). `chunk_size=64`: storage grows by chunks, and with the default of 1024 each zone and each
playthrough would take 1.6 MB. Vectors of two embedders cannot be compared: `vector_source` names the one whose vectors
are stored, and another one empties the tables, which `Store.sync_lore` and `Store.embed_heard` fill again. A row has a
vector exactly if its `embedded` is 1; both are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import numpy as np
from numpy.typing import NDArray

from mythicd.memory.records import Scope

Vector = NDArray[np.float32]

_LORE_TEXT = "line || iif(tags = '', '', ' (' || tags || ')')"
"""Embedded text of a lore row. With its tags, the right line is found for 3 to 7 in 100 more questions."""


def dimensions(db: apsw.Connection) -> int:
    """Return the dimensions of the stored vectors; 0 if there are none."""
    row = db.execute("select dimensions from vector_source").fetchone()
    return int(row[0]) if row else 0


def use_source(db: apsw.Connection, embedder: str, width: int) -> None:
    """Prepare the tables for this embedder; if they hold another's vectors, empty them."""
    with db:
        if db.execute("select embedder, dimensions from vector_source").fetchone() == (embedder, width):
            return
        db.execute(
            f"""
            drop table if exists lore_vectors;
            drop table if exists utterance_vectors;
            create virtual table lore_vectors using vec0(
                id integer primary key, game text partition key, world text partition key, zone text partition key,
                embedding float[{int(width)}] distance_metric=cosine, chunk_size=64
            );
            create virtual table utterance_vectors using vec0(
                id integer primary key, game text partition key, world text partition key,
                player text partition key, playthrough text partition key,
                embedding float[{int(width)}] distance_metric=cosine, chunk_size=64
            );
            update lore set embedded = 0;
            update utterance set embedded = 0;
            """
        )
        db.execute("insert or replace into vector_source values (1, ?, ?)", (embedder, width))


def lore_to_embed(db: apsw.Connection, game: str, world: str, limit: int) -> list[tuple[int, str]]:
    """Return id and text of lore without a vector."""
    found = db.execute(
        f"select id, {_LORE_TEXT} from lore where game = ? and world = ? and not embedded order by id limit ?",
        (game, world, limit),
    )
    return [(int(row[0]), str(row[1])) for row in found]


def borrow_lore(db: apsw.Connection, game: str, world: str) -> int:
    """Copy vectors of the same text from other games and worlds to lore without one; return how many.

    A daemon serves the same world to many games and playthroughs; its lore is embedded once.
    """
    if not dimensions(db):
        return 0
    with db:
        same = list(
            db.execute(
                """
                select mine.id, mine.zone, min(theirs.id) from lore mine join lore theirs
                on theirs.line = mine.line and theirs.tags = mine.tags and theirs.embedded
                where mine.game = ? and mine.world = ? and not mine.embedded group by mine.id
                """,
                (game, world),
            )
        )
        for row_id, zone, source in same:
            for (vector,) in list(db.execute("select embedding from lore_vectors where id = ?", (source,))):
                db.execute("insert into lore_vectors values (?, ?, ?, ?, ?)", (row_id, game, world, zone, vector))
            db.execute("update lore set embedded = 1 where id = ?", (row_id,))
    return len(same)


def heard_to_embed(db: apsw.Connection, limit: int) -> list[tuple[int, str]]:
    """Return id and words of heard utterances without a vector, oldest first."""
    found = db.execute(
        "select id, heard_text from utterance where not embedded and heard_text <> '' order by id limit ?",
        (limit,),
    )
    return [(int(row[0]), str(row[1])) for row in found]


def add_lore(db: apsw.Connection, rows: Sequence[tuple[int, str]], vectors: Vector) -> int:
    """Store the vectors of lore rows, except rows that changed meanwhile; return how many."""
    stored = 0
    with db:
        for (row_id, text), vector in zip(rows, vectors, strict=True):
            place = db.execute(
                f"select game, world, zone from lore where id = ? and {_LORE_TEXT} = ? and not embedded", (row_id, text)
            ).fetchone()
            if place is not None:
                db.execute("insert into lore_vectors values (?, ?, ?, ?, ?)", (row_id, *place, _blob(vector)))
                db.execute("update lore set embedded = 1 where id = ?", (row_id,))
                stored += 1
    return stored


def add_heard(db: apsw.Connection, rows: Sequence[tuple[int, str]], vectors: Vector) -> int:
    """Store the vectors of utterances, except those that changed meanwhile; return how many."""
    stored = 0
    with db:
        for (row_id, text), vector in zip(rows, vectors, strict=True):
            place = db.execute(
                "select game, world, player, playthrough from utterance "
                "where id = ? and heard_text = ? and not embedded",
                (row_id, text),
            ).fetchone()
            if place is not None:
                db.execute("insert into utterance_vectors values (?, ?, ?, ?, ?, ?)", (row_id, *place, _blob(vector)))
                db.execute("update utterance set embedded = 1 where id = ?", (row_id,))
                stored += 1
    return stored


def remove(db: apsw.Connection, table: str, ids: Sequence[int]) -> None:
    """Remove rows from `lore_vectors` or `utterance_vectors`, if the table exists."""
    if dimensions(db):
        db.executemany(f"delete from {table} where id = ?", [(row_id,) for row_id in ids])


def nearest_lore(
    db: apsw.Connection, game: str, world: str, zones: Sequence[str], vector: Vector, k: int
) -> list[tuple[int, float]]:
    """Return id and cosine (−1 to 1) of the k nearest lines of these zones, nearest first."""
    if dimensions(db) != len(vector):
        return []
    found = db.execute(
        f"select id, distance from lore_vectors where embedding match ? and k = ? and game = ? and world = ? "
        f"and zone in ({','.join('?' * len(zones))})",
        (_blob(vector), k, game, world, *zones),
    )  # k of each zone
    return sorted(((int(row[0]), 1.0 - float(row[1])) for row in found), key=lambda hit: -hit[1])[:k]


def nearest_heard(db: apsw.Connection, scope: Scope, npc_id: str, vector: Vector, k: int) -> list[tuple[int, float]]:
    """Return id and cosine of the k nearest utterances that this character heard, nearest first."""
    if dimensions(db) != len(vector):
        return []
    found = db.execute(
        """
        select id, distance from utterance_vectors
        where embedding match ? and k = ? and game = ? and world = ? and player = ? and playthrough = ?
        and id in (
            select u.id from utterance u join heard_by h on h.utterance_id = u.id
            where u.game = ? and u.world = ? and u.player = ? and u.playthrough = ? and u.branch_id = ?
            and h.listener_id = ?
        )
        """,
        (
            *(_blob(vector), k, scope.game, scope.world, scope.player, scope.playthrough),
            *(scope.game, scope.world, scope.player, scope.playthrough, scope.branch_id, npc_id),
        ),
    )
    return [(int(row[0]), 1.0 - float(row[1])) for row in found]


def cosines(db: apsw.Connection, table: str, ids: Sequence[int], vector: Vector) -> dict[int, float]:
    """Return the cosine of each of these rows that has a vector."""
    if dimensions(db) != len(vector):
        return {}
    found = db.execute(
        f"select id, vec_distance_cosine(embedding, ?) from {table} where id in ({','.join('?' * len(ids))})",
        (_blob(vector), *ids),
    )
    return {int(row[0]): 1.0 - float(row[1]) for row in found}


def _blob(vector: Vector) -> bytes:
    return np.ascontiguousarray(vector, dtype=np.float32).tobytes()
