"""The prompt as text, laid out by how often its parts change.

    [world: frame, game rules, tools]  [character: who, persona]  [history …]  [turn: lore, memory, scene, words]
     equal for every character          equal for every turn        grows        new each time, dropped afterwards

A KV cache keeps what does not change at the front, so nothing that varies from turn to turn (lore, the scene, the
clock) may stand before the history, and the player's words come last. The starter language model is trained on exactly
this text: retrain it after a change here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mythicd.engines.llm import ChatMessage, Prompt, ToolSpec

FRAME = (
    "You are a character in {title}. Stay in character. Answer in one or two short sentences. "
    "Use the sections only where they help. If the answer is in none of them, say you do not know."
)

CALL_FORM = 'To act, write <tool_call>{"name": "...", "arguments": {...}}</tool_call> where it belongs in your reply.'


@dataclass(frozen=True, slots=True)
class Sections:
    """The context of one turn. Each item is one line of text."""

    lore: tuple[str, ...] = ()
    recent: tuple[str, ...] = ()
    scene: Mapping[str, Any] = field(default_factory=dict)
    """What is around the character, written as compact JSON; empty when nothing is known."""


def world_part(title: str, rules: Sequence[str], tools: Sequence[ToolSpec]) -> str:
    """Return the front of the system message, equal for all characters of a world."""
    lines = [FRAME.format(title=title)]
    if rules:
        lines += ["## Rules", *(f"- {rule}" for rule in rules)]
    if tools:
        lines += ["## Tools", *(f"- {tool.name} {_signature(tool)}: {tool.description}" for tool in tools), CALL_FORM]
    return "\n".join(lines)


def character_part(name: str, archetype: str, style: str, persona: Sequence[str]) -> str:
    """Return the rest of the system message: who the character is. It begins with a blank line."""
    lines = [f"\n\nYou are {name}, {archetype}. Style: {style}."]
    if persona:
        lines += ["## Persona", *(f"- {line}" for line in persona)]
    return "\n".join(lines)


def turn_message(words: str, sections: Sections) -> ChatMessage:
    """Return the ephemeral user message: the sections that are not empty, then what the player said.

    Items of several lines are joined into one, so that they cannot imitate a section.
    """
    lines: list[str] = []
    if sections.lore:
        lines += ["## Lore", *(f"- {_one_line(line)}" for line in sections.lore)]
    if sections.recent:
        lines += ["## Recent Memory", *(f"- {_one_line(line)}" for line in sections.recent)]
    if sections.scene:
        lines += ["## Scene", json.dumps(sections.scene, ensure_ascii=False)]
    lines += ["## Player", _one_line(words)]
    return ChatMessage("user", "\n".join(lines))


def read_until(sections: Sections, lines: int) -> Sections:
    """Return the part of the sections in the first `lines` lines of the turn's message, without the scene."""
    lore = sections.lore[: max(0, lines - 1)]
    before = len(sections.lore) + 1 if sections.lore else 0
    return Sections(lore, sections.recent[: max(0, lines - before - 1)])


def build(world: str, character: str, history: Sequence[ChatMessage], words: str, sections: Sections) -> Prompt:
    """Join the parts of one turn's prompt."""
    return Prompt(world, character, tuple(history), (turn_message(words, sections),))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _signature(tool: ToolSpec) -> str:
    """Return the tool's arguments as a short JSON object of descriptions, in the schema's order."""
    properties: Mapping[str, Mapping[str, Any]] = tool.parameters.get("properties", {})
    return json.dumps({name: schema.get("description", "") for name, schema in properties.items()}, ensure_ascii=False)
