"""What one reply is made from: the player's words, and what was found for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mythicd.config.world_files import ToolDefinition
from mythicd.dialogue.prompt import Sections


@dataclass(frozen=True, slots=True)
class ReplyInput:
    """The input of one reply."""

    turn_id: str
    words: str
    understood: bool
    """Whether the recogniser understood the words; if not, the character asks to hear them again."""
    seed: int
    sections: Sections = field(default_factory=Sections)
    tools: Mapping[str, ToolDefinition] = field(default_factory=dict)
    """Those offered in this turn, by name."""
    failures: tuple[str, ...] = ()
    """Lines of the sections that tell of tool calls that failed."""
