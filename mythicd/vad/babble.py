"""The babble gate: it tells the player's speech from background speech, as of a tavern, by its level.

Babble is even: over five seconds its loudest twentieth of frames is 6 to 9 dB above its quietest quarter; for one
speaker, who pauses, it is 17 dB. While the spread is small, the levels are taken as background. Once the detector takes
such a background for speech, and for a minute after, speech must exceed its loud frames by half the spread, in 5 of 12
frames; it then counts through stops and breaths. A background that the detector rejects (quiet, a fan, music) is not
gated. Input and output are frames of 20 ms.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

_WINDOW: Final = 250
"""Frames of the window: 5 s, as long as a sentence and its pause."""

_ENOUGH: Final = 100
"""Frames before the first estimate of the background."""

_EVERY: Final = 5
"""Frames between two estimates."""

_LOUD, _QUIET = 95, 25
"""Percentiles of the levels between which the spread is measured."""

_EVEN_DB: Final = 11.0
"""Largest spread of a background."""

_SPREAD_SHARE: Final = 0.5
"""Share of the spread by which the start of speech must exceed the background's loud frames."""

_TALK: Final = 0.35
"""Probability from which the detector takes a frame for speech: the stop threshold of an utterance."""

_WARY: Final = 3000
"""Frames of gating after the background was taken for speech: a minute."""

_NEEDED, _OF = 5, 12
"""Frames, of the last 12, that must exceed the threshold before speech is accepted."""

_HOLD: Final = 12
"""Frames accepted after the last one above the threshold."""


class BabbleGate:
    """The gate of one microphone. Levels are in dBFS."""

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=_WINDOW)
        self._talked: deque[bool] = deque(maxlen=_WINDOW)
        self._loud = self._fence = float("-inf")
        self._stood_out: deque[bool] = deque(maxlen=_OF)
        self._held = 0
        self._wary = 0
        self._seen = 0

    @property
    def fence_dbfs(self) -> float:
        """Level that the start of speech must reach; −inf while nothing is gated."""
        return self._fence if self._wary else float("-inf")

    def admits(self, level: float, probability: float) -> bool:
        """Take the next frame's level and speech probability; return whether the probability counts."""
        self._levels.append(level)
        self._talked.append(probability >= _TALK)
        self._seen += 1
        self._wary = max(0, self._wary - 1)
        if self._seen % _EVERY == 0 and len(self._levels) >= _ENOUGH:
            self._look()
        stands_out = level >= (self._loud if self._held else self._fence)
        self._stood_out.append(stands_out)
        if stands_out and (self._held or sum(self._stood_out) >= _NEEDED):
            self._held = _HOLD
        elif self._held:
            self._held -= 1
        return self._held > 0 or not self._wary

    def _look(self) -> None:
        quiet, loud = (float(level) for level in np.percentile(self._levels, (_QUIET, _LOUD)))
        if loud - quiet <= _EVEN_DB:
            self._loud, self._fence = loud, loud + _SPREAD_SHARE * (loud - quiet)
            # Louder frames may be the player: a short word in a quiet room.
            if any(talked and level <= loud for talked, level in zip(self._talked, self._levels, strict=True)):
                self._wary = _WARY
