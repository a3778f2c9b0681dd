"""All characters of a playthrough together: who is there, what is around, and who hears whom.

House     the one world that the daemon serves, its engines, and a Stage for each playthrough that is connected
Stage     one playthrough: its characters, its scene, and the way of the client's messages to them
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from mythicd import __version__
from mythicd.audio.pcm import MIC_RATE
from mythicd.character.environment import Rooms
from mythicd.character.speak.voice_stream import Outlet
from mythicd.config.settings import Settings
from mythicd.config.world_files import PersonaCard, World
from mythicd.dialogue import prompt
from mythicd.dialogue.end_of_turn import name_beginnings
from mythicd.dialogue.truecasing import Names
from mythicd.engines.llm import Prompt
from mythicd.engines.tts import VoiceSpec
from mythicd.errors import ConfigError, MythicError
from mythicd.memory.records import Scope
from mythicd.wire import codec
from mythicd.wire import messages as m
from mythicd.world.hot_reload import Library
from mythicd.world.playthrough import Stage

log = logging.getLogger(__name__)

DEFAULT_VOICE = VoiceSpec("default", "en-us")
CLOSE_TAKEN_OVER = 4409
"""WebSocket close code for a client in whose place another one came."""
HOUSE_SCOPE = Scope("mythicd", "house", "", "")
"""Whose lore is embedded when the daemon starts, before any game has said who it is."""
RULES_ID = "(rules)"
"""As whom the model reads the world's rules, before anybody is there."""
LORE_PATIENCE_S = 1.5
"""How long a turn waits for the vectors of lore that is new; a world of a hundred lines needs one second."""
MAX_SYNCED = 256
"""Games and worlds whose stored lore is known to be up to date; of more, the oldest are looked at again."""


