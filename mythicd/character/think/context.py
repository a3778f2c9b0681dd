"""The prompt context of a turn: intent, memory search, packing.

It is built twice or more for each turn: while the player still speaks, so that the model can evaluate it ahead, and for
the final words. What the model has evaluated stays in the prompt, and what later words call for comes after it
(`TurnContext.joined`): a prompt whose beginning stays is evaluated once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TypeVar

from mythicd.character.environment import CharacterContext
from mythicd.character.speak.tool_dispatch import ToolDispatch
from mythicd.config.world_files import ToolDefinition
from mythicd.dialogue import intent as intents
from mythicd.dialogue import prompt
from mythicd.dialogue.history import History
from mythicd.errors import MythicError
from mythicd.memory.packing import Nearby, Scene, pack
from mythicd.memory.query import build_query
from mythicd.memory.ranking import ScoredLine
from mythicd.text.token_estimate import estimate_tokens

T = TypeVar("T")

SPARE_TOKENS = 48
"""Tokens of lines, in each section, that may stay when others are to be read after them, though the words do not call
for them any more: three or four sentences. Of these a language model must find the right one."""


@dataclass(frozen=True, slots=True)
class TurnContext:
    """What was found for some words."""

    sections: prompt.Sections
    tools: Mapping[str, ToolDefinition]
    """Those that are offered for these words."""
    failures: tuple[str, ...] = ()
    """Lines of the sections that tell of tool calls that failed."""
    edition: object = field(default=None, compare=False)
    """The world's files they were found in, by identity."""
    read: prompt.Sections | None = field(default=None, compare=False)
    """What of the sections the model has read already; None for all."""

    @property
    def is_telling(self) -> bool:
        """Whether anything was found that not every turn has."""
        return bool(self.sections.lore or self.sections.recent)

    def joined(self, later: TurnContext, spare: int = SPARE_TOKENS) -> TurnContext:
        """Return what later words call for, after what of this has been read, which then need not be read again.

        What was not read yet, and is not called for any more, goes. Where later words call for nothing, nothing stays:
        a line that does not answer would be taken for an answer. Where more is to be read, at most `spare` tokens of
        lines that are not called for stay before it, in each section.
        """
        mine, theirs = self.sections, later.sections
        same_place = mine.scene.get("zone") == theirs.scene.get("zone")
        # What was told, where she is, or the world itself has changed: then nothing of before stays.
        if self.failures != later.failures or not same_place or self.edition is not later.edition:
            return later
        read = mine if self.read is None else self.read
        lore = _joined(mine.lore, theirs.lore, read.lore, spare)
        recent = _joined(mine.recent, theirs.recent, read.recent if lore == read.lore else (), spare)
        sections = prompt.Sections(
            lore, recent, mine.scene if mine.scene.keys() >= theirs.scene.keys() else theirs.scene
        )
        return TurnContext(mine if sections == mine else sections, later.tools, later.failures, later.edition)


class ContextBuilder:
    """Searches one character's memory for its turns. It writes nothing."""

    def __init__(self, context: CharacterContext, history: History, tools: ToolDispatch) -> None:
        self._context = context
        self._history = history
        self._tools = tools

    async def embed(self, words: str) -> None:
        """Embed these words ahead of `search`."""
        vectors = self._context.engines.vectors
        if vectors is not None:
            await vectors.of(build_query(words, previous=self._history.last_words).text)

    async def search(self, words: str, turn_id: str, *, errors: list[MythicError] | None = None) -> TurnContext:
        """Search memory for what the player said, and pack what fits.

        Where a part of memory fails, its error is added to `errors` and the rest is searched; without `errors` it is
        raised.
        """
        context, environment, world = self._context, self._context.environment, self._context.world
        rag, edition = context.settings.rag, world.edition
        intent = intents.classify(words)
        channels = intents.channels(intent)
        zone = environment.zone(context.npc_id)
        query = build_query(words, previous=self._history.last_words, intent=intent, scene_tags=(zone,))
        vectors, store = context.engines.vectors, context.engines.store
        vector = await _or_else(None, vectors.of(query.text), errors) if vectors is not None else None
        lore: list[ScoredLine] = []
        if channels.lore:
            lore = await _or_else([], store.search_lore(environment.scope, (zone,), query, vector, rag), errors)
        recent: list[ScoredLine] = []
        if channels.recent:
            skip = (turn_id, *self._history.turn_ids)
            searched = store.search_utterances(
                environment.scope, context.npc_id, query, vector, rag, now=context.wall(), skip_turns=skip
            )
            recent = await _or_else([], searched, errors)
        packed = pack(words, lore, recent, self._scene(zone, channels.scene), rag.budgets, estimate_tokens)
        failures = self._tools.untold_failures
        sections = prompt.Sections(packed.lore, (*failures, *packed.recent), packed.scene)
        tools = {tool.name: tool for tool in intents.tools_for(intent, world.tools)}
        return TurnContext(sections, tools, failures, edition)

    def _scene(self, zone: str, wanted: bool) -> Scene:
        """Return what is around the character, as the prompt's scene is made of it."""
        scene = self._context.environment.scene(self._context.npc_id) if wanted else None
        place = zone.replace("_", " ")
        if scene is None:
            return Scene(zone=place)
        nearby = [Nearby(thing.name or thing.id.replace("_", " "), thing.dist) for thing in scene.objects]
        return Scene(zone=place, time=scene.time, nearby=nearby)


def _joined(lines: tuple[str, ...], asked: tuple[str, ...], read: tuple[str, ...], spare: int) -> tuple[str, ...]:
    """Return the lines that are asked for, after those of `lines` that have been read and may stay."""
    if not asked:
        return ()
    front = tuple(takewhile(lines.__contains__, read))  # what is no longer here was given up for a reason
    if set(asked) <= set(front):
        return front  # there is nothing more to read
    kept: list[str] = []
    for line in front:
        spare -= 0 if line in asked else estimate_tokens(line)
        if spare < 0:
            break  # what stands after it would have to be read again
        kept.append(line)
    rest = [line for line in lines if line in asked and line not in kept]
    return (*kept, *rest, *(line for line in asked if line not in kept and line not in rest))


async def _or_else(otherwise: T, answer: Awaitable[T], errors: list[MythicError] | None) -> T:
    """Wait for an answer of memory; where it fails, add its error to `errors` and go on without."""
    try:
        return await answer
    except MythicError as error:
        if errors is None:
            raise
        errors.append(error)
        return otherwise
