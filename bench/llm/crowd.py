"""The crowd: characters are spoken to in turn on all sides, first contact and then steady turns.

Every turn is played by all sides before the next one, each time starting with another side: a turn of one side and the
same turn of another are seconds apart, and form a pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.child_process import Child
from bench.llm import scenarios as scenes
from bench.llm.llama_server_side import Peer
from bench.llm.mythic_side import Ours, options
from bench.llm.prompts import ENDS, Lengths, Script

CELLS = 1280
"""KV cells for each character, on every side: its prompt grows to about 1,150."""
PARTIALS = (0.5, ENDS)
"""Share of the question that is recognised when it is prefilled; the last tenth comes at the end."""
LENGTHS = Lengths(exchanges=0)
BRIEF, BRIEF_TOKENS = Lengths(exchanges=0, block=8, question=7, reply=8), 24
"""A short turn, and its new tokens with the markers around them; the target for the default server is for one."""

PLAIN, AHEAD, DEFAULT, ROOMY, PINNED, WARMED = "plain", "ahead", "default", "roomy", "pinned", "warmed"
"""Ours without and with prefill during speech; the server with defaults, with a slot for each character but its own
choice of slots, with pinned slots, and pinned with warm-up requests.
"""


@dataclass(frozen=True, slots=True)
class Turns:
    """The times by side; the lists are parallel."""

    first: dict[str, list[float]]
    """Time to first token of each character's first turn, in milliseconds."""
    steady: dict[str, list[float]]
    """The same of every later turn."""
    evaluated: dict[str, list[int]]
    """Tokens evaluated in each later turn while the player waited."""


def side(name: str, model: Path, characters: int, core: int | None) -> Child:
    """Start one side for a crowd of this size."""
    cells = CELLS * characters
    slots = {DEFAULT: None, ROOMY: characters}.get(name, characters)
    if name in (PLAIN, AHEAD):
        ours = options(cells, characters + 1)
        return Child(name, Ours, core, model=model, options=ours, ahead=name == AHEAD)
    style = {ROOMY: DEFAULT}.get(name, name)
    more: dict[str, Any] = {"model": model, "style": style, "slots": slots, "n_ctx": cells}
    return Child(name, Peer, core, **more)


def play(
    model: Path,
    script: Script,
    sides: tuple[str, ...],
    characters: int,
    rounds: int,
    *,
    tokens: int = 4,
    again: int = 0,
    core: int | None = None,
) -> Turns:
    """Attend a crowd, speak to each for the first time, and then `rounds` times each.

    `tokens` is the length of each reply; the history has the script's replies. For sides that prefill, each later
    question can be asked `again` times more, each with another end: what was prefilled is evaluated already, so such a
    turn only evaluates the end and writes the reply. They count as turns, and take a tenth of the time.
    """
    with ExitStack() as stack:
        crowd = {name: stack.enter_context(side(name, model, characters, core)) for name in sides}
        for child in crowd.values():
            child.wait()
        turns = Turns({name: [] for name in sides}, {name: [] for name in sides}, {name: [] for name in sides})
        for number in range(characters):
            front = script.front(f"npc {number}", 0)
            for child in crowd.values():
                child.run(scenes.come_near, npc=f"npc {number}", front=front)
            [played] = _turn(crowd, script, f"npc {number}", 0, number, tokens)
            for name, turn in played.items():
                turns.first[name].append(turn.ttft)
        for later in range(1, rounds + 1):
            for number in range(characters):
                for played in _turn(crowd, script, f"npc {number}", later, number + later, tokens, again):
                    for name, turn in played.items():
                        turns.steady[name].append(turn.ttft)
                        turns.evaluated[name].append(turn.spent.evaluated)
    return turns


def _turn(
    crowd: Mapping[str, Child], script: Script, npc: str, number: int, begin: int, tokens: int, again: int = 0
) -> list[dict[str, scenes.Turn]]:
    """Play this turn on every side, and again with other ends; return the times."""
    names = list(crowd)
    partials = [script.prompt(npc, number, spoken) for spoken in PARTIALS]
    found = []
    for saying in range(1 + again):
        prompt, first = script.prompt(npc, number, ending=saying), (begin + saying) % len(names)
        found.append(
            {
                name: crowd[name].run(scenes.ask, npc=npc, partials=partials, prompt=prompt, tokens=tokens)
                for name in names[first:] + names[:first]
            }
        )
        del partials[:-1]
    for child in crowd.values():
        child.run(scenes.come_near, npc=npc, front=script.front(npc, number + 1))
    sizes = {turn.spent.prompt for played in found for turn in played.values()}
    if len(sizes) != 1:
        raise RuntimeError(f"The sides got prompts of different lengths: {sizes}.")
    return found