class House:
    """The daemon's world, with its engines and everybody who is connected."""

    def __init__(self, library: Library, rooms: Rooms, settings: Settings, *, notices: list[str]) -> None:
        self.library = library
        self.rooms = rooms
        self.settings = settings
        self._notices = notices
        self._broken: str | None = None
        self._stages: dict[Scope, Stage] = {}
        self._warm = False
        self._heard: World | None = None
        """The world whose words the recogniser knows."""
        self._names: tuple[World, Names, frozenset[str]] | None = None
        self._looking = asyncio.Lock()
        self._synced: dict[tuple[str, str], World] = {}
        """What the lore in the store was made of, by game and world."""
        self._unlearnt: dict[tuple[str, str], tuple[Scope, asyncio.Event]] = {}
        """Whose lore still waits for vectors, and what tells that it has them."""
        self._learning: asyncio.Task[None] | None = None
        self._closing: dict[asyncio.Task[None], Scope] = {}
        """Stages that are being left; owned here, so that a connection's end cannot cut off what they write down."""

    @property
    def world(self) -> World:
        """The world as it is now."""
        return self.library.world

    def status(self) -> m.Status:
        """How the daemon is doing."""
        broken = [self._broken] if self._broken else []
        server = self.settings.llm.server
        return m.Status(
            ready=self._warm,
            notices=(*self._notices, *self.world.notices, *broken),
            asr=self.settings.asr.engine,
            llm=server.model or server.url or Path(self.settings.gpu.llm_model).name,
            tts=self.settings.tts.backend,
            embedder="" if self.rooms.embedder is None else self.settings.rag.embedder,
        )

    async def warm(self) -> None:
        """Teach the engines this world, and have each voice say a word, so that the first turn is no slower."""
        # Lore is embedded once, here; games that come later borrow the vectors (memory/vectors.py).
        rooms, rag = self.rooms, self.settings.rag
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(rooms.asr.learn(self.world.vocabulary()))
            tasks.create_task(rooms.store.sync_lore(HOUSE_SCOPE, self.world, rag, rooms.embedder))
        self._heard = self.world
        for card in self.world.characters.values():
            await self.rooms.tts.prepare(self.voice(card))
        # The front of everybody's prompt: it stays with the model when this owner is forgotten.
        await rooms.llm.attend(RULES_ID, Prompt(self.world_part(), ""))
        await rooms.llm.forget(RULES_ID)
        self._warm = True

    async def refresh(self, scope: Scope) -> None:
        """Take in edited files before a turn, and give their vectors a moment to be made: without them a question is
        only found an answer that has its words. Raises StoreError."""
        await self._sync(scope)
        waiting = self._unlearnt.get((scope.game, scope.world))
        if waiting is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LORE_PATIENCE_S):
                    await waiting[1].wait()

    async def _sync(self, scope: Scope) -> None:
        """Make the text in memory equal to the files'. Vectors and hearing follow in a task of their own."""
        changed = await self._look()
        key, world = (scope.game, scope.world), self.world
        if self._synced.get(key) is not world:
            await self.rooms.store.sync_lore(scope, world, self.settings.rag)
            self._synced[key] = world
            if len(self._synced) > MAX_SYNCED:
                del self._synced[next(iter(self._synced))]
            if self.rooms.embedder is not None:
                self._unlearnt.setdefault(key, (scope, asyncio.Event()))
        if (changed or self._unlearnt) and (self._learning is None or self._learning.done()):
            self._learning = asyncio.create_task(self._learn(), name="house learns")

    async def _look(self) -> bool:
        """Read the world's files if one changed, in a thread: a slow disk must not hold up a voice."""
        async with self._looking:
            try:
                changed = await asyncio.to_thread(self.library.refresh)
            except ConfigError as error:
                self._broken = str(error)
                log.warning("a world file is broken, the old one stays: %s", error)
                self._tell()
                return False
            if changed:
                self._broken = None
                self._tell()
            return changed

    async def _learn(self) -> None:
        """Make hearing and the vectors of memory agree with the world, until they do."""
        try:
            while self._unlearnt or self._heard is not self.world:
                if not self._unlearnt:
                    world = self.world
                    await self.rooms.asr.learn(world.vocabulary())
                    self._heard = world
                else:
                    key, (scope, embedded) = next(iter(self._unlearnt.items()))
                    world = self._synced.get(key, self.world)
                    await self.rooms.store.sync_lore(scope, world, self.settings.rag, self.rooms.embedder)
                    if self._synced.get(key) in (world, None):
                        del self._unlearnt[key]
                        embedded.set()
        except MythicError as error:
            log.warning("the world could not be learnt by heart: %s", error)
        except Exception:
            log.exception("the world could not be learnt by heart")
        finally:
            # What failed is tried again when the files change, not before every turn.
            for _, embedded in self._unlearnt.values():
                embedded.set()
            self._unlearnt.clear()

    def world_part(self) -> str:
        """The front of every character's prompt."""
        world = self.world
        # A server that takes tools beside the prompt has a form of its own for calls.
        inline = self.rooms.llm.abilities.places_calls
        tools = [tool.spec() for tool in world.tools.values()] if inline else []
        return prompt.world_part(world.title, world.rules, tools)

    @property
    def names(self) -> Names:
        """How the world's names are written."""
        return self._known_names()[1]

    @property
    def name_beginnings(self) -> frozenset[str]:
        """What begins the longer ones among its people's names."""
        return self._known_names()[2]

    def _known_names(self) -> tuple[World, Names, frozenset[str]]:
        """Return what is known of the names, learnt anew when the world is another."""
        world = self.world
        if self._names is None or self._names[0] is not world:
            heard = world.vocabulary()
            cards = [line for card in world.characters.values() for line in card.persona_lines()]
            given = (*heard.people, *heard.places, *heard.items)
            names = Names([*heard.lines, *cards, *world.rules], given)
            self._names = (world, names, name_beginnings(heard.people))
        return self._names

    def voice(self, card: PersonaCard) -> VoiceSpec:
        """The voice of a character."""
        return self.world.voices.get(card.voice_id, DEFAULT_VOICE)

    async def enter(self, hello: m.Hello, outlet: Outlet, instance_id: str) -> Stage:
        """Let a client in. One that greets with the same four ids as another takes its place: it came back."""
        scope = Scope(hello.game, hello.world, hello.player, hello.playthrough)
        before = self._stages.get(scope)
        stage = self._stages[scope] = Stage(self, scope, outlet)
        try:
            if before is not None:
                self._begin_to_close(before)
            # What the old characters heard is written down before the new ones are asked what they remember.
            if closing := [task for task, whose in self._closing.items() if whose == scope]:
                await asyncio.wait(closing)
            if before is not None:
                before.outlet.close(CLOSE_TAKEN_OVER, "another client took this one's place")
            await self._welcome(stage, instance_id)
        except BaseException:
            await self.leave(stage)
            raise
        return stage

    async def _welcome(self, stage: Stage, instance_id: str) -> None:
        stage.outlet.send(
            m.Welcome(
                instance_id=instance_id,
                version=__version__,
                profile=self.settings.profile,
                mic_rate=MIC_RATE,
                voice_rate=self.rooms.tts.sample_rate,
                characters=tuple(
                    m.CharacterInfo(npc_id=npc_id, name=card.name, zone=card.zone)
                    for npc_id, card in self.world.characters.items()
                ),
            )
        )
        stage.outlet.send(self.status())
        stage.welcomed = True
        try:
            await self._sync(stage.scope)
        except MythicError as error:  # without its lore the world is poorer, not shut
            stage.outlet.send(codec.describe(error))

    async def leave(self, stage: Stage) -> None:
        """A client is gone."""
        if self._stages.get(stage.scope) is stage:
            del self._stages[stage.scope]
        await self._close(stage)

    async def close(self) -> None:
        """Everybody leaves."""
        stages, self._stages = list(self._stages.values()), {}
        for stage in stages:
            self._begin_to_close(stage)
        if self._closing:
            await asyncio.wait(self._closing)
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)

    def _begin_to_close(self, stage: Stage) -> asyncio.Task[None]:
        closing = asyncio.create_task(stage.close(), name="stage closes")
        self._closing[closing] = stage.scope
        closing.add_done_callback(self._closing.pop)
        return closing

    async def _close(self, stage: Stage) -> None:
        await asyncio.shield(self._begin_to_close(stage))

    def _tell(self) -> None:
        for stage in self._stages.values():
            if stage.welcomed:  # Welcome comes first
                stage.outlet.send(self.status())
