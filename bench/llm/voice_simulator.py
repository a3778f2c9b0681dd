"""The simulated voice of a reply: does it run out of text? Time is an argument, in seconds.

It speaks about 15 characters a second, starts with the first phrase, or with the whole reply if that is shorter, and
stutters when it has spoken all text so far and more is to come. `ahead` is the lead of the text over the voice, at
which the reader can let the writer wait.
"""

from __future__ import annotations

CHARACTERS_PER_S = 15.0
FIRST_PHRASE = 30
"""Characters of the first phrase: a short clause."""


class Voice:
    """The voice of one reply."""

    def __init__(self, rate: float = CHARACTERS_PER_S, first_phrase: int = FIRST_PHRASE) -> None:
        self._rate, self._first_phrase = rate, first_phrase
        self._written = 0
        self._spoken = 0.0
        self._at = 0.0
        self.begun: float | None = None
        """When it started to speak."""
        self.stutters = 0
        """Times that it ran out of text."""
        self.silence = 0.0
        """Seconds without text."""
        self._dry = False

    def add(self, characters: int, now: float) -> None:
        """Add text."""
        self._advance(now)
        self._written += characters
        if self.begun is None and self._written >= self._first_phrase:
            self.begun = now
        self._dry = self._dry and not characters

    def finish(self, now: float) -> None:
        """End the text: silence from now on is not a stutter."""
        self._advance(now)
        if self.begun is None:
            self.begun = now

    def ahead(self, now: float) -> float:
        """Return the number of characters written and not yet spoken."""
        if self.begun is None:
            return float(self._written)
        return max(0.0, self._written - self._spoken - self._rate * (now - self._at))

    def too_far_ahead(self, most: float, now: float) -> float:
        """Return the seconds until at most `most` characters are ahead: how long to stop reading."""
        return max(0.0, self.ahead(now) - most) / self._rate if self.begun is not None else 0.0

    def _advance(self, now: float) -> None:
        if self.begun is not None:
            could = self._rate * (now - self._at)
            lacking = self._spoken + could - self._written
            if lacking > 1e-9:
                self.stutters += not self._dry
                self._dry = True
                self.silence += min(lacking, could) / self._rate
            self._spoken = min(self._spoken + could, float(self._written))
        self._at = now
