"""What comes to a character's mind when it is spoken to: intent -> memory -> the sections of this turn's prompt.

It is asked twice or more for each turn: while the player still speaks, so that the model can read ahead, and for the
final words. What of the earlier has been read stays in the prompt, and what later words call for comes behind it
(`Found.joined`): a prompt whose front stays is evaluated once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TypeVar

from mythicd.character.environment import Rooms, Surroundings, estimate_tokens
from mythicd.config.world_files import ToolDefinition
from mythicd.dialogue import intent as intents
from mythicd.dialogue import prompt
from mythicd.dialogue.history import History
from mythicd.errors import MythicError
from mythicd.memory.packing import Nearby, pack
from mythicd.memory.packing import Surroundings as Around
from mythicd.memory.query import build_query
from mythicd.memory.ranking import ScoredLine

T = TypeVar("T")

SPARE_TOKENS = 48
"""Tokens of lines, in each section, that may stay when others are to be read behind them, though the words do not call
for them any more: three or four sentences. Of these a language model must find the right one."""


@dataclass(frozen=True, slots=True)
class Found:
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

    def joined(self, later: Found, spare: int = SPARE_TOKENS) -> Found:
        """Return what later words call for, behind what of this has been read, which then need not be read again.

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
        return Found(mine if sections == mine else sections, later.tools, later.failures, later.edition)


class Recollection:
    """The memory of one character, as its turns use it. Nothing is written here."""

    def __init__(
        self,
        npc_id: str,
        stage: Surroundings,
        rooms: Rooms,
        history: History,
        *,
        failures: Callable[[], tuple[str, ...]],
        wall: Callable[[], float],
    ) -> None:
        """`failures` returns a line for each tool call whose failure was not told yet."""
        self._npc_id = npc_id
        self._stage = stage
        self._rooms = rooms
        self._history = history
        self._failures = failures
        self._wall = wall

    async def embed(self, words: str) -> None:
        """Have the vector of these words ready for `search`."""
        if self._rooms.vectors is not None:
            await self._rooms.vectors.of(build_query(words, previous=self._history.last_words).text)

    async def search(self, words: str, turn_id: str, *, missed: Callable[[MythicError], None] | None = None) -> Found:
        """Search memory for what the player said, and pack what fits.

        Where a part of memory fails, `missed` is told and the rest is searched; without `missed` it is raised.
        """
        stage, rag, edition = self._stage, self._stage.settings.rag, self._stage.edition
        intent = intents.classify(words)
        channels = intents.channels(intent)
        zone = stage.zone(self._npc_id)
        query = build_query(words, previous=self._history.last_words, intent=intent, scene_tags=(zone,))
        vectors, store = self._rooms.vectors, self._rooms.store
        vector = await _or_else(None, vectors.of(query.text), missed) if vectors is not None else None
        lore: list[ScoredLine] = []
        if channels.lore:
            lore = await _or_else([], store.search_lore(stage.scope, (zone,), query, vector, rag), missed)
        recent: list[ScoredLine] = []
        if channels.recent:
            skip = (turn_id, *self._history.turn_ids)
            searched = store.search_utterances(
                stage.scope, self._npc_id, query, vector, rag, now=self._wall(), skip_turns=skip
            )
            recent = await _or_else([], searched, missed)
        packed = pack(words, lore, recent, self._around(zone, channels.scene), rag.budgets, estimate_tokens)
        failures = self._failures()
        sections = prompt.Sections(packed.lore, (*failures, *packed.recent), packed.scene)
        tools = {tool.name: tool for tool in intents.tools_for(intent, stage.tools)}
        return Found(sections, tools, failures, edition)

    def _around(self, zone: str, wanted: bool) -> Around:
        """Return what is around the character, as the prompt's scene is made of it."""
        scene = self._stage.scene(self._npc_id) if wanted else None
        place = zone.replace("_", " ")
        if scene is None:
            return Around(zone=place)
        nearby = [Nearby(thing.name or thing.id.replace("_", " "), thing.dist) for thing in scene.objects]
        return Around(zone=place, time=scene.time, nearby=nearby)


def _joined(lines: tuple[str, ...], asked: tuple[str, ...], read: tuple[str, ...], spare: int) -> tuple[str, ...]:
    """Return the lines that are asked for, behind those of `lines` that have been read and may stay."""
    if not asked:
        return ()
    front = tuple(takewhile(lines.__contains__, read))  # what is no longer here was given up for a reason
    if set(asked) <= set(front):
        return front  # there is nothing more to read
    kept: list[str] = []
    for line in front:
        spare -= 0 if line in asked else estimate_tokens(line)
        if spare < 0:
            break  # what stands behind it would have to be read again
        kept.append(line)
    rest = [line for line in lines if line in asked and line not in kept]
    return (*kept, *rest, *(line for line in asked if line not in kept and line not in rest))


async def _or_else(otherwise: T, answer: Awaitable[T], missed: Callable[[MythicError], None] | None) -> T:
    """Wait for an answer of memory; where it fails, tell `missed` and go on without."""
    try:
        return await answer
    except MythicError as error:
        if missed is None:
            raise
        missed(error)
        return otherwise
