"""What every side of the turn can do, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bench.turn.audio_marks import Speech


@dataclass(frozen=True, slots=True)
class Answer:
    """One turn, as the player had it."""

    wait: float
    """From the last audible sample of the question to the first of the answer, in milliseconds."""
    heard: str
    """What the recogniser made of the question."""
    reply: str
    prompt: int
    """Tokens of the prompt."""
    evaluated: int
    """Those of them that were evaluated after the request."""
    marks: dict[str, float]
    """Milliseconds after the last voiced sample, where the side tells them."""


class Side(Protocol):
    """One stack with one way of using it."""

    async def start(self) -> None:
        """Load everything."""

    async def meet(self, npc: str) -> None:
        """A character comes into view; the one before is left."""

    async def turn(self, said: Speech) -> Answer:
        """Ask the character, and hear its answer to the end."""

    async def stop(self) -> None:
        """Free everything."""
