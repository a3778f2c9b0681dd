"""Wav files, read and written by libsndfile (package soundfile)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import Clip, to_array
from mythicd.errors import AudioError

CLIP_RATES = range(4_000, 192_001)
"""Sample rates that `read_wav` accepts, in hertz. Any other means a damaged header."""
MAX_CLIP_S = 300.0
"""Longest wav that `read_wav` accepts, in seconds. A player's turn takes seconds; a file of hours is a mistake."""


def read_wav(path: Path, *, max_s: float = MAX_CLIP_S) -> Clip:
    """Read a wav (or flac, ogg) file of any sample format, mixed down to mono s16le at its own rate.

    Raises AudioError for a file that is missing, empty, not audio, truncated, or longer than `max_s` seconds.
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
                            f"{path} is {frames / rate:.0f} s long; the limit is {max_s:.0f} s.",
                            remedy="Shorten it to the question.",
                        )
                    if frames == 0:
                        raise AudioError(f"{path} contains no audio.", remedy="Record it again.")
                    # In blocks, because five minutes of many channels as floats would fill the memory.
                    blocks = sound.blocks(blocksize=65_536, dtype="float32", always_2d=True)
                    mono = np.concatenate([_mono(block) for block in blocks])
            except soundfile.LibsndfileError as error:
                raise AudioError(
                    f"{path} is not a readable sound file: {error.error_string.strip().rstrip('.')}.",
                    remedy="Use a PCM wav file, for example 16 kHz mono 16-bit.",
                ) from error
    except OSError as error:
        raise AudioError(f"Cannot read {path}: {error.strerror or error}.", remedy="Check the path.") from error
    if len(mono) < frames:
        raise AudioError(
            f"{path} is truncated: its header says {frames} samples, {len(mono)} can be read.",
            remedy="Copy or record it again.",
        )
    return Clip(mono.tobytes(), rate)


def _mono(block: NDArray[np.float32]) -> NDArray[np.int16]:
    """Mix floats of shape (frames, channels), full scale 1, down to s16le; samples over full scale are clipped."""
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
    """Raise AudioError for what libsndfile accepts: an empty file, and a wav shorter than its header says."""
    head = file.read(12)
    size = file.seek(0, 2)
    file.seek(0)
    if size == 0:
        raise AudioError(f"{path} is empty.", remedy="Record it again.")
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        declared = struct.unpack("<I", head[4:8])[0] + 8
        # Writers to a pipe leave 0xFFFFFFFF or 0 there: the length is unknown.
        if declared not in (8, 8 + 0xFFFFFFFF) and declared > size:
            raise AudioError(
                f"{path} is truncated: its header says {declared} bytes, the file has {size}.",
                remedy="Copy or record it again.",
            )
