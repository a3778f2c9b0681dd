"""A voice that speaks what is being written, simulated: did it ever run dry? Pure; time comes in as seconds.

Speech takes about 15 characters a second. The voice begins when the first phrase is there, or the whole reply if that
is shorter, and stutters when it has spoken all that has been written while more is to come. A voice reads no further
than it needs: `ahead` tells how far the text is before it, so that the reader can let the writer wait.
"""

from __future__ import annotations

CHARACTERS_PER_S = 15.0
FIRST_PHRASE = 30
"""Characters of the first phrase: a short clause."""


class Voice:
    """One reply being spoken."""

    def __init__(self, rate: float = CHARACTERS_PER_S, first_phrase: int = FIRST_PHRASE) -> None:
        self._rate, self._first_phrase = rate, first_phrase
        self._written = 0
        self._spoken = 0.0
        self._at = 0.0
        self.begun: float | None = None
        """When it began to speak."""
        self.stutters = 0
        """How often it ran dry."""
        self.silence = 0.0
        """Seconds it was dry."""
        self._dry = False

    def add(self, characters: int, now: float) -> None:
        """So much more has been written."""
        self._advance(now)
        self._written += characters
        if self.begun is None and self._written >= self._first_phrase:
            self.begun = now
        self._dry = self._dry and not characters

    def finish(self, now: float) -> None:
        """The reply is whole: from now on silence is its end and no stutter."""
        self._advance(now)
        if self.begun is None:
            self.begun = now

    def ahead(self, now: float) -> float:
        """Return the characters that are written and not yet spoken."""
        if self.begun is None:
            return float(self._written)
        return max(0.0, self._written - self._spoken - self._rate * (now - self._at))

    def too_far_ahead(self, most: float, now: float) -> float:
        """Return the seconds until no more than `most` characters are ahead: how long to read no further."""
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
