"""The language model on a scripted server: late, busy, silent, broken, or another program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from asking import MARLA, ask, request, words
from test_openai_response import DONE, chunk, piece, usage

from mythicd.engines.llm import (
    Finished,
    Focus,
    InlineCall,
    LlmEvent,
    LlmRequest,
    PrefillDone,
    Sampling,
    TextDelta,
    ToolSpec,
)
from mythicd.errors import BusyError, ConfigError, EngineError, EngineUnavailable, MythicError
from mythicd.llm.openai_api import engine as openai
from mythicd.llm.openai_api.engine import OpenAiLlm
from mythicd.llm.openai_api.http import MAX_ANSWER
from mythicd.llm.openai_api.options import OpenAiOptions

WAVE = ToolSpec("wave", "Waves.", {})
HELLO = request("marla", ask(MARLA, "hello"))
ENTRY = {"id": "qwen", "object": "model", "owned_by": "vllm"}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedServer:
    """An OpenAI-compatible server that gives each request the next answer of its script, and notes what was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.models: Answer = plain({"object": "list", "data": [ENTRY]})
        self.script: list[Answer] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.left = asyncio.Event()
        """Set when a client went away before its answer was whole."""

    async def answer(self, asked: web.Request) -> web.StreamResponse:
        self.headers.append(dict(asked.headers))
        if asked.path.endswith("/models"):
            return await self.models(asked)
        self.asked.append(await asked.json())
        try:
            return await self.script.pop(0)(asked)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise


