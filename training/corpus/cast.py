"""System messages: a world, its rules and tools, and one character with things that must not be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from random import Random

from training.corpus.expand import alternatives, expand, fill, slots
from training.corpus.names import Entity, entity, first_name, invented
from training.corpus.textfiles import sections
from training.corpus.words import word


@dataclass(frozen=True, slots=True)
class Topic:
    """Something a character must not tell."""

    text: str
    """As the card forbids it: `where the crown is buried`."""
    line: int
    """Its sentence's number (from 1) among rules and persona."""
    family: str
    """Which `ask` section of cast.txt asks for it."""
    names: dict[str, str]
    subject: Entity
    """What it is about, for harmless questions that sound alike."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as the system message shows it."""

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
    """Something the persona card tells of the character, and its retelling."""

    retold: str
    """In the first person, without the "i"."""
    asks: str
    line: int


@dataclass(slots=True)
class Cast:
    """Who speaks, in which world."""

    system: str
    name: str
    archetype: str
    tone: dict[str, str]
    """Section of tones.txt: phrases by occasion."""
    tools: list[Tool] = field(default_factory=list)
    topics: list[Topic] = field(default_factory=list)
    self_facts: list[SelfFact] = field(default_factory=list)
    rules_of_fiction: int | None = None
    """Number of the rule against talk of the real world, if there is one."""

    def phrase(self, occasion: str, rng: Random) -> str:
        """Something this character says on an occasion."""
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
    """A tool of this concept; its usual name and wording half of the time."""
    data = tool_data()[concept]

    def one(key: str) -> str:
        options = data[key][0].split("|")
        return options[0] if rng.random() < 0.65 else rng.choice(options)

    name, argument = one("name").split(" ")
    return Tool(concept, name, argument, one("what"), one("does"))


def make_forbidden(rng: Random, about: Entity) -> tuple[str, Topic]:
    """A card's line that forbids a given topic, and the topic."""
    line = fill(expand(rng.choice(sections("cast.txt")["forbid"]), rng), {"topic": about.full})
    return line, Topic(about.full, 1, "thing", {"x": about.full}, about)


def _topic(rng: Random) -> tuple[str, str, dict[str, str], Entity]:
    """Text, family, names for the family's questions, and subject of a fresh forbidden topic."""
    roll = rng.random()
    about = entity(rng.choice(("thing", "thing", "place", "person")), rng)
    x = about.full
    if roll < 0.38:
        if roll < 0.12:
            about = entity("person", rng)
            x = f"{about.full}'s {word_of('secretnoun', rng)}"
        elif roll < 0.18:
            about = Entity(word("group", rng))
            x = f"{about.full}' {word('group secret', rng)}"
        return x, "thing", {"x": x}, about
    if roll < 0.6:
        about = entity("thing", rng) if rng.random() < 0.7 else entity("person", rng)
        state = rng.choice(("is", "is hidden", "is buried", "is kept", "was hidden", "sleeps", "can be found", "lies"))
        lead = rng.choice(("where", "where", "the place where", "the spot where"))
        if rng.random() < 0.25:
            return f"the place of {about.full}", "where", {"x": about.full}, about
        return f"{lead} {about.full} {state}", "where", {"x": about.full}, about
    if roll < 0.82:
        did, do, done = word_of("secretact", rng).split(" ")
        return f"who {did} {x}", "who", {"x": x, "did": did, "do": do, "done": done}, about
    kin = word("kin", rng)
    about = Entity(first_name(rng))
    return (
        f"{rng.choice(('his', 'her', 'your', 'the'))} {kin} {about.full}",
        "kin",
        {"x": about.full, "kin": kin},
        about,
    )


def word_of(section: str, rng: Random) -> str:
    """One comma-separated entry of a section of cast.txt."""
    return rng.choice(_entries(section))


@cache
def _entries(section: str) -> tuple[str, ...]:
    return tuple(e.strip() for line in sections("cast.txt")[section] for e in line.split(","))


def _self_fact(rng: Random) -> tuple[str, str, str]:
    """A card's line about its own character, the retelling, and who asks for it."""
    line, told, asks = rng.choice(sections("cast.txt")["self"]).split(" => ")
    names = {slot: entity(slot, rng).full for slot in sorted(slots(line))}
    start, bar, end = line.find("("), line.find("|"), line.find(")")
    names["same"] = rng.choice(line[start + 1 : end].split("|")) if bar > 0 else ""
    if bar > 0:
        line = line[:start] + names["same"] + line[end + 1 :]
    names["other"] = word("trade", rng)
    return fill(line, names), fill(told, names), fill(asks, names)


def make_cast(rng: Random) -> Cast:
    """A fresh world and character."""
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
            lines.append(f"- {_forbid(rng, topics, numbered)}")
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
    persona: list[str] = (
        ["manner"] * rng.randint(0, 2) + ["self"] * rng.randint(0, 2) + ["forbid"] * rng.choice((0, 1, 1, 1, 2, 3))
    )
    rng.shuffle(persona)
    if persona:
        lines.append("## Persona")
    for entry in persona:
        numbered += 1
        if entry == "manner":
            text = alternatives(texts["manner"][0], rng)
        elif entry == "forbid":
            text = _forbid(rng, topics, numbered)
        else:
            text, told, asks = _self_fact(rng)
            selves.append(SelfFact(told, asks, numbered))
        lines.append(f"- {text}{rng.choice(('', '', '.'))}")
    return Cast("\n".join(lines), name, archetype, tone, tools, topics, selves, fiction)


def _forbid(rng: Random, topics: list[Topic], line: int) -> str:
    text, family, names, subject = _topic(rng)
    topics.append(Topic(text, line, family, names, subject))
    return fill(expand(rng.choice(sections("cast.txt")["forbid"]), rng), {"topic": text})


def _hinted(name: str, rng: Random) -> str:
    """A forbidden thing as one speaks of it who knows it but half: `that tunnel`, `a secret tunnel`."""
    head = name.split(" ")[-1]
    return f"{rng.choice(sections('phrases.txt')['hint'])} {head}" if rng.random() < 0.6 else name.removeprefix("the ")


def forbidden_question(topic: Topic, rng: Random) -> str:
    """A question that the character must not answer."""
    family = topic.family
    if rng.random() < 0.25 and family != "kin":
        family = "thing"
    names = topic.names
    if " " in names["x"] and family != "kin" and rng.random() < 0.3:
        names = {**names, "x": _hinted(names["x"], rng)}
    return fill(expand(rng.choice(sections("cast.txt")[f"ask {family}"]), rng), names)
