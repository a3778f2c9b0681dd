"""Residual echo: the share of a microphone frame's energy that the far end and the room's noise explain.

When a client's jitter buffer moves, the canceller leaks echo for up to a second, and a voice detector takes it for the
player's speech. But its loudness is bounded: in each of twenty bands by the far end within ±80 ms of the delay, times
the band's gain so far, plus noise. The delay is the lag of the highest correlation between the levels of microphone and
far end, over about 0.7 s. The gain is the ratio that a tenth of the frames exceed; it adapts slowly, so that the
player's speech does not raise it. The noise is the band's minimum over 1.5 s, plus 6 dB.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import MIC_RATE, to_array
from mythicd.engines.vad import VAD_FRAME

Bands = NDArray[np.float64]

_SIZE: Final = 512
"""Samples of a spectrum: the frame and 12 ms before it."""

_BANDS: Final = 20
_LOWEST_HZ: Final = 150.0
_HIGHEST_HZ: Final = 7200.0

_LAGS: Final = 32
"""Longest delay, in frames: 640 ms."""

_AROUND: Final = 4
"""Frames on either side of the delay from which an echo may come."""

_MEMORY: Final = 0.03
"""Weight of a new frame in the correlations: a half-life of 0.46 s."""

_MEAN: Final = 0.02
"""Weight of a new frame in a band's mean level: a half-life of 0.7 s."""

_FIRST_GAIN_DB: Final = -6.0
"""Gain before anything is known: the loudest echo to be expected."""
_RISE_DB: Final = 0.3
_FALL_DB: Final = _RISE_DB / 9
"""Steps of a gain per frame: it is stable where a tenth of the frames are above it."""

_PROOF: Final = 26
"""Frames with far end in a band, 0.52 s, after which their echo bounds the gain: longer than any delay. With 22, 2 of
24 echoes with a delay of 300 to 400 ms were taken for the player; with 26 none of 80."""

_PROOF_MARGIN_DB: Final = 6.0

_NOTHING: Final = 16.0
"""Highest power of noise, as a multiple of its minimum: what is no louder is not an echo."""

_STRANGE: Final = 0.7
_STRANGE_RISE_DB: Final = 0.1
"""Explained share below which the player probably speaks, and the steps by which a gain then rises."""

_LOWEST_GAIN_DB: Final = -40.0
_HIGHEST_GAIN_DB: Final = 10.0

_MARGIN: Final = 2.0
"""Factor by which an echo may exceed the gain, as a tenth of the frames do."""

_AFTER: Final = 100
"""Frames after the end of the reference for which frames are still judged: then the echo has faded, and a detector that
got the canceller's silence has adapted to the room again."""

_NOISE_FRAMES: Final = 75
_NOISE_MARGIN: Final = 4.0
"""Power of noise as a multiple of its minimum."""

_SILENT: Final = 10.0 * _SIZE
"""Band power of a signal of a few units of 32768."""

_SOUNDS: Final = 100 * _SILENT
"""Band power of the reference from which the gain is estimated."""


