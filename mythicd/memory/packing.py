"""The packer: chooses the lines and the scene of a prompt under their token budgets.

Each section has its own budget (`rag.budgets`): lines are taken best first while they fit, and a scene loses its least
relevant things first. A cap on all sections together, if given, is met in the order of the design document, §6.5: least
relevant scene objects first, then lore from its end, then memories from their end. Tokens are counted by the caller's
function, the loaded model's tokenizer if available.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mythicd.config.settings import BudgetSettings
from mythicd.memory.query import content_words
from mythicd.memory.ranking import ScoredLine
from mythicd.text.english.sentences import sentences

Count = Callable[[str], int]
"""Returns the number of tokens of a text."""


@dataclass(frozen=True, slots=True)
class Nearby:
    """Something near a character."""

    name: str
    """Its name in plain words."""

    distance: float = 0.0
    """In the game's units."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The surroundings of a character."""

    zone: str = ""
    time: str = ""
    """The game's clock, in plain words."""

    nearby: Sequence[Nearby] = ()


@dataclass(frozen=True, slots=True)
class Packed:
    """The contents of the prompt, and what did not fit."""

    lore: tuple[str, ...] = ()
    recent: tuple[str, ...] = ()
    scene: Mapping[str, Any] = field(default_factory=dict)
    """`zone`, `time` and `nearby` (names, most relevant first), each only if known."""

    left_out: tuple[str, ...] = ()
    """Dropped lines and names of things, in the order in which they were dropped."""

    tokens: int = 0
    """Tokens of all sections together."""


def pack(
    words: str,
    lore: Sequence[ScoredLine],
    recent: Sequence[ScoredLine],
    surroundings: Scene,
    budgets: BudgetSettings,
    count: Count,
    total: int | None = None,
) -> Packed:
    """Return what fits. `words` are the player's; `lore` and `recent` come best first; `total` caps all sections."""
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
    """Return the lines that fit the budget, in order; one that does not is skipped in favour of later, shorter ones.

    A first line that is too long is cut after its last sentence that fits: half of the best line is better than none.
    Skipped lines are appended to `left_out`.
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
    """Return the distinct names of things: those that the player mentions first, then by distance."""
    spoken = set(content_words(words))
    ordered = sorted(nearby, key=lambda thing: (not spoken & set(content_words(thing.name)), thing.distance))
    return list(dict.fromkeys(thing.name for thing in ordered))


def _beginning(line: str, room: int, count: Count) -> str:
    """Return as many whole sentences at the beginning of a line as fit; empty if none does."""
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
