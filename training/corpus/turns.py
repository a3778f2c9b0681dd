"""One question and its reply, of every sort, within given surroundings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from training.chat import CALL_CLOSE, CALL_OPEN, SCENE, TALK, UNKNOWN, line_pointer, persona_pointer, tool_pointer
from training.corpus import facts, noise
from training.corpus.block import Block, alike, base_class, pronoun
from training.corpus.cast import Cast, forbidden_question, tool_data
from training.corpus.expand import alternatives, fill, slots
from training.corpus.facts import Fact, Wording
from training.corpus.names import Entity, entity, first_name
from training.corpus.textfiles import sections
from training.corpus.words import word


@dataclass(slots=True)
class Turn:
    """What the player says, and what is to be answered."""

    sort: str
    """`fact`, `unknown`, `refuse`, `tool` …"""
    words: str
    reply: str
    """In the model's native form, pointer first."""
    gold: str = ""
    """What a right reply must contain, lower case."""
    noisy: bool = False
    """Whether the words have been through the recogniser's noise."""


_HELD = "qzheldqz"
"""Stands for words that the noise must treat as one."""


def _quote(block: Block, number: int, cast: Cast, rng: Random) -> str:
    """The sentence behind a pointer, in the character's tone."""
    pointer, sentence = line_pointer(number), block.sentence(number)
    ending = f", {cast.phrase('closer', rng)}." if rng.random() < float(cast.tone["closing"]) else "."
    if rng.random() < float(cast.tone["opening"]):
        return f"{pointer} {cast.phrase('opener', rng)}. {pointer} {sentence}{ending}"
    return f"{pointer} {sentence}{ending}"


def _unknown(cast: Cast, rng: Random) -> str:
    return f"{UNKNOWN} {cast.phrase('unknown', rng)}."


def _polite(text: str, cast: Cast, rng: Random) -> str:
    """The core question with what people put around it."""
    roll = rng.random()
    if roll < 0.5:
        return text
    if roll < 0.75:
        lead = rng.choice(_LEADS)
        return f"{fill(lead, {'name': cast.name})} {text}"
    if roll < 0.92:
        return f"{text} {fill(rng.choice(_TAILS), {'name': cast.name})}"
    return f"{rng.choice(_STORIES)} {text}"


_LEADS = (
    "hey", "excuse me", "say", "listen", "hello", "please", "so", "and", "well", "{name}", "friend", "tell me", "sorry",
    "hey {name}", "good evening", "one question", "quick question", "pardon me", "i have a question", "by the way", "now",
    "hello {name}", "my friend", "sir", "just tell me", "one more thing", "but", "okay", "actually", "maybe you can help me",
    "i wonder", "come on", "good day", "may i ask", "let me ask you this", "hi", "oh", "right then", "look", "also", "then",
)  # fmt: skip
_TAILS = (
    "please", "friend", "{name}", "then", "again", "by the way", "if i may ask", "these days", "do you know", "exactly", "now",
    "if you don't mind", "around here", "anyway", "my friend", "i wonder", "would you say", "i forgot", "thank you", "sir",
    "do you think", "actually", "in your opinion", "tell me", "any idea", "can you tell me", "i'm curious", "quickly",
)  # fmt: skip
_STORIES = (
    "i just arrived in town", "i have come a long way", "a man at the gate sent me to you", "they told me to ask you",
    "i am new here", "nobody wants to tell me", "my friend asked me to find out", "you seem to know everything",
    "we had a bet", "i am in a hurry", "it is important", "i heard you can help", "someone told me you would know",
    "i am writing a book", "my brother wants to know", "i have been wondering", "before i leave", "just out of interest",
)  # fmt: skip


def is_ambiguous(block: Block, asked: Fact, wording: Wording, number: int | None) -> bool:
    """Whether another sentence than `number` could pass for the answer."""
    if any(facts.tells_the_same(other, asked, wording) for n, other in block.facts() if n != number):
        return True
    named = [asked.values[slot].full.removeprefix("the ") for slot in wording.slots]
    return any(name in block.sentence(n) for n, _ in block.happenings() for name in named)


def _touchy(cast: Cast, names: Iterable[str]) -> bool:
    """Whether a forbidden topic is about one of these: then answering and refusing are both arguable."""
    return any(topic.names["x"] in name or name in topic.text for topic in cast.topics for name in names)


