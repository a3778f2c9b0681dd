"""The filter for what Whisper invents in silence and noise: "you", "Thank you.", "I'm going to be". Pure.

Measured with tiny.en: in silence, fan, music, clicks and white noise at -60 to -25 dBFS the probability of no speech is
0.44 to 0.97 after a prompt of names (0.72 to 0.99 without one); in speech, at 10 dB of noise too, it is at most 0.20
(0.51). docs/asr.md has the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Bounds:
    """Probabilities of no speech (0–1)."""

    none: float
    """From here on there was no speech."""
    doubtful: float
    """From here on words that are unlikely too were invented."""


PROMPTED: Final = Bounds(none=0.42, doubtful=0.25)
UNPROMPTED: Final = Bounds(none=0.62, doubtful=0.45)
UNLIKELY: Final = 0.37
"""Mean probability of a token below which words are unlikely. Of speech that was recognised it is 0.75 and more."""


def is_invented(text: str, no_speech: float, confidence: float, *, is_prompted: bool) -> bool:
    """Return whether a transcript was made of noise.

    `no_speech` is the probability of no speech, `confidence` the mean probability of a token (both 0–1).
    """
    if not any(map(str.isalnum, text)):
        return True
    bounds = PROMPTED if is_prompted else UNPROMPTED
    return no_speech >= bounds.none or (no_speech >= bounds.doubtful and confidence <= UNLIKELY)
