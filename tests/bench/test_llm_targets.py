"""The claims of the LLM benchmark, and their table."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.llm.targets import Count, figures, ratio, table, unclaimed


def test_target_must_be_met_by_the_bad_end() -> None:
    theirs = [60.0, 61, 59, 60, 40, 62, 60]
    ours = [10.0] * 7
    claim = ratio("ttft", "time to first token", ours, theirs, target=5)
    assert claim.ratio.median == pytest.approx(6)
    assert claim.met == (claim.ratio.low >= 5)
    assert not ratio(
        "ttft", "", ours, [40.0, 61, 41, 60, 40, 62, 42], target=5
    ).met  # its median alone would meet the target


def test_ratio_of_a_faster_build_is_normalised() -> None:
    ours, theirs = [10.0] * 5, [60.0] * 5
    assert ratio("x", "", ours, theirs, target=5).met
    slow_build = ratio("x", "", ours, theirs, target=5, build=1.5)  # theirs takes 1.5 times as long for the same work
    assert slow_build.bad_end == pytest.approx(4)
    assert not slow_build.met
    # If our build is slower, the ratio as measured counts.
    assert ratio("x", "", ours, theirs, target=5, build=0.5).bad_end == pytest.approx(6)


def test_ratio_without_a_target_is_always_met() -> None:
    assert ratio("x", "", [10.0], [1.0], target=None).met


@pytest.mark.parametrize(("value", "met"), [(0, False), (1, True), (2, True), (3, False)])
def test_count_must_be_within_its_limits(value: float, met: bool) -> None:
    assert Count("n", "", value, most=2, least=1).met is met


def test_table_has_every_claim_and_whether_it_is_met() -> None:
    claims = [
        ratio("fast", "something fast", [10.0] * 5, [60.0] * 5, target=5, build=1.1),
        ratio("slow", "something slow", [10.0] * 5, [12.0] * 5, target=5),
        ratio("told", "something told", [10.0] * 5, [12.0] * 5, target=None),
        Count("stutters", "stutters", 0, most=0),
    ]
    out = io.StringIO()
    Console(file=out, width=120).print(table("all", claims))
    lines = out.getvalue().splitlines()
    (fast,) = [line for line in lines if "something fast" in line]
    assert "6.00 (6.00–6.00)" in fast and "5.45" in fast and "≥ 5.00" in fast and "holds" in fast
    (slow,) = [line for line in lines if "something slow" in line]
    assert "missed" in slow
    (told,) = [line for line in lines if "something told" in line]
    assert "holds" not in told and "missed" not in told
    assert any("stutters" in line and "≤ 0" in line and "holds" in line for line in lines)


def test_json_line_has_the_median_and_the_bad_end() -> None:
    found = figures([ratio("fast", "", [10.0] * 5, [60.0] * 5, 5, 1.2), Count("stutters", "", 0, most=0)])
    assert found == {
        "fast_ours_ms": 10,
        "fast_theirs_ms": 60,
        "fast_times": 6,
        "fast_times_bad_end": 5,
        "stutters": 0,
    }


def test_unclaimed_figure_is_always_met() -> None:
    slow = ratio("slow", "slow", [10.0] * 9, [5.0] * 9, 2.0)
    many = Count("many", "many", 3, most=0)
    assert not slow.met and not many.met
    for claim in (unclaimed(slow), unclaimed(many)):
        assert claim.met
    assert figures([unclaimed(slow), unclaimed(many)]) == figures([slow, many])
