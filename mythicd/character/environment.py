"""What a character is given: the engines it uses, and what it may ask of the playthrough it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mythicd.aec.canceller import EchoCanceller
from mythicd.config.settings import Settings
from mythicd.config.world_files import PersonaCard, Thing, ToolDefinition
from mythicd.dialogue.truecasing import Names
from mythicd.engines.asr import Asr
from mythicd.engines.embedder import Embedder
from mythicd.engines.llm import Llm
from mythicd.engines.tts import Tts, VoiceSpec
from mythicd.engines.vad import Vad
from mythicd.memory.query_vectors import QueryVectors
from mythicd.memory.records import Scope
from mythicd.memory.store import Store
from mythicd.telemetry.counters import TurnFigures
from mythicd.wire import messages as m

BYTES_A_TOKEN = 3.0
"""Cautious: English has 3.5–4.5 letters a token in the vocabularies of current models, and Chinese, of three bytes a
sign, about one sign."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """The engines a character uses."""

    vad: Vad
    asr: Asr
    llm: Llm
    tts: Tts
    store: Store
    embedder: Embedder | None
    vectors: QueryVectors | None
    """The embedder's last answers: what was embedded while the player spoke is there when the turn begins."""
    figures: TurnFigures = field(default_factory=TurnFigures)
    """What the characters count."""


class Surroundings(Protocol):
    """What a character may ask of the playthrough it is in (world.Stage)."""

    scope: Scope
    echo: EchoCanceller | None
    """What takes the characters' own voices out of the player's microphone."""

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
        """The world's tools."""

    @property
    def names(self) -> Names:
        """How the world's names are written."""

    @property
    def name_beginnings(self) -> frozenset[str]:
        """What begins the longer ones among its people's names (dialogue/end_of_turn.py)."""

    def card(self, npc_id: str) -> PersonaCard:
        """A character's card, as it is now."""

    def voice(self, npc_id: str) -> VoiceSpec:
        """A character's voice."""

    def world_part(self) -> str:
        """The front of every prompt."""

    def zone(self, npc_id: str) -> str:
        """Where a character is."""

    def scene(self, npc_id: str) -> m.SceneUpdate | None:
        """What is around a character, if the game has said so."""

    def present(self, npc_id: str) -> tuple[str, ...]:
        """Who hears what is said to and by a character."""

    async def refresh(self) -> None:
        """Take in edited world files."""


def estimate_tokens(text: str) -> int:
    """Estimate how many tokens a text has, rather too many than too few."""
    return int(len(text.encode(errors="replace")) / BYTES_A_TOKEN) + 1
