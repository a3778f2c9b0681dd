"""The viseme track: phoneme onsets to mouth shapes, on the sample clock of the audio they belong to.

Neighbours of equal shape become one event. The events follow each other without a gap from sample 0 and end at rest
where the audio ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mythicd.engines.tts import PhonemeOnset
from mythicd.tts.visemes.shapes import Shape, Target, shape_table
from mythicd.wire.frames import VISEME_SETS, FrameType
from mythicd.wire.messages import BlendEvent, MouthEvent, VisemeEvent, VisemeSetName


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of one mouth shape, in samples."""

    start: int
    end: int
    target: Target
    weight: int
    flags: int


def rest_event(name: VisemeSetName, start: int, duration: int) -> MouthEvent:
    """Return the mouth at rest in a viseme set, as an event of `duration` samples from `start`."""
    return _event(_Span(start, start + duration, shape_table(name).rest, 255, 0), name)


class VisemeTrack:
    """The viseme track of one phrase: phoneme onsets to events of a viseme set."""

    def __init__(self, sample_rate: int, name: VisemeSetName = "ovr15") -> None:
        self._name: VisemeSetName = name
        self._table = shape_table(name)
        self._shortest_silence = sample_rate * 40 // 1000  # the closure of a t or k does not close the mouth
        self._longest_wait = sample_rate * 300 // 1000
        self._closing = sample_rate * 40 // 1000
        self._since = 0
        self._parts: list[Shape] = [self._table.pause]
        self._undecided: list[tuple[int, int]] = []
        self._held: _Span | None = None
        self._sent_to = 0

    @property
    def known_until(self) -> int:
        """Every event that starts before this sample has been returned."""
        return self._sent_to

    def add(self, onsets: Iterable[PhonemeOnset], samples_total: int) -> list[MouthEvent]:
        """Take the onsets that became known with the audio up to `samples_total`; return the events that ended.

        An event that has not ended after 300 ms of audio is returned up to there, so that an engine without onsets
        does not hold audio back for long.
        """
        spans: list[_Span] = []
        for onset in onsets:
            parts = self._table.shapes(onset.ipa, onset.stress)
            if not parts:
                continue
            if onset.sample > self._since:
                spans += self._close(onset.sample)
            self._parts = parts
        held, following = self._held, self._parts[0]
        if held is not None and not self._undecided and not self._may_join(held, following):
            # The next sound cannot merge with it. It is kept at the end of the audio, where the mouth closes.
            spans += self._flush(held.end) if held.end < samples_total else []
        if samples_total - max(self._since, self._sent_to) > self._longest_wait:
            # Not to the end: `finish` may need time to close the mouth.
            spans += self._close(samples_total - self._closing)
            spans += self._flush(self._since)
            self._parts = self._parts[-1:]
        return [_event(span, self._name) for span in spans]

    def finish(self, samples_total: int) -> list[MouthEvent]:
        """Take the end of the audio at `samples_total`; return the remaining events, the last of which is at rest."""
        spans: list[_Span] = []
        if samples_total > self._since:
            spans += self._close(samples_total)
        spans += self._flush(samples_total)
        fitting = [replace(span, end=min(span.end, samples_total)) for span in spans if span.start < samples_total]
        if fitting and fitting[-1].target != self._table.rest:
            last = fitting.pop()
            closing = min(self._closing, (last.end - last.start + 1) // 2)
            if closing < last.end - last.start:
                fitting.append(replace(last, end=last.end - closing))
            fitting.append(self._rest(last.end - closing, last.end))
        return [_event(span, self._name) for span in fitting]

    def _may_join(self, held: _Span, following: Shape) -> bool:
        """Tell whether the next sound may become part of the held span."""
        return following.target is None or following.is_pause or following.target == held.target

    def _close(self, end: int) -> list[_Span]:
        """End the current sound at `end`; return the spans of its shapes that are decided."""
        start, self._since = self._since, end
        total = sum(part.share for part in self._parts)
        spans: list[_Span] = []
        shared = 0
        for part in self._parts:
            begin = start + (end - start) * shared // total
            shared += part.share
            until = start + (end - start) * shared // total
            if until == begin:
                continue
            if part.target is None:
                self._undecided.append((begin, until))
            elif part.is_pause and until - begin < self._shortest_silence and self._held is not None:
                spans += self._append(replace(self._held, start=begin, end=until))
            else:
                spans += self._append(_Span(begin, until, part.target, part.weight, part.flags))
        return spans

    def _append(self, span: _Span) -> list[_Span]:
        """Put `span` after the held one, or merge the two; return the spans that this decides."""
        if self._undecided:
            span = replace(span, start=self._undecided[0][0])
            self._undecided = []
        held, self._held = self._held, span
        if held is None:
            return []
        if held.target == span.target:
            self._held = _Span(
                held.start, span.end, held.target, max(held.weight, span.weight), held.flags | span.flags
            )
            return []
        self._sent_to = held.end
        return [held]

    def _flush(self, end: int) -> list[_Span]:
        """Return all held spans, up to `end`."""
        spans: list[_Span] = []
        if self._undecided:
            spans += self._append(self._rest(self._undecided[0][0], end))
        if self._held is not None:
            spans.append(self._held)
            self._sent_to = self._held.end
            self._held = None
        return spans

    def _rest(self, start: int, end: int) -> _Span:
        return _Span(start, end, self._table.rest, 255, 0)


def _event(span: _Span, name: VisemeSetName) -> MouthEvent:
    """Return a span as an event of the viseme set."""
    duration = span.end - span.start
    if VISEME_SETS[name].frame_type == FrameType.VISEME:
        [(code, level)] = span.target
        return VisemeEvent(span.start, duration, code, _scaled(level, span.weight), span.flags)
    weights = ((code, _scaled(level, span.weight)) for code, level in span.target)
    return BlendEvent(span.start, duration, tuple(weight for weight in weights if weight[1]), span.flags)


def _scaled(level: int, weight: int) -> int:
    return round(level * weight / 255)
