"""The protocol: test vectors, round trips of every message, and refused input."""

from __future__ import annotations

import contextlib
import json
import re
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.errors import (
    BadFrame,
    BadMessage,
    HelloExpected,
    MythicError,
    ProtocolError,
    TooLarge,
    UnknownStream,
    VersionMismatch,
)
from mythicd.wire import client_session, codec, frames
from mythicd.wire import messages as m

VECTORS = json.loads((Path(__file__).parents[2] / "protocol/vectors/frames.json").read_text())
FAULTS = {
    "short": "23 bytes .*24",
    "magic": "b'XX'.* b'MY'",
    "version": "version 2.* 1",
    "header_too_short": "40 bytes .*header of 16",
    "header_too_long": "40 bytes .*header of 65535",
    "header_uneven": "40 bytes .*header of 26",
    "odd_pcm": "PCM .*15 bytes.* multiple of 2",
}
"""The values that the error of each bad vector names."""


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["name"])
def test_good_frames(vector: dict[str, Any]) -> None:
    frame = frames.unpack_frame(bytes.fromhex(vector["hex"]))
    assert (frame.type, frame.flags, frame.stream, frame.sequence, frame.timestamp, frame.payload.hex()) == tuple(
        vector[key] for key in ("type", "flags", "stream", "sequence", "timestamp", "payload")
    )
    if vector.get("packs", True):
        assert frames.pack_frame(frame).hex() == vector["hex"]


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: vector["name"])
def test_bad_frames(vector: dict[str, Any]) -> None:
    with pytest.raises(BadFrame, match=FAULTS[vector["name"]]) as caught:
        frames.unpack_frame(bytes.fromhex(vector["hex"]))
    assert caught.value.remedy


def test_frames_in_the_document() -> None:
    """The hex in docs/protocol.md is that of the vectors."""
    text = (Path(__file__).parents[2] / "docs/protocol.md").read_text(encoding="utf-8")
    block = re.search(r"whole frame in hex.*?```\n(.*?)```", text, re.S)
    event = re.search(r"event in hex: `([0-9a-f ]+)`", text)
    assert block is not None and event is not None
    shown = "".join(re.match(r"[0-9a-f ]*", line)[0] for line in block[1].splitlines())  # type: ignore[index]
    vectors = {vector["name"]: vector for vector in VECTORS["good"]}
    assert shown.replace(" ", "") == vectors["mic_start"]["hex"]
    assert event[1].replace(" ", "") in vectors["visemes"]["payload"]
    assert frames.unpack_visemes(bytes.fromhex("010c0100" + event[1]), 0) == [m.VisemeEvent(1200, 2400, 10, 200, 2)]


def test_viseme_payload() -> None:
    vector = next(v for v in VECTORS["good"] if v["name"] == VECTORS["visemes"]["frame"])
    events = frames.unpack_visemes(bytes.fromhex(vector["payload"]), vector["timestamp"])
    assert [[e.start, e.duration, e.code, e.weight, e.flags] for e in events] == VECTORS["visemes"]["events"]


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x01\x0c\x01\x00", b"\x00\x0c\x00\x00", b"\x01\x08\x00\x00"])
def test_bad_viseme_payload(payload: bytes) -> None:
    with pytest.raises(BadFrame, match="viseme payload"):
        frames.unpack_visemes(payload, 0)


@given(st.binary(max_size=80))
def test_random_bytes_are_refused_or_parsed(data: bytes) -> None:
    for head in (b"", b"MY\x01\x01\x00\x00\x18\x00"):
        try:
            frame = frames.unpack_frame(head + data)
        except BadFrame:
            continue
        assert len(frame.payload) <= len(data)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_random_text_is_refused_with_an_explanation(data: str | bytes) -> None:
    with pytest.raises((BadMessage, VersionMismatch)) as caught:
        codec.decode_client(data)
    assert caught.value.remedy


