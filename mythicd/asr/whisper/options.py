"""Options of the faster-whisper recogniser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mythicd.errors import ConfigError

Device = Literal["cpu", "cuda", "auto"]
_RANGES = {"threads": (1, 64), "workers": (1, 16), "beam": (1, 10), "partial_ms": (100, 2000), "max_streams": (1, 256)}


@dataclass(frozen=True, slots=True)
class WhisperOptions:
    """How the model is run. Raises ConfigError for values out of range."""

    language: str = "en"
    """ISO 639-1 code of the language that players speak."""
    device: Device = "cpu"
    """`auto` takes CUDA where it works, and the CPU otherwise."""
    precision: str = "int8"
    """CTranslate2's compute type."""
    threads: int = 1
    """Threads of each worker."""
    workers: int = 1
    """Finals that are computed at once; partials have one more worker of their own."""
    beam: int = 2
    """Beam size of finals; partials are greedy."""
    partial_ms: int = 200
    """Least speech between two partials, in milliseconds."""
    max_streams: int = 16
    """Utterances that may be open at once."""

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"asr.{name} is {value}.", remedy=f"Set it to a value from {least} to {most}.")
