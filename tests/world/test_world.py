"""Who is let in, who takes whose place, what an edit does, and that nobody waits for what can come later."""

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
    """Knows what was synchronised, and with vectors only when it was told to go on."""

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
    """A live world with fake engines, and its clients."""

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
    assert street.store.synced == [("mythicd", True)], "lore is embedded before any game comes"
    street.store.synced.clear()
    street.store.go_on.clear()
    yield street
    await street.sessions.close()
    await street.world.close()


async def test_a_new_game_is_welcomed_before_its_vectors_are_made(street: Street) -> None:
    playthrough, player = await street.enter()
    assert [type(item) for _, item in player.log] == [m.Welcome, m.Status]
    assert street.store.synced == [("game", False)], "its text can be found at once"
    asyncio.get_running_loop().call_later(0.1, street.store.go_on.set)
    await playthrough.refresh()
    assert street.store.synced == [("game", False), ("game", True)], "a turn gives the vectors a moment"
    await street.enter("two")
    assert street.store.synced == [("game", False), ("game", True)], "the same lore is not read again"
    await street.enter(game="another")
    await street.world.settled()
    assert street.store.synced[2:] == [("another", False), ("another", True)]
    assert len(street.asr.learnt) == 1


async def test_an_edit_is_live_on_the_next_turn_and_a_broken_one_is_told(street: Street) -> None:
    street.store.go_on.set()
    playthrough, player = await street.enter()
    file = street.world.files.path / "lore" / "market.yaml"
    whole = file.read_text()
    file.write_text("- this: is: no yaml")
    await playthrough.refresh()
    assert "market.yaml" in player.all(m.Status)[-1].notices[-1]
    told = len(player.all(m.Status))
    await playthrough.refresh()
    assert len(player.all(m.Status)) == told, "once for each broken edit"
    world = street.world.world
    file.write_text(whole + "\n")
    await playthrough.refresh()
    assert street.world.world is not world
    assert player.all(m.Status)[-1].notices == ("No piper.", *street.world.world.notices)
    await street.world.settled()
    assert len(street.asr.learnt) == 2


async def test_a_status_never_comes_before_the_welcome(street: Street) -> None:
    (street.world.files.path / "lore" / "market.yaml").touch()
    _, player = await street.enter()
    assert isinstance(player.log[0][1], m.Welcome)


async def test_a_store_that_fails_does_not_shut_the_door(street: Street) -> None:
    street.store.fails = True
    playthrough, player = await street.enter()
    assert [type(item) for _, item in player.log] == [m.Welcome, m.Status, m.Error]
    street.store.fails = False
    await playthrough.refresh()
    assert street.store.synced == [("game", False)], "it is made up for"


async def test_who_comes_back_takes_the_place_in_the_middle_of_a_turn(street: Street) -> None:
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
    assert len(old.log) == logged, "nobody comes to life behind a closed door"
    # Of two who come at once, one stays.
    assert [player.closed_with for _, player in (second, third)].count(None) == 1
    stays, player = next(pair for pair in (second, third) if pair[1].closed_with is None)
    await street.sessions.leave(first)
    await stays.receive(m.TextInput(npc_id=BARKEEP, text="And me?"))
    await player.come(m.StreamStart)
    await street.sessions.leave(stays)
    assert len(street.sessions) == 0


async def test_a_connection_that_ends_does_not_cut_off_what_is_written_down(street: Street) -> None:
    street.store.slow_s = 0.05
    playthrough, player = await street.enter()
    await playthrough.receive(m.TextInput(npc_id=BARKEEP, text="Tell me."))
    await player.come(m.NpcState)
    leaving = asyncio.create_task(street.sessions.leave(playthrough))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    _, again = await street.enter()  # it came back at once: what was written is there before anybody is asked
    assert [said.text for said in street.store.utterances] == ["Tell me."]


async def test_a_character_whose_card_was_taken_away_ends_its_turn_in_peace(street: Street) -> None:
    playthrough, player = await street.enter()
    await playthrough.receive(m.Attend(npc_id=BARKEEP))
    (street.world.files.path / "npcs" / f"{BARKEEP}.yaml").unlink()
    await playthrough.receive(m.TextInput(npc_id=BARKEEP, text="Are you there?"))
    await player.come(m.StreamStart)
    assert BARKEEP not in street.world.world.characters
    fresh, _ = await street.enter("two")
    with pytest.raises(UnknownNpc):
        await fresh.receive(m.TextInput(npc_id=BARKEEP, text="Hello?"))


async def test_messages_that_name_nothing(street: Street) -> None:
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


async def test_who_is_near_somebody_in_view_is_warm_before_anybody_speaks(street: Street) -> None:
    playthrough, player = await street.enter()
    near = (
        m.SceneObject(id="guard_01", dist=2.0),
        m.SceneObject(id="lantern_blue"),
        m.SceneObject(id="lamp_keeper_01"),
    )
    await playthrough.receive(m.SceneUpdate(npc_id=BARKEEP, objects=near))
    assert playthrough.characters == (), "she is not in view herself"
    await playthrough.receive(m.Attend(npc_id=BARKEEP))
    await asyncio.sleep(0.3)
    assert set(playthrough.characters) == {BARKEEP, "guard_01", "lamp_keeper_01"}
    assert all("attend" in street.llm.done_for(npc_id) for npc_id in playthrough.characters)
    assert playthrough.present(BARKEEP) == (BARKEEP,), "near is not yet attended to"
    await playthrough.receive(m.SceneUpdate(npc_id=BARKEEP, objects=near[:2]))
    await asyncio.sleep(0.3)
    assert street.llm.done_for("lamp_keeper_01")[-1] == "park"
    assert "park" not in street.llm.done_for("guard_01")
    await playthrough.receive(m.SceneUpdate(npc_id="blacksmith_01", objects=(m.SceneObject(id="player"),)))
    await asyncio.sleep(0.3)
    assert street.llm.done_for("blacksmith_01") == ["attend"], "the player stands before her"


async def test_who_is_near_hears(street: Street) -> None:
    playthrough, _ = await street.enter()
    for npc_id in (BARKEEP, "guard_01"):
        await playthrough.receive(m.SceneUpdate(npc_id=npc_id, zone="tavern"))
        await playthrough.receive(m.Attend(npc_id=npc_id))
    assert playthrough.present(BARKEEP) == (BARKEEP, "guard_01")
    await playthrough.receive(m.Attend(npc_id="guard_01", attending=False))
    assert playthrough.present(BARKEEP) == (BARKEEP,)


async def test_where_calls_have_no_place_in_the_text_the_prompt_does_not_ask_for_them(street: Street) -> None:
    assert "<tool_call>" in street.world.world_prompt() and "set_waypoint" in street.world.world_prompt()
    street.llm.abilities = LlmAbilities(prepares=False, places_calls=False, adapters=False)
    assert "<tool_call>" not in street.world.world_prompt() and "set_waypoint" not in street.world.world_prompt()


async def test_the_status_names_the_server_that_writes() -> None:
    named = LlmServerSettings(url="http://127.0.0.1:8080/v1", model="qwen")
    engines: Any = Engines(FakeVad(), FakeAsr(), FakeLlm(), FakeTts(), LoreStore(), None, None)  # type: ignore[arg-type]
    for server, expected in ((named, "qwen"), (LlmServerSettings(url=named.url), named.url)):
        world = LiveWorld(WorldFiles(WORLD), engines, Settings(llm=LlmSettings(server=server)), notices=[])
        assert world.status().llm == expected
