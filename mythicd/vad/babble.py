"""A room full of talk: a tavern is speech, and no detector of speech can tell it from the player's.

But it is even: of many voices one is always loud. Over five seconds the loudest twentieth of its frames is 6 to 9 dB
above the quietest quarter, and of one person's speech 17 dB, because one person pauses. So as long as the levels of the
last seconds lie close together, nobody stands out of the room, whatever it is made of; when they do not, the room is
still what it was before.

As soon as the detector takes such a room for speech, and for a minute after, a player must stand out of it: above its
loud frames, by more the more it wavers, for 100 of 240 ms; and once they speak, they are believed through stops and
breaths. A room that the detector sees through (quiet, a fan, music) is never touched.

Levels and probabilities in, decisions out; in frames of 20 ms.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

_WINDOW: Final = 250
"""Frames that are looked back on: 5 s, as long as a sentence and its pause."""

_ENOUGH: Final = 100
"""Frames after which a room is known for the first time."""

_EVERY: Final = 5
"""Frames between two looks at the room."""

_LOUD, _QUIET = 95, 25
"""Percentiles of the levels between which the spread is measured."""

_EVEN_DB: Final = 11.0
"""Spread up to which nobody stands out."""

_SPREAD_SHARE: Final = 0.5
"""Of the spread, by which speech must begin above the room's loud frames."""

_TALK: Final = 0.35
"""Probability at which the detector may take the room for speech: an utterance under way goes on at it."""

_WARY: Final = 3000
"""Frames for which a room that was taken for speech is not trusted: a minute."""

_NEEDED, _OF = 5, 12
"""In such a room, so many of the last frames must stand out before speech is believed."""

_HOLD: Final = 12
"""Frames that are believed behind the last one that stood out."""


class BabbleGate:
    """One microphone's room. Levels are in dB relative to full scale."""

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
        """Level at which speech must begin; −inf as long as the room was not taken for speech."""
        return self._fence if self._wary else float("-inf")

    def admits(self, level: float, probability: float) -> bool:
        """Take the next frame's level and what the detector thinks of it; return whether that can be believed."""
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
            # What is louder than the room's loud frames may be somebody: a short word in a quiet room.
            if any(talked and level <= loud for talked, level in zip(self._talked, self._levels, strict=True)):
                self._wary = _WARY
