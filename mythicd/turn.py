"""A turn: the player's words, the character's reply to them, and what the two are made of at the moment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from mythicd.reply import Reply
from mythicd.timeline import Timeline

ANSWER_PATIENCE_S = 60.0
"""How long an answer may get no further; a big model on a slow machine takes half a minute to read a long prompt."""


@dataclass(slots=True)
class Turn:
    """The player's words and the character's reply to them."""

    turn_id: str
    number: int
    started_at: float
    """Wall clock."""
    timeline: Timeline = field(default_factory=Timeline)
    words: str = ""
    confidence: float = 1.0
    source: str = "speech"
    reply: Reply | None = None
    work: asyncio.Task[None] | None = None
    responded_s: float = 0.0
    """When the work began, on the monotonic clock."""

    @property
    def patience_ends_s(self) -> float | None:
        """When an answer that gets no further is given up; None when none is being made."""
        if self.work is None:
            return None
        return max(self.responded_s, self.reply.moved_s if self.reply is not None else 0.0) + ANSWER_PATIENCE_S
