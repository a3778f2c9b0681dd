"""The conversations: every question is asked of every side before the next one.

In a talk a character comes into view, is asked a first question (the first contact), and some more. Sides take turns
question by question, each time starting with another one, so that changes of the machine affect all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bench.child_process import Child
from bench.turn import lower_bound, mythic_side
from bench.turn.audio_marks import Speech
from bench.turn.lower_bound import Floor
from bench.turn.side import Answer, Side

T = TypeVar("T")

SETTLE_S = 0.8
"""Seconds of pause after each turn, so that a side's remaining work does not affect the others."""


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a question: a turn of a talk."""

    talk: int
    turn: int

    @property
    def is_contact(self) -> bool:
        """Whether it is the first contact with the character."""
        return self.turn == 0


@dataclass(slots=True)
class Played:
    """All measurements, in the order of the places."""

    places: list[Place]
    answers: dict[str, list[Answer]]
    """By side."""
    floors: list[Floor]

    def waits(self, side: str, *, contact: bool | None = None) -> list[float]:
        """Return a side's waits in milliseconds: of first contacts, of later turns, or (None) of all."""
        return [answer.wait for place, answer in self._at(self.answers[side], contact)]

    def floor(self, hangover: float, *, contact: bool | None = None, told: bool = False) -> list[float]:
        """Return the floors in milliseconds, in the same order; with `told`, those with lore told (lower_bound.py)."""
        return [floor.total(hangover, told=told) for _, floor in self._at(self.floors, contact)]

    def tokens(self, side: str) -> list[int]:
        """Return the lengths of a side's prompts."""
        return [answer.prompt for answer in self.answers[side]]

    def _at(self, values: Sequence[T], contact: bool | None) -> list[tuple[Place, T]]:
        pairs = zip(self.places, values, strict=True)
        return [(place, value) for place, value in pairs if contact is None or place.is_contact is contact]


async def meet(side: Side, *, npc: str) -> None:
    """Let a character come into view."""
    await side.meet(npc)


async def turn(side: Side, *, said: Speech) -> Answer:
    """Ask a question."""
    return await side.turn(said)


def rotated(names: Sequence[str], step: int) -> list[str]:
    """Return the names in an order that starts with another one at each step."""
    at = step % len(names)
    return [*names[at:], *names[:at]]


def play(
    sides: Mapping[str, Child],
    daemon: Child,
    alone: Child,
    questions: Sequence[Speech],
    npcs: Sequence[str],
    turns: int,
    *,
    notice_s: float,
    say: Callable[[str], None],
) -> Played:
    """Play a talk of `turns` turns with each of these characters; each comes into view `notice_s` before."""
    played = Played([], {name: [] for name in sides}, [])
    for talk, npc in enumerate(npcs):
        say(f"talk {talk + 1} of {len(npcs)}")
        for number in range(turns):
            place = Place(talk, number)
            step = talk * turns + number
            said = questions[step % len(questions)]
            for name in rotated(list(sides), step):
                if place.is_contact:
                    sides[name].run(meet, npc=npc)
                    time.sleep(notice_s)
                played.answers[name].append(_ask(sides[name], daemon, said))
                time.sleep(SETTLE_S)
            played.floors.append(alone.run(lower_bound.floor, npc=npc, said=said))
            played.places.append(place)
    return played


def _ask(side: Child, daemon: Child, said: Speech) -> Answer:
    """Ask one side. For a side whose engine is the daemon's, the daemon counts the tokens."""
    new, reused = daemon.run(mythic_side.prompt_tokens)
    answer: Answer = side.run(turn, said=said)
    now_new, now_reused = daemon.run(mythic_side.prompt_tokens)
    if answer.prompt:
        return answer
    return replace(answer, prompt=now_new - new + now_reused - reused, evaluated=now_new - new)
