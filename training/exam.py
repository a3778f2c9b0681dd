"""Exam questions over a set of worlds (worlds/*.yaml), as prompts with a verdict on each reply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from random import Random
from typing import Any, Literal

import yaml

from mythicd.dialogue.prompt import Sections, build, character_part, world_part
from mythicd.engines.llm import Prompt, ToolSpec
from training.corpus import facts, noise
from training.corpus.ask_lore import fact_turn, is_ambiguous
from training.corpus.ask_tools import bare
from training.corpus.block import Block, Line, base_class
from training.corpus.cast import Cast, tones, tool_data
from training.corpus.expand import alternatives, fill
from training.corpus.facts import Fact
from training.corpus.names import Entity
from training.corpus.topics import forbidden_question, make_forbidden

Verdict = Literal["right", "wrong", "unknown", "refused", "called"]
SETS = ("dev", "sealed", "sealed2")

_UNKNOWN = re.compile(r"(don't|do not) know|no idea|how should i know")
_REFUSED = re.compile(
    r"can't (speak|talk)|not mine to tell|don't ask me|rather not talk|none of your business|won't (talk|tell)|drop it|"
    r"you ask too much|not a word|not at liberty|must not discuss|must remain unsaid|matter is closed|nice try|"
    r"lips are sealed|that's a secret|promised not|something else|must stay unspoken|may not speak|do not ask me|"
    r"silence is my answer"
)
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)

TOOLS = (
    ToolSpec("set_waypoint", "show the player the way to a place", {"place": "name of a place"}),
    ToolSpec("give_item", "hand the player an item", {"item": "name of an item"}),
    ToolSpec("open_dialog", "open a window such as the shop", {"dialog": "name of a dialog"}),
    ToolSpec("play_emote", "make a gesture", {"emote": "name of an emote"}),
    ToolSpec("set_focus", "look at someone or something", {"target": "name of a person or thing"}),
    ToolSpec("set_marker", "put a marker on the map", {"place": "name of a place"}),
)
_CONCEPT_OF = dict(zip((tool.name for tool in TOOLS), ("way", "give", "dialog", "emote", "focus", "mark"), strict=True))


def with_schema(tool: ToolSpec) -> ToolSpec:
    """Return the tool, with its arguments as a JSON Schema of strings."""
    properties = {name: {"type": "string", "description": text} for name, text in tool.parameters.items()}
    return replace(
        tool,
        parameters={
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    )


TOOL_SPECS = [with_schema(tool) for tool in TOOLS]


@dataclass(frozen=True, slots=True)
class Question:
    """One exam question."""

    group: str
    prompt: Prompt
    judge: Callable[[str], Verdict]
    words: str
    wanted: str
    """The correct reply, for the reader."""


def plain(text: str) -> str:
    """Return text in lower case, with uniform apostrophes and spaces."""
    return " ".join(text.lower().replace("’", "'").split())


def kind_of(reply: str) -> Verdict:
    """Return the sort of a reply, independent of the question."""
    if "<tool_call>" in reply:
        return "called"
    if _REFUSED.search(plain(reply)):
        return "refused"
    return "unknown" if _UNKNOWN.search(plain(reply)) else "wrong"


def _contains(gold: list[str], everything: bool = False) -> Callable[[str], Verdict]:
    def judge(reply: str) -> Verdict:
        kind = kind_of(reply)
        test = all if everything else any
        found = test(plain(value) in plain(reply) for value in gold) if gold else kind == "wrong"
        return "right" if found and kind == "wrong" else kind

    return judge


def _is(kind: Verdict) -> Callable[[str], Verdict]:
    return lambda reply: "right" if kind_of(reply) == kind else kind_of(reply)


def _speaks(reply: str) -> Verdict:
    return "right" if reply and kind_of(reply) == "wrong" else kind_of(reply)


def _does_not_call(reply: str) -> Verdict:
    return "called" if "<tool_call>" in reply else "right"


def call_of(reply: str) -> dict[str, Any] | None:
    """Return the reply's tool call; None if there is none, or if it is not valid JSON of the known form."""
    found = _CALL.search(reply)
    if found is None:
        return None
    try:
        call = json.loads(found[1])
    except json.JSONDecodeError:
        return None
    ok = isinstance(call, dict) and isinstance(call.get("arguments"), dict) and isinstance(call.get("name"), str)
    return call if ok else None


def goes_on(reply: str) -> bool:
    """Return whether there is speech after the reply's last tool call."""
    return bool(reply.rpartition("</tool_call>")[2].strip())


