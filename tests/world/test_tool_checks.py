"""Checks of tools: what is wrong, in which file and line, and whether the tool can still be offered."""

from __future__ import annotations

from pathlib import Path

import pytest

from mythicd.config.world_files import World, load_world, read_world
from mythicd.config.yaml_reader import FileProblem
from mythicd.world.tool_checks import check_tools

LANTERNPORT = Path(__file__).parents[2] / "worlds" / "lanternport"
THINGS = """\
places:
  dock: {name: the dock, values: {x: 1.5, at: {deck: 3}, kind: pier}}
  crane: {name: the crane, values: {x: 2, at: {deck: 4}, kind: tower}}
items: {}
"""
TOOL = """\
- name: go
  description: go
  words:
    place: {kind: places}
  arguments:
    x: $place.x
    mode: fast
  schema:
    type: object
    properties:
      x: {type: number}
      mode: {type: string, enum: [fast, slow]}
    required: [x]
    additionalProperties: false
  intents: [navigation]
"""


def checked(folder: Path, tools: str, things: str = THINGS) -> tuple[World, list[FileProblem]]:
    (folder / "npcs").mkdir()
    for name, text in {
        "world.yaml": "title: T",
        "npcs/ada.yaml": "name: Ada",
        "tools.yaml": tools,
        "things.yaml": things,
    }.items():
        (folder / name).write_text(text)
    reading = read_world(folder)
    assert reading.world is not None
    return check_tools(reading, reading.world)


def test_lanternport_has_no_problems() -> None:
    world, problems = check_tools(read_world(LANTERNPORT), load_world(LANTERNPORT))
    assert problems == [] and world.tools == load_world(LANTERNPORT).tools


@pytest.mark.parametrize(
    ("old", "new", "line", "place", "remedy", "is_offered"),
    [
        ("properties:", "porperties:", 10, "schema.porperties", "'properties'", False),
        ("type: number", "type: strng", 11, "schema.properties.x.type", "'string'", False),
        ("type: number", "type: float", 11, "schema.properties.x.type", "'number'", False),
        ("type: number", "type: [int, 'null']", 11, "schema.properties.x.type[0]", "'integer'", False),
        ("type: number", "typ: number", 11, "schema.properties.x.typ", "'type'", True),
        ("required: [x]", "required: x", 13, "schema.required", "", False),
        ("required: [x]", "required: [y]", 8, "schema", "", False),
        ("required: [x]", "requird: [x]", 13, "schema.requird", "'required'", True),
        ("type: string,", "type: string, pattern: '[',", 12, "schema.properties.mode.pattern", "", False),
        ("type: string,", "$ref: '#/nowhere',", 8, "schema", "", False),
        ("mode: fast", "mode: quick", 7, "arguments.mode", "", False),
        ("mode: fast", "mode: 3", 7, "arguments.mode", "", False),
        ("mode: fast", "speed: fast", 8, "schema", "", False),
        ("x: $place.x", "x: $place.y", 6, "arguments.x", "kind, name, x", False),
        ("x: $place.x", "x: $player.name", 6, "arguments.x", "$player.id", False),
        ("x: $place.x", "x: {to: $palce.x}", 6, "arguments.x.to", "'place'", False),
        ("x: $place.x", "x: $place.kind", 6, "arguments.x", "", False),
        ("kind: places", "kind: items", 4, "words.place.kind", "items", True),
        ("[navigation]", "[navigaton]", 15, "intents[0]", "'navigation'", True),
        ("[navigation]", "[navigation, tarde, combt]", 15, "intents[1]", "'trade'", True),
        ("[navigation]", "[zzz]", 15, "intents[0]", "chitchat", True),
    ],
)  # fmt: skip
def test_mistake_in_a_tool(
    tmp_path: Path, old: str, new: str, line: int, place: str, remedy: str, is_offered: bool
) -> None:
    assert TOOL.count(old) >= 1
    world, problems = checked(tmp_path, TOOL.replace(old, new, 1))
    first = problems[0]
    assert (first.file.name, first.line, first.place) == ("tools.yaml", line, f"[0] go.{place}")
    assert remedy in first.remedy and first.remedy and not first.is_notice
    assert ("go" in world.tools) == is_offered


def test_unknown_intents_are_taken_out(tmp_path: Path) -> None:
    world, problems = checked(tmp_path, TOOL.replace("[navigation]", "[navigation, tarde, combt]"))
    assert world.tools["go"].intents == ("navigation",) and len(problems) == 2


def test_tool_of_unknown_intents_only_is_always_offered(tmp_path: Path) -> None:
    world, problems = checked(tmp_path, TOOL.replace("[navigation]", "[navigaton]"))
    assert world.tools["go"].intents == () and "always offered" in problems[0].remedy


def test_unknown_keyword_that_is_not_misspelt_is_a_notice(tmp_path: Path) -> None:
    text = TOOL.replace("    type: object", "    type: object\n    nullable: true\n    x-order: 3")
    world, problems = checked(tmp_path, text)
    assert [(each.line, each.is_notice) for each in problems] == [(10, True)] and "go" in world.tools


@pytest.mark.parametrize(
    ("old", "new", "line", "place"),
    [
        ("{x: 2, at", "{x: two, at", 3, "places.crane"),
        ("{x: 2, at", "{at", 3, "places.crane"),
        ("{x: 1.5, at", "{x: null, at", 2, "places.dock"),
    ],
)
def test_thing_that_does_not_fit_is_told_and_the_tool_stays(
    tmp_path: Path, old: str, new: str, line: int, place: str
) -> None:
    world, problems = checked(tmp_path, TOOL, THINGS.replace(old, new))
    assert [(each.file.name, each.line, each.place) for each in problems] == [("things.yaml", line, place)]
    assert "go" in world.tools


def test_single_thing_that_lacks_a_value_is_blamed_itself(tmp_path: Path) -> None:
    things = "places:\n  dock: {name: the dock}\n"
    world, problems = checked(tmp_path, TOOL, things)
    assert [(each.file.name, each.place) for each in problems] == [("things.yaml", "places.dock")]
    assert "go" in world.tools


def test_enum_and_nested_values(tmp_path: Path) -> None:
    tool = TOOL.replace("mode: fast", "mode: $place.kind").replace("[fast, slow]", "[pier, tower]")
    world, problems = checked(tmp_path, tool.replace("x: $place.x", "x: $place.at.deck"))
    assert problems == [] and "go" in world.tools


def test_many_things_are_counted(tmp_path: Path) -> None:
    things = "places:\n  good: {name: good, values: {x: 1}}\n"
    things += "".join(f"  p{number}: {{name: place {number}}}\n" for number in range(20))
    _, problems = checked(tmp_path, TOOL, things)
    assert len(problems) == 5 and "15 more" in problems[-1].remedy


def test_mistakes_of_several_tools_are_told_at_once(tmp_path: Path) -> None:
    other = TOOL.replace("name: go", "name: run").replace("type: number", "type: strng")
    world, problems = checked(tmp_path, TOOL.replace("[navigation]", "[nav]") + other)
    assert [each.line for each in problems] == [15, 26] and set(world.tools) == {"go"}
