"""Statistics of a few durations."""

from __future__ import annotations

import math
import random

import pytest

from bench.stats import (
    Interval,
    figure,
    gaps,
    gaps_within,
    growth,
    histogram,
    interval,
    slope,
    speedup,
    steady_growth,
    until_known,
)


def test_interval_is_around_its_median_and_within_its_values() -> None:
    found = interval([10, 12, 11, 30, 9, 10.5, 11.5])
    assert found.median == 11
    assert 9 <= found.low <= found.median <= found.high <= 30
    assert found.low > 9 and found.high < 30  # one outlier in seven does not extend the median's interval to it
    assert found.count == 7


def test_one_value_is_its_own_interval_and_none_an_error() -> None:
    alone = interval([4.0])
    assert (alone.low, alone.median, alone.high) == (4, 4, 4)
    with pytest.raises(ValueError, match="no values"):
        interval([])


def test_the_same_values_give_the_same_interval() -> None:
    values = [1.0, 5.0, 2.0, 8.0, 3.0]
    assert interval(values) == interval(values)


def test_speedup_is_taken_pair_by_pair() -> None:
    # The machine was twice as slow in the second pair, for both: the ratio does not change.
    found = speedup([100, 200, 100], [10, 20, 10])
    assert (found.low, found.median, found.high) == (10, 10, 10)
    with pytest.raises(ValueError, match="zip"):
        speedup([1, 2], [1])


@pytest.mark.parametrize("level", [0.5, 3.0])
def test_pairs_are_measured_until_any_ratio_is_known(level: float) -> None:
    chance, pairs = random.Random(4), list[float]()

    def block() -> Interval:
        pairs.extend(level * (1 + chance.uniform(-0.4, 0.4)) for _ in range(50))
        return interval(pairs)

    until_known(block, 100)
    assert interval(pairs).is_known and not interval(pairs[:-50]).is_known
    assert 100 < len(pairs) < 5000


def test_number_of_pairs_is_bounded_and_no_more_than_needed() -> None:
    asked: list[Interval] = []

    def block(low: float) -> Interval:
        asked.append(Interval(1.0, low, 1.02, 9))
        return asked[-1]

    until_known(lambda: block(0.9), 3)
    assert len(asked) == 3
    until_known(lambda: block(0.99), 3)
    assert len(asked) == 4


def test_growth_is_a_share_of_the_median_over_the_whole_time() -> None:
    times = [float(minute) for minute in range(0, 30, 2)]
    tired = [10 * (1 + 0.01 * minute) for minute in times]
    assert growth(times, tired) == pytest.approx(steady_growth(times, tired)) == pytest.approx(0.28 / 1.14)
    assert growth([1.0], [5.0]) == steady_growth([1.0], [5.0]) == steady_growth([], []) == 0


def test_steady_growth_ignores_two_outliers_in_fifteen() -> None:
    times = [float(minute) for minute in range(0, 30, 2)]
    values = [10 + 0.2 * (number % 3) for number in range(13)] + [19.0, 25.0]
    assert growth(times, values) > 0.5
    assert abs(steady_growth(times, values)) < 0.05


def test_a_slope_is_per_unit_of_time() -> None:
    assert slope([0, 1, 2, 3], [5, 7, 9, 11]) == pytest.approx(2)
    assert slope([0, 1, 2, 3], [4, 4, 4, 4]) == 0
    assert slope([2], [9]) == 0
    assert slope([], []) == 0


def test_gaps_are_between_neighbours() -> None:
    assert gaps([1, 2, 4, 8]) == [1, 2, 4]
    assert gaps([3]) == []


def test_gaps_within_a_time_are_whole_and_include_an_open_wait() -> None:
    arrivals = [0.0, 1.0, 2.0, 6.0, 7.0]
    assert gaps_within(arrivals, 2.5, 5.0) == [4.0]  # it started before and ended after
    assert gaps_within(arrivals, 1.5, 6.5) == [1.0, 4.0, 1.0]
    assert gaps_within([0.0, 1.0], 2.0, 9.0) == [8.0]  # an open gap since 1.0
    assert gaps_within([], 0.0, 1.0) == []


def test_a_histogram_counts_every_value_once() -> None:
    bars = histogram([0.5, 1, 1.5, 3, 3.9, 100], first=1, factor=2, count=4)
    assert bars.edges == (0, 1, 2, 4)
    assert bars.counts == (2, 1, 2, 1)  # an edge is in the bar below it; the last bar has the rest
    assert histogram([0.0], 1, 2, 3).counts == (1, 0, 0)
    with pytest.raises(ValueError, match="histogram"):
        histogram([1], first=0, factor=2, count=4)


def test_figures_have_three_digits_that_say_something() -> None:
    assert [figure(value) for value in (1234.5, 12.345, 1.2345, 0.01234, 0)] == ["1,234", "12.3", "1.23", "0.0123", "0"]
    assert figure(math.nan) == "–"
