"""One playthrough: its characters and scenes, and the routing of the client's messages to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from mythicd.aec.canceller import EchoCanceller
from mythicd.audio.pcm import SAMPLE_BYTES
from mythicd.character.character import Character
from mythicd.character.environment import CharacterContext, Outlet
from mythicd.character.mailbox import MicFrame
from mythicd.character.routing import Routes
from mythicd.config.world_files import PersonaCard
from mythicd.engines.tts import VoiceSpec
from mythicd.errors import BadMessage, UnknownNpc, UnknownStream
from mythicd.memory.records import Scope
from mythicd.wire import frames
from mythicd.wire import messages as m
from mythicd.world.echo_tap import EchoTap
from mythicd.world.live_world import LiveWorld
from mythicd.world.visibility import Visibility


class Playthrough:
    """The characters of one connected player. Implements `Environment`."""

    def __init__(self, world: LiveWorld, scope: Scope, outlet: Outlet, visemes: m.VisemeSetName = "ovr15") -> None:
        self.scope = scope
        self.visemes: m.VisemeSetName = visemes
        self.echo: EchoCanceller | None = EchoCanceller()
        self.outlet: Outlet = EchoTap(outlet, self.echo.far_end)
        self._world = world
        self._characters: dict[str, Character] = {}
        self._scenes: dict[str, m.SceneUpdate] = {}
        self._visibility = Visibility(scope.player)
        self._mics: dict[int, Character] = {}
        """Which character each microphone stream speaks to."""
        self._routes = Routes()
        self._cards: dict[str, PersonaCard] = {}
        """The last card of each character that was asked for: an edit may remove the character."""
        self._closed = False
        self.welcomed = False

    # --- what characters ask (Environment) ---------------------------------------------------------------------------

    def card(self, npc_id: str) -> PersonaCard:
        """Return a character's card as it is now; one that an edit removed keeps its last. Raises UnknownNpc."""
        card = self._world.world.characters.get(npc_id, self._cards.get(npc_id))
        if card is None:
            known = ", ".join(self._world.world.characters)
            raise UnknownNpc(
                f"There is no character {npc_id!r} in {self._world.world.title}.", remedy=f"Known: {known}."
            )
        self._cards[npc_id] = card
        return card

    def voice(self, npc_id: str) -> VoiceSpec:
        """Return a character's voice."""
        return self._world.voice(self.card(npc_id))

    def in_view(self, npc_id: str) -> bool:
        """Return whether the player sees a character."""
        return self._visibility.sees(npc_id)

    def zone(self, npc_id: str) -> str:
        """Return where a character is: as the last scene says, else where its card puts it."""
        scene = self._scenes.get(npc_id)
        return (scene.zone if scene else "") or self.card(npc_id).zone

    def scene(self, npc_id: str) -> m.SceneUpdate | None:
        """Return what is around a character, if the game has said so."""
        return self._scenes.get(npc_id)

    def present(self, npc_id: str) -> tuple[str, ...]:
        """Return who hears what is said to and by a character: itself, and those in its zone that the player attends
        to."""
        zone = self.zone(npc_id)
        near = [other for other in self._visibility.attended if other != npc_id and zone and self.zone(other) == zone]
        return (npc_id, *near)

    async def refresh(self) -> None:
        """Read changed world files. Raises StoreError."""
        await self._world.refresh(self.scope)

    # --- what the client sends ---------------------------------------------------------------------------------------

    async def receive(self, message: m.ClientMessage) -> None:
        """Pass a message on to the character that it is for. Raises MythicError."""
        if self._closed:
            return  # another client took this one's place; its connection is being closed
        match message:
            case m.MicStart():
                npc_id = message.npc_id or self._visibility.latest
                if npc_id is None:
                    raise BadMessage(
                        "MicStart names no character, and none is attended to.", remedy="Set npc_id, or send Attend."
                    )
                character = self._mics[message.stream] = self._find_or_spawn(npc_id)
                character.post(message)
            case m.MicStop():
                self._listener(message.stream).post(message)
                del self._mics[message.stream]
            case m.AudioChunk():
                if len(message.pcm) % SAMPLE_BYTES:
                    raise BadMessage("AudioChunk: pcm is not a multiple of 2 bytes.", remedy="Send s16le mono.")
                now = asyncio.get_running_loop().time()
                self._pass_on(self._listener(message.stream), MicFrame(message.stream, message.pcm, now))
            case m.TextInput():
                self._find_or_spawn(message.npc_id).post(message)
            case m.Attend():
                self._find_or_spawn(message.npc_id)
                self._show(self._visibility.attend(message.npc_id, message.attending))
            case m.SceneUpdate():
                self.card(message.npc_id)
                self._scenes[message.npc_id] = message
                self._show(self._visibility.scene(message.npc_id, (thing.id for thing in message.objects)))
            case m.PlaybackStarted() | m.Playhead() | m.PlaybackStopped():
                self._update_far_end(message)
                speaker = self._routes.speaker(message.stream)
                if speaker is None:
                    raise UnknownStream(
                        f"{type(message).__name__} refers to unknown voice stream {message.stream}.",
                        remedy="Use the stream of a StreamStart.",
                    )
                self._characters[speaker].post(message)
            case m.Ack():
                caller = self._routes.caller(message.call_id)
                if caller is not None:  # an Ack that comes twice, or after the wait, is not an error
                    self._characters[caller].post(message)
            case m.Hello():
                raise AssertionError("the session lets only one Hello through")

    def receive_frame(self, frame: frames.Frame, arrived_s: float) -> None:
        """Pass microphone audio on; audio of a closed stream is dropped."""
        character = self._mics.get(frame.stream)
        if character is not None and not self._closed:
            self._pass_on(character, MicFrame(frame.stream, frame.payload, arrived_s, frame.timestamp))

    @property
    def characters(self) -> tuple[str, ...]:
        """Ids of the characters that were started."""
        return tuple(self._characters)

    async def close(self) -> None:
        """Stop all characters and refuse new ones."""
        self._closed = True
        await asyncio.gather(*(character.close() for character in self._characters.values()))

    def _pass_on(self, character: Character, frame: MicFrame) -> None:
        if self.echo is not None:
            self.echo.far_end.arrived(len(frame.pcm) // SAMPLE_BYTES)
        character.post(frame)

    def _update_far_end(self, message: m.PlaybackStarted | m.Playhead | m.PlaybackStopped) -> None:
        """Align what the player's loudspeaker plays with the clock of the microphone beside it."""
        if self.echo is None:
            return
        far_end = self.echo.far_end
        match message:
            case m.PlaybackStarted():
                far_end.played(message.stream, 0)
            case m.Playhead():
                far_end.played(message.stream, message.played_samples, message.mic_samples)
            case m.PlaybackStopped():
                far_end.stopped(message.stream, message.played_samples)

    def _show(self, changes: Mapping[str, bool]) -> None:
        """Tell characters that they are in view, or out of it; other ids are those of things."""
        for npc_id, in_view in changes.items():
            if npc_id in self._characters or (in_view and npc_id in self._world.world.characters):
                self._find_or_spawn(npc_id).post(m.Attend(npc_id=npc_id, attending=in_view))

    def _listener(self, stream: int) -> Character:
        """Return the character that a microphone stream speaks to. Raises UnknownStream."""
        try:
            return self._mics[stream]
        except KeyError:
            raise UnknownStream(
                f"Unknown microphone stream {stream}.", remedy="Its MicStart was refused; send another."
            ) from None

    def _find_or_spawn(self, npc_id: str) -> Character:
        """Return a character, started on first use. Raises UnknownNpc."""
        return self._characters.get(npc_id) or self._spawn(npc_id)

    def _spawn(self, npc_id: str) -> Character:
        """Start a character. Raises UnknownNpc."""
        self.card(npc_id)
        world = self._world
        context = CharacterContext(
            npc_id, world, self, world.engines, self.outlet, self._routes, clock=time.monotonic, wall=time.time
        )
        character = self._characters[npc_id] = Character(context)
        character.start()
        return character
