"""Tool calls in pieces, as servers really stream them: ids, indexes and names may be missing, repeated or new."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_openai_response import TOOLS, chunk, piece, whole

from mythicd.engines.llm import InlineCall, ToolSpec
from mythicd.llm.openai_api.call_pieces import CallPieces
from mythicd.llm.openai_api.chunks import CallPiece
from mythicd.llm.reply_parser import BadCall
from mythicd.llm.tool_schema import read_tool

GO = InlineCall("go", {"place": "x"})
GO_Y = InlineCall("go", {"place": "y"})
WAVE = InlineCall("wave", {})
X, Y = '{"place": "x"}', '{"place": "y"}'


def calls(*events: bytes) -> list[InlineCall | BadCall]:
    return whole(*events, chunk(end="tool_calls"))[1]


@pytest.mark.parametrize(
    "events",
    [
        # one index, and a new id for each piece (vLLM, lmdeploy)
        (piece(0, "a", "go", ""), piece(0, "b", None, '{"pla'), piece(0, "c", None, 'ce": "x"}')),
        (piece(0, "a", "go"), piece(0, "b", "", '{"place"'), piece(0, "c", "", ': "x"'), piece(0, "d", "", "}")),
        (piece(0, "a", "go", '{"place": '), piece(0, "b", None, '"x"}'), piece(0, "c", None, "")),
        (piece(0, "a", "go", ""), piece(0, "b", "go", '{"pla'), piece(0, "c", "go", 'ce": "x"}')),
        (piece(0, "a", "go", '{"pla'), piece(0, "b", "go", 'ce": '), piece(0, "c", "go", '"x"}')),
        # the id only in the first
        (piece(0, "a", "go"), piece(0, None, None, '{"place": '), piece(0, "", None, '"x"}')),
        # no index
        (piece(None, "a", "go"), piece(None, None, None, '{"place": '), piece(None, None, None, '"x"}')),
        (piece(None, "a", "go"), piece(None, "b", None, '{"place": '), piece(None, "c", None, '"x"}')),
        (piece(0, "a", "go"), piece(None, None, None, X)),
        (piece(None, "a", "go"), piece(0, None, None, '{"place": '), piece(0, None, None, '"x"}')),
        # the name again
        (piece(0, "a", "go", ""), piece(0, "a", "go", '{"place": '), piece(0, "a", "go", '"x"}')),
        (piece(0, None, "go", '{"pla'), piece(0, None, "go", 'ce": "x"}'), piece(0, None, "go", "")),
        (piece(0, "a", "go", ""), piece(0, "a", "go", X), piece(0, "a", "go", "")),
        (piece(0, "a", "go", ""), piece(0, "b", "go", X), piece(0, "c", "go", "")),
        # the name later, or in pieces
        (piece(0, "a"), piece(0, "a", "go"), piece(0, None, None, X)),
        (piece(0, "a", None, '{"pla'), piece(0, None, "go", 'ce": "x"}')),
        (piece(0, "a", None, X), piece(0, None, "go")),
        (piece(0, "a", "g"), piece(0, None, "o"), piece(0, None, None, X)),
        # arguments as an object, after an empty object, or twice
        (piece(0, "a", "go", {"place": "x"}),),
        (piece(None, None, "go", {"place": "x"}), piece(None, None, None, "")),
        (piece(0, "a", "go", {}), piece(0, None, None, '{"place": '), piece(0, None, None, '"x"}')),
        (piece(0, "a", "go", X), piece(0, None, None, X)),
        # the index counts the pieces
        (piece(0, "a", "go", ""), piece(1, None, None, '{"place": '), piece(2, None, None, '"x"}')),
        (piece(0, "a", "go", '{"pla'), piece(1, "a", None, 'ce": '), piece(2, "a", None, '"x"}')),
        (piece(0, "a", "go", '{"pla'), piece(1, "b", "go", 'ce": '), piece(2, "c", "go", '"x"}')),
        # odd types
        (piece(0, 7, "go", '{"place": '), piece("0", 7, None, '"x"}')),
        (chunk(tool_calls={"id": "a", "function": {"name": "go", "arguments": X}}),),
        (chunk(tool_calls=[None, 3, {"id": "a", "name": "go", "arguments": {"place": "x"}}]),),
        (chunk(function_call={"name": "go"}), chunk(function_call={"arguments": X})),
    ],
)
def test_pieces_of_one_call(events: tuple[bytes, ...]) -> None:
    assert calls(*events) == [GO]


@pytest.mark.parametrize(
    "events",
    [
        # interleaved by index, with the ids there, new or missing
        (
            *(piece(0, "a", "go"), piece(1, "b", "go"), piece(0, None, None, '{"place": '), piece(1, None, None, Y)),
            piece(0, None, None, '"x"}'),
        ),
        (
            *(piece(0, "a", "go"), piece(1, "b", "go"), piece(0, "c", None, '{"place": '), piece(1, "d", None, Y)),
            piece(0, "e", None, '"x"}'),
        ),
        (
            *(piece(0, "a", "go", '{"place"'), piece(1, "b", "go", '{"place"'), piece(1, "b", "go", ': "y"}')),
            piece(0, "a", "go", ': "x"}'),
        ),
        # interleaved by id
        (
            *(piece(0, "a", "go", '{"place"'), piece(0, "b", "go", '{"place"'), piece(0, "a", None, ': "x"}')),
            piece(0, "b", None, ': "y"}'),
        ),
        (
            *(piece(None, "a", "go"), piece(None, "b", "go"), piece(None, "a", None, X), piece(None, "b", None, Y)),
            piece(None, "a", None, " "),
        ),
        # one after the other
        (piece(0, "a", "go"), piece(0, "b", None, X), piece(0, "c", "go"), piece(0, "d", None, Y)),
        (piece(0, "a", "go"), piece(0, None, None, X), piece(0, "b", "go"), piece(0, None, None, Y)),
        (piece(0, "a", "go", X), piece(1, "a", "go", Y)),
        (piece(0, "", "go", X), piece(0, "", "go", Y)),
        (piece(0, "call", "go", X), piece(0, "call", "go", Y)),
        (piece(None, None, "go"), piece(None, None, None, X), piece(None, None, "go"), piece(None, None, None, Y)),
        (piece(3, "a", "go", X), piece(7, "b", "go", Y)),
        (piece(1, "a", "go", X), piece(0, "b", "go", Y)),
        # in one event
        (chunk(tool_calls=[{"function": {"name": "go", "arguments": json.loads(each)}} for each in (X, Y)]),),
        (
            chunk(
                tool_calls=[{"index": 0, "id": each, "function": {"name": "go", "arguments": each}} for each in (X, Y)]
            ),
        ),
    ],
)
def test_pieces_of_two_calls_of_one_tool(events: tuple[bytes, ...]) -> None:
    found = calls(*events)
    assert sorted(map(str, found)) == sorted(map(str, (GO, GO_Y)))


@pytest.mark.parametrize(
    "events",
    [
        (piece(0, "a", "go", ""), piece(0, "b", None, X), piece(1, "c", "wave", "")),
        (piece(0, "a", "wave"), piece(1, "b", "go"), piece(1, "c", None, '{"place": '), piece(1, "d", None, '"x"}')),
        (piece(0, "a", "wave", ""), piece(0, "b", "go", ""), piece(0, "c", None, X)),
        (piece(None, "a", "wave", {}), piece(None, "b", "go", {"place": "x"})),
        (piece(0, "a"), piece(1, "b"), piece(0, None, "go"), piece(1, None, "wave"), piece(0, None, None, X)),
        (piece(0, "a", "go", X), piece(1, "b"), piece(1, None, "wave"), piece(1, None, None, "{}")),
    ],
)
def test_pieces_of_calls_of_two_tools(events: tuple[bytes, ...]) -> None:
    assert sorted(map(str, calls(*events))) == sorted(map(str, (GO, WAVE)))


def test_two_calls_without_arguments_stay_two() -> None:
    assert calls(piece(0, "a", "wave"), piece(0, "b", "wave")) == [WAVE, WAVE]
    assert calls(piece(0, "a", "wave"), piece(1, "b", "wave")) == [WAVE, WAVE]
    assert calls(piece(0, None, "wave", "{}"), piece(0, None, "wave", "{}")) == [WAVE, WAVE]
    assert calls(piece(0, "x", "wave", ""), piece(1, "x", "wave", "")) == [WAVE, WAVE]


def test_remains_after_a_whole_call_do_not_spoil_it() -> None:
    first, *rest = calls(piece(0, "a", "go", X), piece(0, None, None, '{"pace": 1}'))
    assert first == GO and all(isinstance(each, BadCall) for each in rest)


def in_pieces(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[start:end] for start, end in zip(ends, ends[1:], strict=False)]


STYLES = st.sampled_from(["first id", "every id", "new ids", "no ids", "names again", "one index", "no index"])


@given(st.lists(st.sampled_from("xyz{}\"'"), min_size=1, max_size=3), st.lists(st.integers(0, 60)), STYLES)
def test_calls_one_after_the_other(places: list[str], cuts: list[int], style: str) -> None:
    """However a server cuts its arguments, and whatever it leaves out, calls that follow one another are all found."""
    pieces = CallPieces(TOOLS)
    number = 0
    for index, place in enumerate(places):
        for part, text in enumerate(["", *in_pieces(json.dumps({"place": place}), cuts)]):
            number += 1
            ids = {"every id": f"id{index}", "new ids": f"id{number}", "no ids": ""}
            call_id = ids.get(style, "" if part else f"id{index}")
            name = "go" if part == 0 or style == "names again" else ""
            slot: Any = {"one index": 0, "no index": None}.get(style, index)
            pieces.add(CallPiece(slot, call_id, name, text))
    assert pieces.calls() == [InlineCall("go", {"place": place}) for place in places]


@given(st.data())
def test_parallel_calls_interleaved_by_index(data: st.DataObject) -> None:
    tool = read_tool(ToolSpec("pay", "", {"properties": {"sum": {"type": "integer"}}}))
    queues = [
        [
            ("pay", ""),
            *(("", text) for text in in_pieces(json.dumps({"sum": n}), data.draw(st.lists(st.integers(0, 9))))),
        ]
        for n in range(3)
    ]
    pieces = CallPieces([tool])
    begun: list[int] = []
    number = 0
    while any(queues):
        index = data.draw(st.sampled_from([n for n, queue in enumerate(queues) if queue]))
        if index not in begun:
            begun.append(index)
        name, text = queues[index].pop(0)
        number += 1
        pieces.add(CallPiece(index, f"id{number}", name, text))
    assert pieces.calls() == [InlineCall("pay", {"sum": index}) for index in begun]
