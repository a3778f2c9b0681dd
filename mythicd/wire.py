"""The wire, sans I/O: bytes in, messages and frames out, and back. No socket is known here.

Text frames are JSON (messages.py). Binary frames carry PCM and visemes behind a 24-byte little-endian header:

    0  2s  magic "MY"          8  u32 stream id
    2  u8  version, 1         12  u32 sequence number, from 0 for each stream and type
    3  u8  type               16  u64 timestamp: sample index in the stream's own rate
    4  u16 flags              24  payload
    6  u16 header length (24 or more, a multiple of 4; the excess is skipped: room to grow)

The WebSocket message is the length, so the header carries none. Times are sample indexes: exact, and immune to drift.
A malformed header means that the sender's framing is lost: BadFrame, and the connection closes. A frame of a stream
that is not open is dropped, counted and reported once: it may have been on its way when the stream was closed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any

import msgspec

from mythicd.errors import BadFrame, BadMessage, HelloExpected, MythicError, TooLarge, UnknownStream, VersionMismatch
from mythicd.messages import (
    SCHEMA_VERSION,
    AudioChunk,
    ClientMessage,
    Error,
    Hello,
    Message,
    MicStart,
    MicStop,
    ServerMessage,
    VisemeEvent,
)

MAX_TEXT = 64 * 1024
"""Largest text frame, in bytes."""
MAX_BINARY = 4 * 1024 * 1024
"""Largest binary frame, in bytes."""
RECEIVE_LIMIT = 2 * MAX_BINARY
"""What a socket still takes in, so that it can be said what is wrong with a frame that is over the cap."""
MAX_MIC_STREAMS = 8
"""Most microphone streams a client may have open at once."""

HEADER = struct.Struct("<2sBBHHIIQ")
MAGIC = b"MY"
VERSION = 1


class FrameType(IntEnum):
    """What a binary frame carries."""

    MIC_PCM = 1
    TTS_PCM = 2
    VISEME = 3
    BLEND = 4


class FrameFlags(IntFlag):
    """Unknown bits are ignored."""

    START = 1
    END = 2
    SILENCE = 4
    DISCONTINUITY = 8


@dataclass(frozen=True, slots=True)
class Frame:
    """One binary frame."""

    type: int
    """A FrameType, or a number from a later version of the protocol."""
    stream: int
    sequence: int
    timestamp: int
    """Sample index of the payload's first sample."""
    payload: bytes
    flags: int = 0


def pack_frame(frame: Frame) -> bytes:
    """Return the frame's bytes."""
    header = HEADER.pack(
        MAGIC, VERSION, frame.type, frame.flags, HEADER.size, frame.stream, frame.sequence, frame.timestamp
    )
    return header + frame.payload


def unpack_frame(data: bytes) -> Frame:
    """Parse a binary frame. Raises BadFrame (what is wrong with it) or TooLarge."""
    if len(data) > MAX_BINARY:
        raise TooLarge(
            f"A binary frame of {len(data)} bytes is over the cap of {MAX_BINARY}.",
            remedy="Send audio in frames of 20 to 60 ms.",
        )
    if len(data) < HEADER.size:
        raise BadFrame(
            f"A binary frame of {len(data)} bytes is shorter than its header of {HEADER.size}.",
            remedy="Send one whole frame in each WebSocket message.",
        )
    magic, version, kind, flags, header_length, stream, sequence, timestamp = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise BadFrame(f"A binary frame begins with {magic!r}, not {MAGIC!r}.", remedy="See docs/protocol.md, frames.")
    if version != VERSION:
        raise BadFrame(
            f"A binary frame has version {version}; this daemon speaks {VERSION}.", remedy="Update the plugin."
        )
    if header_length < HEADER.size or header_length % 4 or header_length > len(data):
        raise BadFrame(
            f"A binary frame of {len(data)} bytes claims a header of {header_length}.",
            remedy=f"The header is {HEADER.size} bytes, or more in steps of 4.",
        )
    payload = data[header_length:]
    if kind in (FrameType.MIC_PCM, FrameType.TTS_PCM) and len(payload) % 2:
        raise BadFrame(
            f"A PCM frame carries {len(payload)} bytes, which is no whole number of 16-bit samples.",
            remedy="Send s16le mono.",
        )
    return Frame(kind, stream, sequence, timestamp, payload, flags)


