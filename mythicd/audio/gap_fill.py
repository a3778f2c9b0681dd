"""Microphone frames -> audio without holes, on a sample clock that only goes forward. Pure: arrival is an argument.

Everything behind counts samples: endpoints, the recogniser, the echo of the character's own voice. So a gap in the
frames' sample indexes is filled with silence, what came already is dropped, and where a stream jumps further than
anything can be lost on the way, it goes on from there. Whoever sends such a stream is told once of each trouble.
"""

from __future__ import annotations

from mythicd.audio.pcm import MIC_RATE, SAMPLE_BYTES
from mythicd.errors import AudioError

MOST_FILLED_S = 1.0
"""Longest gap that is filled whole; longer ones count as this much silence, which ends what was being said."""
JUDGED_S = 2.0
"""Time after which the rate of a stream can be told."""
MOST_RATE = 1.25
"""Times as many samples a second as there should be that a stream may send: after a hitch they come in a burst."""


class GapFill:
    """One microphone stream's."""

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
        """How much higher the client's sample indexes are than the count of samples given out: 0 for a stream that
        begins at 0, and changed only by what was too much to fill."""
        return (self._next or 0) - self._given

    def add(self, sample: int | None, pcm: bytes, arrived_s: float) -> tuple[bytes, float, list[AudioError]]:
        """Take a frame; return the audio to be heard now, when it arrived, and what is to be told of it.

        `sample` is the index of the frame's first sample, None where the client gave none. The time never falls.
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
            troubles += self._tell("gap", f"{missing} samples before sample {start} never came")
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
            troubles += self._tell("rate", f"{rate:.0f} samples a second come, of which there should be {MIC_RATE}")
        self._given += len(pcm) // SAMPLE_BYTES
        return pcm, arrived_s, troubles

    def _tell(self, kind: str, what: str) -> list[AudioError]:
        if kind in self._told:
            return []
        self._told.add(kind)
        remedies = {
            "gap": "Number each frame by its first sample, and send them all; the gap counts as silence.",
            "back": "Number each frame by its first sample, and send each once; what came already is ignored.",
            "rate": f"Resample the microphone to {MIC_RATE} Hz mono before you send it.",
        }
        return [AudioError(f"Microphone stream {self._stream}: {what}.", remedy=remedies[kind])]
