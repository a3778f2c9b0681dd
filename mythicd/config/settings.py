"""Settings: a profile, overridden by the user's file and the command line, checked as a whole.

    profiles/NAME.yaml  <  <data>/config.yaml  <  command line   ->   Settings

Nothing here reads the environment: paths come in as arguments (paths.py finds them).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from mythicd.config.llm_server import LlmServerSettings, unencodable, wrong_llm_server
from mythicd.config.speech_server import SpeechServerSettings, wrong_speech_server
from mythicd.config.yaml_reader import Strict, as_mapping, convert, merge, read_yaml
from mythicd.errors import ConfigError

Positive = Annotated[int, Meta(ge=1)]
Ratio = Annotated[float, Meta(ge=0, le=1)]


class GpuSettings(Strict, frozen=True, kw_only=True):
    """The language model in this process and its memory; not used where `llm.server` names a server."""

    llm_model: str = "starter"
    """`starter`, a name of the model catalogue, or the path of a GGUF file."""
    ctx_tokens: Annotated[int, Meta(ge=256)] = 8192
    """KV cells that all characters share."""
    kv_precision: Literal["f16", "q8_0"] = "f16"
    sequences: Annotated[int, Meta(ge=1, le=64)] = 16
    """Characters whose conversation stays in the KV cache."""
    layers: Annotated[int, Meta(ge=-1, le=1000)] = 0
    """Layers of the model on the GPU; -1 for all. Needs a llama.cpp that was built for the GPU."""


class LlmSettings(Strict, frozen=True, kw_only=True):
    """Sampling of replies, and the model server."""

    max_tokens: Annotated[int, Meta(ge=1, le=4096)] = 128
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.7
    top_p: Annotated[float, Meta(gt=0, le=1)] = 0.9
    repeat_penalty: Annotated[float, Meta(ge=1, le=2)] = 1.1
    threads: Annotated[int, Meta(ge=0)] = 0
    """Threads of the model; 0 lets the engine choose."""
    grounded: bool = False
    """Whether a phrase with a number or name that is not in the prompt is replaced by an "I don't know"."""
    server: LlmServerSettings = LlmServerSettings()


class KvSettings(Strict, frozen=True, kw_only=True):
    """The KV cache: how much of each conversation it keeps."""

    max_ctx_tokens: Annotated[int, Meta(ge=256)] = 2048
    """Longest prompt of one character; beyond it older exchanges are summarised."""
    park_mib: Annotated[int, Meta(ge=0)] = 512
    """Host memory for the parked KV cache of characters that are out of view or idle; 0 parks none."""
    unified: bool = True
    """One cache with shared prefixes, instead of an equal part of it for each sequence."""


class SchedulerSettings(Strict, frozen=True, kw_only=True):
    """The scheduler: how the model is shared between replies."""

    burst_tokens: Positive = 48
    """Most tokens that a reply may be ahead of its voice before other replies go first."""
    max_speakers: Positive = 8
    """Most replies generated at once; further ones wait, and end with Busy after `patience_s`."""
    min_slice_tokens: Positive = 8
    """Least tokens of each `burst_tokens` that a reply gets, whatever the focus of its character."""
    step_ms: Annotated[float, Meta(ge=5, le=1000)] = 225.0
    """Longest step of the model while replies are generated: prompts of other requests are split to fit."""
    patience_s: Annotated[float, Meta(gt=0, le=120)] = 10.0
    """Longest time to the first token before a reply ends with Busy."""


class AsrSettings(Strict, frozen=True, kw_only=True):
    """Speech recognition and voice activity detection."""

    engine: Literal["pocketsphinx", "faster-whisper"] = "pocketsphinx"
    model: str = "whisper-tiny.en"
    """A name of the model catalogue, or the directory of a CTranslate2 Whisper model; not used by pocketsphinx."""
    lang: str = "en"
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where the model runs; `auto` takes CUDA where it works, and the CPU otherwise."""
    precision: Literal["int8", "int8_float16", "float16", "float32"] = "int8"
    threads: Annotated[int, Meta(ge=1, le=64)] = 1
    """Threads of each worker."""
    workers: Annotated[int, Meta(ge=1, le=16)] = 1
    """Utterances that are transcribed at once."""
    beam: Annotated[int, Meta(ge=1, le=10)] = 2
    """Beam size: 1 takes the likeliest word, more is slower."""
    partial_ms: Annotated[int, Meta(ge=100, le=2000)] = 200
    """Speech after which the words so far are recognised again."""
    vad: Literal["webrtc", "webrtc+silero"] = "webrtc+silero"
    min_confidence: Ratio = 0.0
    """Below this the character asks to hear it again instead of guessing."""


