"""One voice stream as a player's machine plays it: jitter buffer, playhead, cut. Pure: time is an argument.

The playhead counts samples that were really heard. When audio runs out it stands still (an underrun, counted) until
the buffer has filled again; the mouth waits with the sound.
"""

from __future__ import annotations

from dataclasses import dataclass

from mythicd.audio import SAMPLE_BYTES, samples_of


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
        self.underruns = 0
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
        events = self.advance(now_s)
        if not self.stopped:
            self.stopped = True
            events.append(Stopped(self._played))
        return events

    def advance(self, now_s: float) -> list[PlaybackEvent]:
        """Move the playhead to `now_s`; return what the daemon should be told."""
        if self.stopped:
            return []
        events: list[PlaybackEvent] = []
        if self._anchor is None:
            waiting = self._received - self._played
            if waiting >= self._prebuffer or (self._ended and waiting > 0):
                self._anchor = (now_s, self._played)
                if not self._started:
                    self._started = True
                    events.append(Started())
        else:
            begun, first = self._anchor
            heard = first + int((now_s - begun) * self._rate)
            if heard >= self._received:
                heard = self._received
                self._anchor = None
                self.underruns += not self._ended
            self._played = heard
            if heard - self._reported >= self._report:
                self._reported = heard
                events.append(Played(heard))
        if self._ended and self._played >= self._received:
            self.stopped = True
            events.append(Stopped(self._played))
        return events