def _words(block: Block, asked: Fact, wording: Wording, cast: Cast, rng: Random) -> str:
    """The question, with a pronoun where the talk was of the thing just now."""
    spoken = block.spoken_of
    if spoken is not None and "e" in wording.slots and asked.values["e"].full == spoken.full and rng.random() < 0.6:
        short = pronoun(base_class(asked.kind.slots["e"]), rng)
        if short:
            words = facts.question(wording, asked.values, rng, short)
            return f"and {words}" if rng.random() < 0.4 else words
    return _polite(facts.question(wording, asked.values, rng), cast, rng)


def fact_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """A question that one sentence of lore answers."""
    here = block.facts()
    if not here:
        return None
    for _ in range(6):
        number, asked = rng.choice(here)
        if _touchy(cast, [block.sentence(number)]):
            continue
        own = rng.random() < 0.2 and any(w.own for w in asked.kind.wordings)
        wording = facts.pick_wording(asked.kind, rng, own=own)
        if not own and "e" in wording.slots and rng.random() < 0.07:
            wording = Wording(rng.choice(_ABOUT), "about", frozenset("e"))
            if sum(asked.values["e"].full in block.sentence(n) for n, _ in here) > 1:
                continue
        if not is_ambiguous(block, asked, wording, number):
            words = _words(block, asked, wording, cast, rng)
            return Turn("fact", words, _quote(block, number, cast, rng), block.sentence(number))
    return None


def unknown_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """A question that no sentence answers, though several may look like it."""
    here = [fact for _, fact in block.facts()]
    for _ in range(6):
        roll = rng.random()
        if not here or roll < 0.1:
            asked = facts.make_fact(rng.choice(list(facts.kinds().values())), rng)
        elif roll < 0.5:
            asked = facts.make_fact(rng.choice(here).kind, rng)
        else:
            model = rng.choice(here)
            slot = next(iter(model.values)) if rng.random() < 0.7 else rng.choice(list(model.values))
            kind, where = rng.choice(facts.kinds_about(base_class(model.kind.slots[slot])))
            asked = facts.make_fact(kind, rng, {where: model.values[slot]})
        own = rng.random() < 0.1 and any(w.own for w in asked.kind.wordings)
        wording = facts.pick_wording(asked.kind, rng, own=own)
        if rng.random() < 0.05 and "e" in wording.slots and not block.mentions(asked.values["e"].full):
            wording = Wording(rng.choice(_ABOUT), "about", frozenset("e"))
        if _touchy(cast, (asked.values[slot].full for slot in wording.slots)):
            continue
        if not is_ambiguous(block, asked, wording, None):
            return Turn("unknown", _words(block, asked, wording, cast, rng), _unknown(cast, rng))
    return None


_ABOUT = (
    "tell me (about|of|more about|something about) {e}", "what (do you know|can you tell me|have you heard|can you say) about {e}",
    "(have you|ever) (heard of|heard about) {e}", "(any news|any gossip|anything new|anything) (about|of|from) {e}", "what about {e}",
    "what is (the story of|it with|there to know about|known about|the deal with) {e}", "{e}", "do you know {e}",
    "i want to (know|hear|learn) (about|more about) {e}", "(what|who) is {e}", "describe {e}", "talk to me about {e}",
    "let's talk about {e}", "explain {e} to me", "i keep hearing about {e}", "what should i know about {e}",
)  # fmt: skip


def happening_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """A question about a random sentence."""
    here = block.happenings()
    if not here:
        return None
    number, told = rng.choice(here)
    if _touchy(cast, (told.subject, told.thing)):
        return None
    others = [block.sentence(n) for n, _ in (*block.facts(), *here) if n != number]
    if rng.random() < 0.3:
        if any(told.subject in text or told.thing in text for text in others):
            return None
        return Turn("unknown", _polite(rng.choice(told.unanswered()), cast, rng), _unknown(cast, rng))
    words = rng.choice(told.asks())
    named = [name for name in (told.subject, told.thing) if name in words]
    if any(name in text for name in named for text in others) or (not named and len(others) > 0):
        return None
    return Turn("fact", _polite(words, cast, rng), _quote(block, number, cast, rng), block.sentence(number))


