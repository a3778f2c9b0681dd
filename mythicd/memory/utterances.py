"""Utterances and tool calls in the database. Blocking SQL on an open connection.

A character remembers exactly the utterances that have its id in `heard_by`, and of those only the played words. An
utterance that was never settled (the daemon died while it was playing) is not remembered.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import apsw

from mythicd.config.settings import RagSettings
from mythicd.errors import StoreError
from mythicd.memory import vectors
from mythicd.memory.query import Query
from mythicd.memory.ranking import Candidate, ScoredLine, coverage, idf, recency
from mythicd.memory.records import Heard, Scope, Speaker, ToolRecord, Utterance
from mythicd.memory.vectors import Vector

_IN_SCOPE = "u.game = ? and u.world = ? and u.player = ? and u.playthrough = ? and u.branch_id = ?"
_HEARD = f"{_IN_SCOPE} and h.listener_id = ? and u.heard_text <> ''"
_COLUMNS = (
    "u.id, u.turn_id, u.speaker_kind, u.speaker_id, u.heard_text, u.started_at, u.game_time, u.zone, u.importance"
)


def add_utterance(db: apsw.Connection, scope: Scope, said: Utterance) -> int:
    """Record an utterance and its hearers; return its id."""
    with db:
        row = (
            *(*_values(scope), scope.branch_id, said.npc_id, said.turn_id, said.speaker.kind, said.speaker.id),
            *(_text(said.text), None if said.heard_text is None else _text(said.heard_text)),
            *(said.started_at, said.ended_at, said.game_time, said.zone, said.importance, said.source),
        )
        db.execute(
            "insert into utterance (game, world, player, playthrough, branch_id, npc_id, turn_id, speaker_kind, "
            "speaker_id, text, heard_text, started_at, ended_at, game_time, zone, importance, source) "
            f"values ({','.join('?' * len(row))})",
            row,
        )
        utterance_id = db.last_insert_rowid()
        _set_hearers(db, utterance_id, said.present)
    return utterance_id


def mark_heard(
    db: apsw.Connection, utterance_id: int, heard_text: str, ended_at: float, present: Collection[str] | None
) -> None:
    """Set the played words of an utterance. Raises StoreError for an unknown one."""
    with db:
        vectors.remove(db, "utterance_vectors", [utterance_id])
        db.execute(
            "update utterance set heard_text = ?, ended_at = ?, embedded = 0 where id = ?",
            (_text(heard_text), ended_at, utterance_id),
        )
        if not db.changes():
            raise StoreError(f"Unknown utterance {utterance_id}.", remedy="Record an utterance before it is played.")
        if present is not None:
            db.execute("delete from heard_by where utterance_id = ?", (utterance_id,))
            _set_hearers(db, utterance_id, present)


def recent(db: apsw.Connection, scope: Scope, npc_id: str, limit: int) -> list[Heard]:
    """Return the last utterances that this character heard, oldest first."""
    found = db.execute(
        f"select {_COLUMNS} from utterance u join heard_by h on h.utterance_id = u.id "
        f"where {_HEARD} order by u.id desc limit ?",
        (*_values(scope), scope.branch_id, npc_id, limit),
    )
    return [_heard(row) for row in found][::-1]


def candidates(
    db: apsw.Connection,
    scope: Scope,
    npc_id: str,
    query: Query,
    vector: Vector | None,
    rag: RagSettings,
    now: float,
    names: Mapping[str, str],
    skip_turns: Collection[str],
) -> list[Candidate]:
    """Return candidates for the question: exchanges, each of which is all that was heard in one turn."""
    where = (*_values(scope), scope.branch_id, npc_id)
    matching = (
        "from utterance_words join utterance u on u.id = utterance_words.rowid "
        f"join heard_by h on h.utterance_id = u.id where utterance_words match ? and {_HEARD}"
    )
    turn_of: dict[int, str] = {}
    if query.terms:
        best = f"select u.id, u.turn_id {matching} order by bm25(utterance_words) limit ?"
        turn_of = {int(row[0]): str(row[1]) for row in db.execute(best, (query.expression, *where, rag.topk_bm25))}
    word_rank = _ranks(turn_of.values())
    near = [] if vector is None else vectors.nearest_heard(db, scope, npc_id, vector, rag.topk_vec)
    turn_of |= _turns(db, [utterance_id for utterance_id, _ in near])
    near_rank = _ranks(turn_of[utterance_id] for utterance_id, _ in near)
    likeness: dict[str, float] = {}
    if vector is not None:
        for utterance_id, cosine in vectors.cosines(db, "utterance_vectors", list(turn_of), vector).items():
            likeness[turn_of[utterance_id]] = max(cosine, likeness.get(turn_of[utterance_id], -1.0))
    turns = [turn for turn in dict.fromkeys(turn_of.values()) if turn not in skip_turns]
    if not turns:
        return []
    exchanges = db.execute(
        f"select count(distinct u.turn_id) from utterance u join heard_by h on h.utterance_id = u.id where {_HEARD}",
        where,
    ).get
    weights: dict[str, float] = {}
    matched: dict[str, list[str]] = {turn: [] for turn in turns}
    for term in query.terms:
        having = {str(row[0]) for row in db.execute(f"select u.turn_id {matching}", (f'"{term}"', *where))}
        weights[term] = idf(exchanges, len(having))
        for turn in matched.keys() & having:
            matched[turn].append(term)
    found: list[Candidate] = []
    for turn in turns:
        heard = _exchange(db, where, turn)
        found.append(
            Candidate(
                id=heard[0].id,
                line=exchange_line(heard, npc_id, names),
                key=turn,
                coverage=coverage(weights, matched[turn]),
                bm25_rank=word_rank.get(turn),
                vector_rank=near_rank.get(turn),
                cosine=likeness.get(turn),
                importance=max(said.importance for said in heard),
                age_hours=(now - heard[0].started_at) / 3600,
            )
        )
    return found


def latest(
    db: apsw.Connection,
    scope: Scope,
    npc_id: str,
    limit: int,
    now: float,
    names: Mapping[str, str],
    skip_turns: Collection[str],
) -> list[ScoredLine]:
    """Return the last exchanges, newest first, for a question without terms."""
    where = (*_values(scope), scope.branch_id, npc_id)
    skipped = f"and u.turn_id not in ({','.join('?' * len(skip_turns))})"
    found = db.execute(
        "select u.turn_id from utterance u join heard_by h on h.utterance_id = u.id "
        f"where {_HEARD} {skipped} group by u.turn_id order by max(u.id) desc limit ?",
        (*where, *skip_turns, limit),
    )
    lines: list[ScoredLine] = []
    for turn in [str(row[0]) for row in found]:
        heard = _exchange(db, where, turn)
        fresh = recency((now - heard[0].started_at) / 3600)
        line = exchange_line(heard, npc_id, names)
        lines.append(ScoredLine(heard[0].id, turn, line, score=fresh, relevance=0.0, parts={"recency": fresh}))
    return lines


def exchange_line(heard: Sequence[Heard], npc_id: str, names: Mapping[str, str]) -> str:
    """Return one line for the prompt, from the character's point of view: `Player said "…"; you said "…"`."""

    def who(speaker: Speaker) -> str:
        if speaker.kind == "npc" and speaker.id == npc_id:
            return "you"
        return names.get(speaker.id, "the player" if speaker.kind == "player" else speaker.id)

    said = "; ".join(f'{who(part.speaker)} said "{part.text}"' for part in heard)
    return said[:1].upper() + said[1:]


