"""The timing estimator of an engine: espeak-ng reads each phrase as the reference for its estimated timing.

espeak-ng has every language that these engines have, takes milliseconds for a phrase, and reports its own onsets.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from mythicd.engines.tts import VoiceChunk, VoiceSpec, language_code
from mythicd.native.espeakng import EspeakNg
from mythicd.tts.estimated_timing import EstimatedTiming, Reference, VoiceStretches, reference_of

CALIBRATION: Final = "1 2 3 4 5 6 7 8."
"""A text that every engine reads in the language of its voice: its length shows how fast a new voice speaks."""

RATE: Final = 165
"""Words per minute of the reference."""

_PITCH: Final = 50
_NAMES: Final = {"zh": "cmn", "zh-cn": "cmn", "no": "nb"}
"""espeak-ng's names of languages that other engines call differently."""
_OTHER: Final = "en-us"
"""Voice for a language that espeak-ng does not have: it still reads the letters of most scripts."""


class TimingEstimator:
    """Estimates of an engine's timing. Its methods block for milliseconds and may be called from any thread."""

    def __init__(self, espeak: EspeakNg) -> None:
        self._espeak = espeak
        self._stretches = VoiceStretches()

    @classmethod
    def load(cls) -> TimingEstimator:
        """Load espeak-ng (10–30 ms the first time). Raises EngineUnavailable."""
        return cls(EspeakNg.load())

    def begin(self, text: str, voice: VoiceSpec, language: str, key: Hashable, sample_rate: int) -> EstimatedTiming:
        """Return the timing of a phrase that the engine's voice `key` is about to speak in `language`."""
        return EstimatedTiming(self._read(text, voice, language), sample_rate, self._stretches.get(key))

    def end(self, key: Hashable, timing: EstimatedTiming) -> None:
        """Learn from a phrase that was spoken to its end how fast the voice speaks."""
        self._stretches.learn(key, timing.measured)

    def knows(self, key: Hashable) -> bool:
        """Return whether this voice has spoken."""
        return key in self._stretches

    def _read(self, text: str, voice: VoiceSpec, language: str) -> Reference:
        """Read a text with espeak-ng, in the character's own accent where that is of this language."""
        names = [voice.espeak] if language_code(voice.espeak) == language_code(language) else []
        names += [_NAMES.get(language, language), _OTHER]
        name = next(name for name in names if name == _OTHER or self._espeak.has_voice(name))
        chunks: list[VoiceChunk] = []

        def take(chunk: VoiceChunk) -> bool:
            chunks.append(chunk)
            return True

        self._espeak.speak(text, name, RATE, _PITCH, take)
        return reference_of(
            b"".join(chunk.pcm for chunk in chunks),
            self._espeak.sample_rate,
            [onset for chunk in chunks for onset in chunk.phonemes],
            [word for chunk in chunks for word in chunk.words],
        )
