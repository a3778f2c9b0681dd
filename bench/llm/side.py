"""The interface of a side of the comparison, for any engine or server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mythicd.engines.llm import Prompt


@dataclass(frozen=True, slots=True)
class Spent:
    """The cost of one reply."""

    prompt: int
    """Tokens in the prompt."""
    evaluated: int
    """Those of them that were evaluated for the reply."""
    written: int
    """Tokens of the reply."""


class Side(Protocol):
    """One engine or server with one way of using it."""

    async def start(self) -> None:
        """Load the model."""

    async def warm(self, npc: str, prompt: Prompt) -> None:
        """Evaluate a character's system part and history: it came into view, or its turn is over.

        Sides without prefill do nothing here and in `prepare`.
        """

    async def prepare(self, npc: str, prompt: Prompt) -> None:
        """Evaluate the turn so far, while the player speaks."""

    async def reply(self, npc: str, prompt: Prompt, tokens: int, arrivals: list[float]) -> Spent:
        """Write a reply of exactly `tokens` tokens; note when each arrives (`perf_counter`). It may be cancelled."""

    async def leave(self, npc: str) -> None:
        """Forget the character."""

    async def stop(self) -> None:
        """Free the model."""
