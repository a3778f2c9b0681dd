"""The playback of one voice stream: jitter buffer, playhead, cut-off. Pure: time is an argument.

The playhead counts samples that were heard. When audio runs out, it stops until the buffer has filled again. That is an
underrun, which is counted when the sound resumes, because audio also runs out at the end of a reply, before `StreamEnd`
arrives.
"""

from __future__ import annotations

from dataclasses import dataclass

from mythicd.audio.pcm import SAMPLE_BYTES, samples_of


@dataclass(frozen=True, slots=True)
class Started:
    """The first sample is played."""


@dataclass(frozen=True, slots=True)
class Played:
    """The playhead has moved; `samples` were heard so far."""

    samples: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The stream is silent from now on; `samples` were heard in all."""

    samples: int


PlaybackEvent = Started | Played | Stopped


class Playback:
    """One stream's audio and playhead."""

    def __init__(
        self, rate: int, *, prebuffer_ms: float = 40.0, report_ms: float = 50.0, latency_ms: float = 0.0
    ) -> None:
        """`latency_ms` is how long after it was played a sample is audible: the buffer of a sound device."""
        self._latency_s = latency_ms / 1000
        self.rate = rate
        """Samples per second."""
        self._prebuffer = samples_of(prebuffer_ms, rate)
        self._report = samples_of(report_ms, rate)
        self._received = 0
        self._ended = False
        self._anchor: tuple[float, int] | None = None
        """Time and sample at which playback last started or resumed, as it was heard."""
        self._played = 0
        self._reported = 0
        self._started = False
        self.stopped = False
        """Whether playback has ended."""
        self.underruns = 0
        """Gaps heard so far."""
        self.pcm = bytearray()
        """All audio received, s16le."""

    @property
    def received(self) -> int:
        """Samples received."""
        return self._received

    @property
    def played(self) -> int:
        """Samples heard, as of the last `advance`."""
        return self._played

    @property
    def is_playing(self) -> bool:
        """Whether sound comes out: it has started, and has not run out."""
        return self._anchor is not None

    def add(self, pcm: bytes) -> None:
        """Add audio that arrived."""
        self.pcm += pcm
        self._received += len(pcm) // SAMPLE_BYTES

    def end(self) -> None:
        """Note that no more audio comes."""
        self._ended = True

    def cut(self, now_s: float) -> list[PlaybackEvent]:
        """Stop at once; audio not heard by `now_s` is never played."""
        # A stream that is not playing must not start just to be cut.
        events = self.advance(now_s) if self._anchor is not None else []
        if not self.stopped:
            self.stopped = True
            events.append(Stopped(self._played))
        return events

    def advance(self, now_s: float) -> list[PlaybackEvent]:
        """Move the playhead to `now_s`, which must not run backwards; return what the daemon should be told.

        At the same time as `add`, call it first: else a gap before that audio is missed.
        """
        if self.stopped:
            return []
        events: list[PlaybackEvent] = []
        if self._anchor is None:
            waiting = self._received - self._played
            if waiting >= self._prebuffer or (self._ended and waiting > 0):
                self._anchor = (now_s + self._latency_s, self._played)
                self.underruns += self._started
                if not self._started:
                    self._started = True
                    events.append(Started())
        else:
            begun, first = self._anchor
            # 0.06 s − 0.01 s is 0.04999… s: a millionth of a sample makes round times whole samples.
            heard = first + max(0, int((now_s - begun) * self.rate + 1e-6))
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
