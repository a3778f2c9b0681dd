"""PCM: s16le mono samples, reframing, resampling, and the arithmetic between milliseconds and samples.

All audio inside the daemon is s16le mono `bytes`; a position in it is a sample index, never seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mythicd.errors import AudioError

SAMPLE_BYTES = 2
"""Bytes in one s16le sample."""


def samples_of(ms: float, rate: int) -> int:
    """Return the whole number of samples nearest to `ms` milliseconds at `rate` hertz."""
    return round(ms * rate / 1000)


def ms_of(samples: int, rate: int) -> float:
    """Return the length of `samples` samples at `rate` hertz, in milliseconds."""
    return samples * 1000 / rate


def to_array(pcm: bytes) -> NDArray[np.int16]:
    """View s16le bytes as samples. Raises AudioError on an odd number of bytes."""
    if len(pcm) % SAMPLE_BYTES:
        raise AudioError(
            f"The length of the PCM data, {len(pcm)} bytes, is not a multiple of 2 bytes.",
            remedy="Send s16le audio: two bytes for each sample.",
        )
    return np.frombuffer(pcm, dtype="<i2")


def rms_dbfs(pcm: bytes) -> float:
    """Return the root mean square level in dB relative to full scale; −inf for silence or nothing."""
    samples = to_array(pcm).astype(np.float64)
    power = float(np.mean(samples**2)) if len(samples) else 0.0
    return float(10 * np.log10(power / 32768.0**2)) if power > 0 else float("-inf")


class Reframer:
    """A reframer: PCM in chunks of any length to frames of one length."""

    def __init__(self, samples: int) -> None:
        self._size = samples * SAMPLE_BYTES
        self._rest = b""

    def add(self, pcm: bytes) -> list[bytes]:
        """Return the whole frames that are complete by now."""
        data = self._rest + pcm
        whole = len(data) - len(data) % self._size
        self._rest = data[whole:]
        return [data[at : at + self._size] for at in range(0, whole, self._size)]

    @property
    def left(self) -> int:
        """Number of samples that wait for the rest of their frame."""
        return len(self._rest) // SAMPLE_BYTES

    def finish(self) -> bytes:
        """Return what is left, shorter than a frame, and start again."""
        rest, self._rest = self._rest, b""
        return rest


class Resampler:
    """A streaming resampler (soxr, "high quality"). Equal rates pass through unchanged."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        import soxr

        self._stream = (
            None
            if source_rate == target_rate
            else soxr.ResampleStream(source_rate, target_rate, 1, dtype="int16", quality="HQ")
        )

    def add(self, pcm: bytes) -> bytes:
        """Return the resampled audio that is ready; the filter delays some milliseconds."""
        if self._stream is None:
            return pcm
        return bytes(self._stream.resample_chunk(to_array(pcm)).astype("<i2").tobytes())

    def finish(self) -> bytes:
        """Return the rest of the resampled audio."""
        if self._stream is None:
            return b""
        empty: NDArray[np.int16] = np.empty(0, dtype=np.int16)
        return bytes(self._stream.resample_chunk(empty, last=True).astype("<i2").tobytes())


@dataclass(frozen=True, slots=True)
class Clip:
    """A piece of s16le mono audio with its sample rate."""

    pcm: bytes
    rate: int
    """Hertz."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.pcm) / SAMPLE_BYTES / self.rate

    def at(self, rate: int) -> Clip:
        """Return the same sound at another sample rate."""
        resampler = Resampler(self.rate, rate)
        return Clip(resampler.add(self.pcm) + resampler.finish(), rate)


MIC_RATE = 16_000
"""Sample rate of all audio that goes into a Vad or an Asr, in hertz."""
