"""The log-mel spectrogram of Whisper (Radford et al. 2022, section 2.2), computed on one thread. Pure.

faster-whisper's own multiplies matrices with BLAS, whose second thread then waits actively and takes the processor from
the transcription: a final took 136 ms of processor time instead of 74 on two cores that others used too.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEAST: Final = 1e-10
"""Least power."""
_RANGE: Final = 8.0
"""Range of the spectrogram in powers of ten: 80 dB."""


class LogMel:
    """The filters of a model, and the spectrogram through them."""

    def __init__(self, filters: NDArray[np.float32], fft: int, hop: int) -> None:
        """`filters` has the shape [mels, fft // 2 + 1]; `fft` and `hop` are in samples."""
        self._fft = fft
        self._hop = hop
        self._window = np.hanning(fft + 1)[:-1].astype(np.float32)
        self._bands: list[tuple[slice, NDArray[np.float32]]] = []
        """For each mel, the bins that it takes and their weights: most weights are 0."""
        for weights in filters:
            used = np.flatnonzero(weights)
            bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
            self._bands.append((bins, np.ascontiguousarray(weights[bins], np.float32)))

    def of(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the spectrogram of samples (shape [samples], −1 to 1): shape [mels, frames], a frame per `hop`."""
        ended = np.pad(samples, (0, self._hop))
        padded = np.pad(ended, self._fft // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self._fft)[:: self._hop][:-1]
        spectrum = np.fft.rfft(frames * self._window)
        power = np.ascontiguousarray((spectrum.real**2 + spectrum.imag**2).T, np.float32)
        mels = np.stack([np.einsum("b,bf->f", weights, power[bins]) for bins, weights in self._bands])
        logarithm = np.log10(np.maximum(mels, np.float32(_LEAST)))
        return np.asarray((np.maximum(logarithm, logarithm.max() - _RANGE) + 4.0) / 4.0, np.float32)
