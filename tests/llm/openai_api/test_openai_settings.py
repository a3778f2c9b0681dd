"""`llm.server` in the settings: invalid values are refused by file and key, and valid ones make the engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mythicd.config.llm_server import LlmServerSettings
from mythicd.config.settings import Settings, load_settings
from mythicd.errors import ConfigError
from mythicd.llm.openai_api.engine import OpenAiLlm
from mythicd.llm.openai_api.options import OpenAiOptions
from mythicd.provisioning import engine_factory
from mythicd.provisioning.model_store import model_store

URL = "http://127.0.0.1:8080/v1"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    file = tmp_path / "starter.yaml"
    file.write_text("profile: starter\nscheduler: {max_speakers: 3}\n")
    return file


def load(profile: Path, **server: Any) -> Settings:
    """Load a profile under a user's file with these keys in `llm.server`."""
    user = profile.parent / "config.yaml"
    user.write_text(msgspec.yaml.encode({"llm": {"server": server}}).decode())
    return load_settings(profile, user)


def test_a_server_is_named_in_the_users_file_and_makes_the_engine(profile: Path, tmp_path: Path) -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 40}
    settings = load(profile, url=URL, model="qwen", api_key_env="TAVERN_KEY", extra=extra)
    engine = engine_factory.build(settings, tmp_path, model_store(tmp_path)).llm
    assert isinstance(engine, OpenAiLlm)
    assert engine._options == OpenAiOptions(URL, "qwen", "TAVERN_KEY", extra, max_speakers=3)


def test_without_a_url_the_model_is_here(profile: Path, tmp_path: Path) -> None:
    assert not isinstance(engine_factory.build(load(profile), tmp_path, model_store(tmp_path)).llm, OpenAiLlm)
    assert not isinstance(engine_factory.build(load_settings(profile), tmp_path, model_store(tmp_path)).llm, OpenAiLlm)


def test_layers_are_laid_over_each_other_before_they_are_checked(profile: Path, tmp_path: Path) -> None:
    profile.write_text("profile: far\nllm: {server: {url: 'https://models.example/v1', extra: {top_k: 20}}}\n")
    user = tmp_path / "config.yaml"
    user.write_text("llm: {server: {model: qwen, extra: {min_p: 0.1}}}\n")
    server = load_settings(profile, user).llm.server
    assert (server.url, server.model) == ("https://models.example/v1", "qwen")
    assert server.extra == {"top_k": 20, "min_p": 0.1}
    assert load_settings(profile, user, {"llm": {"server": {"url": URL}}}).llm.server.url == URL
    user.write_text("llm: {server: {url: ''}}\n")  # to do without it
    assert not isinstance(
        engine_factory.build(load_settings(profile, user), tmp_path, model_store(tmp_path)).llm, OpenAiLlm
    )


def test_invalid_url_names_its_layer(profile: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml: llm\.server\.url: "):
        load(profile, url="localhost:8080")
    with pytest.raises(ConfigError, match=r"the command line: llm\.server\.url: "):
        load_settings(profile, None, {"llm": {"server": {"url": "localhost:8080"}}})
    profile.write_text("llm: {server: {url: 'localhost:8080'}}\n")
    with pytest.raises(ConfigError, match=r"starter\.yaml: llm\.server\.url: "):
        load(profile, model="qwen")


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "http://localhost:11434",
        "http://[::1]:8000/v1/",
        "http://127.9.9.9/api",
        "http://llm.localhost:1/v1",
        "https://models.example/openai/v1",
    ],
)
def test_addresses(profile: Path, url: str) -> None:
    assert load(profile, url=url).llm.server.url == url


