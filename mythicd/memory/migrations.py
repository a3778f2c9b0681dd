"""The migrations: the tables of the memory database, as steps that are only ever appended.

Scopes are exact columns. The full-text tables hold no ids: their tokenizer would split `barkeep_01` and match
`old_barkeep_01`. A released step is never edited; a change is a new step at the end. The vec0 tables are made in
vectors.py, because their width is the embedder's. Persona cards are not stored: they are a few lines, always in the
prompt, and the YAML file is authoritative.
"""

from __future__ import annotations

TOKENIZER = "porter unicode61 remove_diacritics 2"
"""Tokenizer of the full-text tables: stems English words (opens = open), removes accents (café = cafe)."""

MIGRATIONS: tuple[tuple[str, str], ...] = (
    (
        "m001_lore",
        f"""
        create table lore (
            id integer primary key,
            game text not null,
            world text not null,
            zone text not null,
            lore_id text not null,
            chunk integer not null,
            title text not null,
            tags text not null,
            line text not null,
            content_hash text not null,
            embedded integer not null default 0,
            unique (game, world, lore_id, chunk)
        );
        create index lore_by_zone on lore (game, world, zone);
        create index lore_unembedded on lore (game, world) where not embedded;
        create virtual table lore_words using fts5(
            title, tags, line, content='lore', content_rowid='id', tokenize='{TOKENIZER}'
        );
        create trigger lore_added after insert on lore begin
            insert into lore_words (rowid, title, tags, line) values (new.id, new.title, new.tags, new.line);
        end;
        create trigger lore_removed after delete on lore begin
            insert into lore_words (lore_words, rowid, title, tags, line)
            values ('delete', old.id, old.title, old.tags, old.line);
        end;
        create trigger lore_changed after update of title, tags, line on lore begin
            insert into lore_words (lore_words, rowid, title, tags, line)
            values ('delete', old.id, old.title, old.tags, old.line);
            insert into lore_words (rowid, title, tags, line) values (new.id, new.title, new.tags, new.line);
        end;
        """,
    ),
    (
        "m002_utterances",
        f"""
        create table utterance (
            id integer primary key autoincrement,
            game text not null,
            world text not null,
            player text not null,
            playthrough text not null,
            branch_id text not null,
            npc_id text not null,
            turn_id text not null,
            speaker_kind text not null check (speaker_kind in ('player', 'npc')),
            speaker_id text not null,
            text text not null,
            heard_text text,
            started_at real not null,
            ended_at real,
            game_time text not null,
            zone text not null,
            importance real not null,
            source text not null,
            embedded integer not null default 0
        );
        create index utterance_by_scope on utterance (game, world, player, playthrough, branch_id, id);
        create index utterance_by_turn on utterance (turn_id, game, world, player, playthrough, branch_id);
        create index utterance_unembedded on utterance (id) where not embedded and heard_text <> '';
        create table heard_by (
            listener_id text not null,
            utterance_id integer not null references utterance (id) on delete cascade,
            primary key (listener_id, utterance_id)
        ) without rowid;
        create index heard_by_utterance on heard_by (utterance_id);
        create virtual table utterance_words using fts5(
            heard_text, content='utterance', content_rowid='id', tokenize='{TOKENIZER}'
        );
        create trigger utterance_added after insert on utterance when new.heard_text is not null begin
            insert into utterance_words (rowid, heard_text) values (new.id, new.heard_text);
        end;
        create trigger utterance_removed after delete on utterance when old.heard_text is not null begin
            insert into utterance_words (utterance_words, rowid, heard_text) values ('delete', old.id, old.heard_text);
        end;
        create trigger utterance_settled after update of heard_text on utterance begin
            insert into utterance_words (utterance_words, rowid, heard_text)
            select 'delete', old.id, old.heard_text where old.heard_text is not null;
            insert into utterance_words (rowid, heard_text)
            select new.id, new.heard_text where new.heard_text is not null;
        end;
        """,
    ),
    (
        "m003_tool_calls",
        """
        create table tool_call (
            game text not null,
            world text not null,
            player text not null,
            playthrough text not null,
            call_id text not null,
            branch_id text not null,
            npc_id text not null,
            turn_id text not null,
            name text not null,
            arguments text not null,
            status text not null,
            message text not null,
            result text not null,
            called_at real not null,
            settled_at real,
            primary key (game, world, player, playthrough, call_id)
        ) without rowid;
        create index tool_call_by_turn on tool_call (game, world, player, playthrough, npc_id, turn_id);
        """,
    ),
    (
        "m004_vector_source",
        """
        create table vector_source (
            only integer primary key check (only = 1),
            embedder text not null,
            dimensions integer not null
        );
        """,
    ),
)
"""Name and SQL of each step, oldest first. The tables:

    lore             one line per chunk of a world's lore; scoped by game, world, zone ('' is the whole world)
    lore_words       FTS5 over it, updated by triggers
    utterance        what was said and what of it was heard; scoped by game, world, player, playthrough, branch, npc
    utterance_words  FTS5 over what was heard
    heard_by         who was there: a character remembers an utterance exactly if it has a row here
    tool_call        tool calls, their arguments and outcomes
    vector_source    the embedder whose vectors are stored (vectors.py)
    migration        the applied steps
"""