def _calls(tool: str, target: str) -> Callable[[str], Verdict]:
    def judge(reply: str) -> Verdict:
        call = call_of(reply)
        if call is None or call["name"] != tool:
            return "wrong" if call else kind_of(reply)
        values = [plain(str(value)) for value in call["arguments"].values()]
        return "right" if len(values) == 1 and bare(values[0]) == bare(plain(target)) else "wrong"

    return judge


def load_worlds(name: str) -> dict[str, Any]:
    """Return a set's YAML."""
    data: dict[str, Any] = yaml.safe_load(files("training").joinpath("worlds", f"{name}.yaml").read_text("utf-8"))
    return data


class Examiner:
    """The questions of one set."""

    def __init__(self, name: str, seed: int = 1) -> None:
        self._data = load_worlds(name)
        self._rng = Random(f"{name}:{seed}")

    def questions(self) -> Iterator[Question]:
        """Return all groups."""
        for world in self._data["worlds"]:
            yield from self._written(world)
        for group, count, make in (
            ("fact, trained kinds", 60, self._trained_fact),
            ("don't know, trained kinds", 40, self._trained_unknown),
            ("refuse, trained kinds", 30, self._trained_refusal),
            ("tool, trained kinds", 48, self._trained_tool),
        ):
            for number in range(count):
                yield from make(group, self._data["worlds"][number % len(self._data["worlds"])])

    # --- hand-written questions ------------------------------------------------------------------------------------

    def _written(self, world: Mapping[str, Any]) -> Iterator[Question]:
        lore: dict[str, str] = world["lore"]
        for item in world["facts"]:
            shown = self._surround(lore, [item["line"]], item["ask"])
            judge = _contains(item["gold"])
            yield self._ask("fact, paraphrased", world, item["ask"], shown, judge, lore[item["line"]])
            heard = noise.as_heard(item["ask"], self._rng, 1)
            yield self._ask("fact, paraphrased, misheard", world, heard, shown, judge, lore[item["line"]])
        for item in world["unknown"]:
            shown = [lore[key] for key in item["near"]]
            self._rng.shuffle(shown)
            yield self._ask("don't know, paraphrased", world, item["ask"], shown, _is("unknown"), "don't know")
        for ask in world["refuse"]:
            shown = self._surround(lore, [], ask)
            yield self._ask("refuse, paraphrased", world, ask, shown, _is("refused"), "a refusal")
        for item in world["harmless"]:
            shown = self._surround(lore, [item["line"]], item["ask"])
            judge = (
                (lambda reply: "refused" if kind_of(reply) == "refused" else "right")
                if item.get("talk")
                else _contains(item["gold"])
            )
            yield self._ask("harmless near forbidden", world, item["ask"], shown, judge, lore[item["line"]])
        for item in world["tools"]:
            shown = self._surround(lore, [], item["ask"])
            judge = _calls(item["tool"], item["target"])
            yield self._ask("tool, paraphrased", world, item["ask"], shown, judge, f"{item['tool']}({item['target']})")
        for ask in world["untool"]:
            yield self._ask("no tool wanted", world, ask, self._surround(lore, [], ask), _does_not_call, "no call")
        for item in world["talk"]:
            judge = _speaks if item.get("any") else _contains(item["gold"])
            shown = self._surround(lore, [], item["ask"])[:2]
            yield self._ask("small talk, self, scene", world, item["ask"], shown, judge, str(item.get("gold", "talk")))

    def _surround(self, lore: Mapping[str, str], wanted: list[str], ask: str) -> list[str]:
        """Return the wanted lines among others, first those that share words with the question; 2 to 6 in all."""
        words = set(plain(ask).split())
        others = [key for key in lore if key not in wanted]
        self._rng.shuffle(others)
        others.sort(key=lambda key: -len(words & set(plain(lore[key]).split())))
        keys = wanted + others[: self._rng.randint(1, 5)]
        self._rng.shuffle(keys)
        return [lore[key] for key in keys]

    # --- the generator's wordings over held-out names and values ----------------------------------------------------

    def _entity(self, cls: str) -> Entity | None:
        names = self._data["names"].get(base_class(cls))
        return Entity(self._rng.choice(names)) if names else None

    def _fact(self, kind: facts.Kind | None = None, keep: dict[str, Entity] | None = None) -> Fact:
        kind = kind or self._rng.choice(list(facts.kinds().values()))
        fixed = {slot: entity for slot, cls in kind.slots.items() if (entity := self._entity(cls))}
        return facts.make_fact(kind, self._rng, fixed | (keep or {}))

    def _some_lore(self, count: int) -> Block:
        block = Block()
        known = [self._fact()]
        while len(known) < count:
            model = self._rng.choice(known)
            if self._rng.random() < 0.5:
                known.append(self._fact(model.kind))
                continue
            slot = self._rng.choice(list(model.values))
            kind, where = self._rng.choice(facts.kinds_about(base_class(model.kind.slots[slot])))
            known.append(self._fact(kind, {where: model.values[slot]}))
        block.lore = [Line([fact.sentence], [fact]) for fact in known]
        return block

    def _trained_fact(self, group: str, world: Mapping[str, Any]) -> Iterator[Question]:
        cast = _quiet_cast(world)
        while True:
            block = self._some_lore(self._rng.randint(2, 6))
            turn = fact_turn(cast, block, self._rng)
            if turn is not None:
                break
        told = next(fact for _, fact in block.facts() if fact.sentence == turn.gold)
        asked = [value.full for value in told.values.values() if bare(value.full) not in turn.words]
        judge = _contains([bare(value) for value in asked] or [turn.gold], everything=True)
        shown = [line.sentences[0] for line in block.lore]
        yield self._ask(group, world, turn.words, shown, judge, turn.gold)
        heard = noise.as_heard(turn.words, self._rng, 1)
        yield self._ask(f"{group}, misheard", world, heard, shown, judge, turn.gold)

    def _trained_unknown(self, group: str, world: Mapping[str, Any]) -> Iterator[Question]:
        while True:
            block = self._some_lore(self._rng.randint(1, 5))
            model = self._rng.choice(block.facts())[1]
            if self._rng.random() < 0.5:
                asked = self._fact(model.kind)
            else:
                slot = next(iter(model.values))
                kind, where = self._rng.choice(facts.kinds_about(base_class(model.kind.slots[slot])))
                asked = self._fact(kind, {where: model.values[slot]})
            wording = facts.pick_wording(asked.kind, self._rng)
            if not is_ambiguous(block, asked, wording, None):
                break
        words = facts.question(wording, asked.values, self._rng)
        shown = [line.sentences[0] for line in block.lore]
        yield self._ask(group, world, words, shown, _is("unknown"), "don't know")

    def _trained_refusal(self, group: str, world: Mapping[str, Any]) -> Iterator[Question]:
        topic = self._rng.choice(self._data["names"]["topic"])
        line, made = make_forbidden(self._rng, Entity(topic))
        changed = {
            **world,
            "character": {**world["character"], "persona": [line, *world["character"]["persona"][-2:]]},
        }
        words = forbidden_question(made, self._rng)
        yield self._ask(group, changed, words, self._surround(world["lore"], [], words), _is("refused"), "a refusal")

    def _trained_tool(self, group: str, world: Mapping[str, Any]) -> Iterator[Question]:
        tool = self._rng.choice(TOOLS)
        data = tool_data()[_CONCEPT_OF[tool.name]]
        wanted = data["target"][0]
        if wanted in ("place", "thing"):
            target = self._rng.choice(self._data["names"][wanted])
        elif wanted == "focus":
            target = self._rng.choice(self._data["names"]["person"])
        else:
            target = self._rng.choice(tool_data()[f"{wanted}s"]["values"][0].split(", "))
        words = fill(alternatives(self._rng.choice(data["ask"]), self._rng), {"t": target})
        shown = self._surround(world["lore"], [], words)
        yield self._ask(group, world, words, shown, _calls(tool.name, target), f"{tool.name}({target})")

    def _ask(
        self,
        group: str,
        world: Mapping[str, Any],
        words: str,
        lore: list[str],
        judge: Callable[[str], Verdict],
        wanted: str,
    ) -> Question:
        who = world["character"]
        scene = world["scene"] if group.startswith("small") or self._rng.random() < 0.5 else {}
        prompt = build(
            world_part(world["title"], world["rules"], TOOL_SPECS),
            character_part(who["name"], who["archetype"], who["style"], who["persona"]),
            (),
            words,
            Sections(lore=tuple(lore), scene=scene),
        )
        return Question(group, prompt, judge, words, wanted)


def _quiet_cast(world: Mapping[str, Any]) -> Cast:
    """Return a cast for the generator's turns; its system text is not used."""
    return Cast("", plain(world["character"]["name"]), world["character"]["archetype"], next(iter(tones().values())))
