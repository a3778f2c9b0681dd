"""Options of the Piper engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mythicd.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PiperOptions:
    """How voices are run. Raises ConfigError for values out of range."""

    workers: int = 2
    """Phrases that are synthesised at once, 1–16."""
    threads: int = 1
    """Threads of each worker, 1–64: a game needs the other cores."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """`auto` takes CUDA where ONNX Runtime has it, and the CPU otherwise."""
    cache_bytes: int = 8 * 2**20
    """Most audio of short phrases that is kept, in bytes; 0 keeps none."""
    most_voices: int = 8
    """Voices kept loaded, at least 1; a medium one takes about 120 MB."""

    def __post_init__(self) -> None:
        for name, most in (("workers", 16), ("threads", 64)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise ConfigError(f"tts.{name} is {value}.", remedy=f"Set it to a value from 1 to {most}.")
        if self.most_voices < 1 or self.cache_bytes < 0:
            raise ConfigError("The Piper engine needs a place for at least one voice.", remedy="Raise most_voices.")
