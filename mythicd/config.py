"""Settings: a profile, laid under the user's own file and the command line, checked whole and once.

    profiles/NAME.yaml  <  <data>/config.yaml  <  command line   ->   Settings

Nothing here reads the environment: paths come in as arguments (paths.py finds them).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from mythicd.errors import ConfigError
from mythicd.yamlfile import Strict, as_mapping, convert, merge, read_yaml

Positive = Annotated[int, Meta(ge=1)]
Ratio = Annotated[float, Meta(ge=0, le=1)]


class GpuSettings(Strict, frozen=True, kw_only=True):
    """The language model in this process and the memory it may use; idle where `llm.server` names a server."""

    llm_model: str = "starter"
    """`starter`, or the path of a GGUF file."""
    ctx_tokens: Annotated[int, Meta(ge=256)] = 8192
    """KV cells that all characters share."""
    kv_precision: Literal["f16", "q8_0"] = "f16"
    sequences: Annotated[int, Meta(ge=1, le=64)] = 16
    """Characters whose conversation stays in the KV cache."""


class LlmServerSettings(Strict, frozen=True, kw_only=True):
    """An OpenAI-compatible server that writes the replies: llama-server, vLLM, SGLang, TensorRT-LLM, Ollama, …"""

    url: str = ""
    """Where its API begins, such as `http://127.0.0.1:8080/v1`; empty for the model in this process."""
    model: str = ""
    """Name of the model; may be left out where the server has only one."""
    api_key_env: str = ""
    """Name of the environment variable that holds the API key, for servers that ask for one."""
    insecure: bool = False
    """Whether the player's words, and the key, may go unencrypted (`http`) to another machine."""
    extra: dict[str, Any] = {}
    """More keys for each request, which the server must know, such as `chat_template_kwargs`."""


class LlmSettings(Strict, frozen=True, kw_only=True):
    """How replies are written."""

    max_tokens: Annotated[int, Meta(ge=1, le=4096)] = 128
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.7
    top_p: Annotated[float, Meta(gt=0, le=1)] = 0.9
    repeat_penalty: Annotated[float, Meta(ge=1, le=2)] = 1.1
    threads: Annotated[int, Meta(ge=0)] = 0
    """Threads of the model; 0 lets the engine choose."""
    grounded: bool = False
    """Whether a phrase with a number or name found nowhere in the prompt is replaced by an honest don't-know."""
    server: LlmServerSettings = LlmServerSettings()


class KvSettings(Strict, frozen=True, kw_only=True):
    """How much of the conversations is kept, and where."""

    max_ctx_tokens: Annotated[int, Meta(ge=256)] = 2048
    """How long one character's prompt may grow; older exchanges are summed up beyond it."""
    park_mib: Annotated[int, Meta(ge=0)] = 512
    """Host memory for the conversations of characters that are out of view or have nothing to do; 0 keeps none."""
    unified: bool = True
    """One cache whose fronts are shared, rather than an equal part of it for each sequence."""


class SchedulerSettings(Strict, frozen=True, kw_only=True):
    """Who runs next."""

    burst_tokens: Positive = 48
    """Most tokens a reply may run ahead of its voice before others go first."""
    max_speakers: Positive = 8
    """Replies at once; more of them wait, and are told Busy when their time is over."""
    min_slice_tokens: Positive = 8
    """Tokens out of each `burst_tokens` that a reply gets however unimportant its character is."""
    step_ms: Annotated[float, Meta(ge=5, le=1000)] = 225.0
    """Longest step of the model while voices are being written for: others' prompts are cut to fit."""
    patience_s: Annotated[float, Meta(gt=0, le=120)] = 10.0
    """How long a reply may wait for its first token before the player is told Busy."""


