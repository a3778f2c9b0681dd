"""What the player and a character said to each other, as the model is given it: only what was heard.

The history grows at its end, so that a KV cache keeps all of it. When it has grown over its cap, half of it goes at
once: every cut makes the cache begin anew, so cuts are rare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mythicd.engines import ChatMessage


@dataclass(frozen=True, slots=True)
class Exchange:
    """The player's words and what was heard of the answer."""

    turn_id: str
    words: str
    answer: str


class History:
    """The exchanges with one character, oldest first."""

    def __init__(self) -> None:
        self._exchanges: list[Exchange] = []

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """The exchanges as messages, user and assistant in turns."""
        return tuple(
            message
            for exchange in self._exchanges
            for message in (ChatMessage("user", exchange.words), ChatMessage("assistant", exchange.answer))
        )

    @property
    def turn_ids(self) -> tuple[str, ...]:
        """The turns that stand in it."""
        return tuple(exchange.turn_id for exchange in self._exchanges)

    @property
    def last_words(self) -> str:
        """What the player said last; empty at the beginning."""
        return self._exchanges[-1].words if self._exchanges else ""

    def add(self, turn_id: str, words: str, answer: str) -> None:
        """Add an exchange; one without words or without an answer is none."""
        if words and answer:
            self._exchanges.append(Exchange(turn_id, words, answer))

    def shorten(self, room: int, count: Callable[[str], int]) -> None:
        """Keep it within `room` tokens, as `count` counts them: drop its older half until it fits."""
        while self._exchanges and sum(count(message.content) for message in self.messages) > room:
            self._exchanges = self._exchanges[len(self._exchanges) // 2 + len(self._exchanges) % 2 :]
