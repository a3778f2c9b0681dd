"""A wav parser for streams: bytes in pieces of any size to s16le mono samples.

Sizes in a header may be placeholders (0, 0x7FFFF000 or more), since the writer of a stream does not know them; then the
samples last to the end. The format is described in Microsoft's "Multimedia Programming Interface and Data
Specifications 1.0" (RIFF) and in mmreg.h (WAVE_FORMAT_*).
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from mythicd.audio.wav import CLIP_RATES, HEADER_BYTES, STREAMED_BYTES
from mythicd.errors import AudioError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_FMT_BYTES: Final = range(16, 257)
_MAX_CHANNELS: Final = 8


class WavStream:
    """The parser of one wav. A wav that follows it in the same stream, as some servers send, continues it."""

    rate: int | None = None
    """Hertz; known after the `fmt ` chunk."""

    def __init__(self) -> None:
        self._data = b""
        self._channels = 1
        self._is_float = False
        self._left: int | None = 0
        """Bytes of samples that are still to come; 0 outside of the samples, None for an unknown number."""
        self._skip = 0
        self._header = 0

    def add(self, data: bytes) -> bytes:
        """Return the samples that are complete by now. Raises AudioError for an unsupported or damaged header."""
        self._data += data
        pcm = b""
        while True:
            if self._skip:
                skipped = min(self._skip, len(self._data))
                self._data = self._data[skipped:]
                self._skip -= skipped
            if self._left != 0:
                pcm += self._samples()
            if self._left != 0 or self._skip or not self._read_chunk():
                return pcm

    def finish(self) -> None:
        """Take the end of the stream. Raises AudioError when the header or declared samples are missing."""
        if self.rate is None:
            raise AudioError("The wav ends within its header.", remedy="Try again.")
        if self._left:
            raise AudioError(f"The wav is truncated: {self._left} bytes of its samples are missing.")
        if self._left is None and len(self._data) > 0:
            raise AudioError("The wav ends within a sample.")

    @property
    def _block(self) -> int:
        """Bytes of one sample of all channels."""
        return self._channels * (4 if self._is_float else 2)

    def _samples(self) -> bytes:
        """Take the whole samples at the front."""
        there = len(self._data) if self._left is None else min(len(self._data), self._left)
        whole = there - there % self._block
        taken, self._data = self._data[:whole], self._data[whole:]
        if self._left is not None:
            self._left -= whole
            if 0 < self._left < self._block:  # a size that is not a multiple of the block
                self._skip, self._left = self._left, 0
        samples = np.frombuffer(taken, "<f4" if self._is_float else "<i2").reshape(-1, self._channels)
        if self._is_float:
            samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0) * 32768.0
        elif self._channels == 1:
            return taken
        mixed = samples.mean(axis=1, dtype=np.float64)
        return bytes(np.clip(np.rint(mixed), -32768, 32767).astype("<i2").tobytes())

    def _read_chunk(self) -> bool:
        """Read the header of the next chunk, and `fmt ` as a whole; return whether there was one."""
        if len(self._data) < 8:
            return False
        name, size = self._data[:4], int.from_bytes(self._data[4:8], "little")
        taken = 8
        if name == b"RIFF":
            taken = 12
            if len(self._data) < taken:
                return False
            if self._data[8:12] != b"WAVE":
                raise AudioError(f"A RIFF file of type {self._data[8:12]!r} is not a wav.")
        elif name == b"fmt ":
            if size not in _FMT_BYTES:
                raise AudioError(f"The wav's fmt chunk has {size} bytes.")
            taken += size + size % 2
            if len(self._data) < taken:
                return False
            self._read_format(self._data[8 : 8 + size])
        elif name == b"data":
            if self.rate is None:
                raise AudioError("The wav's samples come before its format.")
            self._left = None if size == 0 or size >= STREAMED_BYTES else size
            self._skip = 0
        elif not (name.isascii() and name.decode("ascii").isprintable()):
            raise AudioError(f"The wav has a damaged chunk {name!r}.")
        else:
            self._skip = size + size % 2
        self._header = 0 if name == b"data" else self._header + taken + self._skip
        if self._header > HEADER_BYTES:
            raise AudioError(f"The wav's header is longer than {HEADER_BYTES} bytes.")
        self._data = self._data[taken:]
        return True

    def _read_format(self, fmt: bytes) -> None:
        """Check a `fmt ` chunk."""
        kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", fmt[:16])
        if kind == _EXTENSIBLE and len(fmt) >= 26:
            kind = int.from_bytes(fmt[24:26], "little")
        if (kind, bits) not in ((_PCM, 16), (_FLOAT, 32)):
            raise AudioError(
                f"The wav has samples of {bits} bits in format {kind}.",
                remedy="Have the server send 16-bit PCM or 32-bit floats.",
            )
        if not 1 <= channels <= _MAX_CHANNELS or rate not in CLIP_RATES:
            raise AudioError(f"The wav has {channels} channels at {rate} Hz.")
        if self.rate is not None and (rate, channels, kind == _FLOAT) != (self.rate, self._channels, self._is_float):
            raise AudioError("The wav changes its format in the middle.")
        self.rate, self._channels, self._is_float = rate, channels, kind == _FLOAT
