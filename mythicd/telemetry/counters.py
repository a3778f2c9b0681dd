"""What an engine counts while it runs, in plain numbers: for `/metrics`, the dashboard and the benchmarks.

One thread writes, others only read, and each number is read whole: no lock is needed. Nothing here is ever reset; who
wants a rate takes two readings.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of a histogram's buckets; one more takes what is longer."""


class Histogram:
    """How often a duration fell into each bucket."""

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        """`bounds` are the buckets' upper bounds, inclusive and rising."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        """Sum of all that was observed."""

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class LlmCounters:
    """What a language model has done since its start, and what it holds."""

    replies: int = 0
    """Replies written to their end."""
    cancelled: int = 0
    """Replies whose reader went away."""
    refused: int = 0
    """Replies that ended with Busy."""
    failed: int = 0
    """Replies that ended with another error."""

    tokens_new: int = 0
    """Prompt tokens evaluated while somebody waited for the reply: the critical path."""
    tokens_reused: int = 0
    """Prompt tokens of replies that were in the KV cache already."""
    tokens_ahead: int = 0
    """Prompt tokens evaluated ahead of need: warm-ups, idle compaction, what was prepared while the player spoke."""
    tokens_wasted: int = 0
    """Of those prepared, the ones no reply used."""
    tokens_written: int = 0
    """Tokens chosen."""

    cells: int = 0
    """KV cells there are."""
    cells_used: int = 0
    parked: int = 0
    """Characters whose KV lies in host memory."""
    parked_bytes: int = 0
    parks: int = 0
    restores: int = 0
    evictions: int = 0
    """Sequences that lost more than an ephemeral tail to others."""
    out_of_memory: int = 0
    """Evaluations that found no free cell, and restored states that did not fit."""
    adapter_switches: int = 0

    writing: int = 0
    """Streams that write just now."""
    waiting: int = 0
    """Replies that wait for room."""

    ttft: Histogram = field(default_factory=Histogram)
    """From the request to the first token."""
    queue_wait: Histogram = field(default_factory=Histogram)
    """From the request to its place in the KV cache."""
    step: Histogram = field(default_factory=Histogram)
    """Steps of the model."""


@dataclass(slots=True)
class TurnCounters:
    """What became of the turns of all characters, and of the answers that were begun before the turn was over."""

    turns: int = 0
    """Turns whose words were final."""
    prepared: int = 0
    """Answers begun at a pause."""
    committed: int = 0
    """Of those, the ones that the player got to hear."""
    undone: int = 0
    """Answers taken back before anything of them left: the player went on, or said something else."""
    corrected: int = 0
    """Answers begun on a partial's words, and begun anew with the recogniser's guess at the final ones."""
    missed: int = 0
    """Of those, the ones whose words were others in the end."""
    interruptions: int = 0
    """Voices over a character's that cut it off."""
    backchannels: int = 0
    """Voices over a character's that did not mean to: mm-hm, a cough, a false start."""
    murmurs: int = 0
    """Backchannels and hesitations of the characters' own."""
    audible: Histogram = field(default_factory=Histogram)
    """From the player's last voiced sample to the first of the reply that can be heard."""
    masked: Histogram = field(default_factory=Histogram)
    """The same to whatever was heard first, a hesitation included."""