def _example(kind: Any, name: str = "") -> Any:
    """Make a value of a field's type that is not its default."""
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return typing.get_args(kind)[-1]
    if origin is typing.Annotated:
        inner = typing.get_args(kind)[0]
        return "id_1" if inner is str else 7 if inner is int else 0.5 if inner is float else _example(inner)
    if origin is tuple:
        return (_example(typing.get_args(kind)[0]),)
    if origin is dict:
        return {"k": 1.5}
    if origin in (typing.Union, type(None)) or isinstance(kind, type(int | str)):
        return _example(typing.get_args(kind)[0])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _fill(kind)
    return {str: "w", int: 3, float: 1.5, bool: True, bytes: b"\1\0"}[kind]


def _fill(kind: type[Any]) -> Any:
    hints = typing.get_type_hints(kind, include_extras=True)
    return kind(**{name: _example(hints[name], name) for name in kind.__struct_fields__})


@pytest.mark.parametrize("kind", typing.get_args(m.ClientMessage), ids=lambda kind: kind.__name__)
def test_every_client_message_survives_a_round_trip(kind: type[m.Message]) -> None:
    message = _fill(kind)
    text = codec.encode(message)
    assert json.loads(text)["type"] == kind.__name__
    assert json.loads(text)["schema_version"] == "v1"
    assert codec.decode_client(text) == message


