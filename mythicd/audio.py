"""PCM: formats, reframing, resampling, wav files, and the arithmetic between milliseconds and samples.

Inside the house all audio is s16le mono `bytes`; a position in it is a sample index, never seconds. A library does the
filtering (soxr) and the file formats (libsndfile, through soundfile).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mythicd.errors import AudioError

SAMPLE_BYTES = 2
"""Bytes in one s16le sample."""

CLIP_RATES = range(4_000, 192_001)
"""Sample rates that `read_wav` accepts, in hertz. Others are a damaged header, and could not be resampled sensibly."""

MAX_CLIP_S = 300.0
"""Longest wav that `read_wav` accepts, in seconds. A player's turn is seconds; hours are a mistake, not a question."""


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
            f"PCM of {len(pcm)} bytes is not a whole number of 16-bit samples.",
            remedy="Send s16le audio: two bytes a sample.",
        )
    return np.frombuffer(pcm, dtype="<i2")


def rms_dbfs(pcm: bytes) -> float:
    """Return the root mean square level in dB relative to full scale; −inf for silence or nothing."""
    samples = to_array(pcm).astype(np.float64)
    power = float(np.mean(samples**2)) if len(samples) else 0.0
    return float(10 * np.log10(power / 32768.0**2)) if power > 0 else float("-inf")


class Reframer:
    """Cuts a stream of PCM into frames of one length, whatever the lengths it arrives in."""

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
        """Samples that wait for the rest of their frame."""
        return len(self._rest) // SAMPLE_BYTES

    def finish(self) -> bytes:
        """Return what is left, shorter than a frame, and start anew."""
        rest, self._rest = self._rest, b""
        return rest


class Resampler:
    """Streams PCM from one sample rate to another (soxr, "high quality"). Equal rates pass through untouched."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        import soxr

        self._stream = (
            None
            if source_rate == target_rate
            else soxr.ResampleStream(source_rate, target_rate, 1, dtype="int16", quality="HQ")
        )

    def add(self, pcm: bytes) -> bytes:
        """Return the resampled audio that is ready; the filter holds some milliseconds back."""
        if self._stream is None:
            return pcm
        return bytes(self._stream.resample_chunk(to_array(pcm)).astype("<i2").tobytes())

    def finish(self) -> bytes:
        """Return what the filter still held."""
        if self._stream is None:
            return b""
        empty: NDArray[np.int16] = np.empty(0, dtype=np.int16)
        return bytes(self._stream.resample_chunk(empty, last=True).astype("<i2").tobytes())


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of s16le mono audio."""

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
