"""Questions that need no lore: small talk, the character herself, what is around, what was before."""

from __future__ import annotations

from random import Random

from training.chat import SCENE, TALK, line_pointer, persona_pointer
from training.corpus.ask_tools import bare
from training.corpus.block import Block
from training.corpus.cast import Cast
from training.corpus.expand import alternatives, fill, slots
from training.corpus.names import entity
from training.corpus.textfiles import sections
from training.corpus.turn import Turn, polite, unknown


def self_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """A question about the character, answered from the card."""
    if not cast.self_facts:
        return None
    told = rng.choice(cast.self_facts)
    words = alternatives(told.asks, rng)
    ending = f", {cast.phrase('closer', rng)}." if rng.random() < 0.3 else "."
    reply = f"{persona_pointer(told.line)} i {told.retold}{ending}"
    return Turn("self", polite(words, cast, rng), reply, told.retold)


def talk_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Greetings, thanks, names, and what needs no fact."""
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


_WHAT_TIME = (
    "(what time is it|what's the time|do you have the time|how late is it|what hour is it|can you tell me the time|got the time|"
    "is it late|the time please|what time do we have|do you know what time it is|what does the clock say|what is the hour)( now|)"
)
_WHO_IS_HERE = (
    "who is (here|nearby|around|there|with us|close|standing here|in the room|next to you|over there|near you)|"
    "who else is (here|around|nearby)|what is (nearby|around us|around here|here|near us|near you)|what do you see|"
    "what can you see( here| around you|)|(is|are) (anyone|anybody|there others|somebody) (else |)(here|around|nearby|with us)|"
    "are we alone|who is (in this place|watching us|standing next to you|beside you)|look around what do you see|"
    "anybody else (here|around)|who do you see"
)
_WHERE_ARE_WE = (
    "where (are we|am i|is this|are we now)|what (place|area|zone) is this|what is this place( called|)|"
    "what part of town is this|do you know where we are|which place is this|i am lost where are we"
)


def scene_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """What time is it, who is here, where are we."""
    scene = block.scene
    roll = rng.random()
    words = alternatives(_WHAT_TIME if roll < 0.4 else _WHO_IS_HERE if roll < 0.8 else _WHERE_ARE_WE, rng)
    if scene is None:
        return Turn("unknown", polite(words, cast, rng), unknown(cast, rng)) if rng.random() < 0.1 else None
    if roll < 0.4:
        said, gold = rng.choice((f"it is {scene.time}", scene.time, f"it is {scene.time} now")), scene.time
    elif roll < 0.8:
        listed = ", ".join(scene.nearby)
        said = rng.choice((f"i see {listed}", f"around us: {listed}")) if scene.nearby else "nobody is here"
        gold = scene.nearby[0] if scene.nearby else "nobody"
    else:
        said, gold = rng.choice((f"this is the {scene.zone}", f"we are at the {scene.zone}")), scene.zone
    return Turn("scene", polite(words, cast, rng), f"{SCENE} {said}.", gold)


_RECALLS: dict[str, str] = {
    "asked": "what did i (ask|ask you|want to know)( about| before| last time| yesterday|)|do you remember (what i asked|my question)|what was my question|what did we talk about( last time|)|what was i asking about",
    "bought": "what did i (buy|purchase|get)( here| from you| last time|)|do you remember what i bought",
    "sold": "what did i sell( you| here|)|do you remember what i sold",
    "promised": "what did i promise( you| to do|)|do you remember my promise|did i promise something",
    "helped": "what did i (do|help with|help you with)( for you| last time|)|how did i help( you|)",
    "gave": "what did i give( you| away|)|do you remember what i gave( you|)|did i give you something",
    "lost": "what did i lose|did i lose something|do you remember what i lost",
    "found": "what did i find|do you remember what i found|did i find anything",
    "told": "what did i (tell you|say|tell)( about| before| last time|)|do you remember what i (said|told you)",
    "paid": "what did i pay( for|)|did i pay( you|)( already|)",
    "was": "what was i (looking for|after|doing here)|do you remember what i was looking for|why did i come here",
    "said": "what did i (say|talk about)|do you remember what i said",
    "stole": "what did i steal|did i (steal|take) something",
    "spoke": "who did i (talk to|speak with|meet)|whom did i meet",
    "insulted": "who did i (insult|offend)|did i (insult|offend) someone",
    "saved": "who did i (save|rescue)|did i save (someone|anybody)",
    "broke": "what did i (break|damage)|did i break something",
    "wanted": "where did i want to go|where was i going",
    "came": "where did i come from|do you remember where i came from",
    "is": "do you (know|remember) (me|who i am|anything about me)|what do you know about me|who am i|have we met( before|)",
    "likes": "what do i like|do you know what i like|do you remember what i like",
    "comes": "where am i from|where do i come from",
}
_ANY_RECALL = "do you remember (me|anything|our last talk|what happened)|what do you remember( about me|)|what happened (last time|between us|yesterday)|have we met before|did we (meet|talk) before|remember me"


_SAYING = frozenset(("asked", "told", "said"))


def memory_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """What the character remembers of the player, from the memory section."""
    if not block.memory or rng.random() < 0.22:
        verb = rng.choice(list(_RECALLS))
        if any(m.verb == verb or {m.verb, verb} <= _SAYING for m in block.memory) or (block.memory and verb == "is"):
            return None
        return Turn("unknown", polite(alternatives(_RECALLS[verb], rng), cast, rng), unknown(cast, rng))
    index = rng.randrange(len(block.memory))
    known = block.memory[index]
    if any(m is not known and (m.verb == known.verb or {m.verb, known.verb} <= _SAYING) for m in block.memory):
        return None
    loose = len(block.memory) == 1 and rng.random() < 0.4
    words = alternatives(_ANY_RECALL if loose else _RECALLS[known.verb], rng)
    pointer = line_pointer(block.memory_number(index))
    opener = rng.choice(("", "", f" i remember.{pointer}", f" yes, i remember.{pointer}"))
    return Turn("memory", polite(words, cast, rng), f"{pointer}{opener} {known.retold}.", known.retold)


_WHAT_I_SAID = (
    "what did i (just |)(ask|say|ask you|tell you|want to know)( just now| a moment ago| before that|)|"
    "what was (my last question|my question|that i asked)|repeat my question|what was i saying"
)
_WHAT_YOU_SAID = (
    "(what did you (just |)(say|tell me|answer)|can you repeat that|say that again|what was that|could you say that again|"
    "repeat that|pardon|sorry what|come again|i did not hear you|i didn't catch that|what was that again)( please| again|)"
)


def past_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """What was said a moment ago, from the history."""
    if not block.history:
        return None
    asked, reply = block.history[-1]
    if rng.random() < 0.5:
        return Turn("past", alternatives(_WHAT_I_SAID, rng), f"{TALK} you said: {asked}.", asked)
    return Turn("past", alternatives(_WHAT_YOU_SAID, rng), f"{TALK} i said: {reply}", reply.removesuffix("."))
