"""Values that go into the store and come out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ROOT_BRANCH = "root"
"""The branch of a playthrough in which no save game was loaded."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of memories: one scope never sees another's. Lore belongs to game and world."""

    game: str
    world: str
    player: str
    playthrough: str
    branch_id: str = ROOT_BRANCH


@dataclass(frozen=True, slots=True)
class Speaker:
    """The speaker of an utterance."""

    kind: Literal["player", "npc"]
    id: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """An utterance in a conversation with a character, and how much of it was heard."""

    npc_id: str
    """The character whose conversation it is."""

    turn_id: str
    """Unique in the playthrough, also across daemon starts. Utterances with the same one are one exchange."""

    speaker: Speaker

    text: str
    """The intended words."""

    started_at: float
    """Wall clock, in seconds since 1970."""

    present: Sequence[str]
    """Ids of the characters that hear it, including the speaker."""

    heard_text: str | None = None
    """The played words; None while unknown. Only these are remembered."""

    ended_at: float | None = None
    """Wall clock; None while it is being said."""

    game_time: str = ""
    """The game's clock, from the scene."""

    zone: str = ""
    importance: float = 0.5
    """0–1."""

    source: str = "speech"
    """`speech` or `text`."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An utterance that a character heard, or its own words that were heard."""

    id: int
    """Increases with time."""

    turn_id: str
    speaker: Speaker
    text: str
    """The words that were heard."""

    started_at: float
    game_time: str
    zone: str
    importance: float


@dataclass(frozen=True, slots=True)
class ToolRecord:
    """A tool call and its outcome."""

    call_id: str
    npc_id: str
    turn_id: str
    name: str
    arguments: Mapping[str, Any]
    """Arguments as sent to the game; JSON."""

    status: Literal["sent", "ok", "error", "rejected", "timeout", "cancelled"]
    """`sent` until the game answers; `rejected` if it was not sent to the game."""

    called_at: float
    """Wall clock, in seconds since 1970."""

    settled_at: float | None = None
    message: str = ""
    """Why it failed."""

    result: Mapping[str, Any] = field(default_factory=dict)
    """The game's answer; JSON."""


@dataclass(frozen=True, slots=True)
class SyncCounts:
    """The result of `sync_lore`."""

    entries: int
    """Lore entries in the world."""

    chunks: int
    """Their lines."""

    changed: int
    """New or changed entries, which were cut again."""

    removed: int
    """Removed entries."""

    embedded: int
    """Lines that got a vector."""
