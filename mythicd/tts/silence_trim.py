"""Silence trimming: the edges of a phrase's audio, without needless silence and without clicks.

Engines put silence around speech: waiting for it delays the voice, keeping it lengthens pauses. Everything from the
first audible sample to the last passes unchanged; a little silence stays before and after, with its outermost 5 ms
faded. Audible means a peak of at least −50 dB relative to full scale (104 of 32768): about 35 dB below an ordinary
voice at −15 dBFS, above the noise floor of every engine tried so far.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import SAMPLE_BYTES, samples_of, to_array

AUDIBLE_DBFS: Final = -50.0
"""Peak level from which a sample counts as audible, in dB relative to full scale."""

LEAD_MS: Final = 10
"""Silence kept before the first audible sample."""

TAIL_MS: Final = 40
"""Silence kept after the last audible sample."""

FADE_MS: Final = 5
"""Length of the fades."""

_AUDIBLE: Final = 32768 * 10 ** (AUDIBLE_DBFS / 20)


class PhraseEdges:
    """The trimmer of one phrase's audio; positions are sample indexes."""

    def __init__(self, sample_rate: int) -> None:
        self._lead = samples_of(LEAD_MS, sample_rate)
        self._tail = samples_of(TAIL_MS, sample_rate)
        self._fade = samples_of(FADE_MS, sample_rate)
        self._held: NDArray[np.int16] = np.empty(0, dtype="<i2")
        self._received = 0

        self.cut: int | None = None
        """Samples left out at the front; None until something is audible."""

        self.released = 0
        """Samples returned so far."""

        self.audible_end = 0
        """Index, in the returned audio, after the last audible sample so far."""

        self.audible_start = 0
        """Index, in the returned audio, of the first audible sample; valid once `cut` is known."""

    def add(self, pcm: bytes) -> bytes:
        """Take s16le mono audio; return what surely belongs to the phrase. Quiet audio is held back for now."""
        self._held = np.concatenate([self._held, to_array(pcm)])
        self._received += len(pcm) // SAMPLE_BYTES
        loud = np.flatnonzero(np.abs(self._held.astype(np.int32)) >= _AUDIBLE)
        if self.cut is None:
            if not len(loud):
                # Only the possible lead is kept.
                self._held = self._held[max(0, len(self._held) - self._lead) :]
                return b""
            self._begin(int(loud[0]))
            loud = loud - (int(loud[0]) - self.audible_start)
        if len(loud):
            self.audible_end = self.released + int(loud[-1]) + 1
        # The last milliseconds stay here: they are faded if the phrase ends with them.
        ready = self.audible_end - self._fade - self.released
        return self._release(ready) if ready > 0 else b""

    def finish(self) -> bytes:
        """Take the end of the phrase; return the rest, faded out. Empty when nothing was audible."""
        if self.cut is None:
            return b""
        rest = self._held[: self.audible_end + self._tail - self.released].astype(np.float64)
        fade = min(self._fade, len(rest))
        rest[len(rest) - fade :] *= np.arange(fade, 0, -1) / (fade + 1)
        self._held = np.rint(rest).astype("<i2")
        return self._release(len(self._held))

    def _begin(self, first: int) -> None:
        """Drop the silence long before sample `first` of the held audio, the first audible one."""
        dropped = max(0, first - self._lead)
        self.cut = self._received - len(self._held) + dropped
        self.audible_start = first - dropped
        self._held = self._held[dropped:]

    def _release(self, samples: int) -> bytes:
        ready, self._held = self._held[:samples], self._held[samples:]
        if self.released < self._fade:
            gain = np.minimum(1.0, np.arange(self.released, self.released + len(ready)) / self._fade)
            ready = np.rint(ready * gain).astype("<i2")
        self.released += len(ready)
        return ready.tobytes()
