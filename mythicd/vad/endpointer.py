"""The endpointer: speech probabilities to utterance events.

The events of an utterance are `SpeechStart (SoftEnd SpeechResumed)* [SoftEnd] HardEnd`. A response is prepared from
the soft end, and committed at the hard end. Time is the number of samples received: the same audio gives the same
events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from mythicd.audio.pcm import MIC_RATE, samples_of
from mythicd.engines.vad import VAD_FRAME

EndReason = Literal["silence", "released", "too_long", "closed"]
"""Silent long enough · push-to-talk released · longer than allowed · the microphone stopped."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Thresholds and lengths. The thresholds are a hysteresis, so that a wavering probability does not split a word."""

    start_threshold: float = 0.5
    """Probability from which silence turns into speech."""

    stop_threshold: float = 0.35
    """Probability below which speech turns into silence."""

    min_speech_ms: int = 60
    """Voiced time that starts an utterance, gaps of one frame allowed; shorter is a click or a cough."""

    resume_ms: int = 40
    """Voiced time after a soft end that resumes the utterance."""

    preroll_ms: int = 400
    """Audio before the first voiced frame that is part of the utterance, for a soft first consonant."""

    soft_ms: int = 60
    """Silence after which the utterance may be over."""

    hard_ms: int = 500
    """Silence after which it is over, unless `wait_ms` is set for this pause."""

    max_utterance_ms: int = 30_000
    """Longest utterance, from its first voiced sample."""

    def __post_init__(self) -> None:
        if not 0.0 < self.stop_threshold <= self.start_threshold <= 1.0:
            raise ValueError("0 < stop_threshold <= start_threshold <= 1 must hold.")
        if not 0 < self.soft_ms <= self.hard_ms or self.min_speech_ms <= 0 or self.max_utterance_ms <= self.hard_ms:
            raise ValueError("0 < soft_ms <= hard_ms < max_utterance_ms and min_speech_ms > 0 must hold.")


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """An utterance has started."""

    sample: int
    """Samples received when this was decided."""

    start: int
    """First sample of the utterance, pre-roll included; never before the end of the last utterance."""

    first_voiced: int
    """First voiced sample."""


