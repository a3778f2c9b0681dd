"""WebRTC's voice activity detector: a Gaussian mixture over six bands that takes two microseconds per frame.

Its mode 3 rejects steady noise below about −35 dBFS, and takes louder noise, tones and music for speech. It decides
when a better detector runs (gated_silero.py).
"""

from __future__ import annotations

from typing import Any

from mythicd.audio.pcm import MIC_RATE, Reframer
from mythicd.engines.vad import VAD_FRAME
from mythicd.errors import EngineError, EngineUnavailable


class WebRtcStream:
    """WebRTC's detector on one microphone stream."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self._frames = Reframer(VAD_FRAME)

    def push(self, pcm: bytes) -> list[float]:
        """Take s16le 16 kHz audio; return 1.0 or 0.0 for each whole 20 ms frame."""
        return [float(self._detector.is_speech(frame, MIC_RATE)) for frame in self._frames.add(pcm)]


class WebRtcVad:
    """The detector of the package webrtcvad-wheels."""

    def __init__(self, mode: int = 3) -> None:
        """`mode` 0–3: how strictly it tells speech from noise."""
        if mode not in range(4):
            raise ValueError(f"The mode must be 0, 1, 2 or 3: {mode!r}.")
        self._mode = mode
        self._package: Any = None

    async def start(self) -> None:
        """Load the library. Raises EngineUnavailable."""
        try:
            import webrtcvad
        except ImportError as error:
            raise EngineUnavailable(
                f"webrtcvad cannot be imported: {error}.",
                remedy="Install it: pip install webrtcvad-wheels (not webrtcvad, which needs an old setuptools).",
            ) from error
        self._package = webrtcvad

    def open(self) -> WebRtcStream:
        """Open a stream."""
        if self._package is None:
            raise EngineError("The voice activity detector is not running.", remedy="Call start() first.")
        return WebRtcStream(self._package.Vad(self._mode))

    async def stop(self) -> None:
        """Forget the library; each stream owns its few hundred bytes."""
        self._package = None
