"""Statistics of a few noisy durations: medians, ratios with their bad end, slopes, histograms.

Two sides are measured in turn (A B A B …), so that changes of the machine affect both. A ratio is taken pair by pair,
and reported as the median of the pairs with a 90 % bootstrap interval of that median; a target must be met by the
interval's bad end. The percentile bootstrap is Efron's (1979), with 2,000 resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

RESAMPLES = 2000
KNOWN = 0.02
"""Largest half-width of the interval of a known ratio, as a share of the ratio."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A median and the 90 % interval around it."""

    median: float
    low: float
    high: float
    count: int
    """Number of values."""

    @property
    def is_known(self) -> bool:
        """Whether it is narrow enough to tell 5 % from 0."""
        return self.high - self.low <= 2 * KNOWN * self.median

    def __str__(self) -> str:
        return f"{figure(self.median)} ({figure(self.low)}–{figure(self.high)})"


def interval(values: Sequence[float]) -> Interval:
    """Return the median of the values and its 90 % bootstrap interval. Raises ValueError when there are none."""
    if not values:
        raise ValueError("no values")
    data = np.asarray(values, float)
    draws = np.random.default_rng(1).integers(0, len(data), (RESAMPLES, len(data)))
    low, high = np.percentile(np.median(data[draws], axis=1), (5, 95))
    return Interval(float(np.median(data)), float(low), float(high), len(data))


def speedup(theirs: Sequence[float], ours: Sequence[float]) -> Interval:
    """Return how many times longer theirs took, pair by pair; above 1 we are faster, and `low` is the bad end."""
    return interval([their / our for their, our in zip(theirs, ours, strict=True)])


def until_known(measure: Callable[[], Interval], blocks: int) -> None:
    """Measure blocks of pairs until the ratio of all is known, or `blocks` blocks are measured.

    Only the interval's width decides, not its position: a rule that compared with the target would stop at a lucky
    moment. Sequential intervals of a fixed width are Chow's and Robbins's (1965).
    """
    for _ in range(blocks):
        if measure().is_known:
            return


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Return the least-squares slope of the values over their times; 0 when there are fewer than two moments."""
    t, v = np.asarray(times, float), np.asarray(values, float)
    spread = t - t.mean() if len(t) else t
    square = float((spread**2).sum())
    return float((spread * v).sum()) / square if square else 0.0


def growth(times: Sequence[float], values: Sequence[float]) -> float:
    """Return the growth of the values from the first moment to the last, as a share of their median."""
    return slope(times, values) * (times[-1] - times[0]) / float(np.median(values)) if len(times) > 1 else 0.0


def steady_growth(times: Sequence[float], values: Sequence[float]) -> float:
    """Return the same by the median slope of all pairs, which is robust against outliers.

    The estimator of Theil (1950) and Sen (1968). The times must differ; 0 when there are fewer than two moments.
    """
    pairs = list(combinations(zip(times, values, strict=True), 2))
    slopes = [(after - before) / (later - earlier) for (earlier, before), (later, after) in pairs]
    return float(np.median(slopes)) * (times[-1] - times[0]) / float(np.median(values)) if slopes else 0.0


def gaps(arrivals: Sequence[float]) -> list[float]:
    """Return the time between each arrival and the next."""
    return [after - before for before, after in zip(arrivals, arrivals[1:], strict=False)]


def gaps_within(arrivals: Sequence[float], start: float, end: float) -> list[float]:
    """Return the gaps between arrivals that overlap the time from `start` to `end`, each in full.

    A gap that is open at `end` counts as long as it has lasted by then.
    """
    moments = [*(moment for moment in arrivals if moment < end), end] if arrivals and arrivals[-1] < end else arrivals
    pairs = zip(moments, moments[1:], strict=False)
    return [after - before for before, after in pairs if after > start and before < end]


@dataclass(frozen=True, slots=True)
class Bars:
    """Number of values between each edge and the next; the last bar has all longer ones."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


def histogram(values: Sequence[float], first: float, factor: float, count: int) -> Bars:
    """Count values into `count` bars with edges that grow by `factor`: 0 to first, to first·factor, …, and all the
    rest.

    Token gaps span three decades: the few long ones matter, and a linear axis would hide them.
    """
    if first <= 0 or factor <= 1 or count < 2:
        raise ValueError(f"invalid histogram: {count} bars that grow from {first} by {factor}")
    edges = [0.0, *(first * factor**step for step in range(count - 1))]
    counts = [0] * count
    for value in values:
        counts[max(0, int(np.searchsorted(edges, value, side="left")) - 1)] += 1
    return Bars(tuple(edges), tuple(counts))


def figure(value: float) -> str:
    """Return a number with three significant digits."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 4)}f}"


def percentile(values: Iterable[float], share: float) -> float:
    """Return the `share` quantile (0–1) by linear interpolation; NaN for no values."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
