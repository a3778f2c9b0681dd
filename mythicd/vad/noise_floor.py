"""The noise floor: a slow average of the level of frames without speech.

Silero's and WebRTC's detectors report speech for about 90 ms after its end. The level tells at once: a frame at the
noise floor has no speech.
"""

from __future__ import annotations

from typing import Final

from mythicd.audio.pcm import rms_dbfs

LOWEST_DBFS: Final = -75.0
"""Least level; digital silence counts as this. Against a lower floor even dither would be loud."""

HIGHEST_START_DBFS: Final = -55.0
"""Highest first floor, for a stream that begins during speech."""

_QUIET_RATE: Final = 0.1
_NOISE_RATE: Final = 0.05
"""Share of the difference to a frame's level by which the floor moves: a half-life of 130 or 270 ms."""


class NoiseFloor:
    """The noise floor of one microphone. Levels are in dBFS."""

    def __init__(self) -> None:
        self._floor: float | None = None
        self.level = LOWEST_DBFS
        """Level of the last frame."""

    def above(self, frame: bytes) -> float:
        """Return how many dB the frame (s16le) is above the floor."""
        self.level = max(LOWEST_DBFS, rms_dbfs(frame))
        if self._floor is None:
            self._floor = min(self.level, HIGHEST_START_DBFS)
        return self.level - self._floor

    def learn(self, above: float, *, is_quiet: bool) -> None:
        """Move the floor towards a frame without speech that was `above` dB above it."""
        if self._floor is not None:
            self._floor += (_QUIET_RATE if is_quiet else _NOISE_RATE) * above
