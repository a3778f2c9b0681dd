"""docs/worlds.md is held to the code: its tables to the structs that files are read into; and its examples load."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from mythicd.authoring.commands import add_commands
from mythicd.config import world_files
from mythicd.config.voice_files import PiperEntry, ServerEntry, VoiceEntry, XttsEntry
from mythicd.config.world_files import (
    LoreEntry,
    PersonaCard,
    SamplingOverride,
    Thing,
    ToolDefinition,
    WordArgument,
    read_world,
)
from mythicd.config.world_folder import FOLDERS, TOP
from mythicd.dialogue.intent import PRECEDENCE
from mythicd.world.tool_checks import check_tools
from tests.document_tables import rows, table

DOCUMENT = (Path(__file__).parents[2] / "docs" / "worlds.md").read_text(encoding="utf-8")

TABLES: dict[str, type[msgspec.Struct]] = {
    "## world.yaml": world_files._WorldFile,
    "## npcs/ID.yaml": PersonaCard,
    "Keys of `llm`:": SamplingOverride,
    "## lore/*.yaml": world_files._LoreFile,
    "Keys of each entry:": LoreEntry,
    "## things.yaml": Thing,
    "## voices.yaml": VoiceEntry,
    "Keys of `piper`:": PiperEntry,
    "Keys of `xtts`:": XttsEntry,
    "Keys of `server`:": ServerEntry,
    "## tools.yaml": ToolDefinition,
    "Keys of each argument in `words`:": WordArgument,
}


@pytest.mark.parametrize(("after", "struct"), TABLES.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_every_key_is_described(after: str, struct: type[msgspec.Struct]) -> None:
    described = table(DOCUMENT, after)
    assert [row[:3] for row in described] == rows(struct)
    assert all(len(row) == 4 and row[3] for row in described), "a key without its meaning"


def test_every_file_and_intent_is_listed() -> None:
    named = DOCUMENT.partition("\n## ")[0]
    assert all(name in named for name in (*TOP, *(f"{folder}/" for folder in FOLDERS)))
    assert {row[0].strip("`") for row in table(DOCUMENT, "### Intents")} == set(PRECEDENCE)


def test_every_option_of_import_is_listed() -> None:
    top = argparse.ArgumentParser()
    commands = top.add_subparsers()
    add_commands(commands)
    options = {word for action in commands.choices["import"]._actions for word in action.option_strings}
    described = set(re.findall(r"^\| `(--[\w-]+)", DOCUMENT, re.MULTILINE))
    assert described == options - {"-h", "--help", "--data"}


def test_examples_are_a_world_without_mistakes(tmp_path: Path) -> None:
    blocks = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)]
    things: dict[str, Any] = {"doors": {"gate": {"name": "the gate"}}}
    tools: list[Any] = []
    for block in blocks:
        if isinstance(block, list):
            tools += block
        elif "world" not in block:
            things |= block
    assert {tool["name"] for tool in tools} == {"set_waypoint", "set_door"}
    (tmp_path / "npcs").mkdir()
    for name, content in {
        "world.yaml": {"title": "T"},
        "npcs/ada.yaml": {"name": "Ada"},
        "things.yaml": things,
        "tools.yaml": tools,
    }.items():
        (tmp_path / name).write_text(yaml.safe_dump(content))
    reading = read_world(tmp_path)
    assert reading.world is not None
    world, problems = check_tools(reading, reading.world)
    assert [str(each) for each in (*reading.problems, *problems) if not each.is_notice] == []
    assert set(world.tools) == {"set_waypoint", "set_door"}


def test_links_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", DOCUMENT, re.MULTILINE)
    }
    assert {link for link in re.findall(r"\]\(#([^)]*)\)", DOCUMENT)} <= anchors
