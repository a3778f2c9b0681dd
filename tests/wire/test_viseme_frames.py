"""Mouth shapes on the wire: the test vectors of all four viseme sets, the document's hex, and refused payloads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.errors import BadFrame, BadMessage
from mythicd.wire import codec, frames
from mythicd.wire import messages as m

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "protocol/vectors/visemes.json").read_text(encoding="utf-8"))
PROTOCOL = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
UNPACK = {frames.FrameType.VISEME: frames.unpack_visemes, frames.FrameType.BLEND: frames.unpack_blends}
FAULTS = {
    "visemes_short": "viseme payload of 2 bytes has no head",
    "visemes_unknown_set": "set 9",
    "visemes_set_of_blends": "set 4",
    "visemes_small_events": "events of 8 bytes",
    "visemes_cut": "16 bytes claims 2 events",
    "visemes_code": "shape 15 .*ovr15.* 15",
    "visemes_vrm_code": "shape 6 .*vrm.* 6",
    "blends_short": "blend payload of 3 bytes has no head",
    "blends_set_of_visemes": "set 1",
    "blends_small_events": "events of 8 bytes",
    "blends_cut_head": "13 bytes claims 1 events",
    "blends_cut_weights": "16 bytes claims 1 events",
    "blends_shape": "shape 52 .*arkit.* 52",
}
"""What the error of each bad vector says."""


def event(name: str, row: list[Any]) -> m.MouthEvent:
    if frames.VISEME_SETS[name].frame_type == frames.FrameType.BLEND:
        start, duration, flags, weights = row
        return m.BlendEvent(start, duration, tuple(map(tuple, weights)), flags)
    return m.VisemeEvent(*row)


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["name"])
def test_good_payloads(vector: dict[str, Any]) -> None:
    payload, name, timestamp = bytes.fromhex(vector["payload"]), vector["set"], vector["timestamp"]
    events = [event(name, row) for row in vector["events"]]
    assert vector["type"] == frames.VISEME_SETS[name].frame_type
    assert UNPACK[vector["type"]](payload, timestamp) == events
    if vector.get("packs", True):
        assert frames.pack_visemes(events, timestamp, name) == payload


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: vector["name"])
def test_bad_payloads(vector: dict[str, Any]) -> None:
    with pytest.raises(BadFrame, match=FAULTS[vector["name"]]) as caught:
        UNPACK[vector["type"]](bytes.fromhex(vector["payload"]), 0)
    assert caught.value.remedy


def test_every_set_has_vectors() -> None:
    listed = {name: (each["number"], each["type"], tuple(each["shapes"])) for name, each in VECTORS["sets"].items()}
    assert listed == {each.name: (each.code, each.frame_type, each.shapes) for each in frames.VISEME_SETS.values()}
    assert {vector["set"] for vector in VECTORS["good"]} == set(frames.VISEME_SETS)


def test_names_of_the_sets_agree() -> None:
    assert tuple(frames.VISEME_SETS) == get_args(m.VisemeSetName)
    labels = get_args(get_type_hints(m.StreamStart)["viseme_set"])
    assert tuple(each.label for each in frames.VISEME_SETS.values()) == labels
    assert all(each.label == each.name.upper() and name == each.name for name, each in frames.VISEME_SETS.items())
    numbers = [each.code for each in frames.VISEME_SETS.values()]
    assert len(set(numbers)) == len(numbers)


def test_hello_without_a_set_asks_for_ovr15() -> None:
    hello = codec.decode_client('{"type":"Hello","game":"g"}')
    assert isinstance(hello, m.Hello) and hello.visemes == "ovr15"
    start = codec.decode_server(
        '{"type":"StreamStart","stream":1,"npc_id":"a","turn_id":"t","sample_rate":24000,"viseme_set":"OVR15"}'
    )
    assert isinstance(start, m.StreamStart) and start.viseme_set == "OVR15"


def test_an_unknown_set_is_refused_with_the_list() -> None:
    with pytest.raises(BadMessage) as caught:
        codec.decode_client('{"type":"Hello","game":"g","visemes":"arkit52"}')
    assert "`visemes` is 'arkit52'" in caught.value.what
    assert all(f'"{name}"' in caught.value.remedy for name in frames.VISEME_SETS)


def test_arkit_has_apple_s_52_in_order() -> None:
    assert len(set(frames.ARKIT)) == len(frames.ARKIT) == 52
    at = {name: number for number, name in enumerate(frames.ARKIT)}
    # The groups of Apple's documentation, and the numbers of Unreal's EARFaceBlendShape.
    assert (at["eyeBlinkLeft"], at["eyeBlinkRight"], at["jawForward"], at["jawOpen"]) == (0, 7, 14, 17)
    assert (at["mouthClose"], at["browDownLeft"], at["cheekPuff"], at["tongueOut"]) == (18, 41, 46, 51)
    for name in frames.ARKIT:
        if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
            assert name.removesuffix("Left") + "Right" in at


def test_the_document_lists_the_sets() -> None:
    for each in frames.VISEME_SETS.values():
        row = re.search(rf"^\| `{each.name}` \| (\d+) \| `(\w+)` \| (.*) \|$", PROTOCOL, re.M)
        assert row is not None
        assert (int(row[1]), row[2]) == (each.code, each.frame_type.name)
        assert each.name == "arkit" or f"`{' '.join(each.shapes)}`" in row[3]
    block = re.search(r"The numbers are the order of Apple's.*?```\n(.*?)```", PROTOCOL, re.S)
    assert block is not None
    assert re.findall(r"(\d+) (\w+)", block[1]) == [(str(code), name) for code, name in enumerate(frames.ARKIT)]


def test_the_blend_event_of_the_document() -> None:
    text = re.search(r"### Blend shapes.*?event in hex: `([0-9a-f ]+)`", PROTOCOL, re.S)
    assert text is not None
    [shown] = frames.unpack_blends(bytes.fromhex("040a0100" + text[1]), 0)
    assert (shown.start, shown.duration, shown.flags) == (1200, 2400, 2)
    weights = {frames.ARKIT[code]: weight for code, weight in shown.weights}
    assert weights == {
        "jawOpen": 115,
        "mouthLowerDownLeft": 51,
        "mouthLowerDownRight": 51,
        "mouthUpperUpLeft": 26,
        "mouthUpperUpRight": 26,
    }


@pytest.mark.parametrize("name", frames.VISEME_SETS)
def test_an_event_of_another_kind_of_set_is_refused(name: m.VisemeSetName) -> None:
    event = m.VisemeEvent(0, 1, 0) if name == "arkit" else m.BlendEvent(0, 1, ())
    with pytest.raises(ValueError, match=f"{type(event).__name__} .*{name}"):
        frames.pack_visemes([event], 0, name)


U32 = st.integers(0, 2**32 - 1)
U8 = st.integers(0, 255)
BLENDS = st.builds(
    m.BlendEvent,
    U32,
    U32,
    st.dictionaries(st.integers(0, 51), st.integers(1, 255)).map(lambda weights: tuple(sorted(weights.items()))),
    U8,
)


@given(st.lists(BLENDS, max_size=6))
def test_blends_survive_a_round_trip(events: list[m.BlendEvent]) -> None:
    assert frames.unpack_blends(frames.pack_visemes(events, 0, "arkit"), 0) == events


@given(st.binary(max_size=60), st.sampled_from([b"", b"\x04\x0a\x02\x00", b"\x02\x0c\x02\x00", b"\x04\x0b\x01\x00"]))
def test_random_payloads_are_refused_or_parsed(data: bytes, head: bytes) -> None:
    for unpack in UNPACK.values():
        try:
            events = unpack(head + data, 0)
        except BadFrame as error:
            assert error.remedy
        else:
            assert len(head + data) >= 4 + 10 * len(events)
