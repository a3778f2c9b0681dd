"""The choice of a Piper voice for a character that names none: by what its espeak-ng voice is like. Pure.

The same description always gives the same voice, so a character sounds the same in every game and after every start.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mythicd.engines.tts import PiperVoice, VoiceSpec, language_code

NORMAL_RATE: Final = 165
"""espeak-ng's rate, in words per minute, at which a Piper voice keeps its own speed."""
_RATES: Final = (0.8, 1.25)
"""Slowest and fastest speed that is chosen."""
_HIGHER: Final = 4.0
"""Semitones by which a voice is raised for a female variant (`+f…`)."""
_SPREAD: Final = 6.0
"""Semitones between espeak-ng's pitches 0 and 99."""
_PITCHES: Final = (-4.5, 6.0)
_OFFSETS: Final = (-0.75, 0.0, 0.75)
"""Semitones by which voices of the same description differ."""


def language_of(model: str) -> str:
    """Return the language code with which a model's name (`en_US-joe-medium`) or its file's begins."""
    return language_code(Path(model).name.lower())


def choose(voice: VoiceSpec, pool: Sequence[str]) -> PiperVoice | None:
    """Return the Piper voice for a description; None when no voice of the pool has its language."""
    language = language_code(voice.espeak)
    fitting = [model for model in pool if language_of(model) == language]
    if not fitting:
        return None
    mark = zlib.crc32(voice.voice_id.encode())
    variant = re.search(r"\+([fm])\d*", voice.espeak)
    pitch = (voice.pitch - 50) / 99 * _SPREAD + (_HIGHER if variant is not None and variant[1] == "f" else 0.0)
    pitch += _OFFSETS[mark % len(_OFFSETS)]
    rate = min(_RATES[1], max(_RATES[0], voice.rate / NORMAL_RATE))
    return PiperVoice(
        fitting[mark // len(_OFFSETS) % len(fitting)],
        rate=round(rate, 3),
        pitch=round(min(_PITCHES[1], max(_PITCHES[0], pitch)), 2),
    )
