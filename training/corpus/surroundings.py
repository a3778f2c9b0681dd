"""Surroundings besides lore: the scene, and the character's memories of the player."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from training.corpus.expand import alternatives, expand, fill, slots
from training.corpus.facts import Fact
from training.corpus.names import entity, first_name, qualified
from training.corpus.textfiles import sections
from training.corpus.words import phrase, word


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory of the player."""

    line: str
    """The line in the memory section."""
    retold: str
    """The retelling to the player: `you bought a lamp`."""
    verb: str
    told: Fact | None = None
    """The character's answer that no lore tells now."""
    quoted: bool = False
    """Whether the line quotes an utterance, as the daemon's do."""

    @property
    def last(self) -> int:
        """The line's sentence (from 0) that has the answer, preceded by an opening word."""
        return self.line.count(". ")


@dataclass(frozen=True, slots=True)
class Scene:
    """Place and time of the talk."""

    zone: str
    time: str
    nearby: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return the scene section's content."""
        known = {"zone": self.zone, "time": self.time, "nearby": list(self.nearby)}
        return {key: value for key, value in known.items() if value}


def _bystander(rng: Random) -> str:
    cls = rng.choice(("trade", "thingnoun", "animal", "person", "bystander", "bystander"))
    return entity(cls, rng).full


def make_scene(rng: Random) -> Scene:
    """Return the scene: the zone, and in some cases time of day, people and things nearby."""
    zone = word("placenoun", rng) if rng.random() < 0.7 else qualified(word("placenoun", rng), rng)
    if rng.random() < 0.15:
        zone = zone.replace(" ", "_")
    if rng.random() < 0.5:
        return Scene(zone, "", ())
    nearby = tuple(_bystander(rng) for _ in range(rng.choice((0, 1, 2, 2, 3, 3, 4, 5))))
    return Scene(zone, f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}", nearby)


def make_memory(name: str, rng: Random) -> Memory:
    """Return an action of the player, with or without the character of this name."""
    pattern = phrase("deed", rng)
    slots = {
        "x": entity(rng.choice(("thing", "place", "person")), rng).full,
        "g": entity("goods", rng).full,
        "p": entity("person", rng).full,
        "l": entity("place", rng).full,
        "t": word("task", rng),
        "f": word("food", rng),
        "n": first_name(rng),
        "name": name,
    }
    deed = fill(alternatives(pattern, rng), slots)
    when = word("remembered when", rng) if rng.random() < 0.7 else ""
    who = rng.choice(("the player", "the player", "the player", "player", "you"))
    line = f"{who} {deed} {when}".strip()
    verb = deed.split(" ")[0]
    told = f"you {deed} {when}".strip()
    for wrong, right in (
        ("you was", "you were"),
        ("you is", "you are"),
        ("you likes", "you like"),
        ("you comes", "you come"),
    ):
        told = told.replace(wrong, right, 1) if told.startswith(wrong) else told
    return Memory(line, told, verb)


def _exchange(words: str, answer: str) -> str:
    return f'the player said "{words}"; you said "{answer}"'


def said_something(answer: str, rng: Random) -> Memory:
    """Return something that the player told the character."""
    pattern, verb = rng.choice(sections("phrases.txt")["told her"]).split(" => ")
    pattern = expand(pattern, rng)
    words = fill(
        pattern,
        {slot: first_name(rng) if slot == "name" else entity(slot, rng).full for slot in sorted(slots(pattern))},
    )
    return Memory(_exchange(words, f"{answer}."), f"you said: {words}", verb, quoted=True)


def asked_something(question: str, answer: str, opening: str, told: Fact | None) -> Memory:
    """Return a question of the player; `told` is the fact of the answer."""
    return Memory(
        _exchange(f"{question}?", f"{opening}{answer}."), f"you asked: {question}", "asked", told, quoted=True
    )
