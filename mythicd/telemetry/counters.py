"""Counters: plain numbers that engines and characters keep, for `/metrics` and the benchmarks.

prometheus.py has the meaning of each. One thread writes, others only read, and each number is read whole, so no lock is
needed. Nothing is ever reset: a rate is the difference of two readings.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of a histogram's buckets, in seconds; one more bucket takes longer durations."""


class Histogram:
    """A histogram: the number of observations in each bucket."""

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        """`bounds` are the buckets' upper bounds, inclusive and rising."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        """Sum of all observations."""

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class LlmCounters:
    """What a language model has done since its start, and what it holds. Histograms are in seconds."""

    replies: int = 0
    cancelled: int = 0
    refused: int = 0
    failed: int = 0

    tokens_new: int = 0
    tokens_reused: int = 0
    tokens_ahead: int = 0
    tokens_wasted: int = 0
    tokens_written: int = 0

    cells: int = 0
    cells_used: int = 0
    parked: int = 0
    parked_bytes: int = 0
    parks: int = 0
    restores: int = 0
    evictions: int = 0
    out_of_memory: int = 0
    adapter_switches: int = 0

    writing: int = 0
    waiting: int = 0

    ttft: Histogram = field(default_factory=Histogram)
    queue_wait: Histogram = field(default_factory=Histogram)
    step: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class TurnCounters:
    """What became of the turns of all characters, and of responses started before the end of a turn. Histograms are
    in seconds."""

    turns: int = 0
    prepared: int = 0
    committed: int = 0
    undone: int = 0
    corrected: int = 0
    missed: int = 0
    interruptions: int = 0
    backchannels: int = 0
    """The player's: "mm-hm", a cough, a false start."""
    murmurs: int = 0
    audible: Histogram = field(default_factory=Histogram)
    masked: Histogram = field(default_factory=Histogram)
