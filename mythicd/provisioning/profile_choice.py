"""The choice of a profile: the one that was asked for, or the best one whose packages and models are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mythicd.config.settings import Settings, load_settings, requested_profile
from mythicd.paths import find
from mythicd.provisioning.model_store import ModelStore

AUTO: Final = "auto"
"""The profile that stands for the best one that works on this machine."""
CANDIDATES: Final = ("cpu",)
"""Profiles that `auto` tries, the best one first."""
LAST_RESORT: Final = "starter"
"""The profile that needs nothing but the package itself."""

_PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "faster-whisper": ("faster_whisper",),
    "piper": ("piper", "onnx"),
    "xtts": ("TTS", "torch"),
}
"""Packages that an engine imports, by the engine's name in the settings."""
_EXTRAS: Final = {"faster-whisper": "whisper", "piper": "piper", "xtts": "xtts"}


@dataclass(frozen=True, slots=True)
class ProfileChoice:
    """The settings to run with, and why."""

    settings: Settings
    reason: str
    """A sentence for people."""
    is_fallback: bool = False
    """Whether a better profile was passed over because something is missing."""


def choose(data: Path, overrides: Mapping[str, Any], store: ModelStore) -> ProfileChoice:
    """Read the settings of the profile that the user's config.yaml or the command line names.

    `auto` takes the first profile of CANDIDATES that has everything it needs. Raises ConfigError.
    """
    user = data / "config.yaml"

    def load(name: str) -> Settings:
        return load_settings(find("profiles", name, data), user, {**overrides, "profile": name})

    wanted = requested_profile(user, overrides)
    if wanted != AUTO:
        return ProfileChoice(load(wanted), "It was asked for.")
    passed_over = ""
    for name in CANDIDATES:
        settings = load(name)
        absent = lacking(settings, store)
        if not absent:
            return ProfileChoice(settings, "Its packages and models are installed.")
        passed_over = passed_over or f"The profile {name} cannot be used. {' '.join(absent)}"
    return ProfileChoice(load(LAST_RESORT), passed_over, is_fallback=True)


def lacking(settings: Settings, store: ModelStore) -> list[str]:
    """Return what these settings need and this machine lacks: a sentence for each, with the command that helps."""
    absent = []
    for engine in (settings.asr.engine, settings.tts.backend):
        missing = [name for name in _PACKAGES.get(engine, ()) if importlib.util.find_spec(name) is None]
        if missing:
            absent.append(f"{engine} is not installed. Run: pip install 'mythicd[{_EXTRAS[engine]}]'.")
    if settings.asr.engine == "faster-whisper":
        absent.append(store.missing(settings.asr.model, "asr"))
    if settings.tts.backend == "piper":
        absent += [store.missing(voice, "tts") for voice in settings.tts.voices]
    if not settings.llm.server.url and settings.gpu.llm_model != LAST_RESORT:
        absent.append(store.missing(settings.gpu.llm_model, "llm"))
    return [sentence for sentence in absent if sentence]
