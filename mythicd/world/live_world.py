"""The live world: the served files, kept in sync with memory and hearing, and what all characters share of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from mythicd.character.environment import Engines
from mythicd.config.settings import Settings
from mythicd.config.world_files import PersonaCard, Thing, ToolDefinition, World
from mythicd.dialogue import prompt
from mythicd.dialogue.end_of_turn import name_beginnings
from mythicd.dialogue.truecasing import NameCasing
from mythicd.engines.llm import Prompt
from mythicd.engines.tts import VoiceSpec
from mythicd.errors import MythicError
from mythicd.memory.records import Scope
from mythicd.wire import messages as m
from mythicd.world.hot_reload import WorldFiles
from mythicd.world.voices import WorldVoices

log = logging.getLogger(__name__)

WARM_UP_SCOPE = Scope("mythicd", "house", "", "")
"""Whose lore is embedded when the daemon starts, before any game has said which it is. A key in players' databases:
its values never change."""
RULES_ID = "(rules)"
"""The name under which the model evaluates the world's rules before any character is there."""
LORE_PATIENCE_S = 1.5
"""How long a turn waits for the vectors of new lore; a world of a hundred lines needs one second."""
MAX_SYNCED = 256
"""Games and worlds whose stored lore is known to be up to date; beyond it, the oldest are checked again."""


