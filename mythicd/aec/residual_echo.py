"""Whether a microphone frame holds anything that is not our own voice, from a loudspeaker beside the microphone.

A canceller takes most of an echo away, as long as its delay stands still. When a client's jitter buffer moves, echo
leaks for up to a second, and it *is* speech: no voice activity detector can tell it from the player's. But it was
foretold. In each of twenty bands the judge knows how loud the echo can be just now: as loud as the reference was around
the delay (±80 ms, so a move of the delay changes nothing), times how loud the room has let it become so far, and the
room's own noise beside it. The share of a frame's energy within these bounds is *explained*; what a player adds stands
out of them.

* The delay is the lag at which the bands of microphone and reference have risen and fallen together, over about 0.7 s.
* The gain of a band follows the loudest tenth of what it was: slowly, so that a player who talks over the voice is not
  taken into it. It begins at −6 dB, the loudest that is to be expected. Where two thirds of a second of our voice have
  brought back much less than that, it sinks to what it brought: to nothing where the player wears headphones, who
  then is not held to anything.
* The noise of a band is its quietest moment within the last 1.5 s, and 6 dB.

Pure: frames in, numbers out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import MIC_RATE, to_array
from mythicd.engines.vad import VAD_FRAME

Bands = NDArray[np.float64]

_SIZE: Final = 512
"""Samples looked at for a frame: itself and 12 ms before."""

_BANDS: Final = 20
_LOWEST_HZ: Final = 150.0
_HIGHEST_HZ: Final = 7200.0

_LAGS: Final = 32
"""Frames that the echo may lag behind the reference: 640 ms."""

_AROUND: Final = 4
"""Frames on either side of the delay from which an echo may come."""

_MEMORY: Final = 0.03
"""Share of a new frame in what is known of the delay: a half-life of 0.46 s."""

_MEAN: Final = 0.02
"""Share of a new frame in a band's mean level: a half-life of 0.7 s."""

_FIRST_GAIN_DB: Final = -6.0
_RISE_DB: Final = 0.3
_FALL_DB: Final = _RISE_DB / 9
"""Steps of a gain a frame: it stands still where a tenth of the frames is above."""

_PROOF: Final = 26
"""Frames with our voice in a band, 0.52 s, after which what they brought back bounds the gain: longer than any delay.
With 22, 2 of 24 replies that came back 300 to 400 ms late were taken for the player; with 26 none of 80."""

_PROOF_MARGIN_DB: Final = 6.0

_NOTHING: Final = 16.0
"""Power to which noise may rise above its quietest moment: what came back of our voice and was no louder is none of it.
"""

_STRANGE: Final = 0.7
_STRANGE_RISE_DB: Final = 0.1
"""Explained share below which somebody else is likely to speak, and how fast a gain may rise then."""

_LOWEST_GAIN_DB: Final = -40.0
_HIGHEST_GAIN_DB: Final = 10.0

_MARGIN: Final = 2.0
"""Power by which an echo may exceed what was foretold: a foretold tenth is above."""

_AFTER: Final = 100
"""Frames after the reference fell silent for which frames are still judged: by then the echo has faded, and a detector
that has listened to a canceller's silence is used to the room again."""

_NOISE_FRAMES: Final = 75
_NOISE_MARGIN: Final = 4.0
"""Power of noise above its quietest moment."""

_SILENT: Final = 10.0 * _SIZE
"""Band power of a signal of a few units of 32768."""

_SOUNDS: Final = 100 * _SILENT
"""Band power above which the reference says something about the gain."""


