"""System messages: a world, its rules and tools, and one character with forbidden topics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from random import Random

from training.corpus.expand import alternatives, expand, fill, slots
from training.corpus.names import Entity, entity, invented
from training.corpus.textfiles import sections
from training.corpus.topics import Topic, forbid
from training.corpus.words import word


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool in the system message."""

    concept: str
    """Section of tools.txt."""
    name: str
    argument: str
    what: str
    does: str

    def line(self) -> str:
        """Its line under `## Tools`."""
        return f'- {self.name} {{"{self.argument}": "{self.what}"}}: {self.does}'


@dataclass(frozen=True, slots=True)
class SelfFact:
    """A statement of the persona card about the character, and its retelling."""

    retold: str
    """In the first person, without the "i"."""
    asks: str
    line: int


@dataclass(slots=True)
class Cast:
    """The character and its world."""

    system: str
    name: str
    archetype: str
    tone: dict[str, str]
    """Section of tones.txt: phrases by occasion."""
    tools: list[Tool] = field(default_factory=list)
    topics: list[Topic] = field(default_factory=list)
    self_facts: list[SelfFact] = field(default_factory=list)
    rules_of_fiction: int | None = None
    """Number of the rule against topics of the real world, if there is one."""
    known: list[tuple[str, Entity]] = field(default_factory=list)
    """(class, thing) mentioned on the card: lore may mention it too, or the player ask about it without an answer."""

    def phrase(self, occasion: str, rng: Random) -> str:
        """Return a phrase of this character for an occasion."""
        return alternatives(self.tone[occasion], rng)


@cache
def tones() -> dict[str, dict[str, str]]:
    """Tone -> occasion -> alternatives."""
    return {
        name: {head: rest.strip() for head, _, rest in (line.partition(":") for line in lines)}
        for name, lines in sections("tones.txt").items()
    }


@cache
def tool_data() -> dict[str, dict[str, list[str]]]:
    """Concept -> key (`name`, `ask`, fixed value …) -> its entries."""
    table: dict[str, dict[str, list[str]]] = {}
    for concept, lines in sections("tools.txt").items():
        entries = table.setdefault(concept, {})
        for line in lines:
            colon, equals = line.find(": "), line.find("= ")
            cut = equals if 0 < equals and (colon < 0 or equals < colon) else colon
            entries.setdefault(("=" if cut == equals else "") + line[:cut], []).append(line[cut + 2 :])
    return table


CONCEPTS = ("way", "give", "dialog", "emote", "focus", "mark")


def make_tool(concept: str, rng: Random) -> Tool:
    """Return a tool of this concept; its usual name and wording half of the time."""
    data = tool_data()[concept]

    def one(key: str) -> str:
        options = data[key][0].split("|")
        return options[0] if rng.random() < 0.65 else rng.choice(options)

    name, argument = one("name").split(" ")
    return Tool(concept, name, argument, one("what"), one("does"))


_KNOWABLE = ("place", "person", "thing")


def _filled(pattern: str, known: list[tuple[str, Entity]], rng: Random) -> tuple[str, dict[str, str]]:
    """Return the pattern with new things in its slots, and their names; add them to `known`."""
    made = {slot: entity(slot, rng) for slot in sorted(slots(pattern))}
    known += [(slot, thing) for slot, thing in made.items() if slot in _KNOWABLE]
    names = {slot: thing.full for slot, thing in made.items()}
    return fill(pattern, names), names


def _self_fact(known: list[tuple[str, Entity]], rng: Random) -> tuple[str, str, str]:
    """Return a card's line about its own character, the retelling, and the questions for it."""
    line, told, asks = rng.choice(sections("cast.txt")["self"]).split(" => ")
    names = _filled(line, known, rng)[1]
    start, bar, end = line.find("("), line.find("|"), line.find(")")
    names["same"] = rng.choice(line[start + 1 : end].split("|")) if bar > 0 else ""
    if bar > 0:
        line = line[:start] + names["same"] + line[end + 1 :]
    names["other"] = word("trade", rng)
    return fill(line, names), fill(told, names), fill(asks, names)


