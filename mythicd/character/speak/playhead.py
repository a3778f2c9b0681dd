"""The playhead estimate: how far the client has probably played a voice stream.

What the client acknowledged is the only truth about what was heard. The estimate runs on from the last acknowledgement
at the sample rate and stops when it reaches what was sent; it paces synthesis and sending, and decides nothing else.
"""

from __future__ import annotations


class PlayheadEstimate:
    """The playback of one voice stream; positions are samples, times are monotonic seconds."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self.acknowledged = 0
        """Samples that the client has said it played."""
        self.is_acknowledged = False
        """Whether the client has said anything at all."""
        self._position = 0.0
        self._position_s = 0.0
        self._dry_s = 0.0
        """When playback reached, or will reach, the end of what was sent."""

    def acknowledge(self, samples: int, sent: int, now_s: float) -> None:
        """Take what the client says it has played. It can't un-play anything, nor play what was never sent."""
        self.acknowledged = max(self.acknowledged, min(samples, sent))
        self.is_acknowledged = True
        if self.acknowledged < sent or self._position < sent:
            self._dry_s = now_s
        self._position, self._position_s = float(self.acknowledged), now_s

    def position(self, sent: int, now_s: float) -> int:
        """Return how many of `sent` samples have probably been played."""
        if self._position < sent:
            self._dry_s = self._position_s + (sent - self._position) / self._rate
            self._position = min(float(sent), self._position + (now_s - self._position_s) * self._rate)
        self._position_s = now_s
        return int(self._position)

    def ends_s(self, sent: int, now_s: float) -> float:
        """Return when all that was sent has probably been played."""
        self.position(sent, now_s)
        return self._dry_s

    def assume_all(self, sent: int) -> bool:
        """Take everything sent as heard, from a client that never reports playback; return whether that is news."""
        if self.is_acknowledged or self.acknowledged >= sent:
            return False
        self.acknowledged = sent
        return True