def record_tool(db: apsw.Connection, scope: Scope, call: ToolRecord) -> None:
    """Record a tool call, or the outcome of a recorded one that has none."""
    row = (
        *(*_values(scope), call.call_id, scope.branch_id, call.npc_id, call.turn_id, call.name),
        *(_json(call.arguments), call.status, _text(call.message), _json(call.result), call.called_at, call.settled_at),
    )
    with db:
        db.execute(
            "insert into tool_call (game, world, player, playthrough, call_id, branch_id, npc_id, turn_id, name, "
            f"arguments, status, message, result, called_at, settled_at) values ({','.join('?' * len(row))}) "
            "on conflict (game, world, player, playthrough, call_id) do update set status = excluded.status, "
            "message = excluded.message, result = excluded.result, settled_at = excluded.settled_at "
            "where tool_call.status = 'sent'",
            row,
        )


def tool_calls(db: apsw.Connection, scope: Scope, npc_id: str, limit: int) -> list[ToolRecord]:
    """Return the last tool calls of a character, oldest first."""
    found = db.execute(
        "select call_id, npc_id, turn_id, name, arguments, status, called_at, settled_at, message, result "
        "from tool_call where game = ? and world = ? and player = ? and playthrough = ? and branch_id = ? "
        "and npc_id = ? order by called_at desc, call_id desc limit ?",
        (*_values(scope), scope.branch_id, npc_id, limit),
    )
    return [_tool_record(row) for row in found][::-1]


def _tool_record(row: tuple[Any, ...]) -> ToolRecord:
    call_id, npc_id, turn_id, name, arguments, status, called_at, settled_at, message, result = row
    return ToolRecord(
        call_id=call_id,
        npc_id=npc_id,
        turn_id=turn_id,
        name=name,
        arguments=json.loads(arguments),
        status=status,
        called_at=called_at,
        settled_at=settled_at,
        message=message,
        result=json.loads(result),
    )


def _set_hearers(db: apsw.Connection, utterance_id: int, present: Iterable[str]) -> None:
    hearers = [(listener, utterance_id) for listener in sorted(set(present))]
    db.executemany("insert into heard_by (listener_id, utterance_id) values (?, ?)", hearers)


def _turns(db: apsw.Connection, ids: Sequence[int]) -> dict[int, str]:
    found = db.execute(f"select id, turn_id from utterance where id in ({','.join('?' * len(ids))})", ids)
    return {int(row[0]): str(row[1]) for row in found}


def _exchange(db: apsw.Connection, where: Sequence[Any], turn_id: str) -> list[Heard]:
    found = db.execute(
        f"select {_COLUMNS} from utterance u join heard_by h on h.utterance_id = u.id "
        f"where {_HEARD} and u.turn_id = ? order by u.id",
        (*where, turn_id),
    )
    return [_heard(row) for row in found]


def _heard(row: tuple[Any, ...]) -> Heard:
    utterance_id, turn_id, kind, speaker_id, text, started_at, game_time, zone, importance = row
    return Heard(utterance_id, turn_id, Speaker(kind, speaker_id), text, started_at, game_time, zone, importance)


def _ranks(turns: Iterable[str]) -> dict[str, int]:
    return {turn: place for place, turn in enumerate(dict.fromkeys(turns), 1)}


def _values(scope: Scope) -> tuple[str, str, str, str]:
    return scope.game, scope.world, scope.player, scope.playthrough


def _text(text: str) -> str:
    """Return text that is valid in UTF-8: half of a surrogate pair, which JSON allows, becomes `?`."""
    return text.encode("utf-8", "replace").decode()


def _json(value: Mapping[str, Any]) -> str:
    return _text(json.dumps(value, ensure_ascii=False))
