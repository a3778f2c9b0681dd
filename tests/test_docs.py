"""Documents agree with the code: docs/protocol.md with the protocol, docs/dialogue.md with the state table."""

from __future__ import annotations

import itertools
import json
import re
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mythicd.dialogue.state import diagram
from mythicd.errors import MythicError, ProtocolError
from mythicd.server import connection, gateway
from mythicd.wire import client_session, codec, frames
from mythicd.wire import messages as m
from mythicd.world.sessions import CLOSE_TAKEN_OVER

DOCS = Path(__file__).parent.parent / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text(encoding="utf-8")
DIALOGUE = (DOCS / "dialogue.md").read_text(encoding="utf-8")

CLIENT = "## What the game sends"
SERVER = "## What the daemon sends"
PARTS = {CLIENT: typing.get_args(m.ClientMessage), SERVER: typing.get_args(m.ServerMessage)}
NESTED = (m.SceneObject, m.CharacterInfo)
STRUCTS = [*PARTS[CLIENT], *PARTS[SERVER], *NESTED]


def section(heading: str) -> str:
    """Return the text below a heading, up to the next one of its rank or higher."""
    rank = heading.split()[0]
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(rank)}}} |\Z)", PROTOCOL, re.M | re.S)
    assert found, f"docs/protocol.md has no heading {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Return the cells of a section's first table, without its head."""
    lines = itertools.dropwhile(lambda line: not line.startswith("|"), text.splitlines())
    table = list(itertools.takewhile(lambda line: line.startswith("|"), lines))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


def type_in_words(kind: Any) -> str:
    """Return a field's type as the document must write it, with its range or cap."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        inner, meta = arguments[0], arguments[1]
        words = type_in_words(inner)
        if meta.pattern:
            return "id"
        if meta.max_length is not None:
            unit = " characters" if inner is str else ""
            least = f"{meta.min_length}–" if meta.min_length else "at most "
            return f"{words}, {least}{meta.max_length}{unit}"
        return f"{words}, {meta.ge}–{meta.le}" if meta.le is not None else f"{words}, at least {meta.ge}"
    if origin is typing.Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_in_words(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {type_in_words(arguments[0])}"
    if origin is dict:
        return "object" if arguments[1] is Any else "object of numbers"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    plain: dict[Any, str] = {
        str: "text",
        int: "integer",
        float: "number",
        bool: "boolean",
        bytes: "base64",
        type(None): "null",
    }
    return plain[kind]


def expected_rows(struct: type[msgspec.Struct]) -> list[list[str]]:
    """Return field, type and default of each field, in the order of the code."""
    hints = typing.get_type_hints(struct, include_extras=True)
    told = []
    for field in msgspec.structs.fields(struct):
        if field.name == "schema_version":
            continue  # described once, for all messages
        default = field.default if field.default is not msgspec.NODEFAULT else None
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        shown = "required" if field.required else f"`{json.dumps(default)}`"
        told.append([f"`{field.encode_name}`", type_in_words(hints[field.name]), shown])
    return told


def test_every_message_is_described_and_no_other() -> None:
    for part, kinds in PARTS.items():
        headings = re.findall(r"^### (\w+)$", section(part), re.M)
        assert headings == [kind.__name__ for kind in kinds], part


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_field_is_described(struct: type[msgspec.Struct]) -> None:
    rank = "####" if struct in NESTED else "###"
    described = rows(section(f"{rank} {struct.__name__}"))
    expected = expected_rows(struct)
    assert [row[:3] for row in described] == expected, "docs/protocol.md should say:\n" + "\n".join(
        f"| {' | '.join(row)} | … |" for row in expected
    )
    assert all(len(row) == 4 and row[3] for row in described), "a field without its meaning"


def error_tree(kind: type[MythicError] = MythicError) -> list[type[MythicError]]:
    return [kind, *(leaf for below in kind.__subclasses__() for leaf in error_tree(below))]


def test_every_error_code_is_listed() -> None:
    expected = []
    for kind in error_tree():
        if kind.__module__ == "mythicd.errors":
            closes = kind.close_code if issubclass(kind, ProtocolError) else None
            expected.append([f"`{kind.code}`", "yes" if kind.retryable else "no", str(closes) if closes else "–"])
    described = rows(section("## Errors"))
    assert [row[:3] for row in described] == expected, "docs/protocol.md should say:\n" + "\n".join(
        f"| {' | '.join(row)} | … | … |" for row in expected
    )
    assert all(len(row) == 5 and row[3] and row[4] for row in described), "a code without its meaning or its remedy"


def test_the_frame_header_agrees_with_the_code() -> None:
    described = rows(section("### Header"))
    assert [int(row[0]) for row in described] == [0, 2, 3, 4, 6, 8, 12, 16]
    widths = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "2 bytes": "2s"}
    assert "<" + "".join(widths[row[1]] for row in described) == frames.HEADER.format
    assert frames.HEADER.size == 24
    for kind in frames.FrameType:
        assert f"| {kind.value} | `{kind.name}` |" in section("### Types")
    for flag in frames.FrameFlags:
        assert f"| {flag.value} | `{flag.name}` |" in section("### Flags")
    assert " ".join(frames.OVR15) in section("### Visemes")


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("Text frame", f"{codec.MAX_TEXT} bytes"),
        ("Binary frame", f"{frames.MAX_BINARY} bytes"),
        ("Open microphone streams", str(client_session.MAX_MIC_STREAMS)),
        ("Connections", str(gateway.MAX_CONNECTIONS)),
        ("Time to `Hello`", f"{gateway.HELLO_TIMEOUT_S:.0f} s"),
        ("Messages waiting for a slow client", str(connection.MAX_CONTROL)),
        ("Media frames waiting for a slow client", str(connection.MAX_MEDIA)),
    ],
)
def test_the_limits_agree_with_the_code(what: str, value: str) -> None:
    assert [what, value] in [row[:2] for row in rows(section("## Limits"))]


def test_the_close_codes_agree_with_the_code() -> None:
    closes = {kind.close_code for kind in error_tree(ProtocolError) if issubclass(kind, ProtocolError)} - {None}
    closes |= {gateway.CLOSE_HELLO_TIMEOUT, connection.CLOSE_TOO_SLOW, CLOSE_TAKEN_OVER, 1000, 1001}
    assert {int(row[0]) for row in rows(section("## Close codes"))} == closes


def test_every_example_is_a_message() -> None:
    examples = [
        line for block in re.findall(r"^```json\n(.*?)^```", PROTOCOL, re.M | re.S) for line in block.splitlines()
    ]
    assert len(examples) > 10
    for example in examples:
        kind = json.loads(example)["type"]
        decode = codec.decode_client if kind in codec.CLIENT_TYPES else codec.decode_server
        decode(example)


def test_every_link_has_a_target() -> None:
    anchors = {
        re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", PROTOCOL, re.M)
    }
    for text, target in re.findall(r"\[([^]]*)\]\(#([^)]*)\)", PROTOCOL):
        assert target in anchors, f"[{text}](#{target}) has no target"
    for text, target in re.findall(r"\[([^]]*)\]\(([^#)][^)]*)\)", PROTOCOL + DIALOGUE):
        assert (DOCS / target).exists(), f"[{text}]({target}) has no target"


def test_the_dialogue_diagram_agrees_with_the_table() -> None:
    blocks = re.findall(r"^```mermaid\n(.*?)^```$", DIALOGUE, re.M | re.S)
    assert blocks == [diagram()], (
        "The diagram in docs/dialogue.md is not what dialogue/state.py says. Put this into its mermaid block:\n\n"
        + diagram()
    )