# --- visemes ---------------------------------------------------------------------------------------------------------

OVR15 = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")
"""The viseme set with code 1, in the order of its codes."""

_VISEME_HEAD = struct.Struct("<BBH")
_VISEME = struct.Struct("<IIHBB")
_SET_OVR15 = 1


def pack_visemes(events: Iterable[VisemeEvent], timestamp: int) -> bytes:
    """Return a viseme payload; the events' starts become relative to `timestamp`."""
    body = [
        _VISEME.pack(event.start - timestamp, event.duration, event.code, event.weight, event.flags) for event in events
    ]
    return _VISEME_HEAD.pack(_SET_OVR15, _VISEME.size, len(body)) + b"".join(body)


def unpack_visemes(payload: bytes, timestamp: int) -> list[VisemeEvent]:
    """Parse a viseme payload; starts are absolute again. Raises BadFrame. Bytes behind each known event are skipped."""
    if len(payload) < _VISEME_HEAD.size:
        raise BadFrame(f"A viseme payload of {len(payload)} bytes has no head.", remedy="See docs/protocol.md, frames.")
    kind, stride, count = _VISEME_HEAD.unpack_from(payload)
    if kind != _SET_OVR15 or stride < _VISEME.size or len(payload) < _VISEME_HEAD.size + stride * count:
        raise BadFrame(
            f"A viseme payload of {len(payload)} bytes claims {count} events of {stride} bytes in set {kind}.",
            remedy="See docs/protocol.md, frames.",
        )
    events = []
    for index in range(count):
        start, duration, code, weight, flags = _VISEME.unpack_from(payload, _VISEME_HEAD.size + stride * index)
        events.append(VisemeEvent(timestamp + start, duration, code, weight, flags))
    return events


# --- text ------------------------------------------------------------------------------------------------------------

_encoder = msgspec.json.Encoder()
_client_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_server_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)


def encode(message: Message) -> str:
    """Return a message as the JSON of a text frame."""
    return _encoder.encode(message).decode()


def decode_client(data: str | bytes) -> ClientMessage:
    """Parse what a client sent. Raises BadMessage (where it is wrong), TooLarge or VersionMismatch."""
    size = len(data.encode("utf-8", "surrogatepass")) if isinstance(data, str) else len(data)
    if size > MAX_TEXT:
        raise TooLarge(
            f"A text frame of {size} bytes is over the cap of {MAX_TEXT}.", remedy="Audio goes in binary frames."
        )
    try:
        return _client_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise _explain(data, error) from error
    except UnicodeError as error:
        raise BadMessage(f"A text frame is not UTF-8: {error}.", remedy="Send UTF-8 JSON.") from error


def decode_server(data: str | bytes) -> ServerMessage:
    """Parse what the daemon sent. Raises BadMessage."""
    try:
        return _server_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise _explain(data, error) from error


def _explain(data: str | bytes, error: msgspec.DecodeError) -> BadMessage | VersionMismatch:
    """Turn msgspec's complaint into one that says which message, which field, and what to do."""
    try:
        raw: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError):
        return BadMessage(f"A text frame is not JSON: {error}.", remedy="Send one JSON object in each text frame.")
    if not isinstance(raw, dict):
        return BadMessage("A text frame is JSON but not an object.", remedy='Send {"type": …, …}.')
    kind = raw.get("type")
    version = raw.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        return VersionMismatch(
            f"The client speaks protocol {version!r}; this daemon speaks {SCHEMA_VERSION!r}.",
            remedy="Update the plugin or the daemon.",
        )
    if kind is None:
        return BadMessage("A message has no `type`.", remedy="See docs/protocol.md for the messages.")
    if not isinstance(kind, str) or kind not in CLIENT_TYPES:
        return BadMessage(
            f"There is no message of type {str(kind)[:64]!r}.", remedy=f"Known: {', '.join(CLIENT_TYPES)}."
        )
    return BadMessage(f"{kind}: {error}.", remedy=f"See docs/protocol.md, {kind}.")


