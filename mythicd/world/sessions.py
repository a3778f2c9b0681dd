"""Sessions: which clients are connected, each with its playthrough."""

from __future__ import annotations

import asyncio

from mythicd import __version__
from mythicd.audio.pcm import MIC_RATE
from mythicd.character.environment import Outlet
from mythicd.errors import MythicError
from mythicd.memory.records import Scope
from mythicd.wire import codec
from mythicd.wire import messages as m
from mythicd.world.live_world import LiveWorld
from mythicd.world.playthrough import Playthrough

CLOSE_TAKEN_OVER = 4409
"""WebSocket close code for a client that another one with the same ids has replaced."""


class Sessions:
    """The playthroughs of all connected clients."""

    def __init__(self, world: LiveWorld) -> None:
        self.world = world
        self._playthroughs: dict[Scope, Playthrough] = {}
        self._closing: dict[asyncio.Task[None], Scope] = {}
        """Playthroughs that are being closed; owned here, so that the end of a connection does not cut off what they
        still write."""
        world.watch(self._send_status)

    def __len__(self) -> int:
        """Playthroughs that are open or being closed."""
        return len(self._playthroughs) + len(self._closing)

    async def enter(self, hello: m.Hello, outlet: Outlet, instance_id: str) -> Playthrough:
        """Let a client in. One with the same four ids as another replaces it: the game came back."""
        scope = Scope(hello.game, hello.world, hello.player, hello.playthrough)
        before = self._playthroughs.get(scope)
        playthrough = self._playthroughs[scope] = Playthrough(self.world, scope, outlet, hello.visemes)
        try:
            if before is not None:
                self._begin_to_close(before)
            # What the old characters heard is written before the new ones are asked what they remember.
            if closing := [task for task, whose in self._closing.items() if whose == scope]:
                await asyncio.wait(closing)
            if before is not None:
                before.outlet.close(CLOSE_TAKEN_OVER, "another client took this one's place")
            await self._welcome(playthrough, instance_id)
        except BaseException:
            await self.leave(playthrough)
            raise
        return playthrough

    async def _welcome(self, playthrough: Playthrough, instance_id: str) -> None:
        playthrough.outlet.send(
            m.Welcome(
                instance_id=instance_id,
                version=__version__,
                profile=self.world.settings.profile,
                mic_rate=MIC_RATE,
                voice_rate=self.world.engines.tts.sample_rate,
                characters=tuple(
                    m.CharacterInfo(npc_id=npc_id, name=card.name, zone=card.zone)
                    for npc_id, card in self.world.world.characters.items()
                ),
            )
        )
        playthrough.outlet.send(self.world.status())
        playthrough.welcomed = True
        try:
            await self.world.sync(playthrough.scope)
        except MythicError as error:  # without its lore the world is poorer, but can be played
            playthrough.outlet.send(codec.describe(error))

    async def leave(self, playthrough: Playthrough) -> None:
        """A client is gone."""
        if self._playthroughs.get(playthrough.scope) is playthrough:
            del self._playthroughs[playthrough.scope]
        await asyncio.shield(self._begin_to_close(playthrough))

    async def close(self) -> None:
        """Close all sessions."""
        left, self._playthroughs = list(self._playthroughs.values()), {}
        for playthrough in left:
            self._begin_to_close(playthrough)
        if self._closing:
            await asyncio.wait(self._closing)

    def _begin_to_close(self, playthrough: Playthrough) -> asyncio.Task[None]:
        closing = asyncio.create_task(playthrough.close(), name="playthrough closes")
        self._closing[closing] = playthrough.scope
        closing.add_done_callback(self._closing.pop)
        return closing

    def _send_status(self) -> None:
        for playthrough in self._playthroughs.values():
            if playthrough.welcomed:  # Welcome comes first
                playthrough.outlet.send(self.world.status())
