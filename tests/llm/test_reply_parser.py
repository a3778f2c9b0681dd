"""Words and tool calls in a stream of text that may be cut anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mythicd.engines.llm import InlineCall, TextDelta, ToolSpec
from mythicd.errors import ConfigError
from mythicd.llm.reasoning import CLOSINGS, OPENINGS
from mythicd.llm.reply_parser import MAX_CALL, BadCall, ReplyParser, ReplyPart
from mythicd.llm.tool_grammar import CLOSE, OPEN, call_grammar, rest_of_opening
from mythicd.llm.tool_schema import SchemaMismatch, Tool, fit, read_tool

WAYPOINT = ToolSpec(
    "set_waypoint",
    "Shows the way to a place.",
    {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
)
GIVE = ToolSpec(
    "give_item",
    "Hands something over.",
    {
        "type": "object",
        "properties": {
            "item": {"type": "string", "maxLength": 40},
            "count": {"type": "integer", "minimum": 1, "maximum": 9},
            "gift": {"type": "boolean"},
            "mood": {"enum": ["warm", "cold"]},
        },
        "required": ["item"],
    },
)
WAVE = read_tool(ToolSpec("wave", "", {}))
TOOLS = (read_tool(WAYPOINT), read_tool(GIVE))
CALL = '<tool_call>{"name": "set_waypoint", "arguments": {"place": " market"}}</tool_call>'


def parse(chunks: list[bytes], stop: tuple[str, ...] = (), tools: tuple[Tool, ...] = TOOLS) -> list[ReplyPart]:
    """Run a whole reply through the parser; neighbouring words are joined."""
    parser = ReplyParser(tools, stop)
    parts = [part for chunk in chunks for part in parser.add(chunk)] + parser.finish()
    joined: list[ReplyPart] = []
    for part in parts:
        if isinstance(part, TextDelta) and joined and isinstance(joined[-1], TextDelta):
            joined[-1] = TextDelta(joined[-1].text + part.text)
        else:
            joined.append(part)
    return joined


def cuts(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in zip(ends, ends[1:], strict=False)]


def test_a_call_stands_where_it_was_written() -> None:
    assert parse([f"East, friend. {CALL} Mind the steps.".encode()]) == [
        TextDelta("East, friend. "),
        InlineCall("set_waypoint", {"place": "market"}),
        TextDelta(" Mind the steps."),
    ]


@given(places=st.lists(st.integers(0, 200), max_size=40))
def test_it_does_not_matter_where_the_text_is_cut(places: list[int]) -> None:
    text = f"  3 < 4, <b>señor</b> <tool{CALL}… dann 🍺 {CALL}<tool_cal".encode()
    assert parse(cuts(text, places)) == [
        TextDelta("3 < 4, <b>señor</b> <tool"),
        InlineCall("set_waypoint", {"place": "market"}),
        TextDelta("… dann 🍺 "),
        InlineCall("set_waypoint", {"place": "market"}),
        TextDelta("<tool_cal"),
    ]


@given(text=st.text(st.characters(codec="utf-8"), max_size=60), places=st.lists(st.integers(0, 60), max_size=20))
def test_plain_words_come_through_whole(text: str, places: list[int]) -> None:
    assume(not any(tag in text for tag in (OPEN, CLOSE, *OPENINGS, *CLOSINGS)))
    parts = parse(cuts(text.encode(), places))
    assert "".join(part.text for part in parts if isinstance(part, TextDelta)) == text.lstrip()


def test_words_are_held_back_only_as_long_as_they_may_be_a_tag() -> None:
    parser = ReplyParser(TOOLS)
    assert parser.add(b"Go east") == [TextDelta("Go east")]
    assert parser.add(b" <tool_") == [TextDelta(" ")]
    assert parser.add(b"box>") == [TextDelta("<tool_box>")]


def test_a_token_without_text_leaves_no_second_space() -> None:
    parser = ReplyParser()
    parser.add(b"Aye. ")
    parser.add_silence()
    assert parser.add(b" At dawn. ") == [TextDelta("At dawn. ")]
    assert parser.add(b" ") == [TextDelta(" ")]


def test_a_letter_cut_in_two_is_not_spoken_before_it_is_whole() -> None:
    parser = ReplyParser()
    assert parser.add("é".encode()[:1]) == []
    assert parser.add("é".encode()[1:]) == [TextDelta("é")]
    assert parser.add(b"\xff") == [TextDelta("\ufffd")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{not json", "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[]", "not an object"),
        ('{"name": 3}', "not an object"),
        ('{"name": "burn_down"}', "unknown tool"),
        ('{"name": "set_waypoint"}', "lacks 'place'"),
        ('{"name": "set_waypoint", "arguments": []}', "not an object"),
        ('{"name": "set_waypoint", "arguments": {"place": 3}}', "not a string"),
        ('{"name": "set_waypoint", "arguments": {"place": "x", "the secret door": 3}}', "not in the schema"),
        ('{"name": "set_waypoint", "arguments": {"place": "\\ud800"}}', "surrogate"),
        (f'{{"name": "set_waypoint", "arguments": {{"place": {"[" * 600}{"]" * 600}}}}}', "not a string"),
        ('{"name": "set_waypoint", "arguments": "{place: x"}', "not JSON"),
        ('{"name": "set_waypoint", "arguments": "3"}', "not an object"),
        ('{"name": "set_waypoint", "arguments": 3}', "not an object"),
        ('{"name": "give_item", "arguments": {"item": "ale", "count": 1.5}}', "not an integer"),
        ('{"name": "give_item", "arguments": {"item": "ale", "count": 1e999}}', "not an integer"),
        ('{"name": "give_item", "arguments": {"item": "ale", "count": 12}}', "out of range"),
        ('{"name": "give_item", "arguments": {"item": "ale", "count": true}}', "not an integer"),
        ('{"name": "give_item", "arguments": {"item": "ale", "mood": "hot"}}', "not one of the allowed"),
    ],
)
def test_invalid_call_reported_and_reply_goes_on(body: str, reason: str) -> None:
    first, bad, last = parse([f"One <tool_call>{body}</tool_call> two".encode()])
    assert (first, last) == (TextDelta("One "), TextDelta(" two"))
    assert isinstance(bad, BadCall) and reason in bad.reason and "secret" not in bad.reason


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"item": " a mug of ale ", "mood": " warm"}', {"item": "a mug of ale", "mood": "warm"}),
        ('{"item": "ale", "count": 5.0}', {"item": "ale", "count": 5}),
        (json.dumps('{"item": " ale"}'), {"item": "ale"}),
    ],
)
def test_what_models_write_a_little_differently_is_the_same_call(arguments: str, expected: dict[str, Any]) -> None:
    (call,) = parse([f'<tool_call>{{"name": " give_item", "arguments": {arguments}}}</tool_call>'.encode()])
    assert call == InlineCall("give_item", expected)
    assert isinstance(call.arguments.get("count", 0), int)


@pytest.mark.parametrize("arguments", ["", ', "arguments": {}', ', "arguments": null', ', "arguments": ""'])
def test_a_call_may_have_no_arguments(arguments: str) -> None:
    (call,) = parse([f'<tool_call>{{"name": "wave"{arguments}}}</tool_call>'.encode()], tools=(WAVE,))
    assert call == InlineCall("wave", {})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "true", '"3"', "null"])
def test_what_is_no_number_does_not_pass_for_one(number: str) -> None:
    tool = read_tool(ToolSpec("pay", "", {"properties": {"price": {"type": "number"}}}))
    assert fit(tool.arguments, {"price": 1e300}) == {"price": 1e300}
    with pytest.raises(SchemaMismatch, match="not a number"):
        fit(tool.arguments, json.loads(f'{{"price": {number}}}'))


def test_a_call_without_an_end_is_reported() -> None:
    assert [type(part) for part in parse([b'Hm. <tool_call>{"name": "set_waypoint"'])] == [TextDelta, BadCall]
    endless = parse([b"<tool_call>" + b"x" * (MAX_CALL + 1), b" after"])
    assert [type(part) for part in endless] == [BadCall, TextDelta]


def test_a_closing_tag_that_closes_nothing_is_not_spoken() -> None:
    assert parse([b"One</tool_call> two"]) == [TextDelta("One two")]


def test_without_tools_any_call_is_reported() -> None:
    assert [type(part) for part in parse([CALL.encode()], tools=())] == [BadCall]


@given(places=st.lists(st.integers(0, 60), max_size=20))
def test_a_stop_string_ends_the_reply(places: list[int]) -> None:
    text = b"Aye.\nMarla: aye.\nPlayer: and then?"
    assert parse(cuts(text, places), stop=("\nPlayer:", "END")) == [TextDelta("Aye.\nMarla: aye.")]


@given(places=st.lists(st.integers(0, 60), max_size=20))
@pytest.mark.parametrize("before", ["\n", " \n\n ", "<think>Hm.\n</think>\n\n", f"\n{CALL}\n", "<think>\n</think>\n\n"])
@pytest.mark.parametrize("stop", ["\n", "\n\n", "\nPlayer:"])
def test_white_space_before_the_first_word_is_no_stop_string(places: list[int], before: str, stop: str) -> None:
    parts = parse(cuts(f"{before}Aye.{stop} No.".encode(), places), stop=(stop,))
    assert [part for part in parts if isinstance(part, TextDelta)] == [TextDelta("Aye.")]


def test_a_stop_string_may_stand_at_the_beginning() -> None:
    for text in ("\nPlayer: no", "\n\nPlayer: no", "Player: no"):
        assert parse([text.encode()], stop=("\n", "\nPlayer:", "Player:")) == []


def test_a_stop_string_within_a_call_is_part_of_the_call() -> None:
    assert parse([CALL.encode()], stop=("market",)) == [InlineCall("set_waypoint", {"place": "market"})]


# --- thoughts --------------------------------------------------------------------------------------------------------


@given(places=st.lists(st.integers(0, 300), max_size=40))
@pytest.mark.parametrize(("begin", "end"), [("<think>", "</think>"), ("[THINK]", "[/THINK]")])
def test_thoughts_are_passed_over_with_all_that_is_in_them(places: list[int], begin: str, end: str) -> None:
    text = f"{begin}Hm. END {CALL} 🍺 <{begin} é{end}\n\nAye. [1] {CALL}{begin}Ale?{end} So <b>be</b> it.{begin}And"
    assert parse(cuts(text.encode(), places), stop=("END",)) == [
        TextDelta("Aye. [1] "),
        InlineCall("set_waypoint", {"place": "market"}),
        TextDelta(" So <b>be</b> it."),
    ]


@given(text=st.text(st.sampled_from("ab<>/think"), max_size=60), places=st.lists(st.integers(0, 60), max_size=20))
def test_thoughts_are_taken_out_wherever_they_stand(text: str, places: list[int]) -> None:
    said, thinking, rest = "", False, text
    while rest:
        tag = next((tag for tag in ("<think>", "</think>") if rest.startswith(tag)), "")
        if tag:
            thinking = tag == "<think>"
        elif not thinking:
            said += rest[0]
        rest = rest[len(tag) or 1 :]
    parts = parse(cuts(text.encode(), places))
    assert "".join(part.text for part in parts if isinstance(part, TextDelta)) == said


def test_within_a_call_nothing_is_a_thought() -> None:
    body = '{"name": "set_waypoint", "arguments": {"place": "[THINK] <think>"}}'
    assert parse([f"<tool_call>{body}</tool_call>".encode()]) == [
        InlineCall("set_waypoint", {"place": "[THINK] <think>"})
    ]
    parser = ReplyParser(TOOLS)
    parser.add(b"<tool_call>\n[")
    assert parser.written == "\n["  # no end is held back from the grammar, which goes on behind it


@given(places=st.lists(st.integers(0, 100), max_size=20))
def test_a_reply_may_begin_inside_a_thought(places: list[int]) -> None:
    parser = ReplyParser(TOOLS, ("END",), thinking=True)
    text = "Hm. END <tool_call> é</think>\n\nZwölf.".encode()
    parts = [part for chunk in cuts(text, places) for part in parser.add(chunk)] + parser.finish()
    assert "".join(part.text for part in parts if isinstance(part, TextDelta)) == "Zwölf."
    assert parser.thoughts.any and not parser.thoughts.closed_nothing


@given(places=st.lists(st.integers(0, 150), max_size=20))
def test_a_thought_that_was_none_is_taken_for_words(places: list[int]) -> None:
    parser = ReplyParser(TOOLS, ("END",), thinking=True)
    parts = [part for chunk in cuts(f" Zwölf. {CALL} Aye.END no </thi".encode(), places) for part in parser.add(chunk)]
    assert parts == []
    parts = parser.disown_thought() + parser.finish()
    assert parts == [TextDelta("Zwölf. "), InlineCall("set_waypoint", {"place": "market"}), TextDelta(" Aye.")]
    assert not parser.thoughts.any


def test_it_is_told_that_a_closing_tag_closed_nothing() -> None:
    parser = ReplyParser()
    assert parser.add(b"Hm.</think>Aye.") == [TextDelta("Hm."), TextDelta("Aye.")]
    assert parser.thoughts.closed_nothing
    parser = ReplyParser()
    parser.add(b"<think>Hm.</think>Aye.</think>")  # its own thought, and one tag too many
    assert not parser.thoughts.closed_nothing


# --- schemas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "place", "complaint"),
    [
        ({"properties": {"a": {"type": "string", "pattern": "x"}}}, "parameters.properties.a", "'pattern'"),
        ({"properties": {"a": {"type": ["string", "null"]}}}, "parameters.properties.a", "type"),
        ({"properties": {"a": {"anyOf": []}}}, "parameters.properties.a", "type None"),
        ({"properties": {"a": {"enum": []}}}, "parameters.properties.a.enum", "at least one"),
        ({"properties": {"a": {"enum": [None]}}}, "parameters.properties.a.enum", "strings, numbers"),
        ({"properties": {"a": {"type": "array"}}}, "parameters.properties.a.items", "JSON object"),
        ({"properties": {"a": {"type": "string", "maxLength": -1}}}, "a.maxLength", "above 0"),
        ({"properties": {"a": {"type": "number", "minimum": "low"}}}, "a.minimum", "number"),
        ({"properties": {}, "required": ["a"]}, "parameters.required", "'a'"),
        ({"properties": []}, "parameters.properties", "JSON object"),
        ({"type": "string"}, "parameters", "object"),
        ({"oneOf": []}, "parameters", "'oneOf'"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused_by_tool_and_place(
    parameters: dict[str, Any], place: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_tool(ToolSpec("open_door", "", parameters))
    assert "'open_door'" in caught.value.what and place in caught.value.what and complaint in caught.value.what


def test_a_tool_without_arguments_needs_no_schema() -> None:
    tool = read_tool(ToolSpec("wave", "", {}))
    assert fit(tool.arguments, {}) == {}
    with pytest.raises(SchemaMismatch):
        fit(tool.arguments, {"a": 1})


# --- where the grammar begins ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spaces", ["", " "])
def test_the_grammar_goes_on_from_wherever_the_tags_token_ended(spaces: str) -> None:
    opening = f'{spaces}{{{spaces}"name"{spaces}:{spaces}"'
    for length in range(len(opening) + 1):
        rest = rest_of_opening(opening[:length])
        assert rest is not None
        literal = "".join(
            json.loads(f'"{part[1:-1]}"') for part in rest.split(" ") if part.startswith('"') and part != '""'
        )
        assert (opening[:length] + literal).replace(" ", "") == '{"name":"'


@pytest.mark.parametrize("written", [",", "{,", '{"nom', ">", '{"name": "x', "  x", "[\n"])
def test_what_cannot_begin_a_call_is_told(written: str) -> None:
    assert rest_of_opening(written) is None and call_grammar(TOOLS, written) is None


def test_no_tools_no_grammar() -> None:
    assert call_grammar(()) is None
