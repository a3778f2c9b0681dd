"""Replies in other forms than a stream of events, and errors in the place of a reply."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from aiohttp import web
from asking import MARLA, ask, request, words
from hypothesis import given
from hypothesis import strategies as st
from test_openai_engine import AYE, WAVE, Answer, ScriptedServer, complaint, engine, plain, read, server, stream
from test_openai_response import DONE, TOOLS, chunk, cut, piece, usage, whole

from mythicd.engines.llm import Finished, InlineCall, PrefillDone, TextDelta
from mythicd.errors import BusyError, ConfigError, EngineError, MythicError
from mythicd.llm.openai_api.body import BodyParser
from mythicd.llm.openai_api.engine import OpenAiLlm
from mythicd.llm.openai_api.response import ResponseParser
from mythicd.llm.openai_api.sse import MAX_EVENT

__all__ = ["engine", "server"]

GO = {"id": "a", "type": "function", "function": {"name": "go", "arguments": '{"place": "x"}'}}
EVENTS = chunk(role="assistant") + chunk("Aye, friend.") + chunk(end="stop") + usage(9, 3) + DONE
BOM = b"\xef\xbb\xbf"


def body(data: bytes, content_type: str | None = None, status: int = 200, **headers: str) -> Answer:
    """Answer with these bytes and this type; None for no type at all."""

    async def answer(asked: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=headers)
        if content_type is not None:
            response.headers["Content-Type"] = content_type
        await response.prepare(asked)
        if content_type is None:
            assert "Content-Type" not in headers
        await response.write(data)
        return response

    return answer


def message(content: Any, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """Return a whole reply, as a server sends it that does not stream."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **more}, "finish_reason": finish}
    told = {"prompt_tokens": 9, "completion_tokens": 3}
    return {"id": "x", "object": "chat.completion", "choices": [choice], "usage": told}


# --- streams of another type -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/plain; charset=utf-8", "application/octet-stream", "application/json", "text/html", None],
)
@pytest.mark.parametrize("before", [b"", BOM, b": ping\n\n", b"\n\n", b"event: message\n", b"retry: 9\n\n"])
async def test_stream_known_by_its_first_bytes(
    engine: OpenAiLlm, server: ScriptedServer, content_type: str | None, before: bytes
) -> None:
    server.script = [body(before + EVENTS, content_type)]
    assert await read(engine) == [PrefillDone(0), TextDelta("Aye, friend."), Finished("stop", 9, 9, 3)]


async def test_compressed_stream(engine: OpenAiLlm, server: ScriptedServer) -> None:
    server.script = [body(gzip.compress(EVENTS), "text/event-stream", **{"Content-Encoding": "gzip"})]
    assert words(await read(engine)) == "Aye, friend."


