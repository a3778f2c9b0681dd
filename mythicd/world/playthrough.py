"""One playthrough: its characters, its scenes, and the routing of the client's messages to them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mythicd.aec.canceller import EchoCanceller
from mythicd.audio.pcm import SAMPLE_BYTES
from mythicd.character.character import Character
from mythicd.character.mailbox import MicFrame
from mythicd.character.routing import Intercom
from mythicd.character.speak.voice_stream import Outlet
from mythicd.config.settings import Settings
from mythicd.config.world_files import PersonaCard, Thing, ToolDefinition
from mythicd.dialogue.truecasing import Names
from mythicd.engines.tts import VoiceSpec
from mythicd.errors import BadMessage, UnknownNpc, UnknownStream
from mythicd.memory.records import Scope
from mythicd.wire import frames
from mythicd.wire import messages as m
from mythicd.world.echo_tap import OwnVoice
from mythicd.world.visibility import View

if TYPE_CHECKING:
    from mythicd.world.live_world import House


class Stage:
    """One playthrough: what its characters need to know of the world around them (npc.Surroundings)."""

    def __init__(self, house: House, scope: Scope, outlet: Outlet) -> None:
        self.scope = scope
        self.echo: EchoCanceller | None = EchoCanceller()
        self.outlet: Outlet = OwnVoice(outlet, self.echo.loudspeaker)
        self._house = house
        self._characters: dict[str, Character] = {}
        self._scenes: dict[str, m.SceneUpdate] = {}
        self._view = View(scope.player)
        self._mics: dict[int, str] = {}
        """Which character each microphone stream speaks to."""
        self._intercom = Intercom()
        self._cards: dict[str, PersonaCard] = {}
        """The cards of those who live, as they last were."""
        self._closed = False
        self.welcomed = False

    # --- what characters ask -----------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The daemon's settings."""
        return self._house.settings

    @property
    def things(self) -> Mapping[str, Mapping[str, Thing]]:
        """What tools can be pointed at."""
        return self._house.world.things

    @property
    def tools(self) -> Mapping[str, ToolDefinition]:
        """The world's tools."""
        return self._house.world.tools

    def card(self, npc_id: str) -> PersonaCard:
        """A character's card, as it is now; one that an edit took away keeps its last. Raises UnknownNpc."""
        card = self._house.world.characters.get(npc_id, self._cards.get(npc_id))
        if card is None:
            known = ", ".join(self._house.world.characters)
            raise UnknownNpc(
                f"There is no character {npc_id!r} in {self._house.world.title}.", remedy=f"Known: {known}."
            )
        self._cards[npc_id] = card
        return card

    def voice(self, npc_id: str) -> VoiceSpec:
        """A character's voice."""
        return self._house.voice(self.card(npc_id))

    def world_part(self) -> str:
        """The front of every character's prompt."""
        return self._house.world_part()

    @property
    def names(self) -> Names:
        """How the world's names are written."""
        return self._house.names

    @property
    def edition(self) -> object:
        """The same object until the world's files change."""
        return self._house.world

    @property
    def name_beginnings(self) -> frozenset[str]:
        """What begins the longer ones among its people's names."""
        return self._house.name_beginnings

    def zone(self, npc_id: str) -> str:
        """Where a character is: as the last scene says, else where its card puts it."""
        scene = self._scenes.get(npc_id)
        return (scene.zone if scene else "") or self.card(npc_id).zone

    def scene(self, npc_id: str) -> m.SceneUpdate | None:
        """What is around a character, if the game has said so."""
        return self._scenes.get(npc_id)

    def present(self, npc_id: str) -> tuple[str, ...]:
        """Who hears what is said to and by a character: itself, and whoever the player attends to in its zone."""
        zone = self.zone(npc_id)
        near = [other for other in self._view.attended if other != npc_id and zone and self.zone(other) == zone]
        return (npc_id, *near)

    async def refresh(self) -> None:
        """Take in edited world files."""
        await self._house.refresh(self.scope)

    # --- what the client sends ---------------------------------------------------------------------------------------

    async def receive(self, message: m.ClientMessage) -> None:
        """Pass a message on to whom it concerns. Raises MythicError."""
        if self._closed:
            return  # another client took this one's place; its connection is being closed
        match message:
            case m.MicStart():
                npc_id = message.npc_id or self._view.latest
                if npc_id is None:
                    raise BadMessage(
                        "MicStart names no character, and none is attended to.", remedy="Set npc_id, or send Attend."
                    )
                character = self._character(npc_id)
                self._mics[message.stream] = npc_id
                character.post(message)
            case m.MicStop():
                self._character(self._mic(message.stream)).post(message)
                del self._mics[message.stream]
            case m.AudioChunk():
                if len(message.pcm) % SAMPLE_BYTES:
                    raise BadMessage("AudioChunk: pcm is no whole number of 16-bit samples.", remedy="Send s16le mono.")
                now = asyncio.get_running_loop().time()
                self._hear(self._mic(message.stream), MicFrame(message.stream, message.pcm, now))
            case m.TextInput():
                self._character(message.npc_id).post(message)
            case m.Attend():
                self._character(message.npc_id)
                self._show(self._view.attend(message.npc_id, message.attending))
            case m.SceneUpdate():
                self.card(message.npc_id)
                self._scenes[message.npc_id] = message
                self._show(self._view.scene(message.npc_id, (thing.id for thing in message.objects)))
            case m.PlaybackStarted() | m.Playhead() | m.PlaybackStopped():
                self._follow_playback(message)
                speaker = self._intercom.speaker(message.stream)
                if speaker is None:
                    raise UnknownStream(
                        f"{type(message).__name__} names voice stream {message.stream}, which never was.",
                        remedy="Use the stream of a StreamStart.",
                    )
                self._character(speaker).post(message)
            case m.Ack():
                caller = self._intercom.caller(message.call_id)
                if caller is not None:  # an Ack that comes twice, or after the wait, is not an error
                    self._character(caller).post(message)
            case m.Hello():
                raise AssertionError("the session lets only one Hello through")

    def receive_frame(self, frame: frames.Frame, arrived_s: float) -> None:
        """Pass microphone audio on; its stream may be gone by now, and then it is dropped."""
        npc_id = self._mics.get(frame.stream)
        if npc_id is not None and not self._closed:
            self._hear(npc_id, MicFrame(frame.stream, frame.payload, arrived_s, frame.timestamp))

    async def close(self) -> None:
        """Everybody falls silent, and nobody comes to life any more."""
        self._closed = True
        await asyncio.gather(*(character.close() for character in self._characters.values()))

    def _hear(self, npc_id: str, frame: MicFrame) -> None:
        if self.echo is not None:
            self.echo.loudspeaker.arrived(len(frame.pcm) // SAMPLE_BYTES)
        self._character(npc_id).post(frame)

    def _follow_playback(self, message: m.PlaybackStarted | m.Playhead | m.PlaybackStopped) -> None:
        """Lay what sounds at the player's on the clock of the microphone beside it."""
        if self.echo is None:
            return
        loudspeaker = self.echo.loudspeaker
        match message:
            case m.PlaybackStarted():
                loudspeaker.played(message.stream, 0)
            case m.Playhead():
                loudspeaker.played(message.stream, message.played_samples, message.mic_samples)
            case m.PlaybackStopped():
                loudspeaker.stopped(message.stream, message.played_samples)

    def _show(self, changes: Mapping[str, bool]) -> None:
        """Tell characters that they are in view, or out of it; what else is near is no character."""
        for npc_id, in_view in changes.items():
            if npc_id in self._characters or (in_view and npc_id in self._house.world.characters):
                self._character(npc_id).post(m.Attend(npc_id=npc_id, attending=in_view))

    def _mic(self, stream: int) -> str:
        try:
            return self._mics[stream]
        except KeyError:
            raise UnknownStream(
                f"Microphone stream {stream} speaks to nobody.", remedy="Its MicStart was refused; send another."
            ) from None

    def _character(self, npc_id: str) -> Character:
        """Return a character, brought to life on first use. Raises UnknownNpc."""
        self.card(npc_id)
        if npc_id not in self._characters:
            character = Character(npc_id, self, self._house.rooms, self.outlet, self._intercom)
            self._characters[npc_id] = character
            character.start()
        return self._characters[npc_id]
