"""What every side of the comparison can do, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mythicd.engines.llm import Prompt


@dataclass(frozen=True, slots=True)
class Spent:
    """What one reply cost."""

    prompt: int
    """Tokens in the prompt."""
    evaluated: int
    """Those of them that had to be evaluated now."""
    written: int
    """Tokens of the reply."""


class Side(Protocol):
    """One engine or server with one way of using it."""

    async def start(self) -> None:
        """Load the model."""

    async def warm(self, npc: str, prompt: Prompt) -> None:
        """The character came near, or its turn is over: have its system part and history evaluated.

        Sides that know no such thing do nothing here, nor in `prepare`.
        """

    async def prepare(self, npc: str, prompt: Prompt) -> None:
        """The player is speaking: have the turn so far evaluated."""

    async def reply(self, npc: str, prompt: Prompt, tokens: int, arrivals: list[float]) -> Spent:
        """Write a reply of so many tokens, noting when each arrives (`perf_counter`). Cancelling it cancels it."""

    async def leave(self, npc: str) -> None:
        """Forget all about the character."""

    async def stop(self) -> None:
        """Free the model."""