@pytest.mark.parametrize("kind", typing.get_args(m.ServerMessage), ids=lambda kind: kind.__name__)
def test_every_server_message_survives_a_round_trip(kind: type[m.Message]) -> None:
    message = _fill(kind)
    assert codec.decode_server(codec.encode(message)) == message


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", BadMessage, "not JSON"),
        ("{", BadMessage, "not JSON"),
        ("[1]", BadMessage, "not an object"),
        ("{}", BadMessage, "no `type`"),
        ('{"type":"Nope"}', BadMessage, "'Nope'"),
        ('{"type":7}', BadMessage, "type 7"),
        ('{"type":"MicStart"}', BadMessage, "MicStart: .*`stream`"),
        ('{"type":"MicStart","stream":0}', BadMessage, "stream"),
        ('{"type":"MicStart","stream":1,"sample_rate":48000}', BadMessage, "sample_rate"),
        ('{"type":"TextInput","npc_id":"a","text":""}', BadMessage, "text"),
        ('{"type":"TextInput","npc_id":"../etc","text":"x"}', BadMessage, "npc_id"),
        ('{"type":"Hello","game":"g","schema_version":"v9"}', VersionMismatch, "'v9'"),
        ('{"type":"TextInput","npc_id":"a","text":"\\ud83d"}', BadMessage, "invalid Unicode: a lone surrogate.*`text`"),
        ('{"type":"TextInput","npc_id":"a","text":"hi \\ude00 x"}', BadMessage, "a lone surrogate.*`text`"),
        ('{"type":"Ack","call_id":"c","result":{"a":["\\ud83d"]}}', BadMessage, r"a lone surrogate.*`result\.a\[0\]`"),
        (b'{"type":"TextInput","npc_id":"a","text":"\xed\xa0\xbd"}', BadMessage, "a lone surrogate.*`text`"),
        ('{"type":"TextInput","npc_id":"a","text":"x', BadMessage, "not JSON: .*truncated"),
        ('{"type":"TextInput","npc_id":"a","text":" \\n\\u200b\\u00a0"}', BadMessage, "TextInput: `text` .*blanks"),
        ('{"type":"Attend","npc_id":"a","x":' + "[" * 30000 + "]" * 30000 + "}", BadMessage, "nested"),
        ("[" * 60000, BadMessage, "nested"),
        ('{"type":["TextInput"]}', BadMessage, "TextInput"),
        ('{"type":"SceneUpdate","npc_id":"a","objects":[{"id":"x"},{}]}', BadMessage, r"`id` in `objects\[1\]`"),
        (b"\xff\xfe", BadMessage, "JSON"),
    ],
)
def test_bad_text(text: str | bytes, error: type[MythicError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        codec.decode_client(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("fields", "what", "remedy"),
    [
        ({"type": "MicStart", "stream": 1, "sample_rate": 48000}, ["sample_rate", "48000"], ["16000 Hz mono s16le"]),
        ({"type": "MicStart", "stream": 1, "mode": "ptt"}, ["mode", "'ptt'"], ['"push_to_talk"', '"open"']),
        ({"type": "Hello", "game": "my game"}, ["game", "'my game'"], ["letters", "digits", "_ . : -", '"my_game"']),
        ({"type": "Hello", "game": "Zoë's Café"}, ["game"], ['"Zoe_s_Cafe"']),
        ({"type": "Hello", "game": "灯台"}, ["game", "'灯台'"], ["letters"]),
        ({"type": "Hello", "game": "x" * 65}, ["game", "…"], ["64", f'"{"x" * 64}"']),
        ({"type": "SceneUpdate", "npc_id": "a", "objects": [{"id": "a b"}]}, ["objects[0].id", "'a b'"], ['"a_b"']),
        ({"type": "TextInput", "npc_id": "a", "text": "x" * 3000}, ["text", "3000 characters", "2000"], ["Shorten"]),
        ({"type": "TextInput", "npc_id": "a", "text": ""}, ["text", "empty"], []),
        ({"type": "SceneUpdate", "npc_id": "a", "objects": [{"id": "a"}] * 65}, ["objects", "65 entries", "64"], []),
    ],
)
def test_an_invalid_field_is_explained_without_jargon(
    fields: dict[str, Any], what: list[str], remedy: list[str]
) -> None:
    with pytest.raises(BadMessage) as caught:
        codec.decode_client(json.dumps(fields))
    kind = fields["type"]
    assert caught.value.what.startswith(f"{kind}: `") and kind in caught.value.remedy
    assert all(part in caught.value.what for part in what), caught.value.what
    assert all(part in caught.value.remedy for part in remedy), caught.value.remedy
    assert "regex" not in str(caught.value) and "$" not in str(caught.value)


@given(st.text(max_size=80))
def test_the_example_of_an_id_is_an_id(name: str) -> None:
    with contextlib.suppress(BadMessage):
        codec.decode_client(json.dumps({"type": "Hello", "game": name}, ensure_ascii=False))
        return
    example = codec._about_ids(name).partition("For example: ")[2].removesuffix(".")
    if example:
        codec.decode_client(f'{{"type":"Hello","game":{example}}}')


def test_a_lone_surrogate_of_the_daemon_is_replaced() -> None:
    """Such as in the name of a file that is not UTF-8."""
    status = m.Status(ready=True, notices=("lore/caf\udce9.yaml", "fine"))
    assert codec.decode_server(codec.encode(status)) == m.Status(ready=True, notices=("lore/caf\ufffd.yaml", "fine"))


@pytest.mark.parametrize(
    ("text", "blank"),
    [("", True), (" \t\n", True), ("\u00a0\u200b\ufeff\u2028\x00", True), ("?", False), (" 灯 ", False), ("…", False)],
)
def test_blank_texts(text: str, blank: bool) -> None:
    assert codec.is_blank(text) is blank


def test_fields_of_a_later_daemon_are_ignored() -> None:
    """Status without its newest field, and with one of a later version."""
    old = '{"type":"Status","ready":true,"notices":[],"asr":"a","llm":"l","tts":"t","embedder":""}'
    assert codec.decode_server(old) == m.Status(ready=True, asr="a", llm="l", tts="t")
    assert codec.decode_server(old[:-1] + ',"sky":"grey"}') == m.Status(ready=True, asr="a", llm="l", tts="t")


def test_a_two_megabyte_string_is_too_large() -> None:
    text = codec.encode(m.TextInput(npc_id="a", text="x"))[:-2] + "x" * 2_000_000 + '"}'
    with pytest.raises(TooLarge, match="cap of 65536"):
        codec.decode_client(text)


def test_a_five_mebibyte_frame_is_too_large() -> None:
    frame = frames.pack_frame(frames.Frame(1, 1, 0, 0, bytes(5 * 1024 * 1024)))
    with pytest.raises(TooLarge, match="cap of 4194304"):
        frames.unpack_frame(frame)


class TestSession:
    """The order of messages on a connection."""

    def opened(self, **hello: Any) -> client_session.ClientSession:
        session = client_session.ClientSession()
        session.receive_text(codec.encode(m.Hello(game="g", **hello)))
        return session

    def test_hello_comes_first_and_once(self) -> None:
        with pytest.raises(HelloExpected, match="MicStart .*before Hello"):
            client_session.ClientSession().receive_text(codec.encode(m.MicStart(stream=1)))
        with pytest.raises(HelloExpected, match="before Hello"):
            client_session.ClientSession().receive_binary(frames.pack_frame(frames.Frame(1, 1, 0, 0, b"")))
        with pytest.raises(HelloExpected, match="Hello .*second"):
            self.opened().receive_text(codec.encode(m.Hello(game="g")))

    def test_frames_need_an_open_stream(self) -> None:
        session = self.opened()
        frame = frames.pack_frame(frames.Frame(1, 5, 0, 0, b"\0\0"))
        with pytest.raises(UnknownStream, match="stream 5") as caught:
            session.receive_binary(frame)
        assert caught.value.close_code is None
        assert session.receive_binary(frame) is None
        assert session.dropped == {5: 2}
        session.receive_text(codec.encode(m.MicStart(stream=5)))
        assert session.receive_binary(frame) is not None
        session.receive_text(codec.encode(m.MicStop(stream=5)))
        assert session.receive_binary(frame) is None, "late frames of a closed stream are dropped without an error"

    def test_streams_are_used_once(self) -> None:
        session = self.opened()
        session.receive_text(codec.encode(m.MicStart(stream=1)))
        with pytest.raises(BadMessage, match="MicStart: stream 1 "):
            session.receive_text(codec.encode(m.MicStart(stream=1)))
        with pytest.raises(UnknownStream, match="Stream 2"):
            session.receive_text(codec.encode(m.MicStop(stream=2)))

    def test_microphones_are_bounded(self) -> None:
        session = self.opened()
        for stream in range(1, client_session.MAX_MIC_STREAMS + 1):
            session.receive_text(codec.encode(m.MicStart(stream=stream)))
        with pytest.raises(BadMessage, match=f"MicStart: {client_session.MAX_MIC_STREAMS} "):
            session.receive_text(codec.encode(m.MicStart(stream=99)))

    def test_dropped_frames_are_counted_in_bounded_memory(self) -> None:
        session = self.opened()
        for stream in range(1, 3000):
            with pytest.raises(UnknownStream):
                session.receive_binary(frames.pack_frame(frames.Frame(1, stream, 0, 0, b"")))
        assert len(session.dropped) <= 1024

    def test_voice_frames_of_a_client_are_refused(self) -> None:
        with pytest.raises(BadFrame, match="TTS_PCM"):
            self.opened().receive_binary(frames.pack_frame(frames.Frame(2, 1, 0, 0, b"")))

    def test_unknown_frame_types_are_ignored(self) -> None:
        assert self.opened().receive_binary(frames.pack_frame(frames.Frame(77, 1, 0, 0, b"xyz"))) is None

    def test_debug_audio_must_be_requested(self) -> None:
        chunk = codec.encode(m.AudioChunk(stream=1, pcm=b"\0\0"))
        with pytest.raises(BadMessage, match="AudioChunk: "):
            self.opened().receive_text(chunk)
        session = self.opened(debug_audio=True)
        session.receive_text(codec.encode(m.MicStart(stream=1)))
        assert session.receive_text(chunk) == m.AudioChunk(stream=1, pcm=b"\0\0")


def test_every_protocol_error_has_its_own_code() -> None:
    def tree(kind: type[MythicError]) -> list[type[MythicError]]:
        return [kind, *(leaf for below in kind.__subclasses__() for leaf in tree(below))]

    # A module may tell its own kind apart, under the code of its base.
    codes = [kind.code for kind in tree(MythicError) if kind.__module__ == MythicError.__module__]
    assert len(codes) == len(set(codes))
    assert issubclass(TooLarge, ProtocolError)
