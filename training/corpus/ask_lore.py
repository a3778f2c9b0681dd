"""Questions about lore: with an answer in one sentence, and without an answer."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from training.chat import persona_pointer
from training.corpus import facts
from training.corpus.block import Block, Line, alike, base_class, pronoun
from training.corpus.cast import Cast, touchy
from training.corpus.expand import expand, fill
from training.corpus.facts import Fact, Wording
from training.corpus.names import Entity
from training.corpus.textfiles import sections
from training.corpus.topics import forbidden_question
from training.corpus.turn import Turn, polite, quote, unknown
from training.corpus.words import phrase

_OPEN_TAGS = frozenset(("identity", "about"))
"""Tags of questions that any sentence about the thing answers."""


def is_ambiguous(block: Block, asked: Fact, wording: Wording, number: int | None) -> bool:
    """Return whether another sentence than `number` could pass for the answer."""
    named = [asked.values[slot].full.removeprefix("the ") for slot in wording.slots]
    for other, fact in block.facts():
        if other == number:
            continue
        if facts.tells_the_same(fact, asked, wording):
            return True
        if wording.tag in _OPEN_TAGS and any(name in fact.sentence for name in named):
            return True
    remembered = [m.told for m in block.memory if m.told is not None]
    if any(facts.tells_the_same(told, asked, wording) for told in (*remembered, *block.told_before)):
        return True
    return any(name in block.sentence(n) for n, _ in block.happenings() for name in named)


def worded(block: Block, asked: Fact, wording: Wording, cast: Cast, rng: Random) -> str:
    """Return the question, with a pronoun if the thing was just mentioned."""
    spoken = block.spoken_of
    if spoken is not None and "e" in wording.slots and asked.values["e"].full == spoken.full and rng.random() < 0.6:
        short = pronoun(base_class(asked.kind.slots["e"]), rng)
        if short:
            words = facts.question(wording, asked.values, rng, short)
            return f"and {words}" if rng.random() < 0.4 else words
    if wording.slots and asked.values.get("e") == Entity(cast.name) and "{e}'s" in wording.pattern:
        wording = replace(wording, pattern=wording.pattern.replace("{e}'s", "your"), slots=wording.slots - {"e"})
    return polite(facts.question(wording, asked.values, rng), cast, rng)


def fact_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a question that one sentence of lore answers."""
    here = block.facts()
    if not here:
        return None
    for _ in range(6):
        number, asked = rng.choice(here)
        if touchy(cast, [block.sentence(number)]):
            continue
        own = rng.random() < 0.2 and any(w.own for w in asked.kind.wordings)
        wording = facts.pick_wording(asked.kind, rng, own=own)
        if not own and "e" in wording.slots and rng.random() < 0.09:
            wording = Wording(phrase("about", rng), "about", frozenset("e"))
        if not is_ambiguous(block, asked, wording, number):
            words = worded(block, asked, wording, cast, rng)
            reply = quote(block, number, cast, rng)
            return Turn("fact", words, reply, block.sentence(number), about=(asked, wording))
    return None


def twin(cast: Cast, block: Block, turn: Turn, rng: Random) -> tuple[Block, Turn] | None:
    """Return the same question where the line that answered it is missing, and another about the same thing is there.

    The two then differ only in what is told and what is asked.
    """
    if turn.about is None:
        return None
    asked, wording = turn.about
    lore = [line for line in block.lore if not any(told is asked for told in line.told)]
    if len(lore) != len(block.lore) - 1:
        return None
    changed = replace(block, lore=list(lore))
    for _ in range(4):
        if rng.random() < 0.75:
            slot = rng.choice(sorted(wording.slots) or list(asked.values))
            kind, where = rng.choice(facts.kinds_about(base_class(asked.kind.slots[slot])))
            other = facts.make_fact(kind, rng, {where: asked.values[slot]})
        else:
            other = facts.make_fact(asked.kind, rng)
        place = rng.randint(0, len(lore))
        changed.lore = [*lore[:place], Line([other.sentence], [other]), *lore[place:]]
        if not is_ambiguous(changed, asked, wording, None) and not touchy(cast, [other.sentence]):
            return changed, replace(turn, sort="unknown", reply=unknown(cast, rng), gold="", about=None)
    return None


