"""Things: people, places, objects, with names that are invented or composed of ordinary words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random

import yaml

from training.corpus import amounts
from training.corpus.words import word

_NAME_IN_TEXT = re.compile(r"\b[A-Z][a-z]+(?:'s)?(?: (?:of |the )?[A-Z][a-z]+)+")


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing that lore can be about."""

    full: str
    """The name in lore, with its article: `the gilded heron`, `captain isolde`."""
    shorts: tuple[str, ...] = ()
    """Other names that a player may use: `heron`, `isolde`."""

    def spellings(self) -> tuple[str, ...]:
        """Return all names."""
        return (self.full, *self.shorts)


@cache
def held_out_names() -> frozenset[str]:
    """Names of the dev and sealed worlds, lower case without article: never generated."""
    found: set[str] = set()
    for path in files("training").joinpath("worlds").iterdir():
        if not path.name.endswith(".yaml"):
            continue
        text = path.read_text("utf-8")
        for names in yaml.safe_load(text)["names"].values():
            found.update(name.lower().removeprefix("the ") for name in names)
        found.update(name.lower() for name in _NAME_IN_TEXT.findall(text))
    return frozenset(found)


def _syllable(rng: Random) -> str:
    return word("onset", rng) + word("vowel", rng) + (word("coda", rng) if rng.random() < 0.55 else "")


def invented(rng: Random) -> str:
    """Return an invented word of one to three syllables."""
    count = 1 if rng.random() < 0.15 else 2 if rng.random() < 0.75 else 3
    made = "".join(_syllable(rng) for _ in range(count))
    return made if len(made) > 2 else f"{made}n"


def first_name(rng: Random) -> str:
    """Return a given name, mostly invented."""
    return word("given name", rng) if rng.random() < 0.4 else invented(rng)


def _last_name(rng: Random) -> str:
    if rng.random() < 0.3:
        return word("adjective", rng).replace("-", "") + word("thingnoun", rng).split(" ")[0]
    return word("animal", rng) if rng.random() < 0.2 else invented(rng)


def _person(rng: Random) -> Entity:
    roll = rng.random()
    if roll < 0.28:
        return Entity(first_name(rng))
    first = first_name(rng)
    if roll < 0.5:
        last = _last_name(rng)
        return Entity(f"{first} {last}", (first, last))
    if roll < 0.7:
        title = word("title", rng)
        return Entity(f"{title} {first}", (first,) if rng.random() < 0.7 else (f"the {title}", first))
    if roll < 0.82:
        return Entity(f"{first} the {word('trade' if rng.random() < 0.5 else 'epithet', rng)}", (first,))
    trade = word("trade", rng)
    if roll < 0.94:
        return Entity(f"the {trade}")
    return Entity(f"the {word('adjective', rng)} {trade}", (f"the {trade}",))


def _place(rng: Random) -> Entity:
    roll = rng.random()
    noun = word("placenoun", rng)
    if roll < 0.2:
        return Entity(f"the {noun}")
    if roll < 0.38:
        return Entity(f"the {word('adjective', rng)} {noun}", (f"the {noun}",))
    if roll < 0.56:
        adjective = word("adjective", rng)
        sign = word("animal" if rng.random() < 0.6 else "thingnoun", rng)
        if rng.random() < 0.35:
            house = word("house", rng)
            return Entity(f"the {adjective} {sign} {house}", (f"the {adjective} {sign}", f"the {house}", f"the {sign}"))
        return Entity(f"the {adjective} {sign}", (f"{adjective} {sign}", f"the {sign}"))
    name = invented(rng)
    if roll < 0.66:
        return Entity(name + (word("suffix", rng) if rng.random() < 0.5 else ""))
    if roll < 0.74:
        return Entity(f"{name} {noun}", (f"the {noun}", name))
    if roll < 0.82:
        return Entity(f"{first_name(rng)}'s {noun}", (f"the {noun}",))
    if roll < 0.9:
        base = name if rng.random() < 0.4 else word("trade" if rng.random() < 0.5 else "thingnoun", rng)
        return Entity(f"{base} {word('street', rng)}")
    if roll < 0.95:
        return Entity(f"saint {name}'s {word('saintly', rng)}")
    return Entity(f"the {noun} of {rng.choice(('', 'the '))}{name}", (f"the {noun}",))