def make_cast(rng: Random) -> Cast:
    """Return a new world and character."""
    texts = sections("cast.txt")
    title = rng.choice(
        (
            invented(rng),
            f"{invented(rng)} {rng.choice(('harbor', 'reach', 'falls', 'station', 'vale'))}",
            f"the {word('adjective', rng)} {word('placenoun', rng)}",
        )
    )
    lines = [fill(texts["instruction"][0], {"world": title})]
    numbered = 0
    fiction: int | None = None
    topics: list[Topic] = []
    selves: list[SelfFact] = []
    if rng.random() < 0.75:
        lines.append("## Rules")
        for _ in range(rng.randint(1, 3)):
            rule = alternatives(texts["rule"][0], rng)
            numbered += 1
            if "real world" in rule or "computers" in rule or "break character" in rule:
                fiction = fiction or numbered
            lines.append(f"- {rule}")
        if rng.random() < 0.2:
            numbered += 1
            lines.append(f"- {forbid(rng, topics, numbered)}")
    tools: list[Tool] = []
    if rng.random() < 0.7:
        concepts = list(CONCEPTS)
        if rng.random() < 0.35:
            concepts = rng.sample(CONCEPTS, rng.randint(2, 5))
        tools = [make_tool(concept, rng) for concept in concepts]
        if rng.random() < 0.25:
            tools += [make_tool("extra", rng)]
        if rng.random() < 0.4:
            rng.shuffle(tools)
        lines.append("## Tools")
        lines += [tool.line() for tool in tools]
        lines.append(texts["calling"][0])
    tone = tones()[rng.choice(list(tones()))]
    styles = rng.sample(tone["style"].split(", "), rng.randint(1, 3))
    if rng.random() < 0.5:
        styles.append(word("extra style", rng))
    name = entity("person", rng).full
    archetype = word("trade", rng)
    if rng.random() < 0.4:
        archetype = f"{word('standing', rng)} {archetype}"
    lines += ["", f"you are {name}, {archetype}. style: {', '.join(styles)}."]
    known: list[tuple[str, Entity]] = []
    persona = _persona(rng)
    if persona:
        lines.append("## Persona")
    for entry in persona:
        numbered += 1
        if entry == "manner":
            text = alternatives(texts["manner"][0], rng)
        elif entry in ("duty", "past", "says"):
            text = _filled(expand(rng.choice(texts[entry]), rng), known, rng)[0]
        elif entry == "forbid":
            text = forbid(rng, topics, numbered)
        else:
            text, told, asks = _self_fact(known, rng)
            if not any(asks == other.asks for other in selves):  # "where are you from" has one answer
                selves.append(SelfFact(told, asks, numbered))
            else:
                text = alternatives(texts["manner"][0], rng)
        lines.append(f"- {text}{rng.choice(('', '', '.'))}")
    return Cast("\n".join(lines), name, archetype, tone, tools, topics, selves, fiction, known)


_LONG = 0.5
"""Share of cards with more than a handful of lines."""


def _persona(rng: Random) -> list[str]:
    """Return the sorts of lines of a card, in order."""
    forbidden = ["forbid"] * rng.choice((0, 1, 1, 1, 2, 3))
    if rng.random() > _LONG:
        entries = [*forbidden, *["manner"] * rng.randint(0, 2), *["self"] * rng.randint(0, 2)]
        rng.shuffle(entries)
        return entries
    duties = ["duty"] * rng.randint(0, 3)
    story = ["self"] * rng.randint(1, 4) + ["past"] * rng.randint(0, 4) + ["manner"] * rng.randint(0, 2)
    entries = [*forbidden, *duties]
    rng.shuffle(entries)
    rng.shuffle(story)
    entries += [*story, *["says"] * rng.randint(0, 1)]
    if rng.random() < 0.3:
        rng.shuffle(entries)
    return entries[:14]


def touchy(cast: Cast, names: Iterable[str]) -> bool:
    """Return whether a forbidden topic is about one of these: then answering and refusing are both arguable."""
    return any(topic.names["x"] in name or name in topic.text for topic in cast.topics for name in names)
