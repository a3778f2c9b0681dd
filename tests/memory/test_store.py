"""Lore, utterances and tool calls in the store: who remembers them, and from when on."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from quality import world

from mythicd.config.settings import RagSettings
from mythicd.config.world_files import LoreEntry
from mythicd.errors import StoreError
from mythicd.memory.query import build_query
from mythicd.memory.ranking import ScoredLine
from mythicd.memory.records import Scope, Speaker, SyncCounts, ToolRecord, Utterance
from mythicd.memory.store import MAX_PENDING, Store

SCOPE = Scope("saltmere", "default", "player", "default")
RAG = RagSettings()
PLAYER = Speaker("player", "player")
BESS = Speaker("npc", "bess")
WIL = Speaker("npc", "wil")


class WordVectors:
    """An embedder whose vectors count the words of a small vocabulary: alike words, alike vectors."""

    def __init__(self, name: str, *vocabulary: str) -> None:
        self.name = name
        self.vocabulary = vocabulary
        self.dimensions = len(vocabulary) + 1
        self.embedded: list[str] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += texts
        rows = np.array([[text.lower().count(word) for word in self.vocabulary] + [0.1] for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def entry(lore_id: str, text: str, title: str = "", tags: tuple[str, ...] = ()) -> LoreEntry:
    return LoreEntry(id=lore_id, text=text, title=title, tags=tags)


INN = entry("inn", "The inn opens at noon.", "The Kettle", ("tavern_hours",))
FERRY = entry("ferry", "The ferry leaves at dawn.")


async def lore(store: Store, words: str, *zones: str, scope: Scope = SCOPE) -> list[str]:
    return [found.line for found in await store.search_lore(scope, zones, build_query(words), None, RAG)]


# --- lore ------------------------------------------------------------------------------------------------------------


async def test_only_what_changed_is_cut_and_embedded_again(store: Store) -> None:
    embedder = WordVectors("w", "inn", "ferry")
    assert await store.sync_lore(SCOPE, world([INN, FERRY]), RAG, embedder) == SyncCounts(2, 2, 2, 0, 2)
    assert embedder.embedded == ["The Kettle: The inn opens at noon. (tavern hours)", "The ferry leaves at dawn."]
    assert await store.sync_lore(SCOPE, world([INN, FERRY]), RAG, embedder) == SyncCounts(2, 2, 0, 0, 0)
    later = entry("inn", "The inn opens at sunset.", "The Kettle", ("tavern_hours",))
    assert await store.sync_lore(SCOPE, world([later, FERRY]), RAG, embedder) == SyncCounts(2, 2, 1, 0, 1)
    assert await lore(store, "when does the kettle open") == ["The Kettle: The inn opens at sunset."]
    assert await store.sync_lore(SCOPE, world([later]), RAG, embedder) == SyncCounts(1, 1, 0, 1, 0)
    assert await lore(store, "when does the ferry leave") == []
    ferry = (await embedder.embed(["ferry"]))[0]
    found = await store.search_lore(SCOPE, (), build_query("ferry"), ferry, RAG)
    assert found == [], "its vector is gone, too"


async def test_another_way_of_cutting_or_another_zone_is_a_change(store: Store) -> None:
    await store.sync_lore(SCOPE, world([INN]), RAG)
    assert (await store.sync_lore(SCOPE, world([INN]), RagSettings(chunk_tokens=100))).changed == 1
    assert (await store.sync_lore(SCOPE, world([INN], "harbour"), RagSettings(chunk_tokens=100))).changed == 1
    assert await lore(store, "inn") == []
    assert await lore(store, "inn", "harbour") != []


async def test_a_long_entry_is_found_by_any_of_its_pieces(store: Store) -> None:
    text = " ".join(f"In the year {year} the {thing} was lost." for year, thing in enumerate(["anchor", "bell"] * 40))
    counts = await store.sync_lore(SCOPE, world([entry("long", text + " The admiral wept.")]), RAG)
    assert counts.chunks > 1
    (line,) = await lore(store, "what about the admiral")
    assert line.endswith("The admiral wept.")


async def test_a_character_knows_its_zones_and_the_whole_world(store: Store) -> None:
    far = world([entry("mine", "The mine is haunted.")], "hills").lore
    everything = msgspec.structs.replace(world([INN]), lore=(*world([INN]).lore, *far))
    await store.sync_lore(SCOPE, everything, RAG)
    assert await lore(store, "mine", "harbour") == []
    assert await lore(store, "mine", "hills") == ["The mine is haunted."]
    assert await lore(store, "kettle", "hills") == ["The Kettle: The inn opens at noon."]


async def test_another_embedder_rebuilds_and_nothing_breaks_meanwhile(store: Store) -> None:
    old, new = WordVectors("old", "inn", "ferry"), WordVectors("new", "inn", "ferry", "dawn")
    await store.sync_lore(SCOPE, world([INN, FERRY]), RAG, old)
    wide = (await new.embed(["ferry"]))[0]
    (found,) = await store.search_lore(SCOPE, (), build_query("ferry"), wide, RAG)
    assert "cosine" not in found.parts, "a vector of another width is not used"
    assert (await store.sync_lore(SCOPE, world([INN, FERRY]), RAG, new)).embedded == 2
    (found,) = await store.search_lore(SCOPE, (), build_query("ferry"), wide, RAG)
    assert found.parts["cosine"] > 0.5
    assert (await store.sync_lore(SCOPE, world([INN, FERRY]), RAG, new)).embedded == 0


async def test_vectors_find_what_words_do_not(store: Store) -> None:
    embedder = WordVectors("w", "inn", "ferry")
    await store.sync_lore(SCOPE, world([INN, FERRY]), RAG, embedder)
    vector = (await embedder.embed(["ferry"]))[0]
    found = await store.search_lore(SCOPE, (), build_query("when may I sail"), vector, RAG)
    assert [line.key for line in found] == ["ferry"]
    assert await lore(store, "when may I sail") == []


async def test_a_sync_that_was_cut_off_goes_on_where_it_was(store: Store) -> None:
    stuck = asyncio.Event()

    class Slow(WordVectors):
        async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if self.embedded:
                stuck.set()
                await asyncio.Event().wait()
            return await super().embed(texts)

    many = world([entry(f"n{n}", f"Inn number {n}.") for n in range(20)])
    sync = asyncio.create_task(store.sync_lore(SCOPE, many, RAG, Slow("w", "inn", "ferry")))
    await stuck.wait()
    sync.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sync
    rest = await store.sync_lore(SCOPE, many, RAG, WordVectors("w", "inn", "ferry"))
    assert (rest.changed, rest.embedded) == (0, 12), "the first eight have their vectors"


AWKWARD = {
    "": False,
    "   ": False,
    '"the inn"': True,
    "inn) OR (": True,
    "inn AND NOT ferry": True,
    "NEAR(inn ferry, 2)": False,
    "inn*": True,
    "^inn": True,
    "title:inn": False,
    "inn 😀 🎉": True,
    "'; drop table lore; --": False,
    "inn\0noon": True,
    "inn \ud800": True,
    ("what about the inn " * 120)[:2000]: True,
}
"""What is said, and whether it is about the inn (and not mostly about something unknown)."""


@pytest.mark.parametrize(("words", "found"), AWKWARD.items())
async def test_players_may_say_anything(words: str, found: bool, store: Store) -> None:
    await store.sync_lore(SCOPE, world([INN, FERRY]), RAG)
    assert bool(await lore(store, words)) == found
    said = Utterance("bess", "t1", PLAYER, words, 1.0, ["bess"], heard_text=words)
    await store.record_utterance(SCOPE, said)
    heard = await store.recent_utterances(SCOPE, "bess", 5)
    assert [one.text for one in heard] == ([words.replace("\ud800", "?")] if words else [])


# --- what was said ---------------------------------------------------------------------------------------------------


async def talk(
    store: Store, turn: str, asked: str, said: str, heard: str | None, at: float = 0.0, **more: object
) -> int:
    """The player asks Bess, she answers, and `heard` of it is played (None: never settled)."""
    asking = Utterance("bess", turn, PLAYER, asked, at, ["bess"], heard_text=asked, ended_at=at + 1)
    await store.record_utterance(SCOPE, asking)
    answer = await store.record_utterance(SCOPE, Utterance("bess", turn, BESS, said, at + 2, ["bess", "wil"], **more))  # type: ignore[arg-type]
    if heard is not None:
        await store.mark_heard(answer, heard, at + 3)
    return answer


async def test_only_what_was_heard_is_remembered_in_order(store: Store) -> None:
    await talk(store, "t1", "any rooms", "Two shillings a night, friend.", "Two shillings—")
    await talk(store, "t2", "and stew", "Four pennies.", None)
    await talk(store, "t3", "thanks", "Mind the step.", "")
    heard = await store.recent_utterances(SCOPE, "bess", 10)
    assert [(one.speaker, one.text) for one in heard] == [
        (PLAYER, "any rooms"),
        (BESS, "Two shillings—"),
        (PLAYER, "and stew"),
        (PLAYER, "thanks"),
    ]
    assert [one.text for one in await store.recent_utterances(SCOPE, "bess", 2)] == ["and stew", "thanks"]


async def test_who_was_not_there_does_not_know(store: Store) -> None:
    answer = await talk(store, "t1", "any rooms", "Two shillings.", "Two shillings.")
    assert [one.text for one in await store.recent_utterances(SCOPE, "wil", 9)] == ["Two shillings."]
    await store.mark_heard(answer, "Two shill—", 4.0, present=["bess"])
    assert await store.recent_utterances(SCOPE, "wil", 9) == []
    assert [one.text for one in await store.recent_utterances(SCOPE, "bess", 9)] == ["any rooms", "Two shill—"]


async def test_it_is_remembered_after_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path / "memory.db")
    await first.open()
    await talk(first, "t1", "any rooms", "Two shillings.", "Two shillings.")
    await first.close()
    assert os.listdir(tmp_path) == ["memory.db"], "closing leaves nothing but the data"
    second = Store(tmp_path / "memory.db")
    await second.open()
    assert len(await second.recent_utterances(SCOPE, "bess", 9)) == 2
    await second.close()


async def remembered(store: Store, words: str, npc: str = "bess", **more: object) -> list[ScoredLine]:
    more = {"now": 3600.0} | more
    return await store.search_utterances(SCOPE, npc, build_query(words), None, RAG, **more)  # type: ignore[arg-type]


async def test_an_exchange_is_remembered_as_one_line(store: Store) -> None:
    await talk(store, "t1", "tell me about the smugglers", "Smugglers? Never heard of them.", "Smugglers? Never heard—")
    await talk(store, "t2", "what is the soup", "Eel.", "Eel.")
    (line,) = await remembered(store, "what did I ask about smugglers", names={"player": "Ann"})
    assert line.line == 'Ann said "tell me about the smugglers"; you said "Smugglers? Never heard—"'
    assert line.key == "t1"
    (line,) = await remembered(store, "smugglers", "wil", names={"bess": "Bess"})
    assert line.line == 'Bess said "Smugglers? Never heard—"', "Wil heard only what she said"
    assert await remembered(store, "smugglers", skip_turns={"t1"}) == []
    assert await remembered(store, "what about the dragon") == []


async def test_the_newer_and_the_weightier_memory_comes_first(store: Store) -> None:
    month = 30 * 24 * 3600.0
    await talk(store, "old", "is the dragon near", "No dragon here.", "No dragon here.", at=0.0)
    await talk(store, "new", "is the dragon near", "No dragon here.", "No dragon here.", at=month)
    found = await remembered(store, "dragon", now=month + 60)
    assert [line.key for line in found] == ["new", "old"]
    assert found[0].parts["recency"] > 0.99 > 0.1 > found[1].parts["recency"]
    await talk(store, "oath", "is the dragon near", "No dragon here.", "No dragon here.", at=0.0, importance=1.0)
    assert [line.key for line in await remembered(store, "dragon", now=month * 12)][0] == "oath"


async def test_asked_whether_they_have_met_a_character_thinks_of_the_last_times(store: Store) -> None:
    assert await remembered(store, "do you remember me?") == []
    await talk(store, "t1", "any rooms", "Two shillings.", "Two shillings.")
    await talk(store, "t2", "is there soup", "Eel.", "Eel.", at=60.0)
    await talk(store, "t3", "thanks", "Mind the step.", "Mind the step.", at=90.0)
    found = await remembered(store, "do you remember me?", skip_turns=["t3"])
    assert [line.key for line in found] == ["t2", "t1"]
    assert [line.key for line in await remembered(store, "do you remember what I said about soup")] == ["t2"]
    assert await remembered(store, "do you remember the dragon") == []
    assert await remembered(store, "where is it") == []


async def test_memories_are_found_by_their_vectors(store: Store) -> None:
    embedder = WordVectors("w", "smuggl", "soup")
    await talk(store, "t1", "who are the smugglers", "Nobody.", "Nobody.")
    await talk(store, "t2", "is there soup", "Eel.", "Eel.")
    assert await store.embed_heard(embedder, 3) == 3
    assert await store.embed_heard(embedder, 3) == 1
    assert await store.embed_heard(embedder, 3) == 0
    vector = (await embedder.embed(["smuggling"]))[0]
    found = await store.search_utterances(SCOPE, "bess", build_query("contraband"), vector, RAG, now=10.0)
    assert [line.key for line in found] == ["t1"]
    assert await store.search_utterances(SCOPE, "odo", build_query("contraband"), vector, RAG, now=10.0) == []


async def test_what_nobody_heard_has_no_vector(store: Store) -> None:
    embedder = WordVectors("w", "soup", "ferry")
    await talk(store, "t1", "soup", "The ferry.", "")
    await talk(store, "t2", "soup", "The ferry.", None)
    assert await store.embed_heard(embedder) == 2
    assert embedder.embedded == ["soup", "soup"]


async def test_words_that_turn_out_otherwise_are_embedded_again(store: Store) -> None:
    embedder = WordVectors("w", "soup", "ferry")
    answer = await talk(store, "t1", "what then", "Soup, then the ferry.", "Soup, then the ferry.")
    await store.embed_heard(embedder)
    await store.mark_heard(answer, "Soup—", 9.0)
    assert await store.embed_heard(embedder) == 1
    assert await remembered(store, "ferry") == []
    assert len(await remembered(store, "soup")) == 1


async def test_settling_an_unknown_utterance_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match=r"\b99\b"):
        await store.mark_heard(99, "x", 1.0)


async def test_branches_do_not_see_each_other(store: Store) -> None:
    await talk(store, "t1", "any rooms", "Two shillings.", "Two shillings.")
    other = Scope(SCOPE.game, SCOPE.world, SCOPE.player, SCOPE.playthrough, "after-save-3")
    assert await store.recent_utterances(other, "bess", 9) == []
    assert await store.search_utterances(other, "bess", build_query("rooms"), None, RAG, now=1.0) == []


# --- tool calls ------------------------------------------------------------------------------------------------------


def call(status: str, **more: object) -> ToolRecord:
    return ToolRecord("c-1", "bess", "t1", "give_item", {"item": "ale 🍺", "n": 2}, status, 1.0, **more)  # type: ignore[arg-type]


async def test_a_tool_call_is_settled_once(store: Store) -> None:
    await store.record_tool(SCOPE, call("sent"))
    await store.record_tool(SCOPE, call("ok", settled_at=2.0, result={"left": 3}))
    await store.record_tool(SCOPE, call("timeout", settled_at=5.0))
    (found,) = await store.tool_calls(SCOPE, "bess", 9)
    assert found == call("ok", settled_at=2.0, result={"left": 3})
    assert await store.tool_calls(SCOPE, "wil", 9) == []


# --- the thread ------------------------------------------------------------------------------------------------------


async def test_many_calls_at_once_are_all_done_in_order(store: Store) -> None:
    said = [Utterance("bess", f"t{n}", PLAYER, f"word {n}", n, ["bess"], heard_text=f"word {n}") for n in range(300)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(store.record_utterance(SCOPE, one)) for one in said]
    assert [task.result() for task in tasks] == sorted(task.result() for task in tasks)
    assert [one.text for one in await store.recent_utterances(SCOPE, "bess", 300)] == [one.text for one in said]


async def test_what_was_asked_before_closing_is_done_and_the_rest_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "memory.db")
    await store.open()
    said = Utterance("bess", "t", PLAYER, "hello", 0.0, ["bess"], heard_text="hello")
    writing = [asyncio.create_task(store.record_utterance(SCOPE, said)) for _ in range(MAX_PENDING + 10)]
    await asyncio.sleep(0)
    await store.close()
    outcomes = await asyncio.gather(*writing, return_exceptions=True)
    written = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert len(written) >= MAX_PENDING
    assert all(isinstance(outcome, int | StoreError) for outcome in outcomes)
    again = Store(tmp_path / "memory.db")
    await again.open()
    assert [one.id for one in await again.recent_utterances(SCOPE, "bess", 999)] == written
    await again.close()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "memory.db")
    with pytest.raises(StoreError, match="is not open"):
        await store.recent_utterances(SCOPE, "bess", 1)
    await store.open()
    await store.close()
    with pytest.raises(StoreError, match="is not open"):
        await store.recent_utterances(SCOPE, "bess", 1)
    await store.close()


async def test_the_lore_of_a_second_game_is_not_embedded_again(store: Store) -> None:
    embedder = WordVectors("one", "inn", "ferry")
    first, second = SCOPE, dataclasses.replace(SCOPE, game="another")
    assert (await store.sync_lore(first, world([INN, FERRY]), RAG, embedder)).embedded == 2
    assert (await store.sync_lore(second, world([INN, FERRY]), RAG)).embedded == 2, "borrowed"
    assert len(embedder.embedded) == 2
    vector = (await embedder.embed(["inn"]))[0]
    query = build_query("when does the inn open")
    found = [await store.search_lore(scope, (), query, vector, RAG) for scope in (first, second)]
    assert [line.line for line in found[1]] == [line.line for line in found[0]] != []
    assert found[1][0].parts["cosine"] == pytest.approx(found[0][0].parts["cosine"])
