"""Wav files, read and written by libsndfile (package soundfile)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import Clip, to_array
from mythicd.errors import AudioError

CLIP_RATES = range(4_000, 192_001)
"""Sample rates that `read_wav` accepts, in hertz. Any other means a damaged header."""
HEADER_BYTES = 65_536
"""Bytes at the beginning of a wav in which its samples must begin."""
STREAMED_BYTES = 0x7FFF_0000
"""Declared size from which a wav's size is a placeholder. To a pipe, sox and espeak-ng write 0x7FFFF000, arecord
0x80000000, and ffmpeg 0xFFFFFFFF."""
LOST_SHARE = 0.02
"""Share of the declared samples that may be missing: header sizes are off by some bytes in files of many tools."""
MAX_CLIP_S = 300.0
"""Longest wav that `read_wav` accepts, in seconds. A player's turn takes seconds; a file of hours is a mistake."""


def read_wav(path: Path, *, max_s: float = MAX_CLIP_S) -> Clip:
    """Read a wav (or flac, ogg) file of any sample format, mixed down to mono s16le at its own rate.

    Raises AudioError for a file that is missing, empty, not audio, truncated, or longer than `max_s` seconds.
    """
    import soundfile

    try:
        with path.open("rb") as file:
            try:
                with soundfile.SoundFile(_opened(file, path, max_s)) as sound:
                    frames, rate = int(sound.frames), int(sound.samplerate)
                    if rate not in CLIP_RATES:
                        raise AudioError(
                            f"{path} has a sample rate of {rate} Hz.",
                            remedy=f"Record it at {CLIP_RATES.start} to {CLIP_RATES.stop - 1} Hz.",
                        )
                    if frames > max_s * rate:
                        raise _too_long(path, frames / rate, max_s)
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
    if len(mono) < frames * (1 - LOST_SHARE):
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


def _too_long(path: Path, seconds: float, max_s: float) -> AudioError:
    return AudioError(
        f"{path} is {seconds:.0f} s long; the limit is {max_s:.0f} s.", remedy="Shorten it to the question."
    )


def _opened(file: BinaryIO, path: Path, max_s: float) -> BinaryIO:
    """Return the file for libsndfile, with a repaired header where a tool left one that it does not take.

    Raises AudioError for an empty file, a wav that lost a good part of its samples, and one whose header has to be
    repaired and that is longer than `max_s` seconds.
    """
    size = file.seek(0, 2)
    file.seek(0)
    if size == 0:
        raise AudioError(f"{path} is empty.", remedy="Record it again.")
    head = file.read(HEADER_BYTES)
    file.seek(0)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return file
    chunks = _chunks(head, size)
    data = chunks.get(b"data")
    if data is None or b"fmt " not in chunks:
        return file
    there = size - data.start
    if 0 < data.declared < STREAMED_BYTES and there < data.declared * (1 - LOST_SHARE):
        raise AudioError(
            f"{path} is truncated: its header says {data.declared} bytes of samples, {there} are there.",
            remedy="Copy or record it again.",
        )
    if 0 < data.declared <= there and data.is_regular:
        return file
    # Tools that write to a pipe leave 0 or a placeholder as the size; some leave out the pad byte of an odd chunk.
    layout = chunks[b"fmt "]
    description = head[layout.start : layout.start + layout.declared]
    length = min(data.declared, there) if 0 < data.declared < STREAMED_BYTES else there
    bytes_per_s = int.from_bytes(description[8:12], "little")
    if length > max_s * bytes_per_s > 0:
        raise _too_long(path, length / bytes_per_s, max_s)
    file.seek(data.start)
    samples = file.read(length)
    body = b"WAVEfmt " + struct.pack("<I", len(description)) + description + b"data" + struct.pack("<I", len(samples))
    return BytesIO(b"RIFF" + struct.pack("<I", len(body) + len(samples)) + body + samples)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk of a RIFF file."""

    start: int
    """Index of its first byte of content."""
    declared: int
    """Its size, as its header says."""
    is_regular: bool
    """Whether it is where the chunks before it say."""


def _chunks(head: bytes, size: int) -> dict[bytes, _Chunk]:
    """Return the chunks of a RIFF file up to its samples, also where an odd chunk lacks its pad byte."""
    found: dict[bytes, _Chunk] = {}
    at, is_regular = 12, True
    while at + 8 <= len(head):
        name = head[at : at + 4]
        if not name.isascii() or not name.decode("ascii").isprintable():
            name, at, is_regular = head[at - 1 : at + 3], at - 1, False
        declared = struct.unpack("<I", head[at + 4 : at + 8])[0]
        found.setdefault(name, _Chunk(at + 8, declared, is_regular))
        if name == b"data":
            break
        at += 8 + declared + declared % 2
        if declared % 2 and head[at : at + 4] != b"data" and head[at - 1 : at + 3] == b"data":
            at, is_regular = at - 1, False
    return found