def self_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """A question about the character, answered from the card."""
    if not cast.self_facts:
        return None
    told = rng.choice(cast.self_facts)
    words = alternatives(told.asks, rng)
    ending = f", {cast.phrase('closer', rng)}." if rng.random() < 0.3 else "."
    reply = f"{persona_pointer(told.line)} i {told.retold}{ending}"
    return Turn("self", _polite(words, cast, rng), reply, told.retold)


def refuse_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """A question about something that must not be told, though lore may tell it."""
    if not cast.topics:
        return None
    topic = rng.choice(cast.topics)
    words = _polite(forbidden_question(topic, rng), cast, rng)
    return Turn("refuse", words, f"{persona_pointer(topic.line)} {cast.phrase('refuse', rng)}.")


def harmless_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """A question that shares words with a forbidden topic and is none: not known, as no line tells it."""
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
    return Turn("harmless", _words(block, asked, wording, cast, rng), _unknown(cast, rng))


_DETERMINERS = ("the ", "a ", "an ", "some ", "my ", "your ", "that ", "this ", "one ")


def bare(name: str) -> str:
    """The name without its article."""
    for determiner in _DETERMINERS:
        if name.startswith(determiner):
            return name[len(determiner) :]
    return name


def _target(kind: str, block: Block, rng: Random) -> str:
    """What a tool is asked to act on, as the player says it."""
    if kind == "place":
        places = [v for _, f in block.facts() for s, v in f.values.items() if f.kind.slots[s] == "place"]
        if places and rng.random() < 0.45:
            return facts.shortened(rng.choice(places), rng)
        if rng.random() < 0.1:
            return entity("person", rng).full
        made = entity("place", rng)
        return facts.shortened(made, rng)
    if kind == "thing":
        roll = rng.random()
        if roll < 0.5:
            return entity("thing", rng).full
        if roll < 0.85:
            noun = word("thingnoun", rng) if rng.random() < 0.6 else f"{word('adjective', rng)} {word('thingnoun', rng)}"
            return f"{rng.choice(('the', 'a', 'your', 'that', 'this', 'my', 'that', 'the'))} {noun}"
        return entity("goods", rng).full if rng.random() < 0.7 else f"some {word('goods2', rng)}"
    if kind == "focus":
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


def tool_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """A request that one of the character's tools fulfils."""
    known = [tool for tool in cast.tools if tool.concept != "extra"]
    if not known:
        return None
    tool = rng.choice(known)
    data = tool_data()[tool.concept]
    fixed = [key for key in data if key.startswith("=")]
    if fixed and rng.random() < (0.6 if tool.concept == "dialog" else 0.15):
        key = rng.choice(fixed) if rng.random() < 0.6 else fixed[0]
        target, pattern = key[1:], rng.choice(data[key])
    else:
        target, pattern = _target(data["target"][0], block, rng), rng.choice(data["ask"])
    for topic in cast.topics:
        if bare(target) in topic.text:  # whether to refuse would be a matter of taste
            return None
    noisy = rng.random() < 0.45
    named = "{t}" in pattern
    spoken = noise.as_heard(target, rng, 1 if rng.random() < 0.25 else 0) if noisy else target
    words = _polite(alternatives(pattern, rng).replace("{t}", _HELD), cast, rng)
    if noisy:
        words = noise.as_heard(words, rng, rng.choice((0, 0, 1, 1, 2)))
        if named and _HELD not in words:
            words += f" {_HELD}"
    value = bare(spoken if named else target)
    say = alternatives(data["say"][0], rng) if rng.random() < 0.55 else cast.phrase("sure", rng)
    said = spoken if named else target
    say = fill(say, {"t": said, "T": said}).removesuffix(".")
    call = json.dumps({"name": tool.name, "arguments": {tool.argument: f" {value}"}}, ensure_ascii=False)
    after = f" {cast.phrase('after', rng)}." if rng.random() < 0.4 else ""
    reply = f"{tool_pointer(cast.tools.index(tool) + 1)} {say}. {CALL_OPEN}{call}{CALL_CLOSE}{after}"
    return Turn("tool", words.replace(_HELD, spoken), reply, value, noisy)


