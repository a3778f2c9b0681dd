"""The window of a transcription: the speech between silences, as a log-mel spectrogram. Pure.

Whisper was trained on windows of 30 s. On a window as long as the speech it is seven times as fast, and as right, if
there is enough silence around the speech: without it, it does not know where to begin and when to stop. docs/asr.md has
the measurements.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mythicd.asr.whisper.log_mel import LogMel
from mythicd.audio.pcm import MIC_RATE

FRAME_RATE: Final = 100
"""Frames of the spectrogram in a second (Radford et al. 2022, section 2.2)."""
LONGEST_S: Final = 30.0
"""Whisper's own window."""
BEFORE_S: Final = 0.5
"""Silence before the speech. Without it first words are lost where an utterance begins abruptly."""
AFTER_S: Final = 4.0
"""Silence after it. With 1.2 s a fifth of the transcripts repeated their beginning, with 4 s one in a hundred."""
PARTIAL_AFTER_S: Final = 2.0
"""The same for partials, which are discarded soon."""


def samples_of_window(speech: NDArray[np.float32], after_s: float) -> NDArray[np.float32]:
    """Return the speech (shape [samples], −1 to 1, 16 kHz) between silences, at most LONGEST_S long.

    A constant offset (DC) is removed, which would hide quiet speech from the spectrogram's range of 80 dB.
    """
    most = round((LONGEST_S - BEFORE_S) * MIC_RATE)
    speech = speech[:most]
    after = min(round(after_s * MIC_RATE), most - len(speech))
    centred = speech - speech.mean() if len(speech) else speech
    before = np.zeros(round(BEFORE_S * MIC_RATE), np.float32)
    return np.concatenate([before, centred.astype(np.float32), np.zeros(after, np.float32)])


def voiced_end_s(speech: NDArray[np.float32]) -> float:
    """Return when the speech ends (shape [samples], −1 to 1, 16 kHz), in seconds.

    That is the end of the last block of 20 ms within 26 dB of the loudest, and 6 dB above the quietest tenth.
    """
    block = MIC_RATE // 50
    if len(speech) < block:
        return len(speech) / MIC_RATE
    loudest = np.abs(speech[: len(speech) // block * block].reshape(-1, block)).max(axis=1)
    least = max(0.05 * float(loudest.max()), min(2 * float(np.quantile(loudest, 0.1)), 0.3 * float(loudest.max())))
    return float(np.flatnonzero(loudest >= least)[-1] + 1) * block / MIC_RATE


def features(log_mel: LogMel, window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log-mel spectrogram of a window: shape [1, mels, frames], an even number of frames."""
    frames = len(window) * FRAME_RATE // MIC_RATE // 2 * 2
    return np.ascontiguousarray(log_mel.of(window)[None, :, :frames])
