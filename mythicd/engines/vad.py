"""Voice activity detection: the `Vad` Protocol."""

from __future__ import annotations

from typing import Protocol

VAD_FRAME = 320
"""Samples in one frame of a Vad: 20 ms at 16 kHz."""


class VadStream(Protocol):
    """One microphone's audio on its way through a voice activity detector. Synchronous: it costs microseconds."""

    def push(self, pcm: bytes) -> list[float]:
        """Take s16le 16 kHz audio of any length; return one speech probability (0–1) per whole 20 ms frame."""


class Vad(Protocol):
    """Tells speech from everything else."""

    async def start(self) -> None:
        """Load the model. Raises EngineUnavailable."""

    def open(self) -> VadStream:
        """Begin with a fresh stream of audio."""

    async def stop(self) -> None:
        """Free the model."""