def _edges() -> NDArray[np.intp]:
    """Return the spectrum's indexes at which the bands begin and end, evenly spread in mel."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (_LOWEST_HZ, _HIGHEST_HZ))
    hertz = 700 * (10 ** (np.linspace(low, high, _BANDS + 1) / 2595) - 1)
    return np.rint(hertz * _SIZE / MIC_RATE).astype(np.intp)


_EDGES: Final = _edges()
_WIDTHS: Final = np.diff(_EDGES)
_WINDOW: Final = np.hanning(_SIZE)


def _db(power: Bands) -> Bands:
    return np.asarray(10 * np.log10(power), dtype=np.float64)


class _Spectrum:
    """Frames of one signal -> mean power in each band."""

    def __init__(self) -> None:
        self._seen = np.zeros(_SIZE)

    def push(self, frame: NDArray[np.int16] | NDArray[np.float32]) -> Bands:
        self._seen[:-VAD_FRAME] = self._seen[VAD_FRAME:]
        self._seen[-VAD_FRAME:] = frame
        spectrum = np.fft.rfft(self._seen * _WINDOW)[: _EDGES[-1]]
        power = spectrum.real**2 + spectrum.imag**2
        return np.asarray(np.add.reduceat(power, _EDGES[:-1]) / _WIDTHS, dtype=np.float64)


class ResidualEcho:
    """One microphone beside one loudspeaker."""

    def __init__(self) -> None:
        self._mic, self._cleaned, self._reference = _Spectrum(), _Spectrum(), _Spectrum()
        self._played = np.zeros((_LAGS + 1, _BANDS))
        """The reference's bands, latest first."""
        self._rises = np.zeros((_LAGS + 1, _BANDS))
        """How far its bands were above their mean, in nepers, latest first."""
        self._likeness = np.zeros(_LAGS + 1)
        self._mic_mean: Bands | None = None
        self._reference_mean: Bands = np.full(_BANDS, np.log(_SILENT))
        self._gain_db: Bands = np.full(_BANDS, _FIRST_GAIN_DB)
        self._went = np.ones((_PROOF, _BANDS))
        """Power of our voice in each band's last frames that had any, as loud as it may come back."""
        self._came = np.ones((_PROOF, _BANDS))
        """The microphone's meanwhile."""
        self._stood_out = np.ones((_PROOF, _BANDS))
        """The same as a multiple of the room's noise."""
        self._proofs = np.zeros(_BANDS, np.intp)
        self._smooth: Bands | None = None
        self._recent = np.full((_NOISE_FRAMES, _BANDS), np.inf)
        self._brings_nothing = False
        self._at = 0
        self._silent = _AFTER

    @property
    def delay_ms(self) -> float:
        """How far the echo lags behind the reference, by what is known; 0 as long as nothing was played."""
        return float(np.argmax(self._likeness)) * VAD_FRAME * 1000 / MIC_RATE

    @property
    def brings_nothing(self) -> bool:
        """Whether our voice does not come back at all, as far as can be told: the player wears headphones."""
        return self._brings_nothing

    @property
    def gain_db(self) -> float:
        """How loud the echo is beside the reference: the median over the bands."""
        return float(np.median(self._gain_db))

    def push(self, mic: bytes, cleaned: bytes, reference: NDArray[np.float32] | None) -> float:
        """Take 20 ms of the microphone, of what the canceller left of it, and of what was played meanwhile.

        Return the share of the cleaned frame's energy that echo and room noise explain: 0–1; 0 when nothing was played
        for two seconds.
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
            # Somebody who speaks stands out, too: what was known before goes on to hold while it is not our voice.
            if stood_out <= _NOTHING:
                self._brings_nothing = True
                # Where our voice was faint the room's noise looks like an echo as loud: the sum tells better.
                brought_db = _db(self._came.sum(axis=0) / self._went.sum(axis=0))
            elif rise_db == _RISE_DB and np.median(((heard + 1) / (noise + 1))[told]) > _NOTHING:
                # It stands out just now, and our voice explains it. In the gaps of somebody's words noise explains all.
                self._brings_nothing = False
        moved = np.where(told, np.minimum(moved, brought_db + _PROOF_MARGIN_DB), moved)
        moved = np.clip(moved, _LOWEST_GAIN_DB, _HIGHEST_GAIN_DB)
        self._gain_db = np.where(sounds, moved, self._gain_db)