def _edges() -> NDArray[np.intp]:
    """Return the spectrum's indexes at which the bands begin and end, evenly spaced in mel."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (_LOWEST_HZ, _HIGHEST_HZ))
    hertz = 700 * (10 ** (np.linspace(low, high, _BANDS + 1) / 2595) - 1)
    return np.rint(hertz * _SIZE / MIC_RATE).astype(np.intp)


_EDGES: Final = _edges()
_WIDTHS: Final = np.diff(_EDGES)
_WINDOW: Final = np.hanning(_SIZE)


def _db(power: Bands) -> Bands:
    return np.asarray(10 * np.log10(power), dtype=np.float64)


class _Spectrum:
    """The band powers of one signal, frame by frame."""

    def __init__(self) -> None:
        self._seen = np.zeros(_SIZE)

    def push(self, frame: NDArray[np.int16] | NDArray[np.float32]) -> Bands:
        self._seen[:-VAD_FRAME] = self._seen[VAD_FRAME:]
        self._seen[-VAD_FRAME:] = frame
        spectrum = np.fft.rfft(self._seen * _WINDOW)[: _EDGES[-1]]
        power = spectrum.real**2 + spectrum.imag**2
        return np.asarray(np.add.reduceat(power, _EDGES[:-1]) / _WIDTHS, dtype=np.float64)


class ResidualEcho:
    """The judgement for one microphone and one loudspeaker."""

    def __init__(self) -> None:
        self._mic, self._cleaned, self._reference = _Spectrum(), _Spectrum(), _Spectrum()
        self._played = np.zeros((_LAGS + 1, _BANDS))
        """The reference's bands, latest first."""
        self._rises = np.zeros((_LAGS + 1, _BANDS))
        """The reference's levels above their means, in nepers, latest first."""
        self._likeness = np.zeros(_LAGS + 1)
        self._mic_mean: Bands | None = None
        self._reference_mean: Bands = np.full(_BANDS, np.log(_SILENT))
        self._gain_db: Bands = np.full(_BANDS, _FIRST_GAIN_DB)
        self._went = np.ones((_PROOF, _BANDS))
        """Highest power of the reference around the delay, for each band's last frames that had any."""
        self._came = np.ones((_PROOF, _BANDS))
        """The microphone's power in those frames."""
        self._stood_out = np.ones((_PROOF, _BANDS))
        """The same as a multiple of the noise."""
        self._proofs = np.zeros(_BANDS, np.intp)
        self._smooth: Bands | None = None
        self._recent = np.full((_NOISE_FRAMES, _BANDS), np.inf)
        self._brings_nothing = False
        self._at = 0
        self._silent = _AFTER

    @property
    def delay_ms(self) -> float:
        """The estimated delay of the echo; 0 before anything was played."""
        return float(np.argmax(self._likeness)) * VAD_FRAME * 1000 / MIC_RATE

    @property
    def brings_nothing(self) -> bool:
        """Whether there is no echo, as far as can be told: the player wears headphones."""
        return self._brings_nothing

    @property
    def gain_db(self) -> float:
        """The echo's gain over the reference: the median of the bands."""
        return float(np.median(self._gain_db))

    def push(self, mic: bytes, cleaned: bytes, reference: NDArray[np.float32] | None) -> float:
        """Take 20 ms of the microphone, of the canceller's output, and of the far end.

        Return the share of the cleaned frame's energy that echo and noise explain: 0–1; 0 when nothing was played for
        two seconds.
        """
        heard = self._mic.push(to_array(mic))
        played = self._reference.push(np.zeros(VAD_FRAME, np.float32) if reference is None else reference)
        left = heard if cleaned is mic else self._cleaned.push(to_array(cleaned))
        noise = self._noise(heard)
        self._look_for_delay(heard, played)
        self._silent = 0 if reference is not None else min(self._silent + 1, _AFTER)
        if self._silent == _AFTER:
            return 0.0
        lag = int(np.argmax(self._likeness))
        loudest = self._played[max(0, lag - _AROUND) : lag + _AROUND + 1].max(axis=0)
        foretold = _MARGIN * 10 ** (self._gain_db / 10) * loudest + _NOISE_MARGIN * noise
        explained = float(np.minimum(left, foretold).sum() / max(float(left.sum()), 1.0))
        self._learn_gain(heard, loudest, noise, _RISE_DB if explained > _STRANGE else _STRANGE_RISE_DB)
        return explained

    def _noise(self, heard: Bands) -> Bands:
        self._smooth = heard if self._smooth is None else 0.7 * self._smooth + 0.3 * heard
        self._recent[self._at % _NOISE_FRAMES] = self._smooth
        self._at += 1
        return np.asarray(self._recent.min(axis=0), dtype=np.float64)

    def _look_for_delay(self, heard: Bands, played: Bands) -> None:
        level = np.log(heard + _SILENT)
        if self._mic_mean is None:
            self._mic_mean = level
        rise = level - self._mic_mean
        self._mic_mean = self._mic_mean + _MEAN * rise
        played_rise = np.log(played + _SILENT) - self._reference_mean
        self._reference_mean = self._reference_mean + _MEAN * played_rise
        for past, latest in ((self._played, played), (self._rises, played_rise)):
            past[1:] = past[:-1].copy()
            past[0] = latest
        self._likeness += _MEMORY * (self._rises @ rise - self._likeness)

    def _learn_gain(self, heard: Bands, loudest: Bands, noise: Bands, rise_db: float) -> None:
        ratio_db = _db((heard + 1) / (loudest + 1))
        moved = self._gain_db + np.where(ratio_db > self._gain_db, rise_db, -_FALL_DB)
        sounds = loudest > _SOUNDS
        place = self._proofs[sounds] % _PROOF, np.flatnonzero(sounds)
        self._went[place], self._came[place] = loudest[sounds] + 1, heard[sounds] + 1
        self._stood_out[place] = ((heard + 1) / (noise + 1))[sounds]
        self._proofs += sounds
        told = self._proofs >= _PROOF
        brought_db = _db((self._came / self._went).max(axis=0))
        if told.sum() > _BANDS // 2:
            stood_out = float(np.median(self._stood_out.max(axis=0)[told]))
            # The player's speech is above the noise, too, so only explained frames may end `brings_nothing`.
            if stood_out <= _NOTHING:
                self._brings_nothing = True
                # Where the far end was faint, noise looks like an echo as loud; the ratio of sums is more robust.
                brought_db = _db(self._came.sum(axis=0) / self._went.sum(axis=0))
            elif rise_db == _RISE_DB and np.median(((heard + 1) / (noise + 1))[told]) > _NOTHING:
                # Above the noise and explained by the far end; between the player's words noise explains all.
                self._brings_nothing = False
        moved = np.where(told, np.minimum(moved, brought_db + _PROOF_MARGIN_DB), moved)
        moved = np.clip(moved, _LOWEST_GAIN_DB, _HIGHEST_GAIN_DB)
        self._gain_db = np.where(sounds, moved, self._gain_db)
