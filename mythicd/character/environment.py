"""What a character is given: its engines, the world it lives in, the playthrough it belongs to, and the client."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mythicd.aec.canceller import EchoCanceller
from mythicd.character.routing import Routes
from mythicd.config.settings import Settings
from mythicd.config.world_files import PersonaCard, Thing, ToolDefinition
from mythicd.dialogue.truecasing import NameCasing
from mythicd.engines.asr import Asr
from mythicd.engines.embedder import Embedder
from mythicd.engines.llm import Llm
from mythicd.engines.tts import Tts, VoiceSpec
from mythicd.engines.vad import Vad
from mythicd.errors import BusyError, MythicError
from mythicd.memory.query_vectors import QueryVectors
from mythicd.memory.records import Scope
from mythicd.memory.store import Store
from mythicd.telemetry.counters import TurnCounters
from mythicd.wire import codec, frames
from mythicd.wire import messages as m

log = logging.getLogger(__name__)

RETRY_MS = 1000
"""When a client that was told Busy may try again."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines that all characters share."""

    vad: Vad
    asr: Asr
    llm: Llm
    tts: Tts
    store: Store
    embedder: Embedder | None
    vectors: QueryVectors | None
    """A cache in front of the embedder: what was embedded while the player spoke is there when the turn begins."""
    counters: TurnCounters = field(default_factory=TurnCounters)
    """Counts of the turns of all characters."""


class WorldView(Protocol):
    """What a character may ask of the world (world.live_world.LiveWorld)."""

    @property
    def settings(self) -> Settings:
        """The daemon's settings."""

    @property
    def edition(self) -> object:
        """The same object until the world's files change."""

    @property
    def things(self) -> Mapping[str, Mapping[str, Thing]]:
        """What tools can be pointed at, by kind, then id."""

    @property
    def tools(self) -> Mapping[str, ToolDefinition]:
        """The world's tools, by name."""

    @property
    def people(self) -> tuple[str, ...]:
        """Names and aliases of its people."""

    @property
    def names(self) -> NameCasing:
        """How the world's names are capitalised."""

    @property
    def name_beginnings(self) -> frozenset[str]:
        """First words of its people's longer names (dialogue/end_of_turn.py)."""

    def world_prompt(self) -> str:
        """Return the part of the prompt that all characters share."""


class Environment(Protocol):
    """What a character may ask of its playthrough (world.playthrough.Playthrough)."""

    scope: Scope
    echo: EchoCanceller | None
    """Removes the characters' own voices from the player's microphone."""
    visemes: m.VisemeSetName
    """The set of mouth shapes that the client asked for."""

    def card(self, npc_id: str) -> PersonaCard:
        """Return a character's card, as it is now."""

    def voice(self, npc_id: str) -> VoiceSpec:
        """Return a character's voice."""

    def zone(self, npc_id: str) -> str:
        """Return where a character is."""

    def in_view(self, npc_id: str) -> bool:
        """Return whether the player sees a character."""

    def scene(self, npc_id: str) -> m.SceneUpdate | None:
        """Return what is around a character, if the game has said so."""

    def present(self, npc_id: str) -> tuple[str, ...]:
        """Return who hears what is said to and by a character."""

    async def refresh(self) -> None:
        """Read changed world files. Raises StoreError."""


class Outlet(Protocol):
    """Where messages and frames for the client go. Never blocks."""

    def send(self, message: m.ServerMessage) -> None:
        """Queue a message."""

    def send_frame(self, frame: frames.Frame) -> None:
        """Queue a binary frame."""

    def drop_media(self, stream: int) -> None:
        """Drop the frames of a stream that were not sent yet."""

    def close(self, code: int, reason: str) -> None:
        """Send the queued messages, then close the connection with this WebSocket close code."""


@dataclass(frozen=True, slots=True)
class CharacterContext:
    """Everything that the parts of one character share. It is handed to those parts and to nothing else."""

    npc_id: str
    world: WorldView
    environment: Environment
    engines: Engines
    outlet: Outlet
    routes: Routes
    clock: Callable[[], float]
    """Monotonic time, in seconds."""
    wall: Callable[[], float]
    """Unix time, in seconds."""

    @property
    def llm_id(self) -> str:
        """The name by which the language model knows the character. Two playthroughs may have the same characters; to
        the model they are different ones."""
        scope = self.environment.scope
        return f"{self.npc_id} ({scope.game}/{scope.world}/{scope.player}/{scope.playthrough})"

    @property
    def settings(self) -> Settings:
        """The daemon's settings."""
        return self.world.settings

    @property
    def card(self) -> PersonaCard:
        """The character's card, as it is now."""
        return self.environment.card(self.npc_id)

    @property
    def voice(self) -> VoiceSpec:
        """The character's voice, as it is now."""
        return self.environment.voice(self.npc_id)

    def describe(self, error: MythicError, turn_id: str = "", call_id: str = "") -> m.Error:
        """Return the message that tells the client of an error of this character."""
        return codec.describe(error, npc_id=self.npc_id, turn_id=turn_id, call_id=call_id)

    def send_error(self, error: MythicError, turn_id: str = "", call_id: str = "") -> None:
        """Tell the client of an error."""
        self.outlet.send(self.describe(error, turn_id, call_id))

    def report(self, error: BaseException, turn_id: str = "") -> None:
        """Log an error and send it to the client. An unexpected one is logged with an id, which the client gets."""
        if isinstance(error, BusyError):
            log.warning("%s %s: busy", self.npc_id, turn_id)
            self.outlet.send(m.Busy(npc_id=self.npc_id, reason=str(error), retry_after_ms=RETRY_MS))
        elif isinstance(error, MythicError):
            # Only the code: the player's words and tool arguments do not belong into a log.
            log.warning("%s %s: %s", self.npc_id, turn_id, error.code)
            self.send_error(error, turn_id)
        else:
            reference = secrets.token_hex(4)
            log.error("unexpected failure %s of %s", reference, self.npc_id, exc_info=error)
            self.outlet.send(
                m.Error(
                    code="INTERNAL",
                    message="Something went wrong inside the daemon.",
                    remedy=f"Look for {reference} in its log.",
                    npc_id=self.npc_id,
                    turn_id=turn_id,
                    ref=reference,
                )
            )