def open_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a question about a thing in the lore, of a sort that lore never tells."""
    here = [fact for _, fact in block.facts()]
    if not here:
        return None
    model = rng.choice(here)
    slot = next(iter(model.values)) if rng.random() < 0.6 else rng.choice(list(model.values))
    asks = sections("open.txt").get(base_class(model.kind.slots[slot]))
    name = model.values[slot]
    relatives = any(fact.kind.name == "family" and name in fact.values.values() for fact in here)
    if not asks or relatives or touchy(cast, [name.full]):
        return None
    words = fill(expand(rng.choice(asks), rng), {"e": facts.shortened(name, rng)})
    return Turn("unknown", polite(words, cast, rng), unknown(cast, rng))


def unknown_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a question that no sentence answers, though several may look like it."""
    here = [fact for _, fact in block.facts()]
    for _ in range(6):
        roll = rng.random()
        if cast.known and roll < 0.08:
            cls, thing = rng.choice(cast.known)
            kind, where = rng.choice(facts.kinds_about(cls))
            asked = facts.make_fact(kind, rng, {where: thing})
        elif not here or roll < 0.15:
            asked = facts.make_fact(rng.choice(list(facts.kinds().values())), rng)
        elif roll < 0.45:
            asked = facts.make_fact(rng.choice(here).kind, rng)
        else:
            model = rng.choice(here)
            slot = next(iter(model.values)) if rng.random() < 0.7 else rng.choice(list(model.values))
            kind, where = rng.choice(facts.kinds_about(base_class(model.kind.slots[slot])))
            asked = facts.make_fact(kind, rng, {where: model.values[slot]})
        own = rng.random() < 0.1 and any(w.own for w in asked.kind.wordings)
        wording = facts.pick_wording(asked.kind, rng, own=own)
        if rng.random() < 0.05 and "e" in wording.slots and not block.mentions(asked.values["e"].full):
            wording = Wording(phrase("about", rng), "about", frozenset("e"))
        if touchy(cast, (name for slot in wording.slots for name in asked.values[slot].spellings())):
            continue
        if not is_ambiguous(block, asked, wording, None):
            return Turn("unknown", worded(block, asked, wording, cast, rng), unknown(cast, rng))
    return None


def happening_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a question about a random sentence."""
    here = block.happenings()
    if not here:
        return None
    number, told = rng.choice(here)
    if touchy(cast, (told.subject, told.thing)):
        return None
    others = [block.sentence(n) for n, _ in (*block.facts(), *here) if n != number]
    if rng.random() < 0.25:
        if any(told.subject in text or told.thing in text for text in others):
            return None
        return Turn("unknown", polite(rng.choice(told.unanswered()), cast, rng), unknown(cast, rng))
    words = rng.choice(told.asks())
    named = [name for name in (told.subject, told.thing) if name in words]
    if any(name in text for name in named for text in others) or (not named and len(others) > 0):
        return None
    return Turn("fact", polite(words, cast, rng), quote(block, number, cast, rng), block.sentence(number))


def refuse_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a question about something that must not be told, though lore may tell it."""
    if not cast.topics:
        return None
    topic = rng.choice(cast.topics)
    words = polite(forbidden_question(topic, rng), cast, rng)
    return Turn("refuse", words, f"{persona_pointer(topic.line)} {cast.phrase('refuse', rng)}.")


def harmless_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a question that shares words with a forbidden topic and is about something else: unknown, as no line tells
    it.
    """
    if not cast.topics:
        return None
    topic = rng.choice(cast.topics)
    near = alike(topic.subject.full, rng)
    if near.full in topic.text or near.full == topic.names["x"]:
        return None
    kind, slot = rng.choice(facts.kinds_about(rng.choice(("place", "thing", "person"))))
    asked = facts.make_fact(kind, rng, {slot: near})
    naming = [w for w in kind.wordings if slot in w.slots and not w.indirect]
    if not naming:
        return None
    wording = rng.choice(naming)
    if is_ambiguous(block, asked, wording, None):
        return None
    return Turn("harmless", worded(block, asked, wording, cast, rng), unknown(cast, rng))
