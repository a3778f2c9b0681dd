"""The rehearsal: questions to the sample world's characters (rehearsal.yaml): `python -m training.rehearse`.

Retrieval over worlds/lanternport, packing under the starter profile's budgets, intents with their tools, prompt and
grammar are the daemon's. The model's authors know this world, so the figures show that the product works, not how well
the model generalises. With `--ahead` each question is heard word by word, as while a player speaks: then lines that
half a question called for are in the prompt before those that the whole question calls for.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import yaml

from mythicd.character.think.context import TurnContext
from mythicd.config.settings import Settings, load_settings
from mythicd.config.world_files import load_world
from mythicd.dialogue import intent as intents
from mythicd.dialogue import prompt
from mythicd.engines.llm import Prompt, ToolSpec
from mythicd.memory.minilm import MiniLmEmbedder
from mythicd.memory.packing import Scene, pack, within
from mythicd.memory.query import build_query
from mythicd.memory.records import Scope
from mythicd.memory.store import Store
from mythicd.text.token_estimate import estimate_tokens
from training.answer import Answerer
from training.evaluate import DEFAULT_MODEL, line
from training.exam import call_of, goes_on, kind_of, plain

_HOME = Path(__file__).parent
_ROOT = _HOME.parent
_SCOPE = Scope("rehearsal", "lanternport", "player", "first")


@dataclass(frozen=True, slots=True)
class Part:
    """One question to one character."""

    group: str
    npc: str
    words: str
    judge: Callable[[str], bool]


class Stage:
    """The sample world, searched as the daemon searches it."""

    def __init__(self, settings: Settings, folder: Path, *, ahead: bool = False) -> None:
        self._ahead = ahead
        self.spare = 0
        """Lines in prompts that the whole question does not call for."""
        self.world = load_world(_ROOT / "worlds" / "lanternport")
        self._settings = settings
        self._store = Store(folder / "memory.db")
        self._embedder = MiniLmEmbedder(folder / "embedder")
        specs = [tool.spec() for tool in self.world.tools.values()]
        self._front = prompt.world_part(self.world.title, self.world.rules, specs)

    async def open(self) -> None:
        """Load the lore."""
        await self._embedder.start()
        await self._store.open()
        await self._store.sync_lore(_SCOPE, self.world, self._settings.rag, self._embedder)

    async def close(self) -> None:
        """Close the files."""
        await self._store.close()
        await self._embedder.stop()

    async def prompt(self, npc: str, words: str) -> tuple[Prompt, list[ToolSpec]]:
        """Return the prompt of a first turn, and the tools that it offers."""
        card, rag = self.world.characters[npc], self._settings.rag
        found = await self._find(npc, words)
        if self._ahead:
            plain, found = found, await self._look_ahead(npc, words, found)
            self.spare += len(found.sections.lore) - len(plain.sections.lore)
        persona = within(card.persona_lines(), rag.budgets.persona, estimate_tokens)
        character = prompt.character_part(card.name, card.archetype, card.manner, persona)
        offered = [tool.spec() for tool in found.tools.values()]
        return prompt.build(self._front, character, (), words, found.sections), offered

    async def _look_ahead(self, npc: str, words: str, whole: TurnContext) -> TurnContext:
        """Return the lore found for the words, after what was found for the first of them."""
        spoken = words.split()
        ahead: TurnContext | None = None
        for number in range(1, len(spoken)):
            found = await self._find(npc, " ".join(spoken[:number]))
            if ahead is not None and found.is_telling:
                ahead = ahead.joined(found)
            elif found.is_telling:
                ahead = found
        return whole if ahead is None else ahead.joined(whole)

    async def _find(self, npc: str, words: str) -> TurnContext:
        card, rag = self.world.characters[npc], self._settings.rag
        intent = intents.classify(words)
        query = build_query(words, previous="", intent=intent, scene_tags=(card.zone,))
        vector = (await self._embedder.embed([query.text]))[0]
        lore = (
            await self._store.search_lore(_SCOPE, (card.zone,), query, vector, rag)
            if intents.channels(intent).lore
            else []
        )
        around = Scene(zone=card.zone.replace("_", " "))
        packed = pack(words, lore, [], around, rag.budgets, estimate_tokens)
        sections = prompt.Sections(packed.lore, packed.recent, packed.scene)
        return TurnContext(sections, {tool.name: tool for tool in intents.tools_for(intent, self.world.tools)})


def parts(stage: Stage) -> Iterator[Part]:
    """Yield every question to every character that it is for."""
    asks: dict[str, Any] = yaml.safe_load((_HOME / "rehearsal.yaml").read_text("utf-8"))
    for npc, card in stage.world.characters.items():
        for number, place in enumerate(asks["places"]):
            for way in (asks["ways"][number % len(asks["ways"])], asks["ways"][(number + 2) % len(asks["ways"])]):
                yield Part("the way to a place", npc, way.format(place=place), _calls("set_waypoint", place))
        for tool, requests in asks["requests"].items():
            for words in requests:
                yield Part("other requests", npc, words, _calls(tool, ""))
        for fact in asks["facts"]:
            if fact["zone"] in ("", card.zone):
                yield Part("facts", npc, fact["ask"], _says(fact["gold"]))
        for words in asks["unknown"]:
            yield Part("don't know", npc, words, lambda reply: kind_of(reply) == "unknown")
        for item in asks["self"]:
            if item["npc"] == npc:
                yield Part("the character herself", npc, item["ask"], _says(item["gold"]))
        for item in asks["refuse"]:
            if item["npc"] == npc:
                yield Part("refuse", npc, item["ask"], lambda reply: kind_of(reply) == "refused")


def _calls(tool: str, target: str) -> Callable[[str], bool]:
    def judge(reply: str) -> bool:
        call = call_of(reply)
        said = plain(" ".join(str(value) for value in call["arguments"].values())) if call else ""
        return call is not None and call["name"] == tool and target.removeprefix("the ") in said

    return judge


def _says(gold: str) -> Callable[[str], bool]:
    return lambda reply: "<tool_call>" not in reply and any(value in plain(reply) for value in gold.split("|"))


async def rehearse(model: Path, persona: int | None, verbose: bool, ahead: bool) -> None:
    """Ask all questions and print the table."""
    settings = load_settings(_ROOT / "profiles" / "starter.yaml")
    if persona is not None:
        budgets = msgspec.structs.replace(settings.rag.budgets, persona=persona)
        rag = msgspec.structs.replace(settings.rag, budgets=budgets)
        settings = msgspec.structs.replace(settings, rag=rag)
    answerer = Answerer(model)
    counted: dict[str, Counter[bool]] = {}
    longest = 0
    with TemporaryDirectory() as folder:
        stage = Stage(settings, Path(folder), ahead=ahead)
        await stage.open()
        for part in parts(stage):
            built, tools = await stage.prompt(part.npc, part.words)
            reply = answerer.reply(built, tools)
            longest = max(longest, len(answerer.tokens(reply)))
            right = part.judge(reply)
            counted.setdefault(part.group, Counter())[right] += 1
            if "<tool_call>" in reply:
                counted.setdefault("calls followed by speech", Counter())[goes_on(reply)] += 1
            if verbose or not right:
                print(f"[{part.group}: {'right' if right else 'wrong'}] {part.npc}: {part.words}\n    {reply}")
        await stage.close()
    answerer.close()
    for group, verdicts in counted.items():
        print(line(group, verdicts[True], verdicts.total()))
    print(f"longest reply: {longest} tokens")
    if ahead:
        print(f"lines that nobody asked for in the end: {stage.spare}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--persona", type=int, help="tokens of the persona section, instead of the profile's")
    parser.add_argument("--verbose", action="store_true", help="print right replies too")
    parser.add_argument("--ahead", action="store_true", help="hear each question word by word")
    options = parser.parse_args()
    asyncio.run(rehearse(options.model, options.persona, options.verbose, options.ahead))


if __name__ == "__main__":
    main()