def _thing(rng: Random) -> Entity:
    roll = rng.random()
    noun = word("thingnoun", rng)
    short = (f"the {noun}",)
    if roll < 0.22:
        return Entity(f"the {noun}")
    if roll < 0.62:
        adjective = word("adjective", rng)
        return Entity(f"the {adjective} {noun}", (f"{adjective} {noun}", *short))
    if roll < 0.76:
        return Entity(f"{first_name(rng)}'s {noun}", short)
    if roll < 0.84:
        return Entity(f"the {word('trade', rng)}'s {noun}", short)
    if roll < 0.92:
        return Entity(f"the {noun} of {invented(rng)}", short)
    base = word("material" if rng.random() < 0.3 else "animal", rng).removeprefix("a ")
    return Entity(f"the {base} {noun}", short)


def _dish(rng: Random) -> Entity:
    base = word("dishbase", rng)
    roll = rng.random()
    if roll < 0.4:
        return Entity(f"{'the ' if rng.random() < 0.4 else ''}{word('food', rng)} {base}", (f"the {base}",))
    if roll < 0.8:
        return Entity(f"the {word('adjective', rng)} {base}", (f"the {base}",))
    return Entity(f"{first_name(rng)}'s {base}", (f"the {base}",))


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _goods(rng: Random) -> Entity:
    roll = rng.random()
    noun = word("thingnoun", rng)
    if roll < 0.3:
        return Entity(_article(noun), (f"the {noun}", f"one {noun}"))
    if roll < 0.55:
        full = f"{word('adjective', rng)} {noun}"
        return Entity(_article(full), (f"the {full}", f"the {noun}"))
    if roll < 0.7:
        return Entity(f"a {word('vessel', rng)} of {word('food', rng)}")
    if roll < 0.82:
        return Entity(word("service", rng))
    return Entity(word("goods2", rng)) if roll < 0.92 else _dish(rng)


_MAKERS: dict[str, Callable[[Random], Entity]] = {
    "person": _person,
    "person2": _person,
    "place": _place,
    "thing": _thing,
    "dish": _dish,
    "goods": _goods,
    "name": lambda rng: Entity(first_name(rng)),
    "time": lambda rng: Entity(amounts.clock_time(rng)),
    "price": lambda rng: Entity(amounts.price(rng)),
    "number": lambda rng: Entity(amounts.amount(rng)),
    "age": lambda rng: Entity(amounts.age(rng)),
    "duration": lambda rng: Entity(amounts.duration(rng)),
    "spot": lambda rng: Entity(amounts.spot(rng, _place(rng).full, invented(rng))),
    "food2": lambda rng: Entity(word("food", rng)),
    "reason2": lambda rng: Entity(word("dishreason", rng)),
}
"""Classes with generated names; any other is a section of words.txt."""
_PLURALS = frozenset(("plural2", "goods2"))


def _single(plural: str) -> tuple[str, ...]:
    """Return a player's words for any one of them: `a sword`, `a new sword`."""
    if not plural.endswith("s") or plural.endswith("ss") or " " in plural or "," in plural:
        return ()
    one = plural.removesuffix("s")
    return (_article(one), f"a new {one}", f"a good {one}", one)


def entity(cls: str, rng: Random) -> Entity:
    """Return a new thing of a class."""
    make = _MAKERS.get(cls)
    while True:
        made = make(rng) if make else Entity(listed := word(cls, rng), _single(listed) if cls in _PLURALS else ())
        if not is_held_out(made.full):
            return made


def qualified(noun: str, rng: Random) -> str:
    """Return the noun after an adjective, without article."""
    while True:
        made = f"{word('adjective', rng)} {noun}"
        if not is_held_out(made):
            return made


def is_held_out(name: str) -> bool:
    """Return whether a name, without its article, is part of an exam."""
    return name.removeprefix("the ") in held_out_names()
