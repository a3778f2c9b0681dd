"""Speech synthesis: the `Tts` Protocol, voices, and audio chunks with phoneme and word times."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PiperVoice:
    """A voice as Piper makes it."""

    model: str
    """A voice of the model catalogue (`en_US-joe-medium`), or the path of an .onnx file."""

    speaker: str = ""
    """Name or number of the speaker, in a voice with several."""

    rate: float = 1.0
    """Speed: 1 is the voice's own, 2 twice as fast."""

    pitch: float = 0.0
    """Semitones by which pitch and formants are moved; -3 to 3 sounds natural."""


@dataclass(frozen=True, slots=True)
class ClonedVoice:
    """A voice as XTTS makes it: one of its own speakers, or a recording that it imitates."""

    speaker: str = ""
    """Name of a speaker that comes with the model."""

    sample: Path | None = None
    """A wav of six seconds or more of the voice to imitate."""

    language: str = "en"


@dataclass(frozen=True, slots=True)
class ServerVoice:
    """A voice as a speech server makes it."""

    name: str
    """The server's name for it, such as `alloy`."""

    rate: float = 1.0
    """Speed, from 0.25 to 4."""

    instructions: str = ""
    """How to speak, for servers that take instructions."""

    language: str = "en"


@dataclass(frozen=True, slots=True)
class VoiceSpec:
    """A voice, described for each engine that can make it; an engine that is not described chooses one of its own."""

    voice_id: str
    """The name a persona card uses, such as `baritone_02`."""

    espeak: str
    """An espeak-ng voice with variant (`en-gb+m3`)."""

    rate: int = 165
    """Words per minute of the espeak-ng voice."""

    pitch: int = 50
    """0–99, of the espeak-ng voice."""

    piper: PiperVoice | None = None
    xtts: ClonedVoice | None = None
    server: ServerVoice | None = None


def language_code(name: str) -> str:
    """Return the language code with which a voice's name begins: `en` of `en-gb+m3`; English where there is none."""
    code = re.match(r"[a-z]{2,3}(?=$|[-_+])", name)
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

    @property
    def sample_rate(self) -> int:
        """Hertz, of all its audio; known after `start`."""

    async def start(self) -> None:
        """Load the engine. Raises EngineUnavailable or ModelError."""

    def language(self, voice: VoiceSpec) -> str:
        """Return the code (`en`) of the language that this voice reads."""

    async def prepare(self, voice: VoiceSpec) -> None:
        """Warm up this voice. Raises ModelError when the engine does not have it."""

    def speak(
        self, text: str, voice: VoiceSpec, lead_s: Callable[[], float] | None = None
    ) -> AsyncGenerator[VoiceChunk, None]:
        """Speak one phrase, chunk by chunk. Closing the generator stops the voice.

        `lead_s` returns how many seconds of sound the listener still has, more for a character that is off screen; an
        engine with more phrases than workers serves the smallest first. None counts as 0.
        """

    async def stop(self) -> None:
        """Free the engine."""
