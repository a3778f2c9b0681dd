"""The claims of the LLM benchmark: ratios against targets, counts against limits, and their table.

The difference between the two builds of llama.cpp is measured separately (bare prefill and decode on the same model),
and every ratio is given as measured and *normalised*, as if our build had been theirs. A target is met only when both
bad ends meet it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.table import Table

from bench.stats import Interval, figure, interval, speedup


@dataclass(frozen=True, slots=True)
class Ratio:
    """A claim that they take at least `target` times as long as we do."""

    key: str
    """Its key in the JSON line."""
    name: str
    ours: Interval
    """Milliseconds."""
    theirs: Interval
    ratio: Interval
    target: float | None
    """None without a claim."""
    build: float = 1.0
    """Their build's time for the same work, divided by ours."""

    @property
    def bad_end(self) -> float:
        """The least favourable ratio."""
        return min(self.ratio.low, self.ratio.low / self.build)

    @property
    def met(self) -> bool:
        """Whether the target is met, if there is one."""
        return self.target is None or self.bad_end >= self.target


@dataclass(frozen=True, slots=True)
class Count:
    """A count, with its limits."""

    key: str
    name: str
    value: float
    most: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool:
        """Whether it is within its limits."""
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)


Claim = Ratio | Count


def ratio(
    key: str,
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    target: float | None,
    build: float = 1.0,
) -> Ratio:
    """Return a claim of paired durations: `ours[i]` and `theirs[i]` were measured one after the other."""
    return Ratio(key, name, interval(ours), interval(theirs), speedup(theirs, ours), target, build)


def unclaimed(claim: Claim) -> Claim:
    """Return the measurement without a target."""
    if isinstance(claim, Ratio):
        return replace(claim, target=None)
    return replace(claim, most=None, least=None)


def table(title: str, claims: Iterable[Claim]) -> Table:
    """Return the table of all claims."""
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("ours | theirs", "ours", "theirs", "times faster", "same build", "target", ""):
        made.add_column(column, justify="left" if "|" in column else "right", no_wrap="|" not in column)
    for claim in claims:
        match claim:
            case Ratio():
                # Only medians of the two sides: their intervals are in the ratio's.
                made.add_row(
                    claim.name,
                    figure(claim.ours.median),
                    figure(claim.theirs.median),
                    str(claim.ratio),
                    figure(claim.ratio.median / claim.build) if claim.build != 1 else "",
                    "" if claim.target is None else f"≥ {figure(claim.target)}",
                    _mark(claim.met) if claim.target is not None else "",
                )
            case Count():
                limit = "" if claim.least is None else f"≥ {figure(claim.least)}"
                limit += "" if claim.most is None else f"≤ {figure(claim.most)}"
                made.add_row(claim.name, figure(claim.value), "", "", "", limit, _mark(claim.met) if limit else "")
    return made


def figures(claims: Iterable[Claim]) -> dict[str, float | int | str | None]:
    """Return the values of the JSON line: for each ratio its median and its bad end, for each count itself."""
    found: dict[str, float | int | str | None] = {}
    for claim in claims:
        match claim:
            case Ratio():
                found[f"{claim.key}_ours_ms"] = round(claim.ours.median, 3)
                found[f"{claim.key}_theirs_ms"] = round(claim.theirs.median, 3)
                found[f"{claim.key}_times"] = round(claim.ratio.median, 3)
                found[f"{claim.key}_times_bad_end"] = round(claim.bad_end, 3)
            case Count():
                found[claim.key] = round(claim.value, 3)
    return found


def _mark(met: bool) -> str:
    return "[green]holds[/]" if met else "[red]missed[/]"