class TtsSettings(Strict, frozen=True, kw_only=True):
    """Speech synthesis."""

    backend: Literal["espeak", "piper", "xtts", "server"] = "espeak"
    sample_rate: Literal[16000, 22050, 24000] = 24000
    voices: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(max_length=32)] = ()
    """Voices of the engine for characters whose voice in voices.yaml does not name one: names of the model catalogue
    or paths for Piper, speakers for XTTS, the server's names for a speech server."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: Annotated[int, Meta(ge=1, le=64)] = 1
    """Threads of each worker."""
    workers: Annotated[int, Meta(ge=1, le=16)] = 2
    """Phrases that are synthesised at once."""
    server: SpeechServerSettings = SpeechServerSettings()


class BudgetSettings(Strict, frozen=True, kw_only=True):
    """Most tokens in each section of a prompt; lore and recent may keep 48 more that were prefilled for a partial."""

    persona: Positive = 200
    lore: Positive = 400
    recent: Positive = 200
    scene: Positive = 150


class RagSettings(Strict, frozen=True, kw_only=True):
    """Memory search."""

    embedder: Literal["mini-embed-384", "sentence-transformers", "none"] = "mini-embed-384"
    topk_bm25: Positive = 20
    topk_vec: Positive = 20
    topk_final: Positive = 6
    chunk_tokens: Annotated[int, Meta(ge=16)] = 384
    """Length at which a lore text is cut into pieces."""
    overlap_tokens: Annotated[int, Meta(ge=0)] = 64
    budgets: BudgetSettings = BudgetSettings()


class SafetySettings(Strict, frozen=True, kw_only=True):
    """Guardrails: what no character may say."""

    blocklist: tuple[str, ...] = ()
    artificial_characters: bool = False
    """Whether every character may say that it is an AI; one whose card calls it an android, robot or the like may."""


class TurnSettings(Strict, frozen=True, kw_only=True):
    """Turn-taking."""

    soft_ms: Annotated[int, Meta(ge=20, le=1000)] = 60
    """Silence after which the soft end comes: the player may be done."""
    wait_ms: Annotated[int, Meta(ge=60, le=5000)] = 200
    """Silence after which the turn is over where the words look finished, with an open microphone."""
    max_wait_ms: Annotated[int, Meta(ge=60, le=5000)] = 700
    """Silence after which it is over in any case; docs/turns.md describes the trade-off."""
    speculate: bool = True
    """Whether a response is started at the soft end; it is rolled back when the player goes on."""
    murmurs: bool = True
    """Whether characters use fillers: backchannels ("mm-hm") and, before a late reply, hesitations ("hmm")."""


class ServerSettings(Strict, frozen=True, kw_only=True):
    """The listening socket, on 127.0.0.1."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 48140
    """Preferred port; 0 takes any."""


class Settings(Strict, frozen=True, kw_only=True):
    """All settings of the daemon."""

    schema_version: Literal["v1"] = "v1"
    profile: str = "auto"
    """A file of profiles/, a path, or `auto`: `cpu` where its packages and models are installed, else `starter`."""
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


def requested_profile(user: Path, overrides: Mapping[str, Any]) -> str:
    """Return the profile that the command line or the user's file names, else the default.

    Raises ConfigError when the file cannot be read; its other mistakes are found by `load_settings`.
    """
    named = overrides.get("profile")
    if named is None and user.exists():
        content = read_yaml(user)
        named = content.get("profile") if isinstance(content, dict) else None
    return named if isinstance(named, str) else Settings().profile


def load_settings(profile: Path, user: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read a profile, merge the user's file (if it exists) and the overrides into it, and check the result.

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
    spoken = [(file, layer.get("tts", {}).get("server", {})) for file, layer in layers]
    turn = settings.turn
    if not turn.soft_ms <= turn.wait_ms <= turn.max_wait_ms:
        raise ConfigError(
            f"{layers[-1][0]}: turn: soft_ms ({turn.soft_ms}), wait_ms ({turn.wait_ms}) and max_wait_ms"
            f" ({turn.max_wait_ms}) are not in rising order.",
            remedy="Set soft_ms <= wait_ms <= max_wait_ms.",
        )
    wrong_llm = wrong_llm_server(settings.llm.server, off=any("url" in server for _, server in written))
    wrong_tts = wrong_speech_server(settings.tts.server, is_used=settings.tts.backend == "server")
    for name, servers, wrong in (("llm.server", written, wrong_llm), ("tts.server", spoken, wrong_tts)):
        for file, server in servers:  # each layer by itself, so that the error names the right file
            for path, complaint, remedy in unencodable(server.get("extra", {}), f"{name}.extra"):
                raise ConfigError(f"{file}: {path}: {complaint}.", remedy=remedy)
        if wrong is not None:
            key, complaint, remedy = wrong
            files = [file for file, server in servers if key in server] or [file for file, _ in servers]
            raise ConfigError(f"{files[-1]}: {name}.{key}: {complaint}.", remedy=remedy)
    return settings
