"""The microphone clock: sample indexes to monotonic time."""

from __future__ import annotations

import math
from collections import deque


class MicClock:
    """The clock of one microphone stream: each frame is timestamped as it arrives."""

    def __init__(self, rate: int, *, window_s: float = 60.0) -> None:
        self._rate = rate
        # Frames of 20 ms or more: bounded however long the microphone stays open.
        self._stamps: deque[tuple[int, float]] = deque(maxlen=math.ceil(window_s / 0.02))

    def add(self, end_sample: int, arrived_s: float) -> None:
        """Note that all audio up to `end_sample` had arrived by `arrived_s`."""
        self._stamps.append((end_sample, arrived_s))

    def when(self, sample: int) -> float | None:
        """Return when `sample` was spoken, estimated from its frame's arrival; None before any frame.

        A frame arrives with its last sample; a sample is earlier by the number of samples that follow it.
        """
        best: tuple[int, float] | None = None
        for end, at in reversed(self._stamps):
            if end < sample:
                break
            best = (end, at)
        if best is None:
            return self._stamps[-1][1] if self._stamps else None
        return best[1] - (best[0] - sample) / self._rate
