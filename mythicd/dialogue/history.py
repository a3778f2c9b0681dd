"""The chat history of one character: what was heard of its exchanges with the player, as the model is given it.

The history grows at its end, so that a KV cache keeps all of it. When it exceeds its cap, half of it is removed at
once: each cut invalidates the cache, so cuts are rare. Removed exchanges leave a short summary (summary.py), and memory
can still be searched for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mythicd.dialogue.summary import Exchange, Summary
from mythicd.engines.llm import ChatMessage

RECAP_TOKENS = 120
"""Most tokens in a summary."""
RECAP_SHARE = 2
"""At most one part in so many of the room is kept free for a summary."""
SEED_EXCHANGES = 2
"""Most exchanges that are kept word for word for a character that the player has left."""


class History:
    """The exchanges with one character, oldest first, after a summary of those before them."""

    def __init__(self) -> None:
        self._summary = Summary()
        self._exchanges: list[Exchange] = []

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """The summary and the exchanges as messages, user and assistant in turns."""
        return (*self._summary.messages, *_messages(self._exchanges))

    @property
    def turn_ids(self) -> tuple[str, ...]:
        """The turns that it holds word for word."""
        return tuple(exchange.turn_id for exchange in self._exchanges)

    @property
    def last_words(self) -> str:
        """The player's last words; empty at the beginning."""
        return self._exchanges[-1].words if self._exchanges else ""

    def add(self, turn_id: str, words: str, answer: str, deeds: Sequence[str] = ()) -> None:
        """Add an exchange, and what the character did in it; one without words or without an answer is ignored."""
        if words and answer:
            self._exchanges.append(Exchange(turn_id, words, answer, tuple(deeds)))

    def shorten(self, room: int, count: Callable[[str], int]) -> None:
        """Cut the history to `room` tokens, as `count` counts them: summarise its older half until it fits."""
        if _size(self.messages, count) <= room:
            return
        left, reserve = list(self._exchanges), min(RECAP_TOKENS, room // RECAP_SHARE)
        while left and _size(_messages(left), count) > room - reserve:
            del left[: (len(left) + 1) // 2]
        self._summarise(len(self._exchanges) - len(left), room, count)

    def compact(self, room: int, count: Callable[[str], int]) -> None:
        """Keep only what a later conversation needs: a summary, and the last exchange if both fit in `room` tokens."""
        if len(self._exchanges) > SEED_EXCHANGES:
            self._summarise(len(self._exchanges) - 1, room, count)
        self.shorten(room, count)

    def _summarise(self, gone: int, room: int, count: Callable[[str], int]) -> None:
        """Replace the first `gone` exchanges by a summary, where the others leave room for it."""
        folded = self._summary.fold(self._exchanges[:gone]) if gone else self._summary
        del self._exchanges[:gone]
        left = max(0, room - _size(_messages(self._exchanges), count))
        self._summary = folded.within(min(RECAP_TOKENS, left), count)


def _messages(exchanges: Sequence[Exchange]) -> tuple[ChatMessage, ...]:
    return tuple(
        message
        for exchange in exchanges
        for message in (ChatMessage("user", exchange.words), ChatMessage("assistant", exchange.answer))
    )


def _size(messages: Sequence[ChatMessage], count: Callable[[str], int]) -> int:
    return sum(count(message.content) for message in messages)
