"""A character's mailbox: two bounded queues. Control messages overtake audio.

MicStart and MicStop go into the audio queue, as their order with the audio matters. When a character can't keep up, the
oldest audio is dropped and counted. A full control queue is an error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from mythicd.errors import BusyError

T = TypeVar("T")

MAX_CONTROL = 256
MAX_AUDIO = 500
"""Frames; ten seconds of 20 ms."""


@dataclass(frozen=True, slots=True)
class MicFrame:
    """Microphone audio for a character."""

    stream: int
    pcm: bytes
    arrived_s: float
    """When it arrived, on the monotonic clock."""
    sample: int | None = None
    """Index of its first sample in the stream; None where the client gave none."""


class Mailbox(Generic[T]):
    """What waits for one character, control before audio."""

    def __init__(self) -> None:
        self._control: deque[T] = deque()
        self._audio: deque[T | MicFrame] = deque()
        self._wake = asyncio.Event()
        self.dropped = 0
        """Audio frames dropped since the beginning."""

    def post(self, item: T) -> None:
        """Add a message that overtakes audio. Raises Busy when the lane is full."""
        if len(self._control) >= MAX_CONTROL:
            raise BusyError(f"{MAX_CONTROL} messages wait for this character already.", remedy="Wait for its answers.")
        self._control.append(item)
        self._wake.set()

    def post_own(self, item: T) -> None:
        """Add what a turn's own work reports. Never refused: a flood from outside must not make a turn lose its end.

        Bounded all the same: a turn has one voice, one end, and few calls.
        """
        self._control.append(item)
        self._wake.set()

    def post_in_order(self, item: T | MicFrame) -> None:
        """Add something of a microphone stream; the oldest audio goes when the lane is full."""
        if len(self._audio) >= MAX_AUDIO:
            oldest = next((index for index, waiting in enumerate(self._audio) if isinstance(waiting, MicFrame)), None)
            if oldest is None:
                raise BusyError(
                    f"{MAX_AUDIO} microphone messages wait for this character.", remedy="Wait for its answers."
                )
            del self._audio[oldest]
            self.dropped += 1
        self._audio.append(item)
        self._wake.set()

    async def get(self, timeout_s: float | None = None) -> T | MicFrame | None:
        """Return the next item; None when `timeout_s` seconds went by without one."""
        while not self._control and not self._audio:
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return None
        return self._control.popleft() if self._control else self._audio.popleft()
