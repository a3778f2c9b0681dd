"""Responses of an OpenAI-compatible server, cut anywhere: words, reasoning, calls, usage figures, and garbage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.engines.llm import InlineCall, PrefillDone, TextDelta, ToolSpec
from mythicd.errors import BusyError, ConfigError, EngineError, MythicError
from mythicd.llm.openai_api.call_pieces import MAX_CALLS
from mythicd.llm.openai_api.response import ResponseParser
from mythicd.llm.openai_api.sse import MAX_EVENT, EventStreamParser
from mythicd.llm.reply_parser import MAX_CALL, BadCall
from mythicd.llm.tool_schema import read_tool

TOOLS = (
    read_tool(ToolSpec("go", "", {"properties": {"place": {"type": "string"}}, "required": ["place"]})),
    read_tool(ToolSpec("wave", "", {})),
)
DONE = b"data: [DONE]\n\n"


def chunk(content: Any = None, end: str | None = None, **delta: Any) -> bytes:
    """Return an event as servers send it."""
    if content is not None:
        delta["content"] = content
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    return f"data: {json.dumps({'id': 'x', 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n".encode()


def usage(prompt: int, written: int, cached: int | None = None) -> bytes:
    told: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": written}
    if cached is not None:
        told["prompt_tokens_details"] = {"cached_tokens": cached}
    return f"data: {json.dumps({'choices': [], 'usage': told})}\n\n".encode()


def piece(index: int | None = 0, call_id: str | None = None, name: str | None = None, arguments: Any = None) -> bytes:
    """Return an event with a piece of a call."""
    told = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    return chunk(tool_calls=[{key: value for key, value in told.items() if value is not None}])


def whole(*events: bytes, stop: tuple[str, ...] = ()) -> tuple[str, list[InlineCall | BadCall]]:
    """Run a reply through; return its words and its calls."""
    reply = ResponseParser(TOOLS, stop)
    parts = [part for event in events for part in reply.add(event)] + reply.end()
    return "".join(part.text for part in parts if isinstance(part, TextDelta)), reply.calls()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in zip(ends, ends[1:], strict=False)]


# --- events ----------------------------------------------------------------------------------------------------------


ONE_WAY = st.sampled_from([b"\n", b"\r\n", b"\r"]).map(lambda end: [end] * 8)
TWO_WAYS = st.lists(st.sampled_from([b"\n", b"\r\n"]), min_size=8, max_size=8)


@given(ends=ONE_WAY | TWO_WAYS, places=st.lists(st.integers(0)))
def test_events_may_be_cut_anywhere_and_lines_end_in_three_ways(ends: list[bytes], places: list[int]) -> None:
    lines = [b": ping", b"data: one", b"data:two", b"", b"event: x", b"data: d", b"", b""]
    data = b"".join(line + end for line, end in zip(lines, ends, strict=True))
    events = EventStreamParser()
    assert [event for part in cut(data, places) for event in events.add(part)] == [b"one\ntwo", b"d"]
    assert events.finish() == []


def test_nothing_may_come_between_the_two_halves_of_a_lines_end() -> None:
    events = EventStreamParser()
    assert [event for part in (b"data: one\r", b"", b"\ndata: two\n\n") for event in events.add(part)] == [b"one\ntwo"]


def test_an_event_that_was_not_closed_counts_at_the_end() -> None:
    events = EventStreamParser()
    assert events.add(b"data: one\n\ndata: two") == [b"one"]
    assert events.finish() == [b"two"]


@given(places=st.lists(st.integers(0)))
def test_a_byte_order_mark_may_come_first_and_nowhere_else(places: list[int]) -> None:
    events = EventStreamParser()
    data = b"\xef\xbb\xbfdata: one\n\n\xef\xbb\xbfdata: two\n\ndata: \xef\xbb\xbf\n\n"
    assert [event for part in cut(data, places) for event in events.add(part)] == [b"one", b"\xef\xbb\xbf"]


@pytest.mark.parametrize("data", [b"x" * 1000, b"data: x\n" * 100, b"data:\n" * 100], ids=["line", "data", "empty"])
def test_an_endless_event_is_given_up(data: bytes) -> None:
    events = EventStreamParser()
    with pytest.raises(EngineError, match="more than"):
        for _ in range(2 * MAX_EVENT // len(data) + 6 * MAX_EVENT // 600):
            events.add(data)


# --- words and thoughts ----------------------------------------------------------------------------------------------


def test_words_come_as_they_are_written() -> None:
    reply = ResponseParser()
    assert reply.add(chunk(role="assistant")) == []
    assert reply.add(chunk("East,")) == [PrefillDone(0), TextDelta("East,")]
    assert reply.answering and reply.reason is None
    assert reply.add(chunk(" friend.")) == [TextDelta(" friend.")]
    assert reply.add(chunk(end="length")) == [] and not reply.done
    assert reply.add(usage(40, 7, 30) + DONE) == []
    assert reply.done and reply.reason == "length" and reply.end() == [] and reply.calls() == []
    assert (reply.usage.prompt_tokens, reply.usage.cached_tokens, reply.written) == (40, 30, 7)


def test_a_server_that_tells_its_progress_says_when_the_prompt_is_done() -> None:
    def progress(processed: int) -> bytes:
        told = {"total": 30, "cache": 10, "processed": processed, "time_ms": 1}
        choice = {"delta": {"role": "assistant", "content": None}}
        return f"data: {json.dumps({'choices': [choice], 'prompt_progress': told})}\n\n".encode()

    reply = ResponseParser()
    assert reply.add(progress(10) + progress(20)) == []
    assert reply.add(progress(30)) == [PrefillDone(20)]
    assert reply.add(chunk("Aye.")) == [TextDelta("Aye.")]


def test_without_figures_the_pieces_are_counted() -> None:
    reply = ResponseParser()
    reply.add(chunk("a") + chunk("b") + chunk(end="stop") + DONE)
    assert (reply.written, reply.usage.prompt_tokens, reply.usage.cached_tokens) == (2, 0, 0)


@given(places=st.lists(st.integers(0, 5000), max_size=40))
def test_it_does_not_matter_where_a_reply_is_cut(places: list[int]) -> None:
    data = chunk("<think>Hm. Ale?</think>\n\nZwölf ") + chunk(" señor 🍺 <tool_") + chunk("box>") + piece(0, "a", "go")
    data += piece(0, None, None, '{"pla') + piece(0, None, None, 'ce": "é"}') + chunk(end="tool_calls") + DONE
    assert whole(*cut(data, places)) == ("Zwölf  señor 🍺 <tool_box>", [InlineCall("go", {"place": "é"})])


def test_what_a_server_tells_apart_as_reasoning_is_not_spoken() -> None:
    for name in ("reasoning_content", "reasoning"):
        reply = ResponseParser()
        assert reply.add(chunk(**{name: "Hm."})) == [PrefillDone(0)]
        assert reply.reasoned and not reply.answering
        assert reply.add(chunk("Aye.")) == [TextDelta("Aye.")]


def test_a_server_may_send_its_content_in_parts() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    reply = ResponseParser()
    assert reply.add(chunk(content=[thinking])) == [PrefillDone(0)]
    assert reply.reasoned and not reply.answering
    words = [
        thinking,
        {"type": "text", "text": "Aye"},
        {"type": "text", "text": "."},
        {"type": "reference"},
        3,
        {"text": 1},
    ]
    assert reply.add(chunk(content=words)) == [TextDelta("Aye.")]
    assert reply.add(chunk(content=[])) == []
    assert reply.add(chunk(content=[{"type": "text", "text": None}])) == []


def test_a_reply_taken_to_begin_in_a_thought_says_its_words_in_the_end_if_it_did_not() -> None:
    for end, said in (("stop", "Aye. So."), ("length", "")):
        reply = ResponseParser(thinking=True)
        assert reply.add(chunk("Aye. ") + chunk("So.")) == [PrefillDone(0)]
        assert reply.reasoned and not reply.answering
        reply.add(chunk(end=end) + DONE)
        assert "".join(part.text for part in reply.end() if isinstance(part, TextDelta)) == said
        assert reply.spoke_at_once is reply.answering is (end == "stop") and reply.reasoned is (end != "stop")


def test_a_server_that_tells_thoughts_apart_leaves_none_among_the_words() -> None:
    reply = ResponseParser(thinking=True)
    assert reply.add(chunk(reasoning="Hm.") + chunk("Aye.")) == [PrefillDone(0), TextDelta("Aye.")], "at once"
    reply.add(chunk(end="length"))
    assert reply.end() == [] and reply.spoke_at_once
    leaking = ResponseParser()
    leaking.add(chunk(reasoning="Hm.") + chunk("</think>Aye.") + chunk(end="stop"))
    assert not leaking.began_in_thought


def test_a_closing_tag_behind_the_words_tells_of_no_thought() -> None:
    reply = ResponseParser()
    reply.add(chunk("Good day.</think>") + chunk("\n") + chunk(end="stop"))
    reply.end()
    assert not reply.began_in_thought
    reply = ResponseParser()
    reply.add(chunk("Hm.</think>") + chunk("\n") + chunk("Aye.") + chunk(end="stop"))
    assert reply.began_in_thought and reply.thought_aloud


@pytest.mark.parametrize("usage", [[], "12", 7, {"prompt_tokens": None}])
def test_odd_figures_beside_the_words_cost_no_word(usage: object) -> None:
    reply = ResponseParser()
    event = {
        "choices": [{"delta": {"content": "Aye.", "reasoning": {"a": 1}}, "finish_reason": "stop"}],
        "usage": usage,
    }
    assert TextDelta("Aye.") in reply.add(b"data: " + json.dumps(event).encode() + b"\n\n")
    assert reply.usage.prompt_tokens == 0


def test_letter_cut_in_two_escapes_costs_only_itself() -> None:
    said, _ = whole(chunk("Aye\ud83c"), chunk("\udf7a."), chunk(" So \U0001f37a."), chunk(end="stop"))
    assert said.replace("\ufffd", "") == "Aye. So \U0001f37a."


def test_a_stop_string_ends_it_even_where_the_server_does_not_know_it() -> None:
    reply = ResponseParser(TOOLS, ("\nPlayer:",))
    said = [*reply.add(chunk("Aye.\nPla")), *reply.add(chunk("yer: and") + chunk("more")), *reply.end()]
    assert said == [PrefillDone(0), TextDelta("Aye.")]
    assert reply.done and reply.reason == "stop"


# --- calls -----------------------------------------------------------------------------------------------------------


def test_calls_come_in_pieces_and_behind_the_words() -> None:
    reply = ResponseParser(TOOLS)
    reply.add(chunk("East. "))
    assert reply.add(piece(0, "a", "go", "") + piece(1, "b", "wave", "{}")) == []
    assert reply.add(piece(0, None, None, '{"place": ') + piece(0, None, None, '"market"}') + chunk("Aye.")) == [
        TextDelta("Aye.")
    ]
    assert reply.add(chunk(end="tool_calls") + DONE) == []
    assert reply.end() == [] and reply.reason == "stop"
    assert reply.calls() == [InlineCall("go", {"place": "market"}), InlineCall("wave", {})]


@pytest.mark.parametrize(
    "events",
    [
        (piece(0, "a", "go", '{"place": "x"}'), piece(0, "b", "wave", "{}")),  # Ollama: one index for all
        (piece(None, "a", "go", '{"place": "x"}'), piece(None, "b", "wave", "{}")),  # no index at all
        (piece(0, "a", "go", {"place": "x"}), piece(1, "b", "wave", {})),  # arguments as an object
        (piece(0, "a", "go", '{"place": '), piece(0, "a", None, '"x"}'), piece(1, "b", "wave", "")),  # the id again
        (piece(0, "a", "go"), piece(1, "b", "wave"), piece(0, None, None, ' {"place": "x"} ')),  # interleaved
        (piece(0, "a", " go", '{"place": " x "}'), piece(1, "b", "wave", "null")),  # as the model wrote it
        (piece(0, "a", "go", json.dumps('{"place": "x"}')), piece(1, "b", "wave", '""')),  # JSON in JSON
        (piece(0, None, "go", '{"place": "x"}'), piece(0, None, "wave", "{}")),  # one index and no ids
        (piece(None, None, "go", '{"place": "x"}'), piece(None, None, "wave")),  # neither, and no arguments
        (
            piece(0, "a", "go", '{"pla'),
            piece(0, None, "go", 'ce": "x"}'),
            piece(0, None, "go", " \n"),
            piece(1, "b", "wave"),
        ),
    ],
)
def test_servers_differ_in_how_they_send_calls(events: tuple[bytes, ...]) -> None:
    assert whole(*events, chunk(end="tool_calls")) == ("", [InlineCall("go", {"place": "x"}), InlineCall("wave", {})])


def test_a_name_behind_a_whole_call_begins_another_of_the_same_tool() -> None:
    places = [piece(None, None, "go", json.dumps({"place": place})) for place in "xyz"]
    assert whole(*places, chunk(end="stop"))[1] == [InlineCall("go", {"place": place}) for place in "xyz"]


def test_calls_that_a_server_left_among_the_words_are_understood() -> None:
    text = 'East. <tool_call>{"name": "go", "arguments": {"place": "market"}}</tool_call> Mind the steps.'
    events = [chunk(letter) for letter in text]
    assert whole(*events, piece(0, "a", "wave"), chunk(end="stop")) == (
        "East.  Mind the steps.",
        [InlineCall("go", {"place": "market"}), InlineCall("wave", {})],
    )


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("burn", "{}", "unknown tool"),
        (None, "{}", "unknown tool"),
        ("go", '{"place": "ma', "not JSON"),
        ("go", "[" * 5000, "not JSON"),
        ("go", "3", "not an object"),
        ("go", "{}", "lacks 'place'"),
        ("go", '{"place": 3}', "not a string"),
        ("go", '{"place": "x", "speed": 3}', "not in the schema"),
        ("go", '{"place": "\\ud800"}', "surrogate"),
        ("go", "[" * 600 + "]" * 600, "not an object"),
        ("go", 3, "not an object"),
        ("go", [["x"]], "not an object"),
        ("go", False, "not an object"),
        ("go", f'{{"place": "{"x" * MAX_CALL}"}}', "longer"),
    ],
)
def test_invalid_call_reported_and_others_kept(name: str | None, arguments: Any, reason: str) -> None:
    words, calls = whole(chunk("Aye."), piece(0, "a", name, arguments), piece(1, "b", "wave"), chunk(end="stop"))
    assert words == "Aye." and calls[1:] == [InlineCall("wave", {})]
    assert isinstance(calls[0], BadCall) and reason in calls[0].reason


def test_calls_without_end_are_dropped() -> None:
    events = [piece(number, str(number), "wave") for number in range(3 * MAX_CALLS)]
    _, calls = whole(*events, chunk(end="stop"))
    assert len(calls) == MAX_CALLS + 1 and isinstance(calls[-1], BadCall)


# --- behind the end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behind",
    [
        b"data: {nonsense\n\n",
        b"data: {nonsense",
        b"x" * MAX_EVENT,
        b'data: {"error": {"message": "slot lost", "code": 500}}\n\n',
        b'data: {"choices": 3}\n\n',
        b'data: {"usage": 7}\n\n',
    ],
    ids=["no JSON", "no JSON, cut", "endless", "error", "no choices", "no usage"],
)
def test_whatever_comes_behind_the_end_is_only_the_end(behind: bytes) -> None:
    data = chunk("Aye.") + piece(0, "a", "go", '{"place": "x"}') + chunk(end="stop") + behind
    for size in (1, 100, 1 << 16) if len(data) < MAX_EVENT else (1 << 16,):  # no socket gives more at once
        assert whole(*cut(data, list(range(0, len(data), size)))) == ("Aye.", [InlineCall("go", {"place": "x"})])


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"prompt_tokens": None, "completion_tokens": None, "prompt_tokens_details": None}, (0, 0, 1)),
        ({"prompt_tokens": -9, "completion_tokens": -1, "prompt_tokens_details": {"cached_tokens": -3}}, (0, 0, 0)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": None}}, (9, 0, 4)),
        ({"prompt_tokens": "many", "completion_tokens": [], "prompt_tokens_details": 3}, (0, 0, 1)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 12}}, (9, 9, 1)),
    ],
)
def test_odd_figures_cost_no_words(told: dict[str, Any], expected: tuple[int, int, int]) -> None:
    counters = f"data: {json.dumps({'choices': [], 'usage': told})}\n\n".encode()
    for events in (chunk("Aye.") + counters + chunk(end="stop"), chunk("Aye.") + chunk(end="stop") + counters + DONE):
        reply = ResponseParser()
        assert TextDelta("Aye.") in reply.add(events) and reply.reason == "stop"
        assert (reply.usage.prompt_tokens, reply.usage.cached_tokens, reply.written) == expected


# --- what is no reply ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b'data: {"choices": 3}\n\n',
        b'data: {"choices": [{"delta": {"content": 3}}]}\n\n',
        b"data: \xff\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
    ],
)
def test_invalid_chunk_is_an_error(data: bytes) -> None:
    with pytest.raises(EngineError, match="chunk"):
        ResponseParser().add(chunk("Aye.") + data)


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"data: ", b"\n\n", chunk("x"), chunk(end="stop"), DONE])))
def test_whatever_comes_is_taken_or_refused(parts: list[bytes]) -> None:
    reply = ResponseParser(TOOLS)
    try:
        for part in parts:
            reply.add(part)
        reply.end()
    except MythicError as error:
        assert error.what and error.remedy
    else:
        assert reply.reason


@pytest.mark.parametrize("events", [(), (chunk("Aye"),), (chunk("Aye"), b"data: {")])
def test_a_stream_that_ends_too_soon_was_cut(events: tuple[bytes, ...]) -> None:
    with pytest.raises(EngineError):
        whole(*events)


def test_a_reply_may_end_without_the_mark_or_without_a_reason() -> None:
    assert whole(chunk("Aye."), chunk(end="stop")) == ("Aye.", [])
    assert whole(chunk("Aye."), DONE, b"data: {not looked at\n\n") == ("Aye.", [])


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ({"message": "slot is gone", "code": 500}, EngineError, "slot is gone"),
        ({"message": "too many", "code": 429}, BusyError, "too many"),
        ({"message": "This model's maximum context length is 8", "code": 400}, ConfigError, "context length"),
        ("out of memory", EngineError, "out of memory"),
        ({"code": "weird"}, EngineError, "weird"),
    ],
)
def test_a_server_may_give_up_in_its_stream(error: Any, kind: type[MythicError], words: str) -> None:
    event = f"data: {json.dumps({'error': error})}\n\n".encode()
    with pytest.raises(kind, match=words):
        ResponseParser().add(chunk(role="assistant") + event)


def test_a_server_that_gives_up_in_the_middle_is_not_busy_but_broken() -> None:
    reply = ResponseParser()
    reply.add(chunk("Aye"))
    with pytest.raises(EngineError, match="429: too many"):
        reply.add(b'data: {"error": {"message": "too many", "code": 429}}\n\n')


def test_an_empty_reply_has_a_beginning_too() -> None:
    reply = ResponseParser()
    assert reply.add(chunk(role="assistant") + chunk("", end="stop") + DONE) == []
    assert reply.end() == [PrefillDone(0)] and not reply.answering
