"""`voices.yaml`: how each engine makes each voice of a world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from mythicd.config.yaml_reader import Strict
from mythicd.engines.tts import ClonedVoice, PiperVoice, ServerVoice, VoiceSpec

Name = Annotated[str, Meta(min_length=1, max_length=200)]


class PiperEntry(Strict, frozen=True, kw_only=True):
    """The voice as Piper makes it."""

    model: Name
    speaker: str | int = ""
    rate: Annotated[float, Meta(ge=0.5, le=2)] = 1.0
    pitch: Annotated[float, Meta(ge=-8, le=8)] = 0.0


class XttsEntry(Strict, frozen=True, kw_only=True):
    """The voice as XTTS makes it."""

    speaker: str = ""
    sample: str = ""
    """A wav in the world's folder."""
    language: Annotated[str, Meta(pattern="^[a-z]{2,3}(-[a-z]{2})?$")] = "en"


class ServerEntry(Strict, frozen=True, kw_only=True):
    """The voice as a speech server makes it."""

    voice: Name
    rate: Annotated[float, Meta(ge=0.25, le=4)] = 1.0
    instructions: Annotated[str, Meta(max_length=1000)] = ""
    language: Annotated[str, Meta(pattern="^[a-z]{2,3}$")] = "en"


class VoiceEntry(Strict, frozen=True, kw_only=True):
    """One voice of `voices.yaml`."""

    espeak: Name
    rate: Annotated[int, Meta(ge=80, le=450)] = 165
    pitch: Annotated[int, Meta(ge=0, le=99)] = 50
    piper: PiperEntry | None = None
    xtts: XttsEntry | None = None
    server: ServerEntry | None = None

    def spec(self, voice_id: str, folder: Path) -> VoiceSpec:
        """Return the voice for the engines; a sample's path is taken from the world's folder."""
        piper, xtts, server = self.piper, self.xtts, self.server
        sample = folder / xtts.sample if xtts is not None and xtts.sample else None
        return VoiceSpec(
            voice_id,
            self.espeak,
            self.rate,
            self.pitch,
            None if piper is None else PiperVoice(piper.model, str(piper.speaker), piper.rate, piper.pitch),
            None if xtts is None else ClonedVoice(xtts.speaker, sample, xtts.language),
            None if server is None else ServerVoice(server.voice, server.rate, server.instructions, server.language),
        )
