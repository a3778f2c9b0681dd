"""Reads and writes wav files.

libsndfile, through soundfile, knows the formats.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import Clip, to_array
from mythicd.errors import AudioError

CLIP_RATES = range(4_000, 192_001)
"""Sample rates that `read_wav` accepts, in hertz. Others are a damaged header, and could not be resampled sensibly."""
MAX_CLIP_S = 300.0
"""Longest wav that `read_wav` accepts, in seconds. A player's turn is seconds; hours are a mistake, not a question."""


def read_wav(path: Path, *, max_s: float = MAX_CLIP_S) -> Clip:
    """Read a wav (or flac, ogg) file of any sample format, mixed down to mono s16le at its own rate.

    Raises AudioError for a file that is missing, empty, no audio, cut short, or longer than `max_s` seconds.
    """
    import soundfile

    try:
        with path.open("rb") as file:
            _check_riff(file, path)
            try:
                with soundfile.SoundFile(file) as sound:
                    frames, rate = int(sound.frames), int(sound.samplerate)
                    if rate not in CLIP_RATES:
                        raise AudioError(
                            f"{path} has a sample rate of {rate} Hz.",
                            remedy=f"Record it at {CLIP_RATES.start} to {CLIP_RATES.stop - 1} Hz.",
                        )
                    if frames > max_s * rate:
                        raise AudioError(
                            f"{path} is {frames / rate:.0f} s long; the longest clip is {max_s:.0f} s.",
                            remedy="Cut it to the question itself.",
                        )
                    if frames == 0:
                        raise AudioError(f"{path} holds no audio.", remedy="Record it again.")
                    # By the block: five minutes of many channels as floats would fill the memory.
                    blocks = sound.blocks(blocksize=65_536, dtype="float32", always_2d=True)
                    mono = np.concatenate([_mono(block) for block in blocks])
            except soundfile.LibsndfileError as error:
                raise AudioError(
                    f"{path} is not a sound file that can be read: {error.error_string.strip().rstrip('.')}.",
                    remedy="Give a PCM wav, for example 16 kHz mono 16-bit.",
                ) from error
    except OSError as error:
        raise AudioError(f"Cannot read {path}: {error.strerror or error}.", remedy="Check the path.") from error
    if len(mono) < frames:
        raise AudioError(
            f"{path} is cut short: its header promises {frames} samples, {len(mono)} can be read.",
            remedy="Copy or record it again.",
        )
    return Clip(mono.tobytes(), rate)


def _mono(block: NDArray[np.float32]) -> NDArray[np.int16]:
    """Mix floats of shape (frames, channels), full scale 1, down to s16le; what is over full scale is clipped."""
    mixed = np.nan_to_num(block, nan=0.0, posinf=1.0, neginf=-1.0).mean(axis=1, dtype=np.float64)
    samples: NDArray[np.int16] = np.clip(np.rint(mixed * 32768.0), -32768, 32767).astype("<i2")
    return samples


def write_wav(path: Path, clip: Clip) -> None:
    """Write a 16-bit mono wav. Raises AudioError when the file cannot be written."""
    import soundfile

    try:
        with path.open("wb") as file:
            soundfile.write(file, to_array(clip.pcm), clip.rate, format="WAV", subtype="PCM_16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioError(f"Cannot write {path}: {error}.", remedy="Choose another file with --out.") from error


def _check_riff(file: BinaryIO, path: Path) -> None:
    """Refuse what libsndfile would take in silence: an empty file, and a wav shorter than its own header says."""
    head = file.read(12)
    size = file.seek(0, 2)
    file.seek(0)
    if size == 0:
        raise AudioError(f"{path} is empty.", remedy="Record it again.")
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        promised = struct.unpack("<I", head[4:8])[0] + 8
        # Writers to a pipe leave 0xFFFFFFFF or 0 there; that is unknown, not cut short.
        if promised not in (8, 8 + 0xFFFFFFFF) and promised > size:
            raise AudioError(
                f"{path} is cut short: its header promises {promised} bytes, the file has {size}.",
                remedy="Copy or record it again.",
            )