# --- whole replies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/plain"])
@pytest.mark.parametrize("indent", [None, 0, 2])
async def test_whole_reply(engine: OpenAiLlm, server: ScriptedServer, content_type: str, indent: int | None) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "wave", "arguments": "{}"}}
    whole_reply = message("Aye.", "tool_calls", tool_calls=[call, call], reasoning_content="Hm.")
    server.script = [body(BOM + json.dumps(whole_reply, indent=indent).encode(), content_type)]
    assert await read(engine, request("marla", ask(MARLA, "hello"), tools=(WAVE,))) == [
        PrefillDone(0),
        TextDelta("Aye."),
        *[InlineCall("wave", {})] * 2,
        Finished("stop", 9, 9, 3),
    ]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (message("Aye."), "Aye."),
        (message("Aye.", None), "Aye."),
        (message("<think>Hm.</think>Aye."), "Aye."),
        (message([{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Aye."}]), "Aye."),
        (message("Aye.", reasoning_details=[{"type": "reasoning.text", "text": "Hm."}]), "Aye."),
        ([message("Aye.")], "Aye."),
        ({"choices": [{"delta": {"content": "Aye."}, "finish_reason": "stop"}]}, "Aye."),
    ],
)
@given(places=st.lists(st.integers(0, 400)))
def test_whole_reply_cut_anywhere(told: Any, said: str, places: list[int]) -> None:
    for data in (json.dumps(told), json.dumps(told, indent=2), f" \n\n{json.dumps(told)}\n\n"):
        assert whole(*cut(data.encode(), places)) == (said, [])


def test_whole_reply_may_be_cut_off_by_its_limit() -> None:
    reply = ResponseParser(TOOLS)
    assert reply.add(json.dumps(message("Aye.", "length")).encode() + b"\n") == [PrefillDone(0), TextDelta("Aye.")]
    assert reply.end() == [] and reply.reason == "length"


def test_whole_message_after_a_stream_is_not_said_twice() -> None:
    last = f"data: {json.dumps(message('Aye.'))}\n\n".encode()
    assert whole(chunk("Aye."), last, DONE) == ("Aye.", [])
    assert whole(chunk(reasoning="Hm."), last, DONE) == ("Aye.", [])
    assert whole(
        piece(0, "a", "go", '{"place": "x"}'), f"data: {json.dumps(message('', tool_calls=[GO]))}\n\n".encode()
    ) == (
        "",
        [InlineCall("go", {"place": "x"})],
    )


@given(places=st.lists(st.integers(0, 900)))
def test_json_lines(places: list[int]) -> None:
    """Ollama's own API."""
    call = {"function": {"name": "go", "arguments": {"place": "x"}}}
    lines = [
        {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "Hm."}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": "Aye, {"}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": "friend}."}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": False},
        {"message": {"content": ""}, "done": True, "done_reason": "length", "prompt_eval_count": 9, "eval_count": 3},
    ]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    reply = ResponseParser(TOOLS)
    parts = [part for each in cut(data, places) for part in reply.add(each)] + reply.end()
    assert "".join(part.text for part in parts if isinstance(part, TextDelta)) == "Aye, {friend}."
    assert reply.calls() == [InlineCall("go", {"place": "x"})]
    assert (reply.reason, reply.reasoned, reply.usage.prompt_tokens, reply.written) == ("length", True, 9, 3)


def test_json_lines_that_end_too_soon_were_cut() -> None:
    line = json.dumps({"message": {"role": "assistant", "content": "Aye"}, "done": False}).encode()
    with pytest.raises(EngineError, match="broke off"):
        whole(line + b"\n")


@pytest.mark.parametrize("data", [b'{"choices": [{"message": {"content": "Ay', b"{", b"[", b'{"choices": 3}'])
def test_cut_or_invalid_json_is_an_error(data: bytes) -> None:
    with pytest.raises(EngineError, match="invalid chunk"):
        whole(data)


def test_endless_json_is_given_up() -> None:
    reply = BodyParser()
    with pytest.raises(EngineError, match="more than"):
        for _ in range(2 * MAX_EVENT // 1000):
            reply.add(b'{"a": "' + b"x" * 993)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"{", b"}", b"\n", b'{"a":1}\n', BOM, b"[", chunk("x")])))
def test_whatever_comes_is_taken_or_refused(parts: list[bytes]) -> None:
    for start in (b"{", b"[", b'{"choices": [{"message": {"content": "x"}}]}', BOM):
        reply = ResponseParser(TOOLS)
        reply.content_type = "text/plain"
        try:
            for part in (start, *parts):
                reply.add(part)
            reply.end()
        except MythicError as error:
            assert error.what and error.remedy
        else:
            assert reply.reason


# --- errors in the place of a reply ----------------------------------------------------------------------------------

