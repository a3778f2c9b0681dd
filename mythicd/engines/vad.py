"""Voice activity detection: the `Vad` Protocol."""

from __future__ import annotations

from typing import Protocol

VAD_FRAME = 320
"""Samples in one frame of a Vad: 20 ms at 16 kHz."""


class VadStream(Protocol):
    """The voice activity detection of one microphone stream. Synchronous: it takes microseconds."""

    def push(self, pcm: bytes) -> list[float]:
        """Add s16le 16 kHz audio of any length; return a speech probability (0–1) for each complete 20 ms frame."""


class Vad(Protocol):
    """A voice activity detection engine."""

    async def start(self) -> None:
        """Load the model. Raises EngineUnavailable."""

    def open(self) -> VadStream:
        """Open a stream for one microphone stream."""

    async def stop(self) -> None:
        """Free the model."""
