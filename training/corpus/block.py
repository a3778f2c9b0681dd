"""Blocks: lore, memories, scene and earlier exchanges, generated together so that several questions fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from training.corpus import facts, randomlore
from training.corpus.cast import Cast
from training.corpus.facts import Fact
from training.corpus.names import Entity, entity, first_name, is_held_out
from training.corpus.randomlore import Happening
from training.corpus.surroundings import Memory, Scene, asked_something, make_memory, make_scene, said_something
from training.corpus.words import word


@dataclass(slots=True)
class Line:
    """One `- ` line of lore: its sentences, and the facts that they tell."""

    sentences: list[str]
    told: list[Fact | Happening]


@dataclass(slots=True)
class Block:
    """The surroundings that several questions share."""

    lore: list[Line] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    scene: Scene | None = None
    history: list[tuple[str, str]] = field(default_factory=list)
    """Earlier (player, character) exchanges, bare words."""
    told_before: list[Fact] = field(default_factory=list)
    """The facts that the character told in them."""
    spoken_of: Entity | None = None
    """The thing of the last exchange, for which a pronoun may stand."""
    spoken_class: str = ""

    def facts(self) -> list[tuple[int, Fact]]:
        """Return (pointer number, fact) of every sentence that tells a fact."""
        return [(n, told) for n, told in self._numbered() if isinstance(told, Fact)]

    def happenings(self) -> list[tuple[int, Happening]]:
        """Return (pointer number, happening) of every sentence of random lore."""
        return [(n, told) for n, told in self._numbered() if isinstance(told, Happening)]

    def numbers(self) -> range:
        """Return the pointer numbers of all lore."""
        return range(1, 1 + sum(len(line.sentences) for line in self.lore))

    def sentence(self, number: int) -> str:
        """Return the text after a pointer."""
        return [text for line in self.lore for text in line.sentences][number - 1]

    def memory_number(self, index: int) -> int:
        """Return the pointer number of a memory line."""
        before = sum(memory.line.count(". ") + 1 for memory in self.memory[:index])
        return len(self.numbers()) + before + 1

    def mentions(self, name: str) -> bool:
        """Return whether any line of lore has the name."""
        return any(name in text for line in self.lore for text in line.sentences)

    def _numbered(self) -> list[tuple[int, Fact | Happening]]:
        every = [told for line in self.lore for told in line.told]
        return list(enumerate(every, 1))


_PRONOUNS = {
    "place": "it", "thing": "it", "dish": "it", "goods": "it", "event": "it", "carrier": "it", "container": "it",
    "group": "they",
}  # fmt: skip


def pronoun(cls: str, rng: Random) -> str:
    """Return the pronouns for things of a class; empty if there are none."""
    return _PRONOUNS.get(cls) or (rng.choice(("he", "she")) if cls == "person" else "")


def _related(known: list[Fact], rng: Random) -> Fact:
    """Return a fact that shares its kind, or a thing, with an existing one."""
    model = rng.choice(known)
    if rng.random() < 0.5:
        kept: dict[str, Entity] = {}
        if len(model.values) > 2 and rng.random() < 0.35:
            slot = rng.choice(list(model.values))
            kept = {slot: model.values[slot]}
        return facts.make_fact(model.kind, rng, kept)
    return _about_the_same(model, rng)


def _about_the_same(model: Fact, rng: Random) -> Fact:
    slots = list(model.values)
    slot = slots[0] if rng.random() < 0.6 else rng.choice(slots)
    kind, where = rng.choice(facts.kinds_about(base_class(model.kind.slots[slot])))
    return facts.make_fact(kind, rng, {where: model.values[slot]})


def base_class(cls: str) -> str:
    """Return the class of a slot: `person2` is a person too."""
    return "person" if cls == "person2" else cls


_COMMON = ("price", "dishprice", "hours", "where", "owner", "ferry", "stall")
"""Kinds that are common in every game's lore."""


def _any_fact(rng: Random) -> Fact:
    if rng.random() < 0.15:
        return facts.make_fact(facts.kinds()[rng.choice(_COMMON)], rng)
    return facts.make_fact(rng.choice(list(facts.kinds().values())), rng)


