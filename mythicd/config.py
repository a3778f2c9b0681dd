"""Settings: a profile, laid under the user's own file and the command line, checked whole and once.

    profiles/NAME.yaml  <  <data>/config.yaml  <  command line   ->   Settings

Nothing here reads the environment: paths come in as arguments (paths.py finds them).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from mythicd.yamlfile import Strict, as_mapping, convert, merge, read_yaml

Positive = Annotated[int, Meta(ge=1)]
Ratio = Annotated[float, Meta(ge=0, le=1)]


class GpuSettings(Strict, frozen=True, kw_only=True):
    """The language model and the memory it may use."""

    llm_model: str = "starter"
    """`starter`, or the path of a GGUF file."""
    ctx_tokens: Annotated[int, Meta(ge=256)] = 8192
    """KV cells that all characters share."""
    kv_precision: Literal["f16", "q8_0"] = "f16"
    sequences: Annotated[int, Meta(ge=1, le=64)] = 16
    """Characters whose conversation stays in the KV cache."""


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


class KvSettings(Strict, frozen=True, kw_only=True):
    """How long one character's conversation may grow."""

    max_ctx_tokens: Annotated[int, Meta(ge=256)] = 2048


class SchedulerSettings(Strict, frozen=True, kw_only=True):
    """Who runs next. Accepted and checked, but without effect until characters share the model by priority."""

    burst_tokens: Positive = 48
    """Most tokens a reply may run ahead of its voice before others go first."""
    max_speakers: Positive = 2


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
    """Most tokens in each section of a prompt."""

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

    soft_ms: Annotated[int, Meta(ge=20, le=1000)] = 100
    """Silence after which the end is suspected."""
    wait_ms: Annotated[int, Meta(ge=60, le=5000)] = 500
    """Silence after which the turn is over, with an open microphone."""


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
    if user is not None and user.exists():
        content = read_yaml(user)
        own = as_mapping(user, {} if content is None else content)
        convert(own, Settings, user)
        merged = merge(merged, own)
    if overrides:
        merged = merge(merged, overrides)
    return convert(merged, Settings, Path("the command line") if overrides else profile)