def talk_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """Greetings, thanks, names, and what needs no fact."""
    data = sections("talk.txt")
    group = rng.choice(("greet", "greet", "thanks", "bye", "well", "who", "who", "work", "work", "chat", "chat", "chat", "chat", "world"))
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
        turn.words = words if rng.random() < 0.7 else _polite(words, cast, rng)
        said = rng.choice((f"i'm {cast.name}", f"i am {cast.name}", f"my name is {cast.name}", f"{cast.name}, {cast.archetype}", f"i'm {cast.name}, {cast.archetype}"))
        turn.reply, turn.gold = f"{TALK} {said}.", cast.name
    elif group == "work":
        said = rng.choice((f"i'm {cast.archetype} here", f"i work as {cast.archetype}", f"{cast.archetype}, that is my work", f"{cast.name}, {cast.archetype}"))
        turn.reply, turn.gold = f"{TALK} {said}.", cast.archetype
    elif group == "world":
        at = cast.rules_of_fiction
        turn.reply = f"{persona_pointer(at)} {cast.phrase('refuse', rng)}." if at else _unknown(cast, rng)
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
        return Turn("unknown", _polite(words, cast, rng), _unknown(cast, rng)) if rng.random() < 0.1 else None
    if roll < 0.4:
        said, gold = rng.choice((f"it is {scene.time}", scene.time, f"it is {scene.time} now")), scene.time
    elif roll < 0.8:
        listed = ", ".join(scene.nearby)
        said = rng.choice((f"i see {listed}", f"around us: {listed}")) if scene.nearby else "nobody is here"
        gold = scene.nearby[0] if scene.nearby else "nobody"
    else:
        said, gold = rng.choice((f"this is the {scene.zone}", f"we are at the {scene.zone}")), scene.zone
    return Turn("scene", _polite(words, cast, rng), f"{SCENE} {said}.", gold)


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
        reply = rng.choice((_unknown(cast, rng), f"{UNKNOWN} i don't know, i don't remember that."))
        return Turn("unknown", _polite(alternatives(_RECALLS[verb], rng), cast, rng), reply)
    index = rng.randrange(len(block.memory))
    known = block.memory[index]
    if any(m is not known and (m.verb == known.verb or {m.verb, known.verb} <= _SAYING) for m in block.memory):
        return None
    loose = len(block.memory) == 1 and rng.random() < 0.4
    words = alternatives(_ANY_RECALL if loose else _RECALLS[known.verb], rng)
    pointer = line_pointer(block.memory_number(index))
    opener = rng.choice(("", "", f" i remember. {pointer}", f" yes, i remember. {pointer}"))
    return Turn("memory", _polite(words, cast, rng), f"{pointer}{opener} {known.retold}.", known.retold)


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


def cannot_turn(cast: Cast, block: Block, rng: Random) -> Turn | None:
    """A request whose tool this world does not offer."""
    offered = {tool.concept for tool in cast.tools}
    missing = [c for c in ("give", "emote", "focus", "mark", "dialog") if c not in offered]
    if not missing:
        return None
    data = tool_data()[rng.choice(missing)]
    target = _target(data["target"][0], block, rng)
    words = _polite(fill(alternatives(rng.choice(data["ask"]), rng), {"t": target}), cast, rng)
    return Turn("talk", words, f"{TALK} i can't do that, {cast.phrase('closer', rng)}.")


_SORTS: tuple[tuple[Callable[[Cast, Block, Random], Turn | None], float], ...] = (
    (fact_turn, 42), (unknown_turn, 12), (happening_turn, 10), (refuse_turn, 9), (harmless_turn, 4), (tool_turn, 24),
    (talk_turn, 8), (scene_turn, 3), (memory_turn, 5), (past_turn, 2), (self_turn, 3), (cannot_turn, 1),
)  # fmt: skip


def make_turn(cast: Cast, block: Block, rng: Random) -> Turn:
    """A turn of random sort that these surroundings allow, as typed or as heard."""
    makers, weights = zip(*_SORTS, strict=True)
    turn: Turn | None = None
    while turn is None:
        turn = rng.choices(makers, weights)[0](cast, block, rng)
    if not turn.noisy:
        if rng.random() < 0.5:
            turn.words = noise.as_heard(turn.words, rng, rng.choice((0, 0, 1, 1, 2)))
            turn.noisy = True
        elif rng.random() < 0.8:
            turn.words += rng.choice(("?", "?", ".", "!"))
    return turn