class AsrSettings(Strict, frozen=True, kw_only=True):
    """How speech is understood."""

    engine: Literal["pocketsphinx", "faster-whisper"] = "pocketsphinx"
    model: str = ""
    """Directory of the model, for engines that need one."""
    lang: str = "en"
    vad: Literal["webrtc", "webrtc+silero"] = "webrtc+silero"
    min_confidence: Ratio = 0.0
    """Below this the character asks to hear it again instead of guessing."""


class TtsSettings(Strict, frozen=True, kw_only=True):
    """How characters sound."""

    backend: Literal["espeak", "piper"] = "espeak"
    sample_rate: Literal[16000, 22050, 24000] = 24000


class BudgetSettings(Strict, frozen=True, kw_only=True):
    """Most tokens in each section of a prompt; of lore and recent, 48 more may stay that half a question called for."""

    persona: Positive = 200
    lore: Positive = 400
    recent: Positive = 200
    scene: Positive = 150


class RagSettings(Strict, frozen=True, kw_only=True):
    """How memory is searched."""

    embedder: Literal["mini-embed-384", "none"] = "mini-embed-384"
    topk_bm25: Positive = 20
    topk_vec: Positive = 20
    topk_final: Positive = 6
    chunk_tokens: Annotated[int, Meta(ge=16)] = 384
    """Length at which a lore text is cut into pieces."""
    overlap_tokens: Annotated[int, Meta(ge=0)] = 64
    budgets: BudgetSettings = BudgetSettings()


class SafetySettings(Strict, frozen=True, kw_only=True):
    """What no character may say."""

    blocklist: tuple[str, ...] = ()


class TurnSettings(Strict, frozen=True, kw_only=True):
    """When a turn ends."""

    soft_ms: Annotated[int, Meta(ge=20, le=1000)] = 60
    """Silence after which the end is suspected."""
    wait_ms: Annotated[int, Meta(ge=60, le=5000)] = 200
    """Silence after which the turn is over where the words look finished, with an open microphone."""
    max_wait_ms: Annotated[int, Meta(ge=60, le=5000)] = 700
    """Silence after which it is over however they look. Longer pauses end the turn: docs/turns.md has the trade."""
    speculate: bool = True
    """Whether an answer is begun as soon as the end is suspected; it is undone when the player goes on."""
    murmurs: bool = True
    """Whether characters make sounds of listening ("mm-hm") and, before a late answer, of thinking ("hmm")."""


class ServerSettings(Strict, frozen=True, kw_only=True):
    """Where the daemon listens, on 127.0.0.1."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 48140
    """Preferred port; 0 takes any."""


class Settings(Strict, frozen=True, kw_only=True):
    """Everything that can be set, for the whole daemon."""

    schema_version: Literal["v1"] = "v1"
    profile: str = "starter"
    world: str = "lanternport"
    """Name of a folder under worlds/, or a path."""
    gpu: GpuSettings = GpuSettings()
    llm: LlmSettings = LlmSettings()
    kv: KvSettings = KvSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    asr: AsrSettings = AsrSettings()
    tts: TtsSettings = TtsSettings()
    rag: RagSettings = RagSettings()
    safety: SafetySettings = SafetySettings()
    turn: TurnSettings = TurnSettings()
    server: ServerSettings = ServerSettings()


def load_settings(profile: Path, user: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read a profile, lay the user's file (if it exists) and the overrides over it, and check the result.

    Raises ConfigError.
    """
    merged = as_mapping(profile, read_yaml(profile))
    convert(merged, Settings, profile)
    layers = [(profile, merged)]
    if user is not None and user.exists():
        content = read_yaml(user)
        own = as_mapping(user, {} if content is None else content)
        convert(own, Settings, user)
        merged = merge(merged, own)
        layers.append((user, own))
    if overrides:
        merged = merge(merged, overrides)
        layers.append((Path("the command line"), dict(overrides)))
    settings = convert(merged, Settings, layers[-1][0] if overrides else profile)
    written = [(file, layer.get("llm", {}).get("server", {})) for file, layer in layers]
    turn = settings.turn
    if not turn.soft_ms <= turn.wait_ms <= turn.max_wait_ms:
        raise ConfigError(
            f"{layers[-1][0]}: turn: soft_ms ({turn.soft_ms}) may not be above wait_ms ({turn.wait_ms}), nor that above"
            f" max_wait_ms ({turn.max_wait_ms}).",
            remedy="A pause is first suspected to be the end, then believed to be, then taken for it.",
        )
    for file, server in written:  # each by itself: what one of them holds has no file any more when they are merged
        if no_json := _no_json(server.get("extra", {}), "llm.server.extra"):
            path, complaint, remedy = no_json
            raise ConfigError(f"{file}: {path}: {complaint}.", remedy=remedy)
    if wrong := _wrong_server(settings.llm.server, off=any("url" in server for _, server in written)):
        key, complaint, remedy = wrong
        files = [file for file, server in written if key in server]
        raise ConfigError(f"{files[-1]}: llm.server.{key}: {complaint}.", remedy=remedy)
    return settings


