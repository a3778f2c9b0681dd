"""Binary frames: PCM and visemes after a 24-byte little-endian header.

The WebSocket message gives the length. Times are sample indexes: exact, and immune to clock drift.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from mythicd.errors import BadFrame, TooLarge
from mythicd.wire.messages import VisemeEvent

MAX_BINARY = 4 * 1024 * 1024
"""Largest binary frame, in bytes."""
RECEIVE_LIMIT = 2 * MAX_BINARY
"""Largest message that the WebSocket accepts: above the cap, so that a frame over it is answered with an error."""
HEADER = struct.Struct("<2sBBHHIIQ")
"""Frame header, little-endian:

    0  2s  magic "MY"          8  u32 stream id
    2  u8  version, 1         12  u32 sequence number, from 0 for each stream and type
    3  u8  type               16  u64 timestamp: sample index in the stream's own rate
    4  u16 flags              24  payload
    6  u16 header length (24 or more, a multiple of 4; later versions may use the excess, which is skipped)
"""
MAGIC = b"MY"
VERSION = 1


class FrameType(IntEnum):
    """Types of binary frames."""

    MIC_PCM = 1
    TTS_PCM = 2
    VISEME = 3
    BLEND = 4


class FrameFlags(IntFlag):
    """Flags of a binary frame; unknown bits are ignored."""

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
    """Parse a binary frame. Raises BadFrame or TooLarge."""
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
            remedy=f"Send a header of {HEADER.size} bytes, or more in steps of 4.",
        )
    payload = data[header_length:]
    if kind in (FrameType.MIC_PCM, FrameType.TTS_PCM) and len(payload) % 2:
        raise BadFrame(
            f"The payload of a PCM frame, {len(payload)} bytes, is not a multiple of 2 bytes.",
            remedy="Send s16le mono.",
        )
    return Frame(kind, stream, sequence, timestamp, payload, flags)


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
    """Parse a viseme payload; starts are absolute again. Raises BadFrame. Bytes after each known event are skipped."""
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