ERRORS = [
    ({"error": {"message": "Insufficient credits", "code": 402}}, ConfigError, "402: Insufficient credits", "credit"),
    ({"error": {"message": "Insufficient credits"}}, ConfigError, "(Insufficient credits)", "credit"),
    ({"message": "Insufficient Balance", "code": 402}, ConfigError, "402: Insufficient Balance", "credit"),
    ({"code": 1113, "msg": "Your account is in arrears, please recharge"}, ConfigError, "in arrears", "credit"),
    ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, ConfigError, "insufficient", "credit"),
    (
        {"error": {"type": "insufficient_quota", "message": "You are over it."}},
        ConfigError,
        "You are over it",
        "credit",
    ),
    ({"error": "invalid_api_key"}, ConfigError, "invalid_api_key", "api_key_env"),
    ({"error": {"code": "401", "message": "No cookie"}}, ConfigError, "401: No cookie", "api_key_env"),
    ({"detail": "Incorrect API key provided"}, ConfigError, "Incorrect API key provided", "api_key_env"),
    ({"status": 403, "message": "forbidden"}, ConfigError, "403: forbidden", "api_key_env"),
    ({"errors": [{"message": "Unauthorized"}]}, ConfigError, "Unauthorized", "api_key_env"),
    ({"error": {"message": "model 'qwem' not found, try pulling it first"}}, ConfigError, "qwem", "llm.server.model"),
    (
        {"object": "error", "message": "The model `a` does not exist.", "code": 404},
        ConfigError,
        "`a`",
        "llm.server.model",
    ),
    ({"detail": "No such model: a", "code": 404}, ConfigError, "No such model: a", "llm.server.model"),
    ({"error": {"message": "a is not a valid model ID", "code": 400}}, ConfigError, "not a valid", "llm.server.model"),
    ({"error": {"message": "maximum context length is 8 tokens"}}, ConfigError, "8 tokens", "kv.max_ctx_tokens"),
    ({"detail": "Prompt is too long"}, ConfigError, "Prompt is too long", "kv.max_ctx_tokens"),
    ({"error": {"type": "exceed_context_size_error", "message": "no"}}, ConfigError, "no", "kv.max_ctx_tokens"),
    ({"error": {"message": "too many", "code": 429}}, BusyError, "429: too many", "again"),
    ({"error": "The engine is overloaded"}, BusyError, "overloaded", "again"),
    ({"message": "Rate limit exceeded"}, BusyError, "Rate limit exceeded", "again"),
    ({"error": {"message": "bad `top_q`", "code": 400}}, ConfigError, "400: bad `top_q`", "llm.server.extra"),
    ({"detail": [{"loc": ["body", "a"], "msg": "Extra", "input": "secret"}]}, EngineError, "body.a: Extra", "log"),
    (
        {"error": {"message": "Provider returned error", "metadata": {"raw": "GPU lost"}}},
        EngineError,
        "GPU lost",
        "log",
    ),
    ([{"error": {"code": 500, "message": "internal"}}], EngineError, "500: internal", "log"),
    ({"error": True, "message": "out of order"}, EngineError, "out of order", "log"),
    ({"choices": [{"error": {"message": "moderated"}, "finish_reason": "error"}]}, EngineError, "moderated", "log"),
    ({"choices": None, "error": {"message": "gone"}}, EngineError, "gone", "log"),
]


@pytest.mark.parametrize(("told", "kind", "what", "remedy"), ERRORS)
@pytest.mark.parametrize("indent", [None, 2])
async def test_error_with_status_200(
    engine: OpenAiLlm, server: ScriptedServer, told: Any, kind: type[MythicError], what: str, remedy: str, indent: Any
) -> None:
    server.script = [body(json.dumps(told, indent=indent).encode(), "application/json"), AYE]
    error = await complaint(engine)
    assert type(error) is kind and what in error.what and remedy in error.remedy
    assert "secret" not in str(error)
    assert words(await read(engine)) == "Aye, friend."


@pytest.mark.parametrize(("told", "kind", "what", "remedy"), [each for each in ERRORS if isinstance(each[0], dict)])
async def test_error_in_a_stream(
    engine: OpenAiLlm, server: ScriptedServer, told: Any, kind: type[MythicError], what: str, remedy: str
) -> None:
    data = json.dumps(told).encode()
    for before in (b"", chunk(role="assistant"), b": PROCESSING\n\n"):
        server.script = [stream(before, b"data: " + data + b"\n\n", DONE)]
        error = await complaint(engine)
        assert type(error) is kind and what in error.what and remedy in error.remedy


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error": {"message": "slot lost"}}\n\n',
        b'data: {"error": "slot lost", "choices": []}\n\n',
        b'data: {"choices": [{"delta": {}, "finish_reason": "error", "error": {"message": "slot lost"}}]}\n\n',
        b'event: error\ndata: {"message": "slot lost"}\n\n',
        b"event: error\ndata: slot lost\n\n",
        b'error: {"code": 500, "message": "slot lost"}\n\n',
        b'data: {"detail": "slot lost", "status": 500}\n\n',
        b'data: {"object": "error", "message": "slot lost", "type": "InternalServerError"}\n\n',
        b'data: {"error": {"message": "slot lost", "code": 429}}\n\n',
        b'data: {"error": {"message": "slot lost", "code": 400}}\n\n',
    ],
)
async def test_error_in_the_middle_of_a_stream(engine: OpenAiLlm, server: ScriptedServer, event: bytes) -> None:
    server.script = [stream(chunk("Aye"), event, 60.0), AYE]
    error = await complaint(engine)
    assert type(error) is EngineError and "slot lost" in error.what
    assert words(await read(engine)) == "Aye, friend."