class LiveWorld:
    """The world that the daemon serves, with its engines. Implements `WorldView`."""

    def __init__(
        self, files: WorldFiles, engines: Engines, settings: Settings, profile_reason: str = "", *, notices: list[str]
    ) -> None:
        """`profile_reason` tells why the settings are those of this profile, `notices` what is missing."""
        self.files = files
        self.engines = engines
        self.settings = settings
        self._profile_reason = profile_reason
        self._notices = notices
        self._voices = WorldVoices(engines.tts)
        self._is_warm = False
        self._on_change: Callable[[], None] = _ignore
        self._heard: World | None = None
        """The world whose words the recogniser knows."""
        self._names: tuple[World, NameCasing, frozenset[str], tuple[str, ...]] | None = None
        self._reloading = asyncio.Lock()
        self._synced: dict[tuple[str, str], World] = {}
        """What the lore in the store was made of, by game and world."""
        self._unembedded: dict[tuple[str, str], tuple[Scope, asyncio.Event]] = {}
        """Whose lore still waits for vectors, and what tells that it has them."""
        self._learning: asyncio.Task[None] | None = None

    def watch(self, on_change: Callable[[], None]) -> None:
        """Have this called whenever `status` has changed."""
        self._on_change = on_change

    @property
    def world(self) -> World:
        """The world as it is now."""
        return self.files.world

    def status(self) -> m.Status:
        """Return how the daemon is doing."""
        server = self.settings.llm.server
        return m.Status(
            ready=self._is_warm,
            profile=self.settings.profile,
            profile_reason=self._profile_reason,
            world_title=self.world.title,
            notices=(*self._notices, *self.files.notices, *self._voices.notices),
            asr=self.settings.asr.engine,
            llm=server.model or server.url or Path(self.settings.gpu.llm_model).name,
            tts=self.settings.tts.backend,
            embedder="" if self.engines.embedder is None else self.settings.rag.embedder,
        )

    async def warm(self) -> None:
        """Teach the engines this world, and have each voice say a word, so that the first turn is as fast as others."""
        # Lore is embedded once, here; games that come later reuse the vectors (memory/vectors.py).
        engines, rag = self.engines, self.settings.rag
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(engines.asr.learn(self.world.vocabulary()))
            tasks.create_task(engines.store.sync_lore(WARM_UP_SCOPE, self.world, rag, engines.embedder))
        self._heard = self.world
        await self._voices.prepare(self.world)
        # What all prompts begin with stays in the KV cache when this owner is forgotten.
        await engines.llm.attend(RULES_ID, Prompt(self.world_prompt(), ""))
        await engines.llm.forget(RULES_ID)
        self._is_warm = True

    async def refresh(self, scope: Scope) -> None:
        """Read changed files before a turn, and wait at most LORE_PATIENCE_S for their vectors: without vectors only
        lines that share words with the question are found. Raises StoreError."""
        await self.sync(scope)
        waiting = self._unembedded.get((scope.game, scope.world))
        if waiting is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LORE_PATIENCE_S):
                    await waiting[1].wait()

    async def sync(self, scope: Scope) -> None:
        """Make the text in memory equal to the files'. Vectors and hearing follow in the background. Raises
        StoreError."""
        changed = await self._reload()
        key, world = (scope.game, scope.world), self.world
        if self._synced.get(key) is not world:
            await self.engines.store.sync_lore(scope, world, self.settings.rag)
            self._synced[key] = world
            if len(self._synced) > MAX_SYNCED:
                del self._synced[next(iter(self._synced))]
            if self.engines.embedder is not None:
                self._unembedded.setdefault(key, (scope, asyncio.Event()))
        if (changed or self._unembedded) and (self._learning is None or self._learning.done()):
            self._learning = asyncio.create_task(self._learn(), name="live world learns")

    async def settled(self) -> None:
        """Wait until vectors and hearing agree with the files."""
        if self._learning is not None:
            await self._learning

    async def close(self) -> None:
        """Stop learning."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)

    async def _reload(self) -> bool:
        """Read the world's files if one changed, in a thread: a slow disk must not delay a voice."""
        async with self._reloading:
            before = self.files.notices
            changed = await asyncio.to_thread(self.files.refresh)
            for notice in self.files.notices:
                if notice not in before:
                    log.warning("%s", notice)
            if changed or self.files.notices != before:
                self._on_change()
            return changed

    async def _learn(self) -> None:
        """Make hearing and the vectors of memory agree with the world, until they do."""
        try:
            while self._unembedded or self._heard is not self.world:
                if not self._unembedded:
                    world = self.world
                    await self.engines.asr.learn(world.vocabulary())
                    self._heard = world
                    before = self._voices.notices
                    await self._voices.prepare(world)
                    if self._voices.notices != before:
                        self._on_change()
                else:
                    key, (scope, embedded) = next(iter(self._unembedded.items()))
                    world = self._synced.get(key, self.world)
                    await self.engines.store.sync_lore(scope, world, self.settings.rag, self.engines.embedder)
                    if self._synced.get(key) in (world, None):
                        del self._unembedded[key]
                        embedded.set()
        except MythicError as error:
            log.warning("could not embed or learn the changed world: %s", error)
        except Exception:
            log.exception("could not embed or learn the changed world")
        finally:
            # What failed is tried again when the files change, not before every turn.
            for _, embedded in self._unembedded.values():
                embedded.set()
            self._unembedded.clear()

    # --- what characters ask (WorldView) -----------------------------------------------------------------------------

    @property
    def edition(self) -> object:
        """The same object until the world's files change."""
        return self.world

    @property
    def things(self) -> Mapping[str, Mapping[str, Thing]]:
        """What tools can be pointed at, by kind, then id."""
        return self.world.things

    @property
    def tools(self) -> Mapping[str, ToolDefinition]:
        """The world's tools, by name."""
        return self.world.tools

    def world_prompt(self) -> str:
        """Return the part of the prompt that all characters share."""
        world = self.world
        # A server that takes tools beside the prompt has a form of its own for calls.
        inline = self.engines.llm.abilities.places_calls
        tools = [tool.spec() for tool in world.tools.values()] if inline else []
        return prompt.world_part(world.title, world.rules, tools)

    @property
    def people(self) -> tuple[str, ...]:
        """Names and aliases of its people."""
        return self._known_names()[3]

    @property
    def names(self) -> NameCasing:
        """How the world's names are capitalised."""
        return self._known_names()[1]

    @property
    def name_beginnings(self) -> frozenset[str]:
        """First words of its people's longer names."""
        return self._known_names()[2]

    def _known_names(self) -> tuple[World, NameCasing, frozenset[str], tuple[str, ...]]:
        """Return what is known of the names; collected again when the world has changed."""
        world = self.world
        if self._names is None or self._names[0] is not world:
            heard = world.vocabulary()
            cards = [line for card in world.characters.values() for line in card.persona_lines()]
            given = (*heard.people, *heard.places, *heard.items)
            names = NameCasing([*heard.lines, *cards, *world.rules], given)
            self._names = (world, names, name_beginnings(heard.people), heard.people)
        return self._names

    def voice(self, card: PersonaCard) -> VoiceSpec:
        """Return the voice of a character."""
        return self._voices.voice(self.world, card)


def _ignore() -> None:
    pass
