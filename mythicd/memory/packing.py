"""Sections of a prompt, packed under their token budgets.

Each section has its own budget (`rag.budgets`): lines are taken best first while they fit, a scene loses its least
relevant things first. Then a cap on all of them together, where one is given, is met in the order of the design
document, §6.5: least relevant scene objects first, then lore from its end, then memories from their end.

Tokens are counted by the caller's function, which is the loaded model's tokenizer where it is at hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mythicd.config.settings import BudgetSettings
from mythicd.memory.chunking import sentences
from mythicd.memory.query import content_words
from mythicd.memory.ranking import ScoredLine

Count = Callable[[str], int]
"""Tells how many tokens a text has."""


@dataclass(frozen=True, slots=True)
class Nearby:
    """Something near a character."""

    name: str
    """What a person would call it."""

    distance: float = 0.0
    """In the game's units."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is around a character now."""

    zone: str = ""
    time: str = ""
    """The game's clock, as people would say it."""

    nearby: Sequence[Nearby] = ()


@dataclass(frozen=True, slots=True)
class Packed:
    """What goes into the prompt, and what had no room."""

    lore: tuple[str, ...] = ()
    recent: tuple[str, ...] = ()
    scene: Mapping[str, Any] = field(default_factory=dict)
    """`zone`, `time`, `nearby` (names, most relevant first), each only if it is known."""

    left_out: tuple[str, ...] = ()
    """Lines and names of things that were dropped, in the order in which they were."""

    tokens: int = 0
    """Of all sections together."""


def pack(
    words: str,
    lore: Sequence[ScoredLine],
    recent: Sequence[ScoredLine],
    surroundings: Scene,
    budgets: BudgetSettings,
    count: Count,
    total: int | None = None,
) -> Packed:
    """Choose what of these fits. `words` are the player's; `lore` and `recent` come best first; `total` caps all."""
    left_out: list[str] = []
    kept_lore = within([line.line for line in lore], budgets.lore, count, left_out)
    kept_recent = within([line.line for line in recent], budgets.recent, count, left_out)
    things = by_relevance(surroundings.nearby, words)
    while things and _scene_tokens(surroundings, things, count) > budgets.scene:
        left_out.append(things.pop())

    def tokens() -> int:
        lines = sum(_line_tokens(line, count) for line in (*kept_lore, *kept_recent))
        return lines + _scene_tokens(surroundings, things, count)

    for section in (things, kept_lore, kept_recent):
        while total is not None and section and tokens() > total:
            left_out.append(section.pop())
    scene = _scene(surroundings, things)
    return Packed(tuple(kept_lore), tuple(kept_recent), scene, tuple(left_out), tokens())


def within(lines: Sequence[str], budget: int, count: Count, left_out: list[str] | None = None) -> list[str]:
    """Return the lines that fit the budget, in order; one that does not is passed over for shorter ones behind it.

    A first line that is too long by itself is cut after its last sentence that fits: better half of the best line
    than none. What is passed over is appended to `left_out`.
    """
    kept: list[str] = []
    room = budget
    for place, line in enumerate(lines):
        if _line_tokens(line, count) > room:
            if left_out is not None:
                left_out.append(line)
            line = _beginning(line, room, count) if place == 0 else ""
        if line:
            kept.append(line)
            room -= _line_tokens(line, count)
    return kept


def by_relevance(nearby: Sequence[Nearby], words: str) -> list[str]:
    """Return the names of things, those the player speaks of first, then by distance; a name that recurs once."""
    spoken = set(content_words(words))
    ordered = sorted(nearby, key=lambda thing: (not spoken & set(content_words(thing.name)), thing.distance))
    return list(dict.fromkeys(thing.name for thing in ordered))


def _beginning(line: str, room: int, count: Count) -> str:
    """Return as many whole sentences from the front of a line as fit; empty when not even one does."""
    held = ""
    for sentence in sentences(line):
        longer = f"{held} {sentence}".strip()
        if _line_tokens(longer, count) > room:
            break
        held = longer
    return held


def _line_tokens(line: str, count: Count) -> int:
    return count(f"- {line}\n")


def _scene(surroundings: Scene, things: Sequence[str]) -> dict[str, Any]:
    scene: dict[str, Any] = {"zone": surroundings.zone, "time": surroundings.time, "nearby": list(things)}
    return {key: value for key, value in scene.items() if value}


def _scene_tokens(surroundings: Scene, things: Sequence[str], count: Count) -> int:
    scene = _scene(surroundings, things)
    return count(json.dumps(scene, ensure_ascii=False)) if scene else 0