async def test_credit_may_end_in_the_middle(engine: OpenAiLlm, server: ScriptedServer) -> None:
    server.script = [stream(chunk("Aye"), b'data: {"error": {"message": "Insufficient credits", "code": 402}}\n\n')]
    error = await complaint(engine)
    assert isinstance(error, ConfigError) and "402: Insufficient credits" in error.what and "credit" in error.remedy


@pytest.mark.parametrize(
    "event",
    [b'data: {"message": "You are number 3 in the queue."}\n\n', b'data: {"type": "ping"}\n\n', b"data: {}\n\n"],
)
def test_other_events_cost_nothing(event: bytes) -> None:
    assert whole(event, chunk("Aye"), event, chunk("."), chunk(end="stop")) == ("Aye.", [])
    with pytest.raises(EngineError):
        whole(event)


@pytest.mark.parametrize(
    ("answer", "kind", "what", "remedy"),
    [
        (body(b"<html><title>Welcome</title>x</html>", "text/html"), EngineError, "text/html", "stream"),
        (body(b"<html><title>Sign in</title>x</html>", "text/html"), EngineError, "(Sign in)", "stream"),
        (body(b"Hello there", "text/plain"), EngineError, "(Hello there)", "stream"),
        (body(b"Insufficient credits", "text/plain"), ConfigError, "(Insufficient credits)", "credit"),
        (body(b"Invalid API key.\n", "text/plain"), ConfigError, "(Invalid API key)", "api_key_env"),
        (body(b"", "application/json"), EngineError, "application/json", "stream"),
        (body(b"{}", "application/json"), EngineError, "application/json", "stream"),
        (body(b"\xef\xbb", "text/plain"), EngineError, "text/plain", "stream"),
        (plain({"choices": [{"message": {"content": 3}}]}), EngineError, "chunk", "llm.server.url"),
    ],
)
async def test_answer_that_is_not_a_reply(
    engine: OpenAiLlm, server: ScriptedServer, answer: Answer, kind: type[MythicError], what: str, remedy: str
) -> None:
    server.script = [answer]
    error = await complaint(engine)
    assert type(error) is kind and what in error.what and remedy in error.remedy


@pytest.mark.parametrize(
    ("status", "told", "kind", "remedy"),
    [
        (400, {"error": {"message": "API key not valid. Please pass a valid API key."}}, ConfigError, "api_key_env"),
        (400, {"error": {"message": "The model `a` does not exist"}}, ConfigError, "llm.server.model"),
        (500, {"error": {"message": "AuthenticationError: no auth credentials"}}, ConfigError, "api_key_env"),
        (403, {"error": {"message": "Insufficient balance"}}, ConfigError, "credit"),
        (429, {"error": {"type": "exceeded_current_quota_error", "message": "no"}}, ConfigError, "credit"),
        (429, {"error": {"message": "You exceeded your current quota. Please retry in 30 s."}}, BusyError, "again"),
        (503, {"error": {"code": "model_not_found", "message": "no channel"}}, ConfigError, "llm.server.model"),
        (400, {"error": {"message": "This model's maximum context length is 8"}}, ConfigError, "kv.max_ctx_tokens"),
        (500, [{"error": {"message": "boom"}}], EngineError, "log"),
        (404, "Cannot POST", ConfigError, "llm.server.url"),
    ],
)
async def test_refusal_by_what_it_says(
    engine: OpenAiLlm, server: ScriptedServer, status: int, told: Any, kind: type[MythicError], remedy: str
) -> None:
    server.script = [plain(told, status)]
    error = await complaint(engine)
    assert type(error) is kind and remedy in error.remedy and f"({status}: " in error.what


# --- reasoning that the server separates -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "thought",
    [
        {"reasoning_content": "Hm."},
        {"reasoning": "Hm."},
        {"reasoning": {"text": "Hm."}},
        {"thinking": "Hm."},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "Hm."}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
        {"content": [{"type": "reasoning", "text": "Hm."}]},
        {"content": [{"type": "redacted_thinking", "data": "Hm."}]},
        {"content": [{"type": "reasoning_text", "text": "Hm."}]},
    ],
)
def test_separated_reasoning_is_not_spoken(thought: dict[str, Any]) -> None:
    reply = ResponseParser()
    assert reply.add(chunk(**thought)) == [PrefillDone(0)]
    assert reply.reasoned and not reply.answering
    for content in ("Aye.", [{"type": "text", "text": "Aye."}], [{"type": "output_text", "text": "Aye."}], ["Aye."]):
        assert whole(chunk(**thought), chunk(content=content), chunk(end="stop")) == ("Aye.", [])
