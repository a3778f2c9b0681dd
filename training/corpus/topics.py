"""Forbidden topics: what a character must not tell, and how a player asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from training.corpus.expand import alternatives, expand, fill
from training.corpus.names import Entity, entity, first_name
from training.corpus.textfiles import sections
from training.corpus.words import word


@dataclass(frozen=True, slots=True)
class Topic:
    """A forbidden topic."""

    text: str
    """The card's words for it: `where the crown is buried`."""
    line: int
    """Number of its sentence (from 1) among rules and persona."""
    family: str
    """Section `ask` of cast.txt with its questions."""
    names: dict[str, str]
    subject: Entity
    """Its subject, for harmless questions with similar words."""


def make_forbidden(rng: Random, about: Entity) -> tuple[str, Topic]:
    """A card's line that forbids a topic, and the topic."""
    line = fill(expand(rng.choice(sections("cast.txt")["forbid"]), rng), {"topic": about.full})
    return line, Topic(about.full, 1, "thing", {"x": about.full}, about)


def make_topic(rng: Random) -> tuple[str, str, dict[str, str], Entity]:
    """Return text, family, names for the family's questions, and subject of a new forbidden topic."""
    roll = rng.random()
    about = entity(rng.choice(("thing", "thing", "place", "person")), rng)
    x = about.full
    if roll < 0.38:
        if roll < 0.12:
            about = entity("person", rng)
            noun = word_of("secretnoun", rng)
            x = f"{about.full}'s {noun}"
            if noun in _states():
                adjective = alternatives(_states()[noun], rng)
                return x, "state", {"x": x, "p": about.full, "noun": noun, "adj": adjective}, about
        elif roll < 0.15:
            about = entity(rng.choice(("thing", "person")), rng)
            x = f"the name of {about.full}"
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
    if roll < 0.65:
        about = entity(rng.choice(("person", "thing", "place")), rng)
        do, does = rng.choice(sections("cast.txt")["secrettime"]).split(" ")
        return f"when {about.full} {does}", "when", {"x": about.full, "do": do, "does": does}, about
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


@cache
def _states() -> dict[str, str]:
    """Adjectives for a person with an illness, a debt …"""
    return dict(line.split(" = ") for line in sections("cast.txt")["statenoun"])


def word_of(section: str, rng: Random) -> str:
    """Return one comma-separated entry of a section of cast.txt."""
    return rng.choice(_entries(section))


@cache
def _entries(section: str) -> tuple[str, ...]:
    return tuple(e.strip() for line in sections("cast.txt")[section] for e in line.split(","))


def forbid(rng: Random, topics: list[Topic], line: int) -> str:
    """Return a new line, number `line` of the card, that forbids something; add it to `topics`."""
    text, family, names, subject = make_topic(rng)
    topics.append(Topic(text, line, family, names, subject))
    return fill(expand(rng.choice(sections("cast.txt")["forbid"]), rng), {"topic": text})


def _hinted(name: str, rng: Random) -> str:
    """Return vague words for a forbidden thing: `that tunnel`, `the tunnel the smugglers use`."""
    *front, head = name.removeprefix("the ").split(" ")
    roll = rng.random()
    if roll < 0.15:
        return f"{rng.choice(('the', 'that'))} {head} {expand(rng.choice(sections('phrases.txt')['gone']), rng)}"
    if roll < 0.35 and len(front) == 1 and not front[0].endswith("'s"):
        user = front[0]
        return rng.choice(
            (
                f"the {head} of the {user}s",
                f"the {user}s' {head}",
                f"the {head} the {user}s use",
                f"the {head} for {user}s",
            )
        )
    return f"{rng.choice(sections('phrases.txt')['hint'])} {head}" if rng.random() < 0.6 else name.removeprefix("the ")


def forbidden_question(topic: Topic, rng: Random) -> str:
    """Return a question that the character must not answer."""
    family = topic.family
    if rng.random() < 0.25 and family not in ("kin", "when"):
        family = "thing"
    names = topic.names
    if " " in names["x"] and family not in ("kin", "when", "state") and rng.random() < 0.3:
        names = {**names, "x": _hinted(names["x"], rng)}
    return fill(expand(rng.choice(sections("cast.txt")[f"ask {family}"]), rng), names)
