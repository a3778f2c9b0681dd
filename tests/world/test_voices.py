"""The voices of a world: one that cannot speak is replaced and told of; without any, nothing starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mythicd.config.world_files import PersonaCard, World, load_world
from mythicd.engines.tts import VoiceSpec
from mythicd.errors import ModelError
from mythicd.world.voices import DEFAULT_VOICE, WorldVoices

LANTERNPORT = Path(__file__).parents[2] / "worlds" / "lanternport"


class Tts:
    """Speech synthesis that lacks some voices, and counts what was tried."""

    def __init__(self, *missing: str) -> None:
        self.missing = set(missing)
        self.tried: list[str] = []

    async def prepare(self, voice: VoiceSpec) -> None:
        self.tried.append(voice.voice_id)
        if voice.voice_id in self.missing:
            raise ModelError(f"no {voice.voice_id}.", remedy="Add it.")


@pytest.fixture
def world() -> World:
    world = load_world(LANTERNPORT)
    cards = {npc_id: world.characters[npc_id] for npc_id in ("barkeep_01", "guard_01")}
    return msgspec.structs.replace(world, characters={**cards, "mute": PersonaCard(name="Mute")})


def voices(tts: Any) -> WorldVoices:
    return WorldVoices(tts)


async def test_each_voice_is_tried_once(world: World) -> None:
    tts = Tts()
    mine = voices(tts)
    await mine.prepare(world)
    await mine.prepare(world)
    assert sorted(tts.tried) == ["default", "marla_alto", "rook_gravel"] and mine.notices == ()
    assert mine.voice(world, world.characters["barkeep_01"]).voice_id == "marla_alto"


@pytest.mark.parametrize(
    ("missing", "instead", "told"),
    [
        (("marla_alto",), "default", 1),
        (("marla_alto", "default"), "rook_gravel", 2),
        (("rook_gravel",), "marla_alto", 1),
    ],
)
async def test_voice_that_cannot_speak_is_replaced(
    world: World, missing: tuple[str, ...], instead: str, told: int
) -> None:
    mine = voices(Tts(*missing))
    await mine.prepare(world)
    assert mine.voice(world, world.characters["barkeep_01"]).voice_id == instead
    assert len(mine.notices) == told and all("Add it." in notice for notice in mine.notices)
    assert "default" in missing or str(world.path / "voices.yaml") in mine.notices[0]


async def test_corrected_voice_is_used_again(world: World) -> None:
    mine = voices(Tts("marla_alto"))
    await mine.prepare(world)
    right = msgspec.structs.replace(world, voices={**world.voices, "marla_alto": VoiceSpec("marla", "en-gb")})
    await mine.prepare(right)
    assert mine.notices == () and mine.voice(right, right.characters["barkeep_01"]).espeak == "en-gb"


async def test_no_voice_at_all_is_an_error(world: World) -> None:
    with pytest.raises(ModelError):
        await voices(Tts("marla_alto", "rook_gravel", DEFAULT_VOICE.voice_id)).prepare(world)