def _append_second(line: Line, rng: Random) -> None:
    """Give a line a second sentence, mostly about the same thing, and in some cases with a pronoun."""
    first = line.told[0]
    second: Fact | Happening = randomlore.happening(rng)
    text = ""
    if isinstance(first, Fact) and rng.random() < 0.8:
        slot = next(iter(first.values))
        cls = first.kind.slots[slot]
        kind, where = rng.choice(facts.kinds_about(base_class(cls)))
        name = first.values[slot].full
        second = facts.make_fact(kind, rng, {where: first.values[slot]})
        text = second.sentence
        if f"{name}'s" not in text and rng.random() < 0.6 and pronoun(cls, rng):
            text = text.replace(name, pronoun(cls, rng), 1)
    elif isinstance(second, Happening):
        text = second.sentence(rng)
    line.sentences.append(text)
    line.told.append(second)


def add_lore(block: Block, told: Fact | Happening, rng: Random) -> None:
    """Insert one more line."""
    text = told.sentence if isinstance(told, Fact) else told.sentence(rng)
    block.lore.insert(rng.randint(0, len(block.lore)), Line([text], [told]))


_ONE_THING = 0.45
"""Share of blocks that are about one or two things only."""


def _add_one_thing(block: Block, rng: Random) -> None:
    """Return lines of different kinds about the same thing: only the kind of the question distinguishes them."""
    for _ in range(rng.choice((1, 1, 2))):
        cls = rng.choice(("place", "place", "person", "person", "thing", "event", "group", "dish"))
        name = entity(cls, rng)
        kinds = facts.kinds_about(cls)
        for kind, slot in rng.sample(kinds, min(len(kinds), rng.randint(1, 4))):
            add_lore(block, facts.make_fact(kind, rng, {slot: name}), rng)
    if rng.random() < 0.3:
        add_lore(block, _any_fact(rng) if rng.random() < 0.6 else randomlore.happening(rng), rng)


def _add_mixed(block: Block, rng: Random) -> None:
    """Return lines that share a kind or a thing with one another, and others that share nothing."""
    known: list[Fact] = []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 6, 7))):
        if rng.random() < 0.18:
            other = randomlore.happening(rng)
            previous = block.happenings()
            if previous and rng.random() < 0.5:
                model = rng.choice(previous)[1]
                if rng.random() < 0.5:
                    other = Happening(other.subject, model.verb, other.thing, other.spot, other.when, model.past)
                else:
                    other = Happening(model.subject, other.verb, other.thing, other.spot, other.when, other.past)
            add_lore(block, other, rng)
        else:
            fact = _related(known, rng) if known and rng.random() < 0.75 else _any_fact(rng)
            known.append(fact)
            add_lore(block, fact, rng)


_OWN_KINDS = ("family", "kinjob", "pet")
"""Kinds in which the character itself may be mentioned: "your sister"."""


