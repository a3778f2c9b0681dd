"""Questions without lore: small talk, the character itself, the scene, the memories, the history."""

from __future__ import annotations

from random import Random

from training.chat import SCENE, TALK, line_pointer, persona_pointer
from training.corpus import facts
from training.corpus.ask_tools import bare
from training.corpus.block import Block
from training.corpus.cast import Cast
from training.corpus.expand import alternatives, fill, slots
from training.corpus.names import entity
from training.corpus.textfiles import sections
from training.corpus.turn import Turn, polite, unknown
from training.corpus.words import phrase


def self_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a question about the character, answered from the card."""
    if not cast.self_facts:
        return None
    told = rng.choice(cast.self_facts)
    words = alternatives(told.asks, rng)
    ending = f", {cast.phrase('closer', rng)}." if rng.random() < 0.3 else "."
    reply = f"{persona_pointer(told.line)} i {told.retold}{ending}"
    return Turn("self", polite(words, cast, rng), reply, told.retold)


def talk_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a greeting, thanks, a name, or another turn without facts."""
    data = sections("talk.txt")
    group = rng.choice(
        (
            "greet",
            "greet",
            "thanks",
            "bye",
            "well",
            "who",
            "who",
            "work",
            "work",
            "chat",
            "chat",
            "chat",
            "chat",
            "world",
        )
    )
    trade = bare(cast.archetype.removeprefix("an old ").removeprefix("the town "))
    weights = data[group]
    pattern = weights[0] if group == "chat" and rng.random() < 0.35 else rng.choice(weights)
    words = alternatives(pattern, rng)
    names = {"name": cast.name if rng.random() < 0.6 else cast.name.split(" ")[-1], "trade": trade}
    if "thing}" in words:
        names["thing"] = bare(entity("thing", rng).full)
    if "place}" in words:
        names["place"] = entity("place", rng).full
    words = fill(words, {slot: names[slot] for slot in slots(words)})
    turn = Turn("talk", words, "")
    if group == "who":
        turn.words = words if rng.random() < 0.7 else polite(words, cast, rng)
        said = rng.choice(
            (
                f"i'm {cast.name}",
                f"i am {cast.name}",
                f"my name is {cast.name}",
                f"{cast.name}, {cast.archetype}",
                f"i'm {cast.name}, {cast.archetype}",
            )
        )
        turn.reply, turn.gold = f"{TALK} {said}.", cast.name
    elif group == "work":
        said = rng.choice(
            (
                f"i'm {cast.archetype} here",
                f"i work as {cast.archetype}",
                f"{cast.archetype}, that is my work",
                f"{cast.name}, {cast.archetype}",
            )
        )
        turn.reply, turn.gold = f"{TALK} {said}.", cast.archetype
    elif group == "world":
        at = cast.rules_of_fiction
        turn.reply = f"{persona_pointer(at)} {cast.phrase('refuse', rng)}." if at else unknown(cast, rng)
        turn.sort = "refuse" if at else "unknown"
    else:
        turn.reply = f"{TALK} {cast.phrase(group, rng)}."
    return turn


def scene_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a question about the time, the people present, or the place."""
    scene = block.scene
    roll = rng.random()
    words = phrase("what time" if roll < 0.4 else "who is here" if roll < 0.8 else "where are we", rng)
    known = scene and (scene.time if roll < 0.4 else scene.time or scene.nearby if roll < 0.8 else scene.zone)
    if scene is None or not known:
        return Turn("unknown", polite(words, cast, rng), unknown(cast, rng)) if rng.random() < 0.3 else None
    if roll < 0.4:
        said, gold = rng.choice((f"it is {scene.time}", scene.time, f"it is {scene.time} now")), scene.time
    elif roll < 0.8:
        listed = ", ".join(scene.nearby)
        said = rng.choice((f"i see {listed}", f"around us: {listed}")) if scene.nearby else "nobody is here"
        gold = scene.nearby[0] if scene.nearby else "nobody"
    else:
        said, gold = rng.choice((f"this is the {scene.zone}", f"we are at the {scene.zone}")), scene.zone
    return Turn("scene", polite(words, cast, rng), f"{SCENE} {said}.", gold)


_SAYING = frozenset(("asked", "told", "said"))


def memory_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a question about the character's memories of the player, from the memory section."""
    if not block.memory or rng.random() < 0.22:
        verb = rng.choice([name[7:] for name in sections("phrases.txt") if name.startswith("recall ")])
        if any(m.verb == verb or {m.verb, verb} <= _SAYING for m in block.memory) or (block.memory and verb == "is"):
            return None
        return Turn("unknown", polite(phrase(f"recall {verb}", rng), cast, rng), unknown(cast, rng))
    index = rng.randrange(len(block.memory))
    known = block.memory[index]
    if any(m is not known and (m.verb == known.verb or {m.verb, known.verb} <= _SAYING) for m in block.memory):
        return None
    number = block.memory_number(index)
    if known.told is not None and rng.random() < 0.5:
        wording = facts.pick_wording(known.told.kind, rng)
        others = [m.told for m in block.memory if m.told is not None and m is not known]
        here = [fact for _, fact in block.facts()]
        if any(facts.tells_the_same(fact, known.told, wording) for fact in (*here, *others)):
            return None
        words = facts.question(wording, known.told.values, rng)
        sentence = known.told.sentence
        return Turn("memory", polite(words, cast, rng), f"{line_pointer(number + known.last)} {sentence}.", sentence)
    loose = len(block.memory) == 1 and rng.random() < 0.4
    words = phrase("recall" if loose else f"recall {known.verb}", rng)
    pointer = line_pointer(number)
    opener = rng.choice(("", "", f" i remember.{pointer}", f" yes, i remember.{pointer}"))
    return Turn("memory", polite(words, cast, rng), f"{pointer}{opener} {known.retold}.", known.retold)


def past_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Return a question about what was just said, from the history."""
    if not block.history:
        return None
    asked, reply = block.history[-1]
    if rng.random() < 0.5:
        return Turn("past", phrase("what i said", rng), f"{TALK} you said: {asked}.", asked)
    return Turn("past", phrase("what you said", rng), f"{TALK} i said: {reply}", reply.removesuffix("."))
