"""The values that go into the store and come out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ROOT_BRANCH = "root"
"""The branch of a playthrough that no save game was ever loaded in."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memories: nothing written under one scope is ever seen under another. Lore belongs to game and world."""

    game: str
    world: str
    player: str
    playthrough: str
    branch_id: str = ROOT_BRANCH


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who says something."""

    kind: Literal["player", "npc"]
    id: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something said in a conversation with a character, and how much of it was heard."""

    npc_id: str
    """The character whose conversation it is."""

    turn_id: str
    """Unique in the playthrough for ever, not only since the daemon's start: what shares it is one exchange."""

    speaker: Speaker

    text: str
    """What was meant to be said."""

    started_at: float
    """Wall clock, in seconds since 1970."""

    present: Sequence[str]
    """Ids of the characters who hear it, the speaking one among them."""

    heard_text: str | None = None
    """What was played, to the word; None while it is not yet known. Only what was heard is ever remembered."""

    ended_at: float | None = None
    """Wall clock; None while it is being said."""

    game_time: str = ""
    """The game's clock, as the scene tells it."""

    zone: str = ""
    importance: float = 0.5
    """0–1."""

    source: str = "speech"
    """How it came about: `speech`, `text`."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Something a character heard, or said and was heard saying."""

    id: int
    """Grows with the order in which things were said."""

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
    """A tool call and what became of it."""

    call_id: str
    npc_id: str
    turn_id: str
    name: str
    arguments: Mapping[str, Any]
    """As the game gets them; must be JSON."""

    status: Literal["sent", "ok", "error", "rejected", "timeout", "cancelled"]
    """`sent` until the game has answered; `rejected` when it never reached the game."""

    called_at: float
    """Wall clock, in seconds since 1970."""

    settled_at: float | None = None
    message: str = ""
    """Why it failed."""

    result: Mapping[str, Any] = field(default_factory=dict)
    """What the game answered; must be JSON."""


@dataclass(frozen=True, slots=True)
class SyncCounts:
    """What `sync_lore` found and did."""

    entries: int
    """Lore entries in the world."""

    chunks: int
    """Lines they make."""

    changed: int
    """Entries that were new or different, and were cut again."""

    removed: int
    """Entries that are gone."""

    embedded: int
    """Lines that got a vector now."""
