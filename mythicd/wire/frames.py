"""Binary frames: PCM, visemes and blend shapes after a 24-byte little-endian header.

The WebSocket message gives the length. Times are sample indexes: exact, and immune to clock drift.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, Literal

from mythicd.errors import BadFrame, TooLarge
from mythicd.wire.messages import BlendEvent, MouthEvent, VisemeEvent, VisemeSetName

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


OVR15: Final = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")
"""The shapes of `ovr15` by code: the fifteen visemes of Meta's (Oculus) viseme reference, in its order."""

VRM: Final = ("sil", "aa", "ih", "ou", "ee", "oh")
"""The shapes of `vrm` by code: rest, then the lip-sync presets of VRM 1.0 (VRM 0: A I U E O) in the specification's
order."""

RHUBARB: Final = ("X", "A", "B", "C", "D", "E", "F", "G", "H")
"""The shapes of `rhubarb` by code: the idle shape, then the eight others of Rhubarb Lip Sync."""

ARKIT: Final = (
    *("eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft"),
    *("eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight"),
    *("eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen"),
    *("mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight"),
    *("mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft"),
    *("mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *("mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft"),
    *("mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut"),
)
"""The shapes of `arkit` by index: Apple's 52 blend shape locations, in the order of ARFaceAnchor.BlendShapeLocation."""


@dataclass(frozen=True, slots=True)
class VisemeSet:
    """A set of mouth shapes that a client may ask for."""

    name: VisemeSetName
    """As in `Hello.visemes`."""
    label: Literal["OVR15", "ARKIT", "VRM", "RHUBARB"]
    """As in `StreamStart.viseme_set`."""
    code: int
    """First byte of the payloads of its frames."""
    shapes: tuple[str, ...]
    """Names of the shapes, by code."""
    frame_type: FrameType = FrameType.VISEME
    """Type of the frames that carry it: one shape for each event, or weights of several (BLEND)."""


VISEME_SETS: Final[Mapping[VisemeSetName, VisemeSet]] = {
    "ovr15": VisemeSet("ovr15", "OVR15", 1, OVR15),
    "arkit": VisemeSet("arkit", "ARKIT", 4, ARKIT, FrameType.BLEND),
    "vrm": VisemeSet("vrm", "VRM", 2, VRM),
    "rhubarb": VisemeSet("rhubarb", "RHUBARB", 3, RHUBARB),
}
"""The viseme sets, by name."""

_SETS_BY_CODE: Final = {each.code: each for each in VISEME_SETS.values()}
_EVENTS_HEAD = struct.Struct("<BBH")
_VISEME = struct.Struct("<IIHBB")
_BLEND = struct.Struct("<IIBB")
_WEIGHT = struct.Struct("<BB")


def pack_visemes(events: Iterable[MouthEvent], timestamp: int, name: VisemeSetName = "ovr15") -> bytes:
    """Return the payload of a VISEME frame, or of a BLEND frame for `arkit`, with events of this set.

    The events' starts become relative to `timestamp`. Raises ValueError for an event of another kind of set.
    """
    kind = VISEME_SETS[name]
    is_blend = kind.frame_type == FrameType.BLEND
    body = []
    for event in events:
        if isinstance(event, BlendEvent) != is_blend:
            raise ValueError(f"A {type(event).__name__} does not belong to the set {name}.")
        body.append(_pack_event(event, timestamp))
    return _EVENTS_HEAD.pack(kind.code, (_BLEND if is_blend else _VISEME).size, len(body)) + b"".join(body)


def _pack_event(event: MouthEvent, timestamp: int) -> bytes:
    start = event.start - timestamp
    if isinstance(event, VisemeEvent):
        return _VISEME.pack(start, event.duration, event.code, event.weight, event.flags)
    head = _BLEND.pack(start, event.duration, event.flags, len(event.weights))
    return head + b"".join(_WEIGHT.pack(*weight) for weight in event.weights)


def unpack_visemes(payload: bytes, timestamp: int) -> list[VisemeEvent]:
    """Parse a viseme payload; starts are absolute again. Raises BadFrame. Bytes after each known event are skipped."""
    kind, stride, count = _unpack_head(payload, FrameType.VISEME, _VISEME.size)
    if len(payload) < _EVENTS_HEAD.size + stride * count:
        raise _bad_events(payload, FrameType.VISEME)
    events = []
    for index in range(count):
        start, duration, code, weight, flags = _VISEME.unpack_from(payload, _EVENTS_HEAD.size + stride * index)
        _check_shape(kind, code)
        events.append(VisemeEvent(timestamp + start, duration, code, weight, flags))
    return events


def unpack_blends(payload: bytes, timestamp: int) -> list[BlendEvent]:
    """Parse a blend payload; starts are absolute again. Raises BadFrame. Bytes of a longer event head are skipped."""
    kind, head, count = _unpack_head(payload, FrameType.BLEND, _BLEND.size)
    events, at = [], _EVENTS_HEAD.size
    for _ in range(count):
        if at + head > len(payload):
            raise _bad_events(payload, FrameType.BLEND)
        start, duration, flags, shapes = _BLEND.unpack_from(payload, at)
        at, begun = at + head + shapes * _WEIGHT.size, at + head
        if at > len(payload):
            raise _bad_events(payload, FrameType.BLEND)
        weights = tuple(_WEIGHT.iter_unpack(payload[begun:at]))
        for shape, _ in weights:
            _check_shape(kind, shape)
        events.append(BlendEvent(timestamp + start, duration, weights, flags))
    return events


def _unpack_head(payload: bytes, frame_type: FrameType, least: int) -> tuple[VisemeSet, int, int]:
    """Return the set, the bytes of an event (at least `least`) and the number of events. Raises BadFrame."""
    name = frame_type.name.lower()
    if len(payload) < _EVENTS_HEAD.size:
        raise BadFrame(f"A {name} payload of {len(payload)} bytes has no head.", remedy="See docs/protocol.md, frames.")
    code, stride, count = _EVENTS_HEAD.unpack_from(payload)
    kind = _SETS_BY_CODE.get(code)
    if kind is None or kind.frame_type != frame_type or stride < least:
        raise _bad_events(payload, frame_type)
    return kind, stride, count


def _bad_events(payload: bytes, frame_type: FrameType) -> BadFrame:
    code, stride, count = _EVENTS_HEAD.unpack_from(payload)
    name = frame_type.name.lower()
    return BadFrame(
        f"A {name} payload of {len(payload)} bytes claims {count} events of {stride} bytes in set {code}.",
        remedy="See docs/protocol.md, frames.",
    )


def _check_shape(kind: VisemeSet, code: int) -> None:
    if code >= len(kind.shapes):
        raise BadFrame(
            f"Mouth shape {code} is not in the set {kind.name}, which has {len(kind.shapes)}.",
            remedy="See docs/protocol.md, visemes.",
        )
