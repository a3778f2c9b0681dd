"""The echo canceller: WebRTC's AEC3, from the package pywebrtc-audio, and speech probabilities without residual echo.

AEC3 finds a delay of up to half a second by itself, models a room's first 50 ms with an adaptive filter, and suppresses
the rest. It takes 0.2 ms per frame while the far end sounds; otherwise the microphone's audio passes unchanged. Without
the package only the judgement (residual_echo.py) remains: echo still does not count as the player's speech, but the
recogniser gets it together with their words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mythicd.aec.far_end import FarEnd
from mythicd.aec.residual_echo import ResidualEcho
from mythicd.audio.pcm import MIC_RATE, to_array
from mythicd.engines.vad import VAD_FRAME, VadStream

INSTALL: Final = "Install it: pip install pywebrtc-audio"

_RINGING: Final = 50
"""Frames for which echo may follow the end of the reference: a second."""

_EXPLAINED: Final = 0.75
"""Explained share of a cleaned frame's energy from which it is only echo and noise."""

_EXPLAINED_UNCLEANED: Final = 0.6
"""The same without the package, where the player's speech comes with the echo."""


@dataclass(frozen=True, slots=True)
class CancelledFrame:
    """A microphone frame after cancellation."""

    pcm: bytes
    """20 ms of s16le without echo."""

    probability: float
    """Probability of the player's speech, 0–1."""


class EchoCanceller:
    """The echo canceller of one player's microphone and loudspeaker.

    It outlives a microphone stream: the adapted filter serves the next one.
    """

    def __init__(self, *, cancels: bool = True) -> None:
        """With `cancels` false the echo stays in the audio, as without the package."""
        self.far_end = FarEnd()
        self._judge = ResidualEcho()
        self._canceller = _load() if cancels else None
        self._rings = 0

    @property
    def cancels(self) -> bool:
        """Whether echo is removed from the audio; if not, see INSTALL."""
        return self._canceller is not None

    def open(self) -> None:
        """Open a microphone stream, whose samples count from 0."""
        self.far_end.open()

    def listen(self, frame: bytes, detector: VadStream) -> CancelledFrame:
        """Take the next 20 ms of the microphone; return them without echo, with the detector's probability."""
        reference = self.far_end.take(VAD_FRAME)
        self._rings = _RINGING if reference is not None else max(0, self._rings - 1)
        cleaned = frame
        if self._rings and self._canceller is not None:
            far = np.zeros(VAD_FRAME, dtype=np.int16)
            if reference is not None:
                far = np.clip(reference, -32768, 32767).astype(np.int16)
            left = self._canceller.process(to_array(frame), far)  # always, so that it keeps adapting
            # Without echo it suppresses the player's first words: of 16 interruptions by a player with headphones 8
            # were missed and 2 were a second late.
            if not self._judge.brings_nothing:
                cleaned = bytes(left.astype("<i2").tobytes())
        explained = self._judge.push(frame, cleaned, reference)
        [probability] = detector.push(cleaned)
        if explained > (_EXPLAINED if self.cancels else _EXPLAINED_UNCLEANED):
            probability = 0.0
        return CancelledFrame(cleaned, probability)


def _load() -> Any:
    try:
        import pywebrtc_audio
    except ImportError:
        return None
    return pywebrtc_audio.EchoCanceller(sample_rate=MIC_RATE)
