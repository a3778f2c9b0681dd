"""WebRTC's echo canceller (AEC3), from the package pywebrtc-audio; and what is heard once our own voice is taken out.

It finds a delay of up to half a second by itself, follows a room's first 50 ms with an adaptive filter, and suppresses
what is left. It costs a fifth of a millisecond a frame while we speak; in silence it sleeps, and the microphone's audio
passes untouched. Where the package is missing only the judgement (residual_echo.py) remains: our voice still does not
count as the player's, but the recogniser hears it beneath their words.
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
"""Frames for which an echo may still be heard after the reference fell silent: a second."""

_EXPLAINED: Final = 0.75
"""Share of a cleaned frame's energy from which it holds nothing but echo and noise."""

_EXPLAINED_UNCLEANED: Final = 0.6
"""The same, where nothing takes the echo out and the player must be heard on top of it."""


@dataclass(frozen=True, slots=True)
class CancelledFrame:
    """One frame as it is to be heard."""

    pcm: bytes
    """20 ms of s16le, our own voice taken out."""

    probability: float
    """Of speech by somebody else, 0–1."""


class EchoCanceller:
    """One player's microphone beside one loudspeaker: our own voice is taken out and does not count as speech.

    It outlives a microphone stream: what was learnt of the room is good for the next one.
    """

    def __init__(self, *, cancels: bool = True) -> None:
        """`cancels` false leaves our voice in the audio, as where the package is missing."""
        self.far_end = FarEnd()
        self._judge = ResidualEcho()
        self._canceller = _load() if cancels else None
        self._rings = 0

    @property
    def cancels(self) -> bool:
        """Whether the echo is taken out of the audio, too; see INSTALL."""
        return self._canceller is not None

    def open(self) -> None:
        """A microphone stream opens: its samples count from 0."""
        self.far_end.open()

    def listen(self, frame: bytes, detector: VadStream) -> CancelledFrame:
        """Take the next 20 ms of the microphone; ask the detector about what is left of them."""
        reference = self.far_end.take(VAD_FRAME)
        self._rings = _RINGING if reference is not None else max(0, self._rings - 1)
        cleaned = frame
        if self._rings and self._canceller is not None:
            far = np.zeros(VAD_FRAME, dtype=np.int16)
            if reference is not None:
                far = np.clip(reference, -32768, 32767).astype(np.int16)
            left = self._canceller.process(to_array(frame), far)  # in any case: it must go on learning the room
            # Where there is no echo it takes the player's first words for one: of 16 interruptions of a player with
            # headphones 8 were missed and 2 a second late.
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
