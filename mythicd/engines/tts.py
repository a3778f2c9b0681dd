"""Speech synthesis: the `Tts` Protocol, voices, and audio chunks with phoneme and word times."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class VoiceSpec:
    """A voice as an engine needs it."""

    voice_id: str
    """The name a persona card uses, such as `baritone_02`."""

    model: str
    """The engine's name for it: an espeak-ng voice with variant (`en-gb+m3`), or a Piper file."""

    rate: int = 165
    """Words per minute, where the engine supports it."""

    pitch: int = 50
    """0–99, where the engine supports it."""

    @property
    def language(self) -> str:
        """The language code with which the engine's name begins (`en` of `en-gb+m3`); English where there is none."""
        code = re.match(r"[a-z]{2,3}(?=$|[-_+])", Path(self.model).name)
        return "en" if code is None else code[0]


@dataclass(frozen=True, slots=True)
class PhonemeOnset:
    """The start of a speech sound, which lasts until the next onset."""

    sample: int
    """Sample index from the start of the phrase, at the engine's sample rate."""

    ipa: str
    """The sound in IPA without stress marks; empty for silence."""

    stress: int = 0
    """0 none, 1 primary, 2 secondary."""


@dataclass(frozen=True, slots=True)
class WordOnset:
    """The start of a word of the phrase."""

    sample: int
    """Sample index from the start of the phrase."""

    start: int
    """Index of the word's first character in the phrase's text."""

    end: int
    """Index after the word's last character."""


@dataclass(frozen=True, slots=True)
class VoiceChunk:
    """A chunk of a phrase's audio, with the phoneme and word onsets known so far."""

    pcm: bytes
    """s16le mono at the engine's sample rate."""

    phonemes: tuple[PhonemeOnset, ...] = ()
    words: tuple[WordOnset, ...] = ()


class Tts(Protocol):
    """A speech synthesis engine."""

    sample_rate: int
    """Hertz, of all its audio; known after `start`."""

    async def start(self) -> None:
        """Load the engine. Raises EngineUnavailable or ModelError."""

    async def prepare(self, voice: VoiceSpec) -> None:
        """Warm up this voice. Raises ModelError when the engine does not have it."""

    def speak(self, text: str, voice: VoiceSpec) -> AsyncGenerator[VoiceChunk, None]:
        """Speak one phrase, chunk by chunk. Closing the generator stops the voice."""

    async def stop(self) -> None:
        """Free the engine."""
