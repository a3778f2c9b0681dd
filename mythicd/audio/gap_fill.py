"""Gap filling: microphone frames to continuous audio on a monotonic sample clock. Pure: arrival times are arguments.

All later stages count samples: the endpointer, the recogniser, the echo canceller. So a gap in the frames' sample
indexes is filled with silence, repeated samples are dropped, and after a jump that is too long for packet loss the
stream continues from its new index. Each kind of fault is reported once for each stream.
"""

from __future__ import annotations

from mythicd.audio.pcm import MIC_RATE, SAMPLE_BYTES
from mythicd.errors import AudioError

MOST_FILLED_S = 1.0
"""Longest gap that is filled completely; longer ones become this much silence, which ends the utterance."""
JUDGED_S = 2.0
"""Time after which the rate of a stream is checked."""
MOST_RATE = 1.25
"""Highest ratio of a stream's rate to MIC_RATE; above 1, because frames arrive in a burst after a network stall."""


class GapFill:
    """Gap filling for one microphone stream."""

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self._next: int | None = None
        """Sample index that the next frame should have."""
        self._received = 0
        self._first_s = 0.0
        self._last_s = 0.0
        self._told: set[str] = set()
        self._given = 0

    @property
    def next(self) -> int:
        """Sample index that the next frame should have."""
        return self._next or 0

    @property
    def offset(self) -> int:
        """The client's sample index minus the number of samples returned: 0 for a stream that begins at 0, changed only
        by jumps that are too long to fill."""
        return (self._next or 0) - self._given

    def add(self, sample: int | None, pcm: bytes, arrived_s: float) -> tuple[bytes, float, list[AudioError]]:
        """Add a frame; return its audio with gaps filled, its arrival time, and the faults to report.

        `sample` is the index of the frame's first sample, None where the client gave none. Returned times never
        decrease.
        """
        if self._next is None:
            self._next, self._first_s, self._last_s = sample or 0, arrived_s, arrived_s
        troubles: list[AudioError] = []
        if arrived_s < self._last_s:
            arrived_s = self._last_s
        self._last_s = arrived_s
        expected, count = self._next, len(pcm) // SAMPLE_BYTES
        start = expected if sample is None else sample
        most = int(MOST_FILLED_S * MIC_RATE)
        if start > expected:
            missing = start - expected
            troubles += self._tell("gap", f"{missing} samples before sample {start} are missing")
            pcm = bytes(min(missing, most) * SAMPLE_BYTES) + pcm
        elif start < expected:
            again = expected - start
            troubles += self._tell("back", f"sample {start} came after sample {expected - 1}")
            if again <= most:
                pcm = pcm[again * SAMPLE_BYTES :]
        self._next = max(expected, start + count) if expected - start <= most else start + count
        self._received += count
        elapsed = arrived_s - self._first_s
        if elapsed >= JUDGED_S and self._received > MOST_RATE * MIC_RATE * elapsed:
            rate = self._received / elapsed
            troubles += self._tell("rate", f"the rate is {rate:.0f} Hz, expected {MIC_RATE} Hz")
        self._given += len(pcm) // SAMPLE_BYTES
        return pcm, arrived_s, troubles

    def _tell(self, kind: str, what: str) -> list[AudioError]:
        if kind in self._told:
            return []
        self._told.add(kind)
        remedies = {
            "gap": "Number each frame by its first sample, and send all frames; the gap counts as silence.",
            "back": "Number each frame by its first sample, and send each frame once; repeated samples are ignored.",
            "rate": f"Resample the microphone to {MIC_RATE} Hz mono before you send it.",
        }
        return [AudioError(f"Microphone stream {self._stream}: {what}.", remedy=remedies[kind])]
