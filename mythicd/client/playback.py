"""One voice stream as a player's machine plays it: jitter buffer, playhead, cut. Pure: time is an argument.

The playhead counts samples that were really heard. When audio runs out it stands still until the buffer has filled
again, and the mouth waits with the sound. An underrun is such a gap, counted when the sound resumes: audio that runs
out because the reply is over, though nobody has said so yet, is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from mythicd.audio.pcm import SAMPLE_BYTES, samples_of


@dataclass(frozen=True, slots=True)
class Started:
    """The first sample is being heard."""


@dataclass(frozen=True, slots=True)
class Played:
    """Heard so far, in samples."""

    samples: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """Silent now, for good; heard in all, in samples."""

    samples: int


PlaybackEvent = Started | Played | Stopped


class Playback:
    """A stream's audio, and how far it has been heard."""

    def __init__(self, rate: int, *, prebuffer_ms: float = 40.0, report_ms: float = 50.0) -> None:
        self._rate = rate
        self._prebuffer = samples_of(prebuffer_ms, rate)
        self._report = samples_of(report_ms, rate)
        self._received = 0
        self._ended = False
        self._anchor: tuple[float, int] | None = None
        """When the current stretch of sound began, and at which sample."""
        self._played = 0
        self._reported = 0
        self._started = False
        self.stopped = False
        """Whether it is silent for good."""
        self.underruns = 0
        """Gaps heard so far."""
        self.pcm = bytearray()
        """All audio received, s16le."""

    @property
    def played(self) -> int:
        """Samples heard, as of the last `advance`."""
        return self._played

    def add(self, pcm: bytes) -> None:
        """Take audio that arrived."""
        self.pcm += pcm
        self._received += len(pcm) // SAMPLE_BYTES

    def end(self) -> None:
        """No more audio comes."""
        self._ended = True

    def cut(self, now_s: float) -> list[PlaybackEvent]:
        """Fall silent at once; what was not heard by now never will be."""
        # A stream that does not sound must not begin to, only to be cut.
        events = self.advance(now_s) if self._anchor is not None else []
        if not self.stopped:
            self.stopped = True
            events.append(Stopped(self._played))
        return events

    def advance(self, now_s: float) -> list[PlaybackEvent]:
        """Move the playhead to `now_s`, which must not run backwards; return what the daemon should be told.

        Call it before `add` when both happen at the same moment: a gap that nobody looked at was not heard.
        """
        if self.stopped:
            return []
        events: list[PlaybackEvent] = []
        if self._anchor is None:
            waiting = self._received - self._played
            if waiting >= self._prebuffer or (self._ended and waiting > 0):
                self._anchor = (now_s, self._played)
                self.underruns += self._started
                if not self._started:
                    self._started = True
                    events.append(Started())
        else:
            begun, first = self._anchor
            # 0.06 s − 0.01 s is 0.04999… s: a millionth of a sample makes round times whole samples.
            heard = first + int((now_s - begun) * self._rate + 1e-6)
            if heard >= self._received:
                heard = self._received
                self._anchor = None
            self._played = heard
            ran_dry = self._anchor is None and heard > self._reported and not self._ended
            if heard - self._reported >= self._report or ran_dry:
                self._reported = heard
                events.append(Played(heard))
        if self._ended and self._played >= self._received:
            self.stopped = True
            events.append(Stopped(self._played))
        return events
