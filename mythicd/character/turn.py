"""A turn: the player's words, the character's reply to them, and what the two are made of at the moment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from mythicd.character.speak.commit_gate import Commitment
from mythicd.character.speak.speech_output import Reply
from mythicd.telemetry.timeline import Timeline

ANSWER_PATIENCE_S = 60.0
"""How long an answer may get no further; a big model on a slow machine takes half a minute to read a long prompt."""


@dataclass(slots=True, eq=False)
class Revision:
    """An answer to the words as they stood when it was begun. Nothing of it leaves before it is committed."""

    commitment: Commitment
    timeline: Timeline
    words: str | None = None
    """None until the recogniser has said what they are."""
    confidence: float = 1.0
    reply: Reply | None = None
    work: asyncio.Task[None] | None = None
    failures: tuple[str, ...] = ()
    """Lines of its prompt that tell of tool calls that failed."""
    committed_s: float = 0.0
    """When it began to count, on the monotonic clock."""

    @property
    def patience_ends_s(self) -> float | None:
        """When an answer that gets no further is given up; None while nobody waits for it."""
        if not self.commitment.is_committed:
            return None
        return max(self.committed_s, self.reply.moved_s if self.reply is not None else 0.0) + ANSWER_PATIENCE_S


@dataclass(slots=True, eq=False)
class Turn:
    """The player's words and the character's reply to them."""

    turn_id: str
    number: int
    started_at: float
    """Wall clock."""
    timeline: Timeline = field(default_factory=Timeline)
    words: str = ""
    before: str = ""
    """Words that were final once, before the player went on after all."""
    confidence: float = 1.0
    source: str = "speech"
    revision: Revision | None = None
    """The answer that is being made, or was."""
    tries: int = 0
    """Answers that were prepared for it, in pauses that were longer than a stop within a word."""
    noted: bool = False
    """Whether the player's words are written down."""
    was_late: bool = False
    """Whether the silence before the answer was looked at, and filled or left."""

    @property
    def reply(self) -> Reply | None:
        """What is said, as far as it was made."""
        return self.revision.reply if self.revision is not None else None

    @property
    def reply_is_awaited(self) -> bool:
        """Whether the answer counts and nothing of it is heard yet."""
        counts = self.revision is not None and self.revision.commitment.is_committed
        return counts and not (self.reply is not None and self.reply.audible)

    def with_before(self, words: str) -> str:
        """Return these words behind those that were final once."""
        return f"{self.before} {words}".strip()
