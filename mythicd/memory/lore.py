"""Lore in the database: synchronised with the world's files, and searched. Blocking SQL on an open connection.

Full-text matches are joined to the exact scope columns of their rows. The result are candidates with their measures;
ranking.py decides which are relevant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import apsw

from mythicd.config.settings import RagSettings
from mythicd.config.world_files import PlacedLore
from mythicd.memory import vectors
from mythicd.memory.chunking import CHUNKING, chunks
from mythicd.memory.query import Query, content_words
from mythicd.memory.ranking import Candidate, coverage, idf
from mythicd.memory.records import Scope
from mythicd.memory.vectors import Vector

BM25_WEIGHTS = "2.0, 1.0, 1.0"
"""Weight of a word in the title (which also begins the line), in the tags, and in the line."""


def sync(
    db: apsw.Connection, game: str, world: str, placed: Sequence[PlacedLore], rag: RagSettings
) -> tuple[int, int, int]:
    """Make the stored lore of a world equal to its files; return the numbers of chunks, changed and removed entries.

    Entries whose text, zone and cutting are unchanged are not touched. It is one transaction: a turn sees the lore from
    before or after it.
    """
    with db:
        stored = {
            str(lore_id): str(content_hash)
            for lore_id, content_hash in db.execute(
                "select lore_id, content_hash from lore where game = ? and world = ? and chunk = 0", (game, world)
            )
        }
        wanted = {item.entry.id: (_content_hash(item, rag), item) for item in placed}
        removed = [lore_id for lore_id in stored if lore_id not in wanted]
        changed = [lore_id for lore_id, (content_hash, _) in wanted.items() if stored.get(lore_id) != content_hash]
        for lore_id in (*removed, *(lore_id for lore_id in changed if lore_id in stored)):
            _remove(db, game, world, lore_id)
        for lore_id in changed:
            _insert(db, game, world, *wanted[lore_id], rag)
        count = db.execute("select count(*) from lore where game = ? and world = ?", (game, world)).get
    return int(count), len(changed), len(removed)


def candidates(
    db: apsw.Connection, scope: Scope, zones: Sequence[str], query: Query, vector: Vector | None, rag: RagSettings
) -> list[Candidate]:
    """Return candidates for the question, from the lore of these zones and of the whole world."""
    zones = tuple(dict.fromkeys(("", *zones)))
    places = f"({','.join('?' * len(zones))})"
    where = (scope.game, scope.world, *zones)
    matching = (
        "from lore_words join lore on lore.id = lore_words.rowid "
        f"where lore_words match ? and lore.game = ? and lore.world = ? and lore.zone in {places}"
    )
    words: list[int] = []
    if query.terms:
        best = f"select lore.id {matching} order by bm25(lore_words, {BM25_WEIGHTS}) limit ?"
        words = [int(row[0]) for row in db.execute(best, (query.expression, *where, rag.topk_bm25))]
    near = [] if vector is None else vectors.nearest_lore(db, scope.game, scope.world, zones, vector, rag.topk_vec)
    ids = list(dict.fromkeys((*words, *(row_id for row_id, _ in near))))
    if not ids:
        return []
    lines = db.execute(f"select count(*) from lore where game = ? and world = ? and zone in {places}", where).get
    weights: dict[str, float] = {}
    matched: dict[int, list[str]] = {row_id: [] for row_id in ids}
    for term in query.terms:
        having = {int(row[0]) for row in db.execute(f"select lore.id {matching}", (f'"{term}"', *where))}
        weights[term] = idf(lines, len(having))
        for row_id in matched.keys() & having:
            matched[row_id].append(term)
    cosines = {} if vector is None else vectors.cosines(db, "lore_vectors", ids, vector)
    word_rank = {row_id: place for place, row_id in enumerate(words, 1)}
    near_rank = {row_id: place for place, (row_id, _) in enumerate(near, 1)}
    found = db.execute(f"select id, line, lore_id, tags from lore where id in ({','.join('?' * len(ids))})", ids)
    return [
        Candidate(
            id=int(row_id),
            line=str(line),
            key=str(lore_id),
            coverage=coverage(weights, matched[row_id]),
            bm25_rank=word_rank.get(row_id),
            vector_rank=near_rank.get(row_id),
            cosine=cosines.get(row_id),
            tags=frozenset(content_words(str(tags))),
        )
        for row_id, line, lore_id, tags in found
    ]


def _content_hash(placed: PlacedLore, rag: RagSettings) -> str:
    """Return a hash of everything that the entry's stored lines are made of."""
    entry = placed.entry
    made_of = [CHUNKING, placed.zone, entry.title, *entry.tags, entry.text, rag.chunk_tokens, rag.overlap_tokens]
    return hashlib.blake2b(json.dumps(made_of).encode(), digest_size=16).hexdigest()


def _insert(
    db: apsw.Connection, game: str, world: str, content_hash: str, placed: PlacedLore, rag: RagSettings
) -> None:
    entry = placed.entry
    lines = chunks(entry.text, entry.title, chunk_tokens=rag.chunk_tokens, overlap_tokens=rag.overlap_tokens)
    tags = ", ".join(tag.replace("_", " ") for tag in entry.tags)
    db.executemany(
        "insert into lore (game, world, zone, lore_id, chunk, title, tags, line, content_hash) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (game, world, placed.zone, entry.id, chunk, entry.title, tags, line, content_hash)
            for chunk, line in enumerate(lines)
        ],
    )


def _remove(db: apsw.Connection, game: str, world: str, lore_id: str) -> None:
    of_entry = (game, world, lore_id)
    ids = [int(row[0]) for row in db.execute("select id from lore where game=? and world=? and lore_id=?", of_entry)]
    vectors.remove(db, "lore_vectors", ids)
    db.execute("delete from lore where game = ? and world = ? and lore_id = ?", of_entry)