def make_block(cast: Cast, rng: Random) -> Block:
    """Return new surroundings for a character."""
    block = Block()
    if rng.random() < _ONE_THING:
        _add_one_thing(block, rng)
    else:
        _add_mixed(block, rng)
    if rng.random() < 0.14:
        kind, slot = rng.choice(facts.kinds_about("person"))
        if rng.random() < 0.4:
            kind, slot = facts.kinds()[rng.choice(_OWN_KINDS)], "e"
        add_lore(block, facts.make_fact(kind, rng, {slot: Entity(cast.name)}), rng)
    if cast.known and rng.random() < 0.35:
        cls, thing = rng.choice(cast.known)
        kind, slot = rng.choice(facts.kinds_about(cls))
        add_lore(block, facts.make_fact(kind, rng, {slot: thing}), rng)
    for line in block.lore:
        if rng.random() < 0.1:
            _append_second(line, rng)
    if cast.topics and rng.random() < 0.2:
        topic = rng.choice(cast.topics)
        cls = "person" if topic.family == "kin" else rng.choice(("thing", "place"))
        kind, slot = rng.choice(facts.kinds_about(cls))
        add_lore(block, facts.make_fact(kind, rng, {slot: Entity(topic.names["x"])}), rng)
    if cast.topics and rng.random() < 0.3:
        near = alike(rng.choice(cast.topics).subject.full, rng)
        if not any(near.full in topic.text for topic in cast.topics):
            kind, slot = rng.choice(facts.kinds_about(rng.choice(("place", "thing", "person"))))
            add_lore(block, facts.make_fact(kind, rng, {slot: near}), rng)
    if rng.random() < 0.25:
        block.memory = [_memory(block, cast, rng) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    if rng.random() < 0.6:
        block.scene = make_scene(rng)
    if rng.random() < 0.22:
        _earlier(block, cast, rng)
    return block


def _memory(block: Block, cast: Cast, rng: Random) -> Memory:
    """Return a deed in a game's words, or an utterance in the daemon's words."""
    roll = rng.random()
    if roll < 0.35:
        return make_memory(cast.name, rng)
    if roll < 0.65:
        return said_something(cast.phrase("chat", rng), rng)
    here = [fact for _, fact in block.facts()]
    # The character may have told what lore tells now; other facts are only in its own words.
    known = rng.choice(here) if here and rng.random() < 0.4 else _any_fact(rng)
    wording = facts.pick_wording(known.kind, rng)
    asked = facts.question(wording, known.values, rng)
    answer = cast.phrase("unknown", rng) if rng.random() < 0.25 else known.sentence
    opening = f"{cast.phrase('opener', rng)}. " if rng.random() < 0.2 else ""
    return asked_something(asked, answer, opening, None if known in here or answer != known.sentence else known)


def alike(text: str, rng: Random) -> Entity:
    """Return a name that shares a word with a forbidden one."""
    words = text.replace("'s", "").split()
    shared = rng.choice([w for w in words if w not in ("the", "of")] or words)  # a person may be called The
    own = entity(rng.choice(("place", "thing", "person")), rng).full.removeprefix("the ").split()
    patterns = (
        "the {shared} {last}",
        "the {first} {shared}",
        "{shared}'s {last}",
        "the {shared} {place}",
        "{name}'s {shared}",
    )
    while True:
        made = rng.choice(patterns).format(
            shared=shared, first=own[0], last=own[-1], place=word("placenoun", rng), name=first_name(rng)
        )
        if not is_held_out(made):
            return Entity(made)


_RECAP = "what have we talked about"
"""The player's words in the daemon's summary of dropped exchanges."""


def _earlier(block: Block, cast: Cast, rng: Random) -> None:
    """Return earlier exchanges, in some cases after a summary; the last one is often about a thing of the lore."""
    if rng.random() < 0.25:
        gone = [_exchange(block, cast, rng) for _ in range(rng.choice((1, 2, 2, 3)))]
        retold = " ".join(f'you asked "{asked}"; i said "{said.removesuffix(".")}".' for asked, said in gone)
        block.history.append((_RECAP, retold))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 6, 8))):
        block.history.append(_exchange(block, cast, rng))


def _exchange(block: Block, cast: Cast, rng: Random) -> tuple[str, str]:
    """Return a question and its answer."""
    fact = _any_fact(rng)
    here = block.facts()
    block.spoken_of = None
    if here and rng.random() < 0.7:
        model = rng.choice(here)[1]
        slot = next(iter(model.values))
        fact = _about(model.values[slot], model.kind.slots[slot], rng)
        block.spoken_of, block.spoken_class = model.values[slot], base_class(model.kind.slots[slot])
    naming = [w for w in fact.kind.wordings if any(fact.values[s] is block.spoken_of for s in w.slots)]
    wording = rng.choice(naming) if naming else facts.pick_wording(fact.kind, rng)
    if not naming:
        block.spoken_of = None
    asked = facts.question(wording, fact.values, rng)
    if rng.random() < 0.7:
        block.told_before.append(fact)
        return asked, f"{fact.sentence}."
    return asked, f"{cast.phrase(rng.choice(('unknown', 'unknown', 'refuse', 'greet', 'chat')), rng)}."


def _about(name: Entity, cls: str, rng: Random) -> Fact:
    kind, slot = rng.choice(facts.kinds_about(base_class(cls)))
    return facts.make_fact(kind, rng, {slot: name})
