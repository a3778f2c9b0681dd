"""Requests that a tool fulfils, and requests for a missing tool."""

from __future__ import annotations

import json
import re
from random import Random

from training.chat import CALL_CLOSE, CALL_OPEN, TALK, line_pointer, tool_pointer
from training.corpus import facts, noise
from training.corpus.block import Block
from training.corpus.cast import Cast, tool_data, touchy
from training.corpus.expand import alternatives, fill
from training.corpus.names import entity, qualified
from training.corpus.turn import Turn, polite
from training.corpus.words import word

_HELD = "qzheldqz"
"""A placeholder for words that the noise must treat as one."""

_DETERMINERS = ("the ", "a ", "an ", "some ", "my ", "your ", "that ", "this ", "one ")


def bare(name: str) -> str:
    """Return the name without its article."""
    for determiner in _DETERMINERS:
        if name.startswith(determiner):
            return name[len(determiner) :]
    return name


def _target(kind: str, block: Block, rng: Random) -> str:
    """The target of a request, as the player says it."""
    if kind == "place":
        places = [v for _, f in block.facts() for s, v in f.values.items() if f.kind.slots[s] == "place"]
        if places and rng.random() < 0.85:
            return facts.shortened(rng.choice(places), rng)
        if rng.random() < 0.1:
            return entity("person", rng).full
        if rng.random() < 0.1:
            return f"the {word('thingnoun', rng)} {rng.choice(('shop', 'store', 'stable', 'bank', 'market', 'hall'))}"
        made = entity("place", rng)
        return facts.shortened(made, rng)
    if kind == "thing":
        things = [v for _, f in block.facts() for s, v in f.values.items() if f.kind.slots[s] in ("thing", "goods")]
        if things and rng.random() < 0.8:
            return facts.shortened(rng.choice(things), rng)
        roll = rng.random()
        if roll < 0.5:
            return entity("thing", rng).full
        if roll < 0.85:
            noun = word("thingnoun", rng)
            noun = noun if rng.random() < 0.6 else qualified(noun, rng)
            return f"{rng.choice(('the', 'a', 'your', 'that', 'this', 'my', 'that', 'the'))} {noun}"
        return entity("goods", rng).full if rng.random() < 0.7 else f"some {word('goods2', rng)}"
    if kind == "focus":
        people = [v for _, f in block.facts() for s, v in f.values.items() if f.kind.slots[s] == "person"]
        if people and rng.random() < 0.7:
            return rng.choice(people).full
        roll = rng.random()
        if roll < 0.3:
            return entity("person", rng).full
        if roll < 0.6 and block.scene and block.scene.nearby:
            return rng.choice(("the ", "that ", "")) + rng.choice(block.scene.nearby)
        if roll < 0.7:
            return f"the {word('animal', rng)}"
        return entity("thing", rng).full if roll < 0.85 else f"the {word('placenoun', rng)}"
    values = tool_data()[f"{kind}s"]["values"][0].split(", ")
    if kind == "dialog" and rng.random() < 0.15:
        return word("thingnoun", rng)
    return rng.choice(values)


_OFTEN = {"way": 2.0, "mark": 1.4, "give": 1.4, "dialog": 1.4}
"""Frequency of some tools, relative to the others."""
_GOES_ON = 0.9
"""Share of calls after which the reply goes on: the player hears speech while the game acts."""
_QUOTES = 0.9
"""Share of those that quote lore about the target if there is any: nearly all, so that it is learnt."""
_WHERE = frozenset(("where", "person-where", "thing-where", "distance"))
"""Kinds of facts that describe a way best."""


def _after(concept: str, target: str, cast: Cast, block: Block, rng: Random) -> str:
    """Return what is said after a call: the line of lore about its target, or a phrase for any target."""
    named = re.compile(rf"\b{re.escape(target)}\b")
    fitting = [number for number in block.numbers() if named.search(block.sentence(number))]
    fitting = [number for number in fitting if not touchy(cast, [block.sentence(number)])]
    if fitting and concept not in ("emote", "dialog") and rng.random() < _QUOTES:
        places = [number for number, fact in block.facts() if number in fitting and fact.kind.name in _WHERE]
        number = (places or fitting)[0]
        return f"{line_pointer(number)} {block.sentence(number)}."
    occasion = "after way" if concept in ("way", "mark") and rng.random() < 0.7 else "after"
    return f" {cast.phrase(occasion, rng)}."


def tool_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a request that one of the character's tools fulfils."""
    known = [tool for tool in cast.tools if tool.concept != "extra"]
    if not known:
        return None
    tool = rng.choices(known, [_OFTEN.get(tool.concept, 1.0) for tool in known])[0]
    data = tool_data()[tool.concept]
    fixed = [key for key in data if key.startswith("=")]
    if fixed and rng.random() < (0.6 if tool.concept == "dialog" else 0.15):
        key = rng.choice(fixed) if rng.random() < 0.6 else fixed[0]
        target, pattern = key[1:], rng.choice(data[key])
    else:
        target, pattern = _target(data["target"][0], block, rng), rng.choice(data["ask"])
    for topic in cast.topics:
        if bare(target) in topic.text:  # a refusal would be arguable
            return None
    noisy = rng.random() < 0.45
    named = "{t}" in pattern
    spoken = noise.as_heard(target, rng, 1 if rng.random() < 0.25 else 0) if noisy else target
    words = polite(alternatives(pattern, rng).replace("{t}", _HELD), cast, rng)
    if noisy:
        words = noise.as_heard(words, rng, rng.choice((0, 0, 1, 1, 2)), keep=_HELD)
        if named and _HELD not in words:
            words += f" {_HELD}"
    value = bare(spoken if named else target)
    say = alternatives(data["say"][0], rng) if rng.random() < 0.55 else cast.phrase("sure", rng)
    said = spoken if named else target
    say = fill(say, {"t": said, "T": said}).removesuffix(".")
    call = json.dumps({"name": tool.name, "arguments": {tool.argument: f" {value}"}}, ensure_ascii=False)
    after = _after(tool.concept, bare(target), cast, block, rng) if rng.random() < _GOES_ON else ""
    reply = f"{tool_pointer(cast.tools.index(tool) + 1)} {say}. {CALL_OPEN}{call}{CALL_CLOSE}{after}"
    return Turn("tool", words.replace(_HELD, spoken), reply, value, noisy)


def cannot_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a request whose tool this world does not offer."""
    offered = {tool.concept for tool in cast.tools}
    missing = [c for c in ("give", "emote", "focus", "mark", "dialog") if c not in offered]
    if not missing:
        return None
    data = tool_data()[rng.choice(missing)]
    target = _target(data["target"][0], block, rng)
    words = polite(fill(alternatives(rng.choice(data["ask"]), rng), {"t": target}), cast, rng)
    return Turn("talk", words, f"{TALK} i can't do that, {cast.phrase('closer', rng)}.")