@pytest.mark.parametrize(
    ("server", "key", "says", "remedy"),
    [
        ({"url": "127.0.0.1:8080"}, "url", "URL", "http://127.0.0.1:8080/v1"),
        ({"url": "ftp://127.0.0.1/v1"}, "url", "URL", "http://127.0.0.1:8080/v1"),
        ({"url": "http:///v1"}, "url", "URL", "http://127.0.0.1:8080/v1"),
        ({"url": "http://127.0.0.1:99999"}, "url", "URL", "http://127.0.0.1:8080/v1"),
        ({"url": "http://[::1/v1"}, "url", "URL", "http://127.0.0.1:8080/v1"),
        ({"url": "http://127.0.0.1:80 80/v1"}, "url", "URL", "http://127.0.0.1:8080/v1"),
        ({"url": "https://me:secret@models.example/v1"}, "url", "password", "api_key_env"),
        ({"url": "https://models.example/v1?key=secret"}, "url", "query", "such as /v1"),
        ({"url": "http://models.example/v1"}, "url", "unencrypted", "insecure: true"),
        ({"url": "http://192.168.1.7:8080/v1"}, "url", "unencrypted", "insecure: true"),
        ({"url": "http://127.0.0.1.example/v1"}, "url", "unencrypted", "https"),
        ({"url": URL, "api_key_env": "sk-secret"}, "api_key_env", "environment variable", "name"),
        ({"url": URL, "extra": {"stream": False}}, "extra", "`stream`", "Mythic sends"),
        ({"url": URL, "extra": {"top_k": 1, "tools": []}}, "extra", "`tools`", "Mythic sends"),
        ({"model": "qwen"}, "model", "llm.server.url", "Add the url"),
        ({"api_key_env": "KEY"}, "api_key_env", "llm.server.url", "Add the url"),
    ],
)
def test_invalid_setting_refused(profile: Path, server: dict[str, Any], key: str, says: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(profile, **server)
    assert f"config.yaml: llm.server.{key}: " in caught.value.what
    assert says in caught.value.what and remedy in caught.value.remedy
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("server", "key", "says"),
    [
        ({"ulr": URL}, "ulr", "'url'"),
        ({"url": 8080}, "url", "text"),
        ({"url": URL, "extra": [1]}, "extra", "a list"),
        ({"url": URL, "insecure": "yes"}, "insecure", "true or false"),
    ],
)
def test_unknown_key_or_wrong_type_refused(profile: Path, server: dict[str, Any], key: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(profile, **server)
    assert f"llm.server.{key}: " in caught.value.what and says in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "place", "says", "remedy"),
    [
        ("{since: 2024-02-29}", "extra.since", "date", "quotes"),
        ("{a: {b: [1, {c: 2024-02-29 10:00:00}]}}", "extra.a.b[1].c", "datetime", "quotes"),
        ("{min_p: .inf}", "extra.min_p", "inf", "finite"),
        ("{a: [0.5, -.inf]}", "extra.a[1]", "-inf", "finite"),
        ("{a: .nan}", "extra.a", "nan", "finite"),
        ("{a: !!set {x, y}}", "extra.a", "set", "a list"),
        ("{a: !!binary aGVsbG8=}", "extra.a", "bytes", "text"),
        ("{a: !!pairs [b: 1]}", "extra.a[0]", "tuple", "a list"),
        ("{logit_bias: {50256: -100}}", "extra.logit_bias", "50256", "quotes"),
    ],
)
def test_value_that_json_cannot_encode_refused(profile: Path, extra: str, place: str, says: str, remedy: str) -> None:
    user = profile.parent / "config.yaml"
    user.write_text(f"llm: {{server: {{url: '{URL}', extra: {extra}}}}}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(profile, user, {"llm": {"server": {"extra": {"min_p": 0.1, "since": "", "a": None}}}})
    assert f"config.yaml: llm.server.{place}: " in caught.value.what
    assert says in caught.value.what and remedy in caught.value.remedy


def test_what_json_can_say_goes_along(profile: Path) -> None:
    extra = {"a": None, "b": True, "c": [1, -0.5, "x", {"d": []}], "e": {"1": "2024-02-29"}}
    assert load(profile, url=URL, extra=extra).llm.server.extra == extra


def test_another_machine_may_be_trusted(profile: Path) -> None:
    assert load(profile, url="http://192.168.1.7:8080/v1", insecure=True).llm.server.insecure


DOCUMENT = (Path(__file__).parents[3] / "docs" / "servers.md").read_text(encoding="utf-8")


def test_the_documents_examples_are_settings(tmp_path: Path) -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.M | re.S)
    assert len(examples) == 3
    for example in examples:
        file = tmp_path / "config.yaml"
        file.write_text(example)
        assert load_settings(file).llm.server.url


def test_the_document_names_every_key_and_its_default() -> None:
    told = re.findall(r"^\| `(\w+)` \| (.*?) \|", DOCUMENT.partition("## Some servers")[0], re.M)
    expected = [
        (field.name, "empty" if field.default == "" else f"`{msgspec.json.encode(default).decode()}`")
        for field in msgspec.structs.fields(LlmServerSettings)
        for default in [getattr(LlmServerSettings(), field.name)]
    ]
    assert told == expected
