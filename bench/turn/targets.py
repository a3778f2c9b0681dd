"""The claims of the turn benchmark: ratios to a peer, and waits relative to the floor."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from bench.stats import Interval, figure, interval, percentile, speedup


@dataclass(frozen=True, slots=True)
class Faster:
    """A claim of how many times longer the player waits with them than with us."""

    key: str
    """Its key in the JSON line."""
    name: str
    ours: Interval
    """Milliseconds."""
    theirs: Interval
    ratio: Interval
    """Of pairs that were measured one after the other."""
    median: float
    """Least median of the ratio."""
    bad_end: float
    """Least low end of its 90 % interval."""

    @property
    def met(self) -> bool:
        """Whether both are met."""
        return self.ratio.median >= self.median and self.ratio.low >= self.bad_end

    @property
    def said(self) -> str:
        """The target in words."""
        return f"≥ {figure(self.median)}, bad end ≥ {figure(self.bad_end)}"


@dataclass(frozen=True, slots=True)
class Above:
    """A claim of our wait as a multiple of the floor of the same question in the same round."""

    key: str
    name: str
    median: float
    p95: float
    most: float
    """Largest median."""
    most_p95: float

    @property
    def met(self) -> bool:
        """Whether both are met."""
        return self.median <= self.most and self.p95 <= self.most_p95

    @property
    def said(self) -> str:
        """The target in words."""
        return f"≤ {figure(self.most)}, p95 ≤ {figure(self.most_p95)}"


Claim = Faster | Above


def faster(
    key: str, name: str, ours: Sequence[float], theirs: Sequence[float], *, median: float, bad_end: float
) -> Faster:
    """Return a claim of paired waits: `ours[i]` and `theirs[i]` are of the same question in the same round."""
    return Faster(key, name, interval(ours), interval(theirs), speedup(theirs, ours), median, bad_end)


def above(key: str, name: str, waits: Sequence[float], floors: Sequence[float], *, median: float, p95: float) -> Above:
    """Return a claim of waits and their floors, pair by pair."""
    ratios = [wait / floor for wait, floor in zip(waits, floors, strict=True)]
    return Above(key, name, statistics.median(ratios), percentile(ratios, 0.95), most=median, most_p95=p95)


def table(title: str, claims: Iterable[Claim]) -> Table:
    """Return the table of all claims."""
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("ours | theirs", "ours", "theirs", "ratio", "target", ""):
        made.add_column(column, justify="left" if "|" in column else "right", no_wrap="|" not in column)
    for claim in claims:
        mark = "[green]holds[/]" if claim.met else "[red]missed[/]"
        match claim:
            case Faster():
                ours, theirs = figure(claim.ours.median), figure(claim.theirs.median)
                made.add_row(claim.name, ours, theirs, str(claim.ratio), claim.said, mark)
            case Above():
                ratio = f"{figure(claim.median)}, p95 {figure(claim.p95)}"
                made.add_row(claim.name, "", "", ratio, claim.said, mark)
    return made


def figures(claims: Iterable[Claim]) -> dict[str, float | int | str | None]:
    """Return the values of the JSON line."""
    found: dict[str, float | int | str | None] = {}
    for claim in claims:
        match claim:
            case Faster():
                found[f"{claim.key}_ours_ms"] = round(claim.ours.median, 1)
                found[f"{claim.key}_theirs_ms"] = round(claim.theirs.median, 1)
                found[f"{claim.key}_times"] = round(claim.ratio.median, 3)
                found[f"{claim.key}_times_bad_end"] = round(claim.ratio.low, 3)
            case Above():
                found[f"{claim.key}_over_floor"] = round(claim.median, 3)
                found[f"{claim.key}_over_floor_p95"] = round(claim.p95, 3)
    return found
