"""Kinds of facts (kinds.txt): lore lines about new things, and the questions about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from random import Random

from training.corpus.expand import expand, fill, slots
from training.corpus.names import Entity, entity
from training.corpus.synonyms import varied
from training.corpus.textfiles import sections


@dataclass(frozen=True, slots=True)
class Wording:
    """One question."""

    pattern: str
    tag: str
    """The fact asked for: questions with the same tag have the same answer."""
    slots: frozenset[str]
    indirect: bool = False
    """Whether it follows "do you know" and the like."""
    own: bool = False
    """Whether it is about the character's own house ("when do you open")."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fact."""

    name: str
    slots: dict[str, str]
    """Slot -> class of thing."""
    lore: tuple[str, ...]
    wordings: tuple[Wording, ...]
    tells: frozenset[str]
    """Return all tags that a line of this kind answers."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A kind with its slots filled, and one sentence that tells it."""

    kind: Kind
    values: dict[str, Entity]
    sentence: str


@cache
def kinds() -> dict[str, Kind]:
    """Return all kinds of kinds.txt by name."""
    return {name: _parse(name, lines) for name, lines in sections("kinds.txt").items()}


def _parse(name: str, lines: list[str]) -> Kind:
    types: dict[str, str] = {}
    lore: list[str] = []
    wordings: list[Wording] = []
    mode, tag = "", ""
    for line in lines:
        head, _, rest = line.partition(" ")
        if line.startswith("slots: "):
            types = dict(part.split("=") for part in rest.split())
        elif line == "lore:":
            mode = "lore"
        elif line.endswith(":") and head in ("ask", "embed", "you"):
            mode, tag = head, rest[:-1]
        elif mode == "lore":
            lore.append(line)
        else:
            wordings.append(Wording(line, tag, slots(line), mode == "embed", mode == "you"))
    return Kind(name, types, tuple(lore), tuple(wordings), frozenset(w.tag for w in wordings))


def _sentence(kind: Kind, values: dict[str, Entity], rng: Random) -> str:
    pattern = kind.lore[int(rng.random() * len(kind.lore))]
    sentence = fill(expand(pattern, rng), {slot: value.full for slot, value in values.items()})
    if ":" in sentence and rng.random() < 0.6:  # a note rather than a sentence: "tavern hours: noon to ten"
        return sentence.removeprefix("the ")
    return sentence


def make_fact(kind: Kind, rng: Random, fixed: dict[str, Entity] | None = None) -> Fact:
    """Return a new fact; `fixed` slots keep their value."""
    values = {slot: (fixed or {}).get(slot) or entity(cls, rng) for slot, cls in kind.slots.items()}
    return Fact(kind, values, _sentence(kind, values, rng))


def pick_wording(kind: Kind, rng: Random, *, own: bool = False, tag: str | None = None) -> Wording:
    """Return a question for a fact of this kind, expanded; indirect a quarter of the time, if possible."""
    fitting = [w for w in kind.wordings if w.own == own and (tag is None or w.tag == tag)]
    indirect = [w for w in fitting if w.indirect]
    direct = [w for w in fitting if not w.indirect]
    pool = indirect if indirect and (not direct or rng.random() < 0.25) else direct
    chosen = pool[int(rng.random() * len(pool))]
    text = varied(expand(chosen.pattern, rng), rng)
    return replace(chosen, pattern=text, slots=slots(text))


def shortened(value: Entity, rng: Random) -> str:
    """Return a player's name for it: mostly in full, in some cases shorter."""
    roll = rng.random()
    if value.shorts and roll < 0.3:
        return value.shorts[int(rng.random() * len(value.shorts))]
    if roll > 0.93:
        return value.full.removeprefix("the ")
    return value.full


def question(wording: Wording, values: dict[str, Entity], rng: Random, pronoun: str | None = None) -> str:
    """Return the question's words; `pronoun` stands for slot `e`."""
    names = {slot: shortened(values[slot], rng) for slot in sorted(wording.slots)}  # in the same order each time
    if pronoun and "e" in names:
        names["e"] = pronoun
    text = fill(expand(wording.pattern, rng), names)
    return f"{rng.choice(sections('phrases.txt')['indirect'])} {text}" if wording.indirect else text


def tells_the_same(fact: Fact, asked: Fact, wording: Wording) -> bool:
    """Return whether `fact` could pass for an answer to `wording` about `asked`'s things."""
    if not wording.slots:
        return wording.tag in fact.kind.tells
    meant = {asked.values[slot].full for slot in wording.slots}
    meant |= {short for slot in wording.slots for short in asked.values[slot].shorts}
    named = {value.full for value in fact.values.values()} | {s for value in fact.values.values() for s in value.shorts}
    return wording.tag in fact.kind.tells and bool(meant & named)


def kinds_about(cls: str) -> list[tuple[Kind, str]]:
    """Return kinds that have a slot of this class, with the slot."""
    return _about()[cls]


@cache
def _about() -> dict[str, list[tuple[Kind, str]]]:
    table: dict[str, list[tuple[Kind, str]]] = {}
    for kind in kinds().values():
        for slot, cls in kind.slots.items():
            table.setdefault(cls.removesuffix("2") if cls == "person2" else cls, []).append((kind, slot))
    return table
