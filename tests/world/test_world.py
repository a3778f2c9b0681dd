"""The served world and its sessions: entering, taking over, edits, and work that is deferred."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from mythicd.character.environment import Engines
from mythicd.config.llm_server import LlmServerSettings
from mythicd.config.settings import LlmSettings, Settings
from mythicd.config.world_files import World
from mythicd.engines.embedder import Embedder
from mythicd.engines.llm import LlmAbilities
from mythicd.errors import BadMessage, UnknownNpc, UnknownStream
from mythicd.memory.records import Scope, SyncCounts
from mythicd.wire import frames
from mythicd.wire import messages as m
from mythicd.world.hot_reload import WorldFiles
from mythicd.world.live_world import LiveWorld
from mythicd.world.playthrough import Playthrough
from mythicd.world.sessions import CLOSE_TAKEN_OVER, Sessions
from tests.fakes import FakeAsr, FakeEmbedder, FakeLlm, FakeStore, FakeTts, FakeVad
from tests.screenplay import Player

WORLD = Path(__file__).parents[2] / "worlds" / "lanternport"
BARKEEP = "barkeep_01"


class LoreStore(FakeStore):
    """A store that records each sync, and waits in those with vectors for `go_on`."""

    def __init__(self) -> None:
        super().__init__()
        self.synced: list[tuple[str, bool]] = []
        self.go_on = asyncio.Event()

    async def sync_lore(self, scope: Scope, world: World, rag: Any, embedder: Embedder | None = None) -> SyncCounts:
        await self._think()
        if embedder is not None:
            await self.go_on.wait()
        self.synced.append((scope.game, embedder is not None))
        return SyncCounts(0, 0, 0, 0, 0)


class Street:
    """A live world with fake engines, and its sessions."""

    def __init__(self, path: Path) -> None:
        self.store, self.asr, self.llm, self.tts = LoreStore(), FakeAsr(), FakeLlm(), FakeTts()
        store: Any = self.store
        engines = Engines(FakeVad(), self.asr, self.llm, self.tts, store, FakeEmbedder(), None)
        self.world = LiveWorld(WorldFiles(path), engines, Settings(), notices=["No piper."])
        self.sessions = Sessions(self.world)

    async def enter(self, playthrough: str = "one", game: str = "game") -> tuple[Playthrough, Player]:
        player = Player(lambda npc_id, message: None)
        player.reports = False
        return await self.sessions.enter(m.Hello(game=game, playthrough=playthrough), player, "id"), player


@pytest.fixture
async def street(tmp_path: Path) -> Any:
    shutil.copytree(WORLD, tmp_path / "world")
    street = Street(tmp_path / "world")
    street.store.go_on.set()
    await street.world.warm()
    assert street.store.synced == [("mythicd", True)], "lore was not embedded at start-up"
    street.store.synced.clear()
    street.store.go_on.clear()
    yield street
    await street.sessions.close()
    await street.world.close()


async def test_new_game_is_welcomed_before_its_vectors_are_made(street: Street) -> None:
    playthrough, player = await street.enter()
    assert [type(item) for _, item in player.log] == [m.Welcome, m.Status]
    assert street.store.synced == [("game", False)], "lore was not searchable by text"
    asyncio.get_running_loop().call_later(0.1, street.store.go_on.set)
    await playthrough.refresh()
    assert street.store.synced == [("game", False), ("game", True)], "the turn did not wait for the vectors"
    await street.enter("two")
    assert street.store.synced == [("game", False), ("game", True)], "the same lore was synchronised again"
    await street.enter(game="another")
    await street.world.settled()
    assert street.store.synced[2:] == [("another", False), ("another", True)]
    assert len(street.asr.learnt) == 1


async def test_edit_is_live_on_the_next_turn_and_a_broken_one_reported(street: Street) -> None:
    street.store.go_on.set()
    playthrough, player = await street.enter()
    file = street.world.files.path / "lore" / "market.yaml"
    whole = file.read_text()
    file.write_text("- this: is: no yaml")
    await playthrough.refresh()
    assert "market.yaml" in player.all(m.Status)[-1].notices[-1]
    told = len(player.all(m.Status))
    await playthrough.refresh()
    assert len(player.all(m.Status)) == told, "a broken edit was reported twice"
    world = street.world.world
    file.write_text(whole)
    await playthrough.refresh()
    assert street.world.world is world, "the world is as it was before the broken edit"
    assert player.all(m.Status)[-1].notices == ("No piper.", *street.world.world.notices)
    file.write_text(whole.replace("six silver coins", "seven silver coins"))
    await playthrough.refresh()
    assert street.world.world is not world
    assert player.all(m.Status)[-1].notices == ("No piper.", *street.world.world.notices)
    await street.world.settled()
    assert len(street.asr.learnt) == 2


async def test_welcome_is_the_first_message(street: Street) -> None:
    (street.world.files.path / "lore" / "market.yaml").touch()
    _, player = await street.enter()
    assert isinstance(player.log[0][1], m.Welcome)


async def test_store_failure_does_not_refuse_clients(street: Street) -> None:
    street.store.fails = True
    playthrough, player = await street.enter()
    assert [type(item) for _, item in player.log] == [m.Welcome, m.Status, m.Error]
    street.store.fails = False
    await playthrough.refresh()
    assert street.store.synced == [("game", False)], "the failed sync was not repeated"


async def test_reconnected_client_takes_over_in_the_middle_of_a_turn(street: Street) -> None:
    street.store.slow_s = 0.02
    street.llm.scripts = [["One two three four five six seven eight nine ten. "] * 2]
    first, old = await street.enter()
    await first.receive(m.TextInput(npc_id=BARKEEP, text="Tell me."))
    await old.come(m.StreamStart)
    second, third = await asyncio.gather(street.enter(), street.enter())
    assert old.closed_with == CLOSE_TAKEN_OVER
    assert isinstance(old.all(m.Cutoff)[0], m.Cutoff) and old.all(m.TurnTimeline)
    assert [said.text for said in street.store.utterances if said.speaker.kind == "player"] == ["Tell me."]
    logged = len(old.log)
    await first.receive(m.TextInput(npc_id=BARKEEP, text="I am still here."))
    await first.receive(m.Attend(npc_id="guard_01"))
    first.receive_frame(frames.Frame(1, 1, 0, 0, bytes(640)), 0.0)
    await asyncio.sleep(0.05)
    assert len(old.log) == logged, "a closed session started a character"
    # Of two clients that enter at once, one stays.
    assert [player.closed_with for _, player in (second, third)].count(None) == 1
    stays, player = next(pair for pair in (second, third) if pair[1].closed_with is None)
    await street.sessions.leave(first)
    await stays.receive(m.TextInput(npc_id=BARKEEP, text="And me?"))
    await player.come(m.StreamStart)
    await street.sessions.leave(stays)
    assert len(street.sessions) == 0


async def test_lost_connection_does_not_cancel_writes(street: Street) -> None:
    street.store.slow_s = 0.05
    playthrough, player = await street.enter()
    await playthrough.receive(m.TextInput(npc_id=BARKEEP, text="Tell me."))
    await player.come(m.NpcState)
    leaving = asyncio.create_task(street.sessions.leave(playthrough))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    _, again = await street.enter()  # enters again at once: writes of the old session come first
    assert [said.text for said in street.store.utterances] == ["Tell me."]


async def test_character_without_its_card_finishes_its_turn(street: Street) -> None:
    playthrough, player = await street.enter()
    await playthrough.receive(m.Attend(npc_id=BARKEEP))
    (street.world.files.path / "npcs" / f"{BARKEEP}.yaml").unlink()
    await playthrough.receive(m.TextInput(npc_id=BARKEEP, text="Are you there?"))
    await player.come(m.StreamStart)
    assert BARKEEP not in street.world.world.characters
    fresh, _ = await street.enter("two")
    with pytest.raises(UnknownNpc):
        await fresh.receive(m.TextInput(npc_id=BARKEEP, text="Hello?"))


async def test_unknown_names_and_streams_are_rejected(street: Street) -> None:
    playthrough, player = await street.enter()
    wrong: list[tuple[Any, type[Exception]]] = [
        (m.TextInput(npc_id="nobody", text="Hello?"), UnknownNpc),
        (m.SceneUpdate(npc_id="nobody"), UnknownNpc),
        (m.MicStart(stream=1), BadMessage),
        (m.MicStop(stream=1), UnknownStream),
        (m.AudioChunk(stream=1, pcm=b"\0\0"), UnknownStream),
        (m.Playhead(stream=1, played_samples=1), UnknownStream),
    ]
    for message, error in wrong:
        with pytest.raises(error):
            await playthrough.receive(message)
    await playthrough.receive(m.Ack(call_id="c-1"))
    await playthrough.receive(m.MicStart(stream=1, npc_id=BARKEEP))
    with pytest.raises(BadMessage, match="2 bytes"):
        await playthrough.receive(m.AudioChunk(stream=1, pcm=b"\0"))
    await playthrough.receive(m.MicStop(stream=1))


async def test_characters_near_one_in_view_are_warmed_up(street: Street) -> None:
    playthrough, player = await street.enter()
    near = (
        m.SceneObject(id="guard_01", dist=2.0),
        m.SceneObject(id="lantern_blue"),
        m.SceneObject(id="lamp_keeper_01"),
    )
    await playthrough.receive(m.SceneUpdate(npc_id=BARKEEP, objects=near))
    assert playthrough.characters == (), "it is not in view itself"
    await playthrough.receive(m.Attend(npc_id=BARKEEP))
    await asyncio.sleep(0.3)
    assert set(playthrough.characters) == {BARKEEP, "guard_01", "lamp_keeper_01"}
    assert all("attend" in street.llm.done_for(npc_id) for npc_id in playthrough.characters)
    assert playthrough.present(BARKEEP) == (BARKEEP,), "near is not attended"
    await playthrough.receive(m.SceneUpdate(npc_id=BARKEEP, objects=near[:2]))
    await asyncio.sleep(0.3)
    assert street.llm.done_for("lamp_keeper_01")[-1] == "park"
    assert "park" not in street.llm.done_for("guard_01")
    await playthrough.receive(m.SceneUpdate(npc_id="blacksmith_01", objects=(m.SceneObject(id="player"),)))
    await asyncio.sleep(0.3)
    assert street.llm.done_for("blacksmith_01") == ["attend"], "the player is near it"


async def test_attended_characters_in_the_zone_hear(street: Street) -> None:
    playthrough, _ = await street.enter()
    for npc_id in (BARKEEP, "guard_01"):
        await playthrough.receive(m.SceneUpdate(npc_id=npc_id, zone="tavern"))
        await playthrough.receive(m.Attend(npc_id=npc_id))
    assert playthrough.present(BARKEEP) == (BARKEEP, "guard_01")
    await playthrough.receive(m.Attend(npc_id="guard_01", attending=False))
    assert playthrough.present(BARKEEP) == (BARKEEP,)


async def test_prompt_does_not_ask_for_calls_if_the_model_cannot_place_them(street: Street) -> None:
    assert "<tool_call>" in street.world.world_prompt() and "set_waypoint" in street.world.world_prompt()
    street.llm.abilities = LlmAbilities(prepares=False, places_calls=False, adapters=False)
    assert "<tool_call>" not in street.world.world_prompt() and "set_waypoint" not in street.world.world_prompt()


async def test_status_names_the_llm_server_and_the_world() -> None:
    named = LlmServerSettings(url="http://127.0.0.1:8080/v1", model="qwen")
    engines: Any = Engines(FakeVad(), FakeAsr(), FakeLlm(), FakeTts(), LoreStore(), None, None)  # type: ignore[arg-type]
    for server, expected in ((named, "qwen"), (LlmServerSettings(url=named.url), named.url)):
        world = LiveWorld(WorldFiles(WORLD), engines, Settings(llm=LlmSettings(server=server)), notices=[])
        status = world.status()
        assert (status.llm, status.world_title) == (expected, "Lanternport")
