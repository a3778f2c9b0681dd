"""Speech synthesis: the `Tts` Protocol, voices, and audio chunks with phoneme and word times."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class VoiceSpec:
    """A voice as an engine needs it."""

    voice_id: str
    """The name a persona card uses, such as `baritone_02`."""

    model: str
    """What the engine calls it: an espeak-ng voice with variant (`en-gb+m3`), or a Piper file."""

    rate: int = 165
    """Words per minute, where the engine can tell."""

    pitch: int = 50
    """0–99, where the engine can tell."""


@dataclass(frozen=True, slots=True)
class PhonemeOnset:
    """A speech sound begins. It lasts until the next onset."""

    sample: int
    """Sample index from the start of the phrase, at the engine's sample rate."""

    ipa: str
    """The sound in IPA without stress marks; empty for silence."""

    stress: int = 0
    """0 none, 1 primary, 2 secondary."""


@dataclass(frozen=True, slots=True)
class WordOnset:
    """A word of the phrase begins to sound."""

    sample: int
    """Sample index from the start of the phrase."""

    start: int
    """Index of the word's first character in the phrase's text."""

    end: int
    """Index behind the word's last character."""


@dataclass(frozen=True, slots=True)
class VoiceChunk:
    """A stretch of a phrase's audio, and the sounds and words known by then to begin in the phrase."""

    pcm: bytes
    """s16le mono at the engine's sample rate."""

    phonemes: tuple[PhonemeOnset, ...] = ()
    words: tuple[WordOnset, ...] = ()


class Tts(Protocol):
    """Gives words a voice."""

    sample_rate: int
    """Hertz, of everything it says; known after `start`."""

    async def start(self) -> None:
        """Load the engine. Raises EngineUnavailable or ModelError."""

    async def prepare(self, voice: VoiceSpec) -> None:
        """Warm this voice up. Raises ModelError when the engine has no such voice."""

    def speak(self, text: str, voice: VoiceSpec) -> AsyncGenerator[VoiceChunk, None]:
        """Say one phrase, chunk by chunk. Closing the generator stops the voice."""

    async def stop(self) -> None:
        """Free the engine."""
