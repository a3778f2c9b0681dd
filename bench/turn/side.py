"""The interface of a side of the turn benchmark, for any stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bench.turn.audio_marks import Speech


@dataclass(frozen=True, slots=True)
class Answer:
    """One turn, as the player hears it."""

    wait: float
    """From the last audible sample of the question to the first of the answer, in milliseconds."""
    heard: str
    """The recognised words of the question."""
    reply: str
    prompt: int
    """Tokens of the prompt."""
    evaluated: int
    """Those of them that were evaluated after the request."""
    marks: dict[str, float]
    """Marks of the turn, in milliseconds after the last voiced sample, if the side has them."""


class Side(Protocol):
    """One stack, in one configuration."""

    async def start(self) -> None:
        """Load the stack."""

    async def meet(self, npc: str) -> None:
        """Let a character come into view, and the one before leave it."""

    async def turn(self, said: Speech) -> Answer:
        """Ask the character, and wait for the end of its answer."""

    async def stop(self) -> None:
        """Free the stack."""
