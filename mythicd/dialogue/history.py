"""What the player and a character said to each other, as the model is given it: only what was heard.

The history grows at its end, so that a KV cache keeps all of it. When it has grown over its cap, half of it goes at
once: every cut makes the cache begin anew, so cuts are rare. What goes leaves a short recap behind (summary.py), and
memory can still be searched for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mythicd.dialogue.summary import Exchange, Summary
from mythicd.engines.llm import ChatMessage

RECAP_TOKENS = 120
"""Most tokens in a recap."""
RECAP_SHARE = 2
"""Of a room, at most this part (one half) is kept free for a recap."""
SEED_EXCHANGES = 2
"""Most exchanges that are worth keeping word for word for a character that is left alone."""


class History:
    """The exchanges with one character, oldest first, behind a recap of those before them."""

    def __init__(self) -> None:
        self._recap = Summary()
        self._exchanges: list[Exchange] = []

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """The recap and the exchanges as messages, user and assistant in turns."""
        return (*self._recap.messages, *_messages(self._exchanges))

    @property
    def turn_ids(self) -> tuple[str, ...]:
        """The turns that stand in it word for word."""
        return tuple(exchange.turn_id for exchange in self._exchanges)

    @property
    def last_words(self) -> str:
        """What the player said last; empty at the beginning."""
        return self._exchanges[-1].words if self._exchanges else ""

    def add(self, turn_id: str, words: str, answer: str, deeds: Sequence[str] = ()) -> None:
        """Add an exchange, and what the character did in it; one without words or without an answer is none."""
        if words and answer:
            self._exchanges.append(Exchange(turn_id, words, answer, tuple(deeds)))

    def shorten(self, room: int, count: Callable[[str], int]) -> None:
        """Keep it within `room` tokens, as `count` counts them: sum up its older half until it fits."""
        if _size(self.messages, count) <= room:
            return
        left, reserve = list(self._exchanges), min(RECAP_TOKENS, room // RECAP_SHARE)
        while left and _size(_messages(left), count) > room - reserve:
            del left[: (len(left) + 1) // 2]
        self._sum_up(len(self._exchanges) - len(left), room, count)

    def compact(self, room: int, count: Callable[[str], int]) -> None:
        """Keep no more than is needed to go on later: a recap, and the last exchange if both fit into `room` tokens."""
        if len(self._exchanges) > SEED_EXCHANGES:
            self._sum_up(len(self._exchanges) - 1, room, count)
        self.shorten(room, count)

    def _sum_up(self, gone: int, room: int, count: Callable[[str], int]) -> None:
        """Let the first `gone` exchanges go, and leave a recap where the others leave room for it."""
        folded = self._recap.fold(self._exchanges[:gone]) if gone else self._recap
        del self._exchanges[:gone]
        left = max(0, room - _size(_messages(self._exchanges), count))
        self._recap = folded.within(min(RECAP_TOKENS, left), count)


def _messages(exchanges: Sequence[Exchange]) -> tuple[ChatMessage, ...]:
    return tuple(
        message
        for exchange in exchanges
        for message in (ChatMessage("user", exchange.words), ChatMessage("assistant", exchange.answer))
    )


def _size(messages: Sequence[ChatMessage], count: Callable[[str], int]) -> int:
    return sum(count(message.content) for message in messages)
