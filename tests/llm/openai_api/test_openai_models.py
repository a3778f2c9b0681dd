"""Which model a server is asked for: the list only helps, and never refuses a name that is set."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from asking import words
from test_openai_engine import AYE, ENTRY, Answer, ScriptedServer, complaint, models, plain, read, server, silence

from mythicd.config.settings import load_settings
from mythicd.errors import ConfigError, EngineUnavailable
from mythicd.llm.openai_api import http
from mythicd.llm.openai_api.engine import OpenAiLlm
from mythicd.llm.openai_api.models import choose_model
from mythicd.llm.openai_api.options import OpenAiOptions
from mythicd.paths import find
from mythicd.provisioning import engine_factory
from mythicd.provisioning.model_store import model_store

__all__ = ["server"]


def raw(body: bytes, content_type: str = "application/json") -> Answer:
    """Answer with these bytes."""

    async def answer(asked: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type)

    return answer


async def hang_up(asked: web.Request) -> web.StreamResponse:
    assert asked.transport is not None
    asked.transport.abort()
    return web.Response()


# --- a name is set ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "tells"),
    [
        (plain({"detail": "Not Found"}, 404), "404: Not Found"),
        (plain({}, 405), "405"),
        (plain({"error": {"message": "unimplemented"}}, 501), "501: unimplemented"),
        (plain({"error": "models.read is missing"}, 403), "403: models.read is missing"),
        (plain({}, 401), "401"),
        (plain({"error": {"message": "Loading model"}}, 503), "503: Loading model"),
        (plain({}, 500), "500"),
        (plain({}, 302, Location="http://127.0.0.1:1/"), "302"),
        (plain("<html>Welcome</html>"), "Welcome"),
        (raw(b""), "empty"),
        (raw(b"\xff\xfe\x00"), "not checked"),
        (plain({"error": {"message": "Insufficient credits", "code": 402}}), "Insufficient credits"),
        (hang_up, "broke"),
        (models(), "no model"),
        (plain({"object": "list", "data": None}), "no model"),
        (plain({"models": []}), "no model"),
        (plain([]), "no model"),
        (models(ENTRY), "'qwen'?"),
        (plain([{"name": "llama"}, "gemma"]), "llama, gemma"),
    ],
)
async def test_odd_model_list_becomes_a_notice(server: ScriptedServer, answer: Answer, tells: str) -> None:
    server.models, server.script = answer, [AYE]
    llm = OpenAiLlm(OpenAiOptions(server.url, "qwem"), {})
    await llm.start()
    (notice,) = llm.notices
    assert "llm.server.model" in notice and "'qwem'" in notice and tells in notice
    assert words(await read(llm)) == "Aye, friend."
    assert server.asked[0]["model"] == "qwem"
    await llm.stop()


async def test_model_list_that_does_not_come_becomes_a_notice(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "START_S", 0.05)
    server.models, server.script = silence(), [AYE]
    llm = OpenAiLlm(OpenAiOptions(server.url, "qwen"), {})
    await llm.start()
    assert "'qwen'" in llm.notices[0] and words(await read(llm)) == "Aye, friend."
    await llm.stop()
    with pytest.raises(EngineUnavailable, match="not ready") as caught:
        await OpenAiLlm(OpenAiOptions(server.url), {}).start()
    assert "llm.server.model" in caught.value.remedy


async def test_the_first_request_tells_the_truth(server: ScriptedServer) -> None:
    server.models = plain({}, 404)
    server.script = [plain({"error": {"message": "The model `qwem` does not exist."}}, 404), AYE]
    llm = OpenAiLlm(OpenAiOptions(server.url, "qwem"), {})
    await llm.start()
    error = await complaint(llm)
    assert isinstance(error, ConfigError) and "`qwem` does not exist" in error.what
    assert "llm.server.model" in error.remedy
    assert words(await read(llm)) == "Aye, friend."
    await llm.stop()


async def test_notice_is_gone_after_a_good_start(server: ScriptedServer) -> None:
    good, server.models = server.models, plain({}, 404)
    llm = OpenAiLlm(OpenAiOptions(server.url, "qwen"), {})
    await llm.start()
    assert llm.notices
    await llm.stop()
    server.models = good
    await llm.start()
    assert llm.notices == ()
    await llm.stop()


async def test_unreachable_server_refused_even_with_a_model() -> None:
    gone = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        await OpenAiLlm(OpenAiOptions(f"http://127.0.0.1:{port}/v1", "qwen"), {}).start()


@pytest.mark.parametrize(
    ("listed", "wanted", "sent"),
    [
        ("qwen", "qwen", "qwen"),
        ("qwen:latest", "qwen", "qwen"),
        ("qwen", "qwen:latest", "qwen"),
        ("Qwen/Qwen3-8B", "qwen3-8b", "Qwen/Qwen3-8B"),
        ("Qwen3-8B", "Qwen/Qwen3-8B", "Qwen3-8B"),
        ("/models/Qwen3-8B.gguf", "qwen3-8b", "/models/Qwen3-8B.gguf"),
        ("C:\\models\\Qwen3-8B.gguf", "Qwen3-8B", "C:\\models\\Qwen3-8B.gguf"),
        ("models/gemini-flash", "gemini-flash", "models/gemini-flash"),
        ("LLAMA", "llama", "LLAMA"),
    ],
)
def test_listed_under_another_spelling(listed: str, wanted: str, sent: str) -> None:
    answer = json.dumps({"data": [{"id": "other"}, {"id": listed, "owned_by": "vllm"}]}).encode()
    model = choose_model(answer, wanted)
    assert (model.name, model.server, model.notice) == (sent, "vllm", "")


@pytest.mark.parametrize("listed", [["qwen3:8b"], ["a/Qwen3", "b/Qwen3"], ["qwen3-8b"]])
def test_unlike_or_ambiguous_name_sent_as_it_is(listed: list[str]) -> None:
    model = choose_model(json.dumps({"data": [{"id": name} for name in listed]}).encode(), "qwen3")
    assert model.name == "qwen3" and "'qwen3'" in model.notice and listed[0] in model.notice


def test_server_known_by_its_other_models() -> None:
    assert choose_model(json.dumps({"data": [{"id": "a", "owned_by": "llamacpp"}]}).encode(), "b").server == "llamacpp"


# --- no name is set --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "listed",
    [
        {"data": [{"id": "qwen"}]},
        {"data": [{"id": "qwen"}, {"id": "qwen"}]},
        {"data": ["qwen"]},
        {"data": None, "models": [{"name": "qwen"}]},
        {"models": [{"name": "qwen:8b", "model": "qwen"}], "data": [{"id": "qwen"}]},
        {"models": [{"key": "qwen"}, {"size": 3}, None]},
        [{"id": "qwen", "owned_by": None, "aliases": 3}],
        ["qwen"],
    ],
)
def test_only_model_is_taken(listed: Any) -> None:
    for body in (json.dumps(listed).encode(), b"\xef\xbb\xbf" + json.dumps(listed, indent=1).encode()):
        assert choose_model(body, "").name == "qwen"


@pytest.mark.parametrize(
    ("body", "tells"),
    [
        (b'["a", "b"]', "a, b"),
        (b'{"models": [{"name": "a"}, {"name": "b"}]}', "a, b"),
        (b'{"data": []}', "no model"),
        (b"{}", "not a list"),
        (b"<html>", "not a list"),
        (b"3", "not a list"),
        (b"[" * 100_000, "not a list"),
    ],
)
def test_no_choice_names_the_setting(body: bytes, tells: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_model(body, "")
    assert "llm.server.model" in caught.value.what and tells in caught.value.what and caught.value.remedy


# --- where the notice goes -------------------------------------------------------------------------------------------


async def test_engine_notices_reach_the_host(tmp_path: Path, server: ScriptedServer) -> None:
    server.models = plain({}, 404)
    user = tmp_path / "config.yaml"
    user.write_text(msgspec.yaml.encode({"llm": {"server": {"url": server.url, "model": "qwen"}}}).decode())
    settings = load_settings(find("profiles", "starter", tmp_path), user)
    engines = engine_factory.build(settings, tmp_path, model_store(tmp_path))
    await engines.start()
    try:
        assert [notice for notice in engines.notices if "'qwen'" in notice and "404" in notice]
    finally:
        await engines.stop()