def plain_json(value: Any) -> str:
    """Return a value as the JSON that stands inside a prompt."""
    return _encoder.encode(value).decode()


def describe(error: MythicError, *, npc_id: str = "", turn_id: str = "", call_id: str = "") -> Error:
    """Return an error as the message that tells a client of it."""
    return Error(
        code=error.code,
        message=error.what,
        remedy=error.remedy,
        retryable=error.retryable,
        npc_id=npc_id,
        turn_id=turn_id,
        call_id=call_id,
    )


CLIENT_TYPES: tuple[str, ...] = tuple(kind.__name__ for kind in ClientMessage.__args__)
"""Names of all messages a client may send."""


# --- the order of things ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ClientSession:
    """What the daemon knows of one client's side of the conversation: Hello first, frames only of open streams."""

    hello: Hello | None = None
    mics: dict[int, MicStart] = field(default_factory=dict)
    """Open microphone streams."""
    latest_mic: int = 0
    """Highest stream id used so far: ids only go up, so nothing has to be remembered of the closed ones."""
    dropped: dict[int, int] = field(default_factory=dict)
    """Frames dropped, by the stream they named."""

    def receive_text(self, data: str | bytes) -> ClientMessage:
        """Take a text frame; return its message. Raises ProtocolError of the kind that fits."""
        message = decode_client(data)
        if isinstance(message, Hello):
            if self.hello is not None:
                raise HelloExpected("Hello came a second time.", remedy="Open another connection for another game.")
            self.hello = message
            return message
        if self.hello is None:
            raise HelloExpected(
                f"{type(message).__name__} came before Hello.", remedy="Send Hello as the first message."
            )
        if isinstance(message, MicStart):
            if message.stream <= self.latest_mic:
                raise BadMessage(
                    f"MicStart: stream {message.stream} comes after {self.latest_mic}: it was used before, or skipped.",
                    remedy="Count streams upwards from 1.",
                )
            if len(self.mics) >= MAX_MIC_STREAMS:
                raise BadMessage(
                    f"MicStart: {MAX_MIC_STREAMS} microphone streams are open already.", remedy="Send MicStop first."
                )
            self.mics[message.stream] = message
            self.latest_mic = message.stream
        elif isinstance(message, MicStop):
            self._open_mic(message.stream)
            del self.mics[message.stream]
        elif isinstance(message, AudioChunk):
            if not self.hello.debug_audio:
                raise BadMessage(
                    "AudioChunk: this connection did not ask for debug audio.",
                    remedy="Send binary frames, or set debug_audio in Hello.",
                )
            self._open_mic(message.stream)
        return message

    def receive_binary(self, data: bytes) -> Frame | None:
        """Take a binary frame; return it, or None for one of a type this version does not know.

        Raises BadFrame or TooLarge when its form is broken, HelloExpected, and UnknownStream the first time that a
        stream which is not open is named (later ones are only counted).
        """
        frame = unpack_frame(data)
        if self.hello is None:
            raise HelloExpected("A binary frame came before Hello.", remedy="Send Hello as the first message.")
        if frame.type != FrameType.MIC_PCM:
            if frame.type in (FrameType.TTS_PCM, FrameType.VISEME, FrameType.BLEND):
                raise BadFrame(
                    f"A client sent a {FrameType(frame.type).name} frame.", remedy="Clients send MIC_PCM frames only."
                )
            return None
        if frame.stream not in self.mics:
            first = frame.stream not in self.dropped
            # Bounded: a client that counts through all stream ids must not fill the memory.
            if len(self.dropped) < 1024:
                self.dropped[frame.stream] = self.dropped.get(frame.stream, 0) + 1
            if first and frame.stream > self.latest_mic:
                raise UnknownStream(
                    f"A frame names stream {frame.stream}, which is not open.", remedy="Send MicStart first."
                )
            return None
        return frame

    def _open_mic(self, stream: int) -> None:
        if stream not in self.mics:
            raise UnknownStream(f"Stream {stream} is not open.", remedy="Send MicStart first.")
