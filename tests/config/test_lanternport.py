"""The sample world: it loads without notices, and its lore, names, voices and tools are consistent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mythicd.config.world_files import World, load_world
from mythicd.dialogue.grounding import Grounding
from mythicd.dialogue.tool_arguments import normalised, resolve
from mythicd.native.espeakng import EspeakNg

LANTERNPORT = Path(__file__).parents[2] / "worlds" / "lanternport"

MINIMUM_TOOLS = {
    "set_waypoint": {"place": "name of a place"},
    "give_item": {"item": "name of an item"},
    "open_dialog": {"dialog": "name of a dialog"},
    "play_emote": {"emote": "name of an emote"},
    "set_focus": {"target": "name of a person or thing"},
    "set_marker": {"place": "name of a place"},
}

PLAYER_VOICES = ("en-us+f2", "en-us+m3")
"""Voices that tests and the demo ask their questions in."""


@pytest.fixture(scope="module")
def world() -> World:
    return load_world(LANTERNPORT)


def test_it_loads_without_notices(world: World) -> None:
    assert world.title == "Lanternport"
    assert world.notices == ()
    assert world.rules


# --- characters


def test_characters(world: World) -> None:
    assert len(world.characters) >= 4
    assert "barkeep_01" in world.characters
    for npc_id, card in world.characters.items():
        assert card.archetype and card.style and card.aliases and card.rules, npc_id
        assert 3 <= len(card.backstory) <= 6, npc_id
        assert {card.zone} <= {placed.zone for placed in world.lore}, npc_id
        # A small model points at these by number, and has two dozen numbers for rules and persona together.
        assert len(world.rules) + len(card.persona_lines()) <= 24, npc_id


def test_each_line_is_one_sentence_without_markup(world: World) -> None:
    lines = [line for card in world.characters.values() for line in card.persona_lines()] + list(world.rules)
    for line in [*lines, *(placed.entry.text for placed in world.lore)]:
        assert not re.search(r'["{}<>|#*\n]|\. \S', line), line


def test_the_secret_tunnel_is_in_no_lore(world: World) -> None:
    marla = world.characters["barkeep_01"]
    assert "Never reveal the smuggler tunnel outright" in marla.rules
    assert not any("tunnel" in placed.entry.text for placed in world.lore), "a secret must not be in the lore"


# --- voices


def test_every_character_has_its_own_voice(world: World) -> None:
    used = [world.voices[card.voice_id] for card in world.characters.values()]
    assert len({voice.voice_id for voice in used}) == len(used)
    assert len({voice.espeak for voice in used}) == len(used)
    espeak = EspeakNg.load()
    for voice in used:
        assert espeak.has_voice(voice.espeak), voice
        assert voice.espeak not in PLAYER_VOICES, "the player's voice"
    assert all(espeak.has_voice(name) for name in PLAYER_VOICES)


def test_voices_differ_in_more_than_name(world: World) -> None:
    settings = {(voice.espeak.split("+")[1], voice.pitch, voice.rate) for voice in world.voices.values()}
    assert len(settings) == len(world.voices)
    pitches = sorted(voice.pitch for voice in world.voices.values())
    assert pitches[-1] - pitches[0] >= 40


# --- lore


def test_lore(world: World) -> None:
    assert len(world.lore) >= 35
    assert len({placed.entry.id for placed in world.lore}) == len(world.lore)
    zones = {placed.zone for placed in world.lore}
    assert "" in zones and len(zones - {""}) >= 2
    assert all(placed.entry.tags for placed in world.lore)


def test_sentences_are_short_and_stand_alone(world: World) -> None:
    for placed in world.lore:
        text = placed.entry.text
        sentences = re.split(r"(?<=[.!?])\s+", text)
        assert len(sentences) <= 2, text
        assert all(len(sentence.split()) <= 25 for sentence in sentences), text
        assert text.endswith("."), text
        assert not re.match(r"(It is (?!a )|He|She|They|This|That|Its|His|Her|Their)\b", text), text
        assert not re.search(r"\d", text), f"numbers must be written in words, for recognition and speech: {text}"


def test_tavern_hours(world: World) -> None:
    hours = next(placed for placed in world.lore if placed.entry.id == "gull_hours")
    assert hours.entry.text == "The tavern is open from sunset until two in the morning."
    assert hours.zone == world.characters["barkeep_01"].zone


def test_lore_texts_are_unique(world: World) -> None:
    texts = [normalised(placed.entry.text) for placed in world.lore]
    assert len(set(texts)) == len(texts)


def test_lore_names_only_known_people_and_places(world: World) -> None:
    """Names in lore are names of something: of a character, thing, title, or a name told in another line."""
    names = [name for kind in world.things.values() for thing in kind.values() for name in (thing.name, *thing.aliases)]
    titles = [placed.entry.title for placed in world.lore]
    told_once = ["Edith Finch", "Lanternport", "Anchor Street", "Hammer Street", "Rope Lane", "Friday"]
    grounding = Grounding([*names, *titles, *told_once])
    for placed in world.lore:
        unknown = [term for term in grounding.check(placed.entry.text) if term[0].isupper()]
        assert [term for term in unknown if not placed.entry.text.startswith(term)] == [], placed.entry.text


# --- things and tools


def test_the_six_minimum_tools_for_the_model(world: World) -> None:
    seen = {
        name: {argument: word.description for argument, word in tool.words.items()}
        for name, tool in world.tools.items()
    }
    assert seen == MINIMUM_TOOLS


def test_the_arguments_of_tools_for_the_game(world: World) -> None:
    assert set(world.tools["set_waypoint"].arguments) == {"x", "y", "z"}
    assert set(world.tools["give_item"].arguments) == {"player_id", "item_id"}
    assert "target" in world.tools["set_focus"].arguments
    assert "location" in world.tools["set_marker"].arguments


def test_every_tool_resolves_for_every_thing_by_every_name(world: World) -> None:
    for tool in world.tools.values():
        ((argument, word),) = tool.words.items()
        for thing_id, thing in world.things[word.kind].items():
            expected = resolve(tool.name, {argument: thing_id}, world.tools, world.things, "player").arguments
            for name in (thing.name, *thing.aliases):
                for said in (name, name.lower(), name.upper(), name.replace("'", "")):
                    found = resolve(tool.name, {argument: said}, world.tools, world.things, "player").arguments
                    assert found == expected, (tool.name, said)


def test_no_two_things_of_a_kind_share_a_name(world: World) -> None:
    for kind, things in world.things.items():
        owners: dict[tuple[str, ...], str] = {}
        for thing_id, thing in things.items():
            for name in {normalised(name) for name in (thing.name, *thing.aliases)}:
                assert owners.setdefault(name, thing_id) == thing_id, (kind, name)


def test_every_character_can_be_looked_at(world: World) -> None:
    for npc_id, card in world.characters.items():
        for name in (npc_id, card.name):
            resolved = resolve("set_focus", {"target": name}, world.tools, world.things, "player")
            assert resolved.arguments == {"target": npc_id}


def test_the_vocabulary_has_what_players_ask_about(world: World) -> None:
    vocabulary = world.vocabulary()
    assert "the Gilded Gull" in vocabulary.places
    assert "Marla" in vocabulary.people
    assert "an iron sword" in vocabulary.items
    assert "the smuggler tunnel" in vocabulary.topics
    assert len(vocabulary.lines) == len(world.lore)
