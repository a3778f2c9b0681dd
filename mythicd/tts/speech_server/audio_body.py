"""Bodies of answers: recognised by their first bytes, and read as s16le mono samples.

Servers label their audio carelessly (raw samples as audio/mpeg, a wav although pcm was requested), so the bytes decide
wherever they can, and the content type only where they cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from typing import Final, Literal

from mythicd.audio.wav import CLIP_RATES
from mythicd.errors import AudioError, ConfigError
from mythicd.tts.speech_server.wav_stream import WavStream

HEAD_BYTES: Final = 16
"""Bytes from which the format is recognised."""

_MAGIC: Final = {b"ID3": "mp3", b"OggS": "ogg", b"fLaC": "flac", b"FORM": "aiff", b".snd": "au", b"RIFX": "big-endian"}
_COMPRESSED: Final = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/aac": "aac"}
_TEXT: Final = ("text/", "application/json", "application/problem+json", "application/xml", "application/xhtml+xml")


def is_text(content_type: str) -> bool:
    """Return whether a content type is of text, such as a page or an error."""
    return content_type.startswith(_TEXT)


class AudioBody:
    """The audio of one answer: bytes in pieces of any size to s16le mono samples."""

    rate: int | None = None
    """Hertz; known before the first samples."""

    def __init__(self, asked: Literal["pcm", "wav"], pcm_rate: int, headers: Mapping[str, str]) -> None:
        """`headers` are the answer's; `pcm_rate` holds where they declare none. Raises ConfigError for stereo pcm."""
        self._asked = asked
        self._content_type, declared_rate, channels = _declared(headers)
        self._pcm_rate = declared_rate or pcm_rate
        self._channels = channels
        self._head: bytes | None = b""
        """The first bytes, until the format is known."""
        self._wav: WavStream | None = None
        self._odd = b""

    def add(self, data: bytes) -> bytes:
        """Return the samples that are complete by now. Raises ConfigError or AudioError when it is something else."""
        if self._head is not None:
            self._head += data
            if len(self._head) < HEAD_BYTES:
                return b""
            data = self._recognise()
        return self._read(data)

    def finish(self) -> bytes:
        """Take the end of the body; return the rest. Raises AudioError when it is truncated."""
        rest = self._read(self._recognise()) if self._head else b""
        if self._wav is not None:
            self._wav.finish()
        if self._odd:
            raise AudioError("The audio ends within a sample.")
        return rest

    def _read(self, data: bytes) -> bytes:
        if self._wav is not None:
            pcm = self._wav.add(data)
            self.rate = self._wav.rate
            return pcm
        data = self._odd + data
        whole = len(data) - len(data) % 2
        self._odd = data[whole:]
        return data[:whole]

    def _recognise(self) -> bytes:
        """Choose the parser by the first bytes; return them."""
        head, self._head = self._head or b"", None
        if head.startswith(b"RIFF"):
            self._wav = WavStream()
            return head
        found = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
        if found is None and self._content_type in _COMPRESSED and head[0] == 0xFF and head[1:2] >= b"\xe0":
            found = _COMPRESSED[self._content_type]  # the sync word of an MPEG frame
        if found is None and all(letter in b"\t\r\n" or 32 <= letter < 127 for letter in head):
            found = f"text ({head.decode('ascii').strip()} …)"
        if found is None and self._asked == "wav":
            found = f"something else ({self._content_type or 'no content type'})"
        if found is not None:
            raise ConfigError(
                f"The speech server was asked for {self._asked} audio and sent {found}.",
                remedy="Set tts.server.format to one that the server has: pcm or wav.",
            )
        if self._channels != 1:
            raise ConfigError(
                f"The speech server sends pcm with {self._channels} channels.",
                remedy="Set tts.server.format to wav, or have the server send mono.",
            )
        self.rate = self._pcm_rate
        return head


def _declared(headers: Mapping[str, str]) -> tuple[str, int | None, int]:
    """Return the content type, sample rate and channels that the headers declare (`audio/pcm;rate=24000`)."""
    message = Message()
    message["Content-Type"] = headers.get("Content-Type", "")
    rate = _number(message.get_param("rate")) or _number(headers.get("X-Sample-Rate"))
    channels = _number(message.get_param("channels")) or _number(headers.get("X-Channels")) or 1
    content_type = message.get_content_type() if headers.get("Content-Type") else ""
    return content_type, rate if rate in CLIP_RATES else None, channels


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 8 else None
