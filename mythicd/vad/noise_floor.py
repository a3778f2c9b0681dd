"""How loud a frame is, and how loud the room is when nobody speaks: the noise floor, followed by a slow average.

A recurrent detector goes on seeing speech for about 90 ms after it has stopped, and WebRTC's holds on as long. Level
tells at once: a frame no louder than the room holds no speech.
"""

from __future__ import annotations

from typing import Final

from mythicd.audio.pcm import rms_dbfs

LOWEST_DBFS: Final = -75.0
"""Digital silence counts as this: below it, dither would already be loud."""

HIGHEST_START_DBFS: Final = -55.0
"""A stream that begins amid speech must not take that for the room."""

_QUIET_RATE: Final = 0.1
_NOISE_RATE: Final = 0.05
"""Share of the way to a frame's level that the floor goes: a half-life of 130 or 270 ms at 20 ms a frame."""


class NoiseFloor:
    """One microphone's room. Levels are in dB relative to full scale."""

    def __init__(self) -> None:
        self._floor: float | None = None
        self.level = LOWEST_DBFS
        """Of the last frame, in dBFS."""

    def above(self, frame: bytes) -> float:
        """Return how many dB the frame (s16le) is above the floor."""
        self.level = max(LOWEST_DBFS, rms_dbfs(frame))
        if self._floor is None:
            self._floor = min(self.level, HIGHEST_START_DBFS)
        return self.level - self._floor

    def learn(self, above: float, *, is_quiet: bool) -> None:
        """Nobody speaks in a frame that was `above` the floor: move the floor towards it."""
        if self._floor is not None:
            self._floor += (_QUIET_RATE if is_quiet else _NOISE_RATE) * above
