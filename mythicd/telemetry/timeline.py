"""The timeline of one turn: its marks on the monotonic clock, and its waterfall.

The latency that counts is `speech_end` to `first_audible`: from the player's last voiced sample to the first sample of
the reply that can be heard at the client (leading silence of the voice does not count). Marks are in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Mark(StrEnum):
    """The marks of a turn, in the order in which they normally come."""

    SPEECH_START = "speech_start"
    SPEECH_END = "speech_end"
    """The last voiced sample; for typed words, their arrival."""
    SOFT_END = "soft_end"
    HARD_END = "hard_end"
    ASR_FINAL = "asr_final"
    CONTEXT_READY = "context_ready"
    """Memory is searched and the prompt is built."""
    PREFILL_DONE = "prefill_done"
    LLM_FIRST_TOKEN = "llm_first_token"
    FIRST_PHRASE = "first_phrase"
    TTS_FIRST_CHUNK = "tts_first_chunk"
    FIRST_AUDIO_SENT = "first_audio_sent"
    PLAYBACK_STARTED = "playback_started"
    """The client reports that the stream plays."""
    FIRST_MURMUR = "first_murmur"
    """The first audible sample of a hesitation before the reply: it masks the wait, but does not end it."""
    FIRST_AUDIBLE = "first_audible"
    """The first sample of the reply that is not silence, as played by the client."""
    LLM_DONE = "llm_done"
    TTS_DONE = "tts_done"
    PLAYBACK_STOPPED = "playback_stopped"


@dataclass(slots=True)
class Timeline:
    """The marks of one turn. A mark keeps the time at which it was set first."""

    marks: dict[Mark, float] = field(default_factory=dict)
    """Seconds on the monotonic clock."""

    def mark(self, mark: Mark, at_s: float) -> None:
        """Set a mark, unless it is set already."""
        self.marks.setdefault(mark, at_s)

    def relative_ms(self) -> dict[str, float]:
        """Return all marks in order, as milliseconds after `speech_end` (after the first mark when there is none)."""
        if not self.marks:
            return {}
        zero = self.marks.get(Mark.SPEECH_END, min(self.marks.values()))
        order = list(Mark)
        ordered = sorted(self.marks.items(), key=lambda item: (item[1], order.index(item[0])))
        return {mark.value: round((at - zero) * 1000, 3) for mark, at in ordered}

    def between_ms(self, first: Mark, last: Mark) -> float | None:
        """Return the time from one mark to another in milliseconds; None when either is missing."""
        if first in self.marks and last in self.marks:
            return (self.marks[last] - self.marks[first]) * 1000
        return None


def spans(marks_ms: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Return the waterfall of a turn: (what ended, from ms, to ms) between marks that follow one another."""
    rows: list[tuple[str, float, float]] = []
    previous: float | None = None
    for name, at in marks_ms.items():
        rows.append((name, at if previous is None else previous, at))
        previous = at
    return rows