@dataclass(frozen=True, slots=True)
class SoftEnd:
    """The utterance may be over."""

    sample: int
    last_voiced: int
    """Sample after the last voiced frame: `speech_end`."""


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The utterance goes on after a soft end."""

    sample: int


@dataclass(frozen=True, slots=True)
class HardEnd:
    """The utterance is over; it reaches up to `sample`."""

    sample: int
    last_voiced: int
    reason: EndReason


Endpoint = SpeechStart | SoftEnd | SpeechResumed | HardEnd


class _State(Enum):
    QUIET = "quiet"
    SPEAKING = "speaking"
    WAITING = "waiting"


_GAP: Final = 1
"""Unvoiced frames that a run of voiced ones may contain."""


class Endpointer:
    """The endpointer of one microphone stream.

             voiced for min_speech_ms             silent for soft_ms
    quiet ────────────────────────────▶ speaking ────────────────────▶ waiting
      ▲              SpeechStart        │   ▲          SoftEnd          │   │
      │                                 │   └───────────────────────────┘   │
      │   HardEnd (too_long, released,  │     voiced for resume_ms          │
      ├────────────── closed) ──────────┘     SpeechResumed                 │
      └─────────────────────────────────────────────────────────────────────┘
                         HardEnd (silent for wait_ms, or as above)
    """

    def __init__(self, settings: EndpointSettings | None = None, *, start: int = 0) -> None:
        """Begin at sample `start` of the stream."""
        self._settings = settings or EndpointSettings()
        self._now = start
        self._floor = start
        self._state = _State.QUIET
        self._held = False
        self._is_voiced = False
        self._run = 0
        self._gap = 0
        self._run_start = start
        self._first_voiced = start
        self._last_voiced = start
        self._heard_anything: int | None = None
        self._wait_ms: float = self._settings.hard_ms

    @property
    def samples(self) -> int:
        """Samples received so far."""
        return self._now

    @property
    def speaking(self) -> bool:
        """Whether an utterance is open."""
        return self._state is not _State.QUIET

    @property
    def last_voiced(self) -> int:
        """Sample after the last voiced frame of the current or the last utterance."""
        return self._last_voiced

    @property
    def wait_ms(self) -> float:
        """Silence that ends this utterance. May be set while waiting; it is `hard_ms` again once speech resumes."""
        return self._wait_ms

    @wait_ms.setter
    def wait_ms(self, wait: float) -> None:
        if wait < 0:
            raise ValueError(f"wait_ms must not be negative: {wait}.")
        self._wait_ms = wait

    def add(self, probabilities: Iterable[float]) -> list[Endpoint]:
        """Take the speech probability of the next frames (20 ms each); return what they decide."""
        return [event for probability in probabilities for event in self._frame(probability)]

    def press(self) -> None:
        """Start push-to-talk: silence no longer ends the utterance, and earlier audio is not part of it."""
        self._held = True
        self._heard_anything = None
        if self._state is _State.QUIET:
            self._floor = self._now
            self._run = self._gap = 0

    def release(self) -> list[Endpoint]:
        """End push-to-talk: end the utterance at once, with all audio received by now.

        Voice too short to have started an utterance makes one now; without any voice there is none.
        """
        self._held = False
        events: list[Endpoint] = []
        if self._state is _State.QUIET and self._heard_anything is not None:
            self._first_voiced = self._heard_anything
            events.append(self._begin())
        return events + self._end("released")

    def close(self) -> list[Endpoint]:
        """End the open utterance: the microphone stopped."""
        self._held = False
        return self._end("closed")

    def _frame(self, probability: float) -> list[Endpoint]:
        settings = self._settings
        frame_start = self._now
        self._now += VAD_FRAME
        # NaN compares false: it counts as silence.
        self._is_voiced = probability >= (settings.stop_threshold if self._is_voiced else settings.start_threshold)
        self._count(frame_start)
        voiced_ms = self._run * VAD_FRAME * 1000 / MIC_RATE
        match self._state:
            case _State.QUIET:
                if self._is_voiced and voiced_ms >= settings.min_speech_ms:
                    self._first_voiced = self._run_start
                    return [self._begin()]
                return []
            case _State.SPEAKING:
                if self._is_voiced:
                    self._last_voiced = self._now
                if self._is_too_long():
                    return self._end("too_long")
                if self._is_silent_for(settings.soft_ms):
                    self._state = _State.WAITING
                    return [SoftEnd(self._now, self._last_voiced)]
                return []
            case _State.WAITING:
                if self._is_voiced and voiced_ms >= settings.resume_ms:
                    self._state = _State.SPEAKING
                    self._last_voiced = self._now
                    self._wait_ms = settings.hard_ms
                    return [SpeechResumed(self._now)]
                if self._is_too_long():
                    return self._end("too_long")
                # A voiced frame may be the start of resumed speech, so it does not end the utterance.
                if not self._held and not self._is_voiced and self._is_silent_for(self._wait_ms):
                    return self._end("silence")
                return []

    def _count(self, frame_start: int) -> None:
        """Count the voiced frames of the current run."""
        if self._is_voiced:
            if not self._run:
                self._run_start = frame_start
            self._run += 1
            self._gap = 0
            if self._heard_anything is None:
                self._heard_anything = frame_start
        elif self._run:
            self._gap += 1
            if self._gap > _GAP:
                self._run = self._gap = 0

    def _is_silent_for(self, ms: float) -> bool:
        return self._now - self._last_voiced >= samples_of(ms, MIC_RATE)

    def _is_too_long(self) -> bool:
        return self._now - self._first_voiced >= samples_of(self._settings.max_utterance_ms, MIC_RATE)

    def _begin(self) -> SpeechStart:
        self._state = _State.SPEAKING
        self._last_voiced = self._now
        start = max(self._floor, self._first_voiced - samples_of(self._settings.preroll_ms, MIC_RATE))
        return SpeechStart(self._now, start, self._first_voiced)

    def _end(self, reason: EndReason) -> list[Endpoint]:
        """Close the utterance, if one is open, and reset for the next."""
        was_open = self._state is not _State.QUIET
        self._state = _State.QUIET
        self._wait_ms = self._settings.hard_ms
        self._is_voiced = False
        self._run = self._gap = 0
        self._heard_anything = None
        if not was_open:
            return []
        self._floor = self._now
        return [HardEnd(self._now, min(self._last_voiced, self._now), reason)]