def plain(body: Any, status: int = 200, **headers: str) -> Answer:
    """Answer with JSON, or with a text as HTML."""

    async def answer(asked: web.Request) -> web.Response:
        if isinstance(body, str):
            return web.Response(text=body, status=status, content_type="text/html", headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return answer


def stream(*events: bytes | float | asyncio.Event, cut: bool = False) -> Answer:
    """Answer with a stream: bytes are sent, numbers are seconds of silence, and an Event is waited for."""

    async def answer(asked: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(asked)
        for event in events:
            if isinstance(event, bytes):
                await response.write(event)
            elif isinstance(event, asyncio.Event):
                await event.wait()
            else:
                await asyncio.sleep(event)
        if cut:
            assert asked.transport is not None
            asked.transport.abort()
        return response

    return answer


def silence(seconds: float = 60.0) -> Answer:
    """Answer with nothing, not even a status."""

    async def answer(asked: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.Response(status=500)

    return answer


AYE = stream(chunk(role="assistant"), chunk("Aye"), chunk(", friend."), chunk(end="stop"), usage(9, 3, 4), DONE)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", scripted.answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    scripted.url = f"http://{host}:{port}/v1"
    yield scripted
    await runner.cleanup()


@pytest.fixture
async def engine(server: ScriptedServer) -> AsyncIterator[OpenAiLlm]:
    llm = OpenAiLlm(OpenAiOptions(server.url, max_speakers=1), {})
    await llm.start()
    yield llm
    await llm.stop()
    assert (llm.counters.writing, llm.counters.waiting) == (0, 0)


async def read(engine: OpenAiLlm, wanted: LlmRequest = HELLO) -> list[LlmEvent]:
    return [event async for event in engine.generate(wanted)]


async def complaint(engine: OpenAiLlm, wanted: LlmRequest = HELLO) -> MythicError:
    """Return what a reply ends with; it must be an error that says what to do."""
    with pytest.raises(MythicError) as caught:
        await read(engine, wanted)
    assert caught.value.remedy
    return caught.value


def patient(seconds: float) -> LlmRequest:
    return replace(HELLO, patience_s=seconds)


# --- replies ---------------------------------------------------------------------------------------------------------


async def test_a_reply(engine: OpenAiLlm, server: ScriptedServer) -> None:
    server.script = [AYE]
    assert await read(engine) == [
        PrefillDone(0),
        TextDelta("Aye"),
        TextDelta(", friend."),
        Finished("stop", prompt_tokens=9, evaluated_tokens=5, generated_tokens=3),
    ]
    (asked,) = server.asked
    assert asked["model"] == "qwen" and asked["stream"] and "repetition_penalty" not in asked
    assert "Authorization" not in server.headers[-1] and server.headers[-1]["Accept-Encoding"] == "identity"
    counters = engine.counters
    assert (counters.replies, counters.tokens_new, counters.tokens_reused, counters.tokens_written) == (1, 5, 4, 3)


async def test_invalid_call_logged_without_its_content(
    engine: OpenAiLlm, server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = piece(0, "a", "wave", '{"at": "the secret door"}'), piece(1, "b", "wave", "{}")
    server.script = [stream(bad, chunk("Aye."), good, chunk(end="tool_calls"), DONE)]
    events = await read(engine, request("marla", ask(MARLA, "hello"), tools=(WAVE,)))
    assert events[1:-1] == [TextDelta("Aye."), InlineCall("wave", {})]
    assert "not in the schema" in caplog.text and "secret" not in caplog.text


async def test_a_reply_whose_calls_nobody_wants_is_no_cancelled_one(engine: OpenAiLlm, server: ScriptedServer) -> None:
    server.script = [stream(piece(0, "a", "wave", "{}"), piece(1, "b", "wave", "{}"), chunk(end="tool_calls"), DONE)]
    async with aclosing(engine.generate(request("marla", ask(MARLA, "hello"), tools=(WAVE,)))) as events:
        async for event in events:
            if isinstance(event, InlineCall):
                break
    assert (engine.counters.replies, engine.counters.cancelled) == (1, 0)


async def test_the_words_are_there_before_the_reply_is_whole(engine: OpenAiLlm, server: ScriptedServer) -> None:
    more = asyncio.Event()
    server.script = [stream(chunk("Aye"), more, chunk("."), chunk(end="stop"), DONE)]
    events = engine.generate(HELLO)
    assert [await anext(events), await anext(events)] == [PrefillDone(0), TextDelta("Aye")]
    assert engine.counters.writing == 1
    more.set()
    assert [event async for event in events][0] == TextDelta(".")


async def test_the_figures_behind_a_reply_are_not_waited_for_long(
    engine: OpenAiLlm, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "TAIL_S", 0.02)
    server.script = [stream(chunk("Aye."), chunk(end="stop"), asyncio.Event())]
    assert (await read(engine))[1:] == [TextDelta("Aye."), Finished("stop", 0, 0, 1)]


async def test_a_connection_that_breaks_behind_the_end_costs_nothing(engine: OpenAiLlm, server: ScriptedServer) -> None:
    wave = piece(0, "a", "wave", "{}")
    server.script = [stream(chunk("Aye."), wave, chunk(end="tool_calls"), 0.02, cut=True)]
    events = await read(engine, request("marla", ask(MARLA, "hello"), tools=(WAVE,)))
    assert events[1:] == [TextDelta("Aye."), InlineCall("wave", {}), Finished("stop", 0, 0, 2)]
    assert (engine.counters.replies, engine.counters.failed) == (1, 0)


async def test_signs_of_life_are_no_figures(
    engine: OpenAiLlm, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "TAIL_S", 0.1)
    alive: list[bytes | float] = [b": ping\n\n", 0.02]
    for counters in ([], [usage(9, 3)] * 2):
        server.script = [stream(chunk("Aye."), chunk(end="stop"), *counters, *alive * 1000)]
        async with asyncio.timeout(5):
            assert words(await read(engine)) == "Aye."


async def test_a_key_goes_along_and_is_found_in_the_environment(server: ScriptedServer) -> None:
    llm = OpenAiLlm(OpenAiOptions(server.url, api_key_env="TAVERN_KEY"), {"TAVERN_KEY": " open-sesame\n"})
    await llm.start()
    server.script = [AYE]
    assert words(await read(llm)) == "Aye, friend."
    assert [headers["Authorization"] for headers in server.headers] == ["Bearer open-sesame"] * 2
    await llm.stop()


@pytest.mark.parametrize(("environment", "says"), [({}, "not set"), ({"KEY": "schlüssel"}, "not a valid")])
async def test_missing_or_invalid_key_refused_before_any_request(
    server: ScriptedServer, environment: dict[str, str], says: str
) -> None:
    llm = OpenAiLlm(OpenAiOptions(server.url, api_key_env="KEY"), environment)
    with pytest.raises(ConfigError, match=rf"llm\.server\.api_key_env: .*\bKEY\b.*{says}") as caught:
        await llm.start()
    assert not server.headers and "schlüssel" not in str(caught.value)


# --- thoughts --------------------------------------------------------------------------------------------------------


async def test_reasoning_for_all_tokens_is_a_config_error(engine: OpenAiLlm, server: ScriptedServer) -> None:
    for thought in (chunk("<think>Hm, "), chunk(reasoning_content="Hm, ")):
        server.script = [stream(thought, thought, chunk(end="length"), DONE)]
        error = await complaint(engine)
        assert isinstance(error, ConfigError) and "24 tokens" in error.what
        assert "enable_thinking" in error.remedy


async def test_reasoning_does_not_count_as_an_answer(engine: OpenAiLlm, server: ScriptedServer) -> None:
    thoughts: list[bytes | float] = [chunk(reasoning="Hm. "), 0.01]
    server.script = [stream(*(thoughts * 6000))]
    error = await complaint(engine, patient(0.4))
    assert isinstance(error, BusyError) and "reasoning" in error.what and "enable_thinking" in error.remedy
    assert sum(engine.counters.ttft.counts) == 0


async def test_reply_of_reasoning_alone_is_a_config_error(engine: OpenAiLlm, server: ScriptedServer) -> None:
    server.script = [stream(chunk("<think>Hm, "), chunk(end="stop"), DONE)]
    error = await complaint(engine)
    assert isinstance(error, ConfigError) and "reasoned" in error.what and "tokens" not in error.what
    assert "enable_thinking" in error.remedy


async def test_to_a_server_whose_model_thinks_among_the_words_no_stop_string_is_sent(
    engine: OpenAiLlm, server: ScriptedServer
) -> None:
    """It would end the reply in the middle of a thought; here the strings are heeded where words are."""
    wanted = replace(HELLO, sampling=replace(HELLO.sampling, stop=("Odo:",)))
    thinks = stream(chunk("<think>Odo: is near.</think>Aye. "), chunk("Odo: no"), chunk(end="stop"), DONE)
    server.script = [thinks, thinks]
    for _ in range(2):
        assert words([event async for event in engine.generate(wanted)]) == "Aye. "
    assert [asked.get("stop") for asked in server.asked] == [["Odo:"], None]


async def test_reasoning_sent_as_words_is_spoken_once(
    engine: OpenAiLlm, server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    mixed = stream(chunk("Hm, ale."), chunk("</think>"), chunk("\n\nAye."), chunk(end="stop"), DONE)
    cut_off = stream(chunk("Hm, "), chunk(end="length"), DONE)
    plain_words = stream(chunk("At once."), chunk(end="stop"), DONE)
    server.script = [mixed, mixed, cut_off, plain_words, plain_words, mixed, mixed]
    assert words(await read(engine)) == "Hm, ale.\n\nAye."
    assert "--reasoning-parser" in caplog.text and "enable_thinking" in caplog.text and "ale" not in caplog.text
    assert words(await read(engine)) == "Aye."
    assert isinstance(await complaint(engine), ConfigError)
    first = await read(engine)  # the model reasons no more, which only its complete reply tells
    assert words(first) == "At once." and isinstance(first[-1], Finished)
    events = await read(engine)
    assert words(events) == "At once."
    assert not engine._thinks_first
    await read(engine)
    assert words(await read(engine)) == "Aye."
    assert caplog.text.count("--reasoning-parser") == 1


async def test_a_cancelled_reply_tells_where_the_words_begin_too(engine: OpenAiLlm, server: ScriptedServer) -> None:
    server.script = [
        stream(chunk("Hm."), chunk("</think>Aye."), asyncio.Event()),
        stream(chunk("Hm.</think>So."), DONE),
    ]
    async with aclosing(engine.generate(HELLO)) as events:
        async for event in events:
            if event == TextDelta("Aye."):
                break
    assert words(await read(engine)) == "So."


# --- patience and places ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [silence(), stream(60.0), stream(chunk(role="assistant"), b": ping\n\n", 60.0)])
async def test_a_first_word_that_does_not_come_in_time_is_busy(
    engine: OpenAiLlm, server: ScriptedServer, late: Answer
) -> None:
    server.script = [late, AYE]
    assert isinstance(await complaint(engine, patient(0.05)), BusyError)
    async with asyncio.timeout(2):
        await server.left.wait()
    assert engine.counters.refused == 1
    assert words(await read(engine)) == "Aye, friend."


async def test_patience_ends_with_the_first_word(engine: OpenAiLlm, server: ScriptedServer) -> None:
    server.script = [stream(chunk("Aye"), 0.8, chunk("."), chunk(end="stop"), DONE)]
    assert words(await read(engine, patient(0.6))) == "Aye."


async def test_silence_in_the_middle_is_an_error(
    engine: OpenAiLlm, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "STALL_S", 0.05)
    server.script = [stream(chunk("Aye"), 60.0)]
    error = await complaint(engine)
    assert isinstance(error, EngineError) and error.retryable and "silent" in error.what


async def test_signs_of_life_are_silence(
    engine: OpenAiLlm, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "STALL_S", 0.1)
    alive: list[bytes | float] = [b": ping\n\n", 0.02]
    server.script = [stream(chunk("Aye"), *alive * 1000)]
    async with asyncio.timeout(5):
        assert "silent" in (await complaint(engine)).what


async def test_the_time_that_a_reader_takes_is_not_the_servers(
    engine: OpenAiLlm, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "STALL_S", 0.2)
    go_on = asyncio.Event()
    server.script = [stream(chunk("Aye"), b": ping\n\n", go_on, chunk("."), chunk(end="stop"), DONE)]
    said = ""
    async with aclosing(engine.generate(HELLO)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                said += event.text
                await asyncio.sleep(0.3)
                asyncio.get_running_loop().call_later(0.05, go_on.set)
    assert said == "Aye."


async def test_who_waits_for_a_place_is_told_busy_in_time(engine: OpenAiLlm, server: ScriptedServer) -> None:
    server.script = [stream(chunk("Aye"), 60.0)]
    async with aclosing(engine.generate(HELLO)) as events:
        await anext(events)
        assert isinstance(await complaint(engine, replace(patient(0.05), npc_id="odo")), BusyError)
        assert (engine.counters.refused, engine.counters.writing, engine.counters.waiting) == (1, 1, 0)
    assert len(server.asked) == 1


async def test_whom_the_player_speaks_to_goes_first(engine: OpenAiLlm, server: ScriptedServer) -> None:
    go_on = asyncio.Event()
    server.script = [stream(chunk("Aye"), go_on, chunk(end="stop"), DONE), AYE, AYE, AYE]
    engine.focus("far", Focus(on_screen=False))
    engine.focus("near", Focus())
    engine.focus("asked", Focus(mic=True))
    asking = [asyncio.create_task(read(engine, request("first", ask(MARLA, "first"))))]
    for npc_id in ("far", "near", "asked"):
        asking.append(asyncio.create_task(read(engine, request(npc_id, ask(MARLA, npc_id)))))
    async with asyncio.timeout(2):
        while engine.counters.waiting < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*asking)
    said = [asked["messages"][-1]["content"].split()[-1] for asked in server.asked]
    assert said == ["first", "asked", "near", "far"]


# --- cancelling ------------------------------------------------------------------------------------------------------


async def test_closing_a_reply_closes_the_connection_at_once(engine: OpenAiLlm, server: ScriptedServer) -> None:
    server.script = [stream(chunk("Aye"), asyncio.Event()), AYE]
    async with aclosing(engine.generate(HELLO)) as events:
        await anext(events)
    async with asyncio.timeout(2):
        await server.left.wait()
    assert (engine.counters.cancelled, engine.counters.failed, engine.counters.tokens_written) == (1, 0, 1)
    assert words(await read(engine)) == "Aye, friend."


@pytest.mark.parametrize("answer", [silence(), stream(60.0), plain({}, 503, **{"Retry-After": "5"})])
async def test_cancelling_the_reader_closes_the_connection_too(
    engine: OpenAiLlm, server: ScriptedServer, answer: Answer
) -> None:
    server.script = [answer, AYE]
    reading = asyncio.create_task(read(engine))
    async with asyncio.timeout(2):
        while not server.asked:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert engine.counters.cancelled == 1
    assert words(await read(engine)) == "Aye, friend."


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "what", "remedy"),
    [
        (401, {"error": {"message": "Invalid API Key"}}, ConfigError, "(401: Invalid API Key)", "api_key_env"),
        (403, "<html>Forbidden</html>", ConfigError, "(403: <html>Forbidden</html>)", "api_key_env"),
        (404, {"error": {"message": "model 'x' not found"}}, ConfigError, "model 'x' not found", "llm.server.model"),
        (404, {"detail": "Not Found"}, ConfigError, "(404: Not Found)", "llm.server.url"),
        (429, {"message": "slow down"}, BusyError, "(429: slow down)", "again"),
        (503, {"error": {"message": "Loading model", "code": 503}}, BusyError, "(503: Loading model)", "again"),
        (
            400,
            {"error": {"code": 400, "message": "request (7508 tokens) exceeds", "type": "exceed_context_size_error"}},
            ConfigError,
            "(400: request (7508 tokens) exceeds)",
            "kv.max_ctx_tokens",
        ),
        (
            400,
            {"object": "error", "message": "This model's maximum context length is 4096 tokens. However, you"},
            ConfigError,
            "maximum context length is 4096",
            "kv.max_ctx_tokens",
        ),
        (
            500,
            {"error": {"message": "The input length (9000) exceeds the limit"}},
            ConfigError,
            "input length",
            "kv.max_ctx_tokens",
        ),
        (400, {"error": {"message": "Extra inputs are not permitted"}}, ConfigError, "not permitted", "extra"),
        (
            422,
            {"detail": [{"loc": ["body", "top_q"], "msg": "Extra inputs", "input": "the player's words"}]},
            ConfigError,
            "(422: body.top_q: Extra inputs)",
            "extra",
        ),
        (422, {"detail": [{"msg": "x", "loc": None}]}, ConfigError, "(422: x)", "extra"),
        (422, {"detail": [{"msg": "x", "loc": 3}, {"msg": ["y"]}]}, ConfigError, "(422: x; ['y'])", "extra"),
        (408, {"error": {"message": "slow"}}, EngineError, "(408: slow)", "again"),
        (429, {"error": {"message": "Pay", "code": "insufficient_quota"}}, ConfigError, "(429: Pay)", "credit"),
        (429, {"error": {"message": "Pay", "type": "insufficient_quota"}}, ConfigError, "(429: Pay)", "credit"),
        (402, {"error": {"message": "Insufficient Balance"}}, ConfigError, "(402: Insufficient", "credit"),
        (307, {}, ConfigError, "(307: {})", "llm.server.url"),
        (500, {"error": "CUDA error: out of memory"}, EngineError, "(500: CUDA error: out of memory)", "log"),
        (502, "\n<html>\n  Bad   Gateway\x07</html>", EngineError, "(502: <html> Bad Gateway</html>)", "log"),
        (500, {"error": {"message": "x" * 5000}}, EngineError, "xxx …)", "log"),
        (500, "", EngineError, "(500)", "log"),
        (200, {"choices": []}, EngineError, "application/json", "stream"),
        (200, "<html>Welcome</html>", EngineError, "text/html", "stream"),
    ],
)
async def test_refusal_raises_our_error_with_the_servers_message(
    engine: OpenAiLlm, server: ScriptedServer, status: int, body: Any, kind: type[MythicError], what: str, remedy: str
) -> None:
    server.script = [plain(body, status, Location="http://127.0.0.1:1/elsewhere"), AYE]
    error = await complaint(engine)
    assert type(error) is kind and what in error.what and remedy in error.remedy
    assert len(error.what) < 400
    counters = engine.counters
    assert (counters.refused, counters.failed) == ((1, 0) if kind is BusyError else (0, 1))
    assert words(await read(engine)) == "Aye, friend."


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "0"},
        {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"},
        {"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 08:50:37 GMT"},
    ],
)
async def test_a_server_that_says_when_is_asked_again(
    engine: OpenAiLlm, server: ScriptedServer, headers: dict[str, str]
) -> None:
    server.script = [plain({}, 503, **headers), plain({}, 429, **headers), AYE]
    assert words(await read(engine)) == "Aye, friend."
    assert len(server.asked) == 3 and engine.counters.replies == 1


NEVER = "Sun, 06 Nov 1994 08:49:37 +99999999999999999999"


@pytest.mark.parametrize("when", ["3", "99999999999999999999", "soon", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", NEVER])
async def test_but_not_beyond_its_patience(engine: OpenAiLlm, server: ScriptedServer, when: str) -> None:
    late = {"Retry-After": when, "Date": "Sun, 06 Nov 1994 08:49:30 GMT"}
    server.script = [plain({"error": {"message": "full"}}, 503, **late)]
    assert "(503: full)" in (await complaint(engine, patient(2.0))).what
    assert len(server.asked) == 1 and engine.counters.refused == 1


async def test_a_server_that_always_says_now_is_asked_until_patience_ends(
    engine: OpenAiLlm, server: ScriptedServer
) -> None:
    server.script = [plain({}, 503, **{"Retry-After": "0"})] * 50
    assert isinstance(await complaint(engine, patient(0.6)), BusyError)
    assert 2 <= len(server.asked) <= 7


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (stream(chunk("Aye"), cut=True), "broke"),
        (stream(chunk("Aye")), "broke"),
        (stream(cut=True), "broke"),
        (stream(chunk("Aye"), b"data: {nonsense}\n\n", 60.0), "chunk"),
        (stream(b"\x00\xff" * 400, b"\n\n"), "broke"),
        (stream(chunk("Aye"), b'data: {"error": {"message": "slot lost", "code": 500}}\n\n', 60.0), "500: slot lost"),
    ],
)
async def test_broken_stream_is_a_retryable_error(
    engine: OpenAiLlm, server: ScriptedServer, answer: Answer, what: str
) -> None:
    server.script = [answer, AYE]
    error = await complaint(engine)
    assert type(error) is EngineError and error.retryable and what in error.what
    assert engine.counters.failed == 1
    assert words(await read(engine)) == "Aye, friend."


async def test_what_cannot_be_asked_is_refused_here(engine: OpenAiLlm, server: ScriptedServer) -> None:
    bad = ToolSpec("open_door", "", {"properties": {"a": {"oneOf": []}}})
    assert "open_door" in (await complaint(engine, request("marla", ask(MARLA, "hello"), tools=(bad,)))).what
    for sampling in (Sampling(max_tokens=0), Sampling(repeat_penalty=0)):
        assert isinstance(await complaint(engine, request("marla", ask(MARLA, "hello"), sampling)), ConfigError)
    assert not server.asked and engine.counters.failed == 3


# --- starting and stopping -------------------------------------------------------------------------------------------


def models(*entries: dict[str, Any]) -> Answer:
    return plain({"object": "list", "data": list(entries)})


@pytest.mark.parametrize(
    ("answer", "wanted", "name"),
    [
        (models(ENTRY), "", "qwen"),
        (models(ENTRY, {"id": "llama3.2:latest", "owned_by": "library"}), "llama3.2", "llama3.2"),
        (models(ENTRY, {"id": "/models/a.gguf", "aliases": ["a"]}), "a", "a"),
    ],
)
async def test_which_model_is_meant(server: ScriptedServer, answer: Answer, wanted: str, name: str) -> None:
    server.models, server.script = answer, [AYE]
    llm = OpenAiLlm(OpenAiOptions(server.url, wanted), {})
    await llm.start()
    await llm.start()  # once is enough
    await read(llm)
    assert server.asked[0]["model"] == name and len(server.headers) == 2
    await llm.stop()
    await llm.stop()


@pytest.mark.parametrize(
    ("answer", "wanted", "kind", "what"),
    [
        (models(), "", ConfigError, "llm.server.model: "),
        (models(ENTRY, {"id": "b"}), "", ConfigError, "qwen, b"),
        (models(*({"id": f"m{n}"} for n in range(99))), "", ConfigError, "m6, m7, …"),
        (plain("<html>Welcome</html>"), "", ConfigError, "llm.server.url"),
        (plain({"error": {"message": "no such page"}}), "", ConfigError, "no such page"),
        (plain({"models": []}), "", ConfigError, "llm.server.model: "),
        (plain({"data": None}), "", ConfigError, "llm.server.model: "),
        (plain(["a", "b"]), "", ConfigError, "a, b"),
        (plain({}, 404), "", ConfigError, "(404"),
        (plain({}, 405), "", ConfigError, "(405"),
        (plain({}, 501), "", ConfigError, "(501"),
        (plain({}, 401), "", ConfigError, "(401"),
        (plain({"error": {"message": "Loading model"}}, 503), "", EngineUnavailable, "Loading model"),
        (plain({}, 500), "", EngineError, "(500"),
    ],
)
async def test_what_start_finds(
    server: ScriptedServer, answer: Answer, wanted: str, kind: type[MythicError], what: str
) -> None:
    server.models = answer
    llm = OpenAiLlm(OpenAiOptions(server.url, wanted), {})
    with pytest.raises(kind) as caught:
        await llm.start()
    assert type(caught.value) is kind and what in caught.value.what
    assert "llm.server.model" in str(caught.value) and caught.value.remedy
    with pytest.raises(EngineError, match="not running"):
        await read(llm)


async def test_a_server_that_is_not_there() -> None:
    gone = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    url = f"http://127.0.0.1:{port}/v1"
    with pytest.raises(EngineUnavailable, match="cannot be reached") as caught:
        await OpenAiLlm(OpenAiOptions(url), {}).start()
    assert url in caught.value.what and "llm.server.url" in caught.value.remedy


@pytest.mark.parametrize(
    ("scheme", "kind"), [("http", EngineError), ("https", EngineUnavailable)], ids=["no HTTP", "no TLS"]
)
async def test_another_program_at_that_port(scheme: str, kind: type[MythicError]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with other:
        llm = OpenAiLlm(OpenAiOptions(f"{scheme}://127.0.0.1:{other.sockets[0].getsockname()[1]}/v1"), {})
        with pytest.raises(kind) as caught:
            await llm.start()
        assert caught.value.remedy


async def test_long_model_list_read_and_endless_one_refused(server: ScriptedServer) -> None:
    server.models = models(ENTRY, *({"id": f"m{number}", "about": "x" * 1000} for number in range(3000)))
    llm = OpenAiLlm(OpenAiOptions(server.url, "qwen"), {})
    await llm.start()
    await llm.stop()
    server.models = models(ENTRY, {"id": "b", "about": "x" * MAX_ANSWER})
    with pytest.raises(ConfigError, match=r"llm\.server\.url .*8 MiB"):
        await OpenAiLlm(OpenAiOptions(server.url), {}).start()
    await llm.start()
    assert "8 MiB" in llm.notices[0]
    await llm.stop()


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[aiohttp.ClientSession]:
    """Return the sessions that are opened."""
    opened: list[aiohttp.ClientSession] = []
    begin = aiohttp.ClientSession.__init__

    def note(self: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
        opened.append(self)
        begin(self, *args, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", note)
    return opened


async def test_two_starts_at_once_are_one(server: ScriptedServer, sessions: list[aiohttp.ClientSession]) -> None:
    llm = OpenAiLlm(OpenAiOptions(server.url), {})
    await asyncio.gather(llm.start(), llm.start())
    await llm.stop()
    assert len(server.headers) == 1 and len(sessions) == 1 and sessions[0].closed


async def test_a_stop_ends_every_start_before_it_and_none_behind_it(
    server: ScriptedServer, sessions: list[aiohttp.ClientSession]
) -> None:
    asked, go_on, answer = asyncio.Event(), asyncio.Event(), server.models

    async def late(request: web.Request) -> web.StreamResponse:
        asked.set()
        await go_on.wait()
        return await answer(request)

    server.models, server.script = late, [AYE]
    llm = OpenAiLlm(OpenAiOptions(server.url), {})
    starts = [asyncio.create_task(llm.start()) for _ in range(2)]
    await asked.wait()
    await llm.stop()
    async with asyncio.timeout(2):
        ends = await asyncio.gather(*starts, return_exceptions=True)
    assert [type(end) for end in ends] == [EngineError] * 2 and all(session.closed for session in sessions)
    with pytest.raises(EngineError, match="not running"):
        await read(llm)
    asked.clear()
    early = asyncio.create_task(llm.start())
    await asked.wait()
    stopping = asyncio.create_task(llm.stop())
    await asyncio.sleep(0)
    go_on.set()
    await llm.start()
    await stopping
    assert isinstance((await asyncio.gather(early, return_exceptions=True))[0], EngineError)
    assert words(await read(llm)) == "Aye, friend."
    await llm.stop()
    assert all(session.closed for session in sessions)


async def test_what_only_an_engine_with_a_cache_can_do_is_nothing_here(
    engine: OpenAiLlm, server: ScriptedServer
) -> None:
    assert (engine.abilities.prepares, engine.abilities.places_calls, engine.abilities.adapters) == (False,) * 3
    await engine.attend("marla", HELLO.prompt)
    await engine.prepare("marla", HELLO.prompt)
    await engine.rollback("marla")
    engine.focus("marla", Focus(mic=True))
    await engine.park("marla")
    await engine.forget("marla")
    assert not server.asked