_REQUEST_KEYS = frozenset("model messages stream stream_options n tools max_tokens temperature top_p seed stop".split())
"""What of a request is Mythic's own to say."""


def _wrong_server(server: LlmServerSettings, *, off: bool) -> tuple[str, str, str] | None:
    """Return (key, complaint, remedy) of the first setting that cannot be right; None if all can.

    `off`: an empty url was written, to do without a server that a layer below names. Nothing that may be a password or
    a key is repeated.
    """
    if not server.url:
        if off:
            return None
        lost = next((key for key in ("model", "api_key_env", "extra") if getattr(server, key)), "")
        return (lost, "it has no effect without llm.server.url", "Add the url, or delete this.") if lost else None
    example = "Write it like http://127.0.0.1:8080/v1."
    try:
        url = urlsplit(server.url)
        host, port = url.hostname, url.port
    except ValueError:
        return "url", "this is no address", example
    if url.scheme not in ("http", "https") or not host or port == 0 or any(map(str.isspace, server.url)):
        return "url", "this is no address of a server", example
    if url.username is not None or url.password is not None:
        return "url", "it holds a password", "Put the key into an environment variable and name that in api_key_env."
    if url.query or url.fragment:
        return "url", "it goes on behind the path", "End it with the path under which the API begins, such as /v1."
    if url.scheme == "http" and not (server.insecure or _is_here(host)):
        remedy = "Use https, or write `insecure: true` where you trust the network."
        return "url", "the player's words would go unencrypted to another machine", remedy
    if server.api_key_env and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", server.api_key_env):
        remedy = "Put the key into an environment variable, and write that variable's name here."
        return "api_key_env", "this is no name of an environment variable", remedy
    if taken := sorted(_REQUEST_KEYS & server.extra.keys()):
        remedy = "Mythic sends that itself; see llm.max_tokens, llm.temperature, llm.top_p and llm.server.model."
        return "extra", f"it may not hold `{taken[0]}`", remedy
    return None


def _no_json(value: Any, path: str) -> tuple[str, str, str] | None:
    """Return (path, complaint, remedy) of the first thing in a value that YAML knows and JSON does not; or None."""
    match value:
        case dict():
            for key, inner in value.items():
                if not isinstance(key, str):
                    return path, f"the key {key} is not text", "Put the key in quotes."
                if wrong := _no_json(inner, f"{path}.{key}"):
                    return wrong
            return None
        case list():
            parts = (_no_json(inner, f"{path}[{index}]") for index, inner in enumerate(value))
            return next(filter(None, parts), None)
        case float() if not math.isfinite(value):
            return path, "this is no number to JSON, in which requests are written", "Write a finite number."
        case None | str() | bool() | int() | float():
            return None
        case _:
            kind = "a date" if isinstance(value, date) else "this"  # a datetime is a date, too
            complaint = f"{kind} is no value to JSON, in which requests are written"
            return path, complaint, "Put it in quotes." if kind == "a date" else "Write text, a number, a list or keys."


def _is_here(host: str) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
