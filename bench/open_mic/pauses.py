"""The pauses benchmark: the wait at pauses against false cut-offs (`turn.wait_ms`, `turn.max_wait_ms`).

Sentences have one pause each, between two random words, of 100 to 1,200 ms, and an end. The wait at a pause is that of
the daemon's code (dialogue/end_of_turn.py), from the words so far. A pause longer than its wait is a *false cut-off*:
half a sentence is answered (if the player goes on before the first sound, the halves are joined). `turn.wait_ms` is for
words that look finished, `turn.max_wait_ms` for words that look unfinished. Without audio and clock, the results are
the same on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean

from rich.table import Table

from bench.report import finish
from bench.stats import percentile
from mythicd.dialogue.end_of_turn import wait_ms

PATTERNS = (
    "where is the {thing}",
    "who is the {person}",
    "what do you know about the {thing}",
    "when does the {thing} open",
    "can you show me the way to the {thing}",
    "could you tell me who keeps the {thing}",
    "i am looking for the {person}",
    "have you seen the {person} today",
    "how much do you want for a {item}",
    "i would like to buy a {item} from you",
    "tell me about the {person} and the {thing}",
    "why does nobody talk to the {person}",
    "is there a {thing} in this town",
    "give this {item} to the {person} for me",
    "do you think the {person} has my {item}",
    "the {person} sent me to fetch a {item}",
    "i do not believe that the {person} went to the {thing}",
    "what would you do if the {person} lost the {item}",
)
WORDS = {
    "thing": ("market", "harbor", "old mill", "lighthouse"),
    "person": ("harbor master", "smith", "captain of the guard", "widow"),
    "item": ("lantern", "silver ring", "map", "loaf of bread"),
}
PAUSES_MS = (100.0, 1200.0)
WAITS_MS = (200, 300, 400, 500, 600, 700)
MOST_MS = (700, 1200)
PLAIN_MS = (200, 300, 400, 500, 600, 700, 900, 1200)
PUBLISHED = (
    ("VAD alone, 300 ms", 300, 55.6),
    ("VAD alone, 600 ms", 600, 21.7),
    ("VAD alone, 1,600 ms", 1600, 5.0),
    ("SmartTurn v3.2", 300, 35.2),
    ("SmartTurn v3.2", 1051, 5.0),
    ("LiveKit v1-mini", 300, 27.8),
    ("LiveKit v1-mini", 1070, 5.0),
    ("LiveKit v1 (cloud)", 300, 9.9),
    ("LiveKit v1 (cloud)", 543, 5.0),
    ("Deepgram Flux", 300, 12.9),
    ("Deepgram Flux", 1151, 5.0),
)
"""livekit/eot-bench, real conversations with agents, English: (system, mean delay in ms, false cut-offs in %)."""


@dataclass(frozen=True, slots=True)
class Point:
    """The result of one pair of settings."""

    wait_ms: float
    max_wait_ms: float
    cut_offs: float
    """Share of the pauses that are taken for the end."""
    median_ms: float
    """Median wait at true ends."""
    mean_ms: float
    """Mean wait, as in the published curves."""
    longest_ms: float
    """95th percentile of the wait."""


def sentences() -> list[str]:
    """Return all sentences."""
    found = []
    for pattern in PATTERNS:
        names = [name for name in WORDS if f"{{{name}}}" in pattern]
        found += [
            pattern.format(**dict(zip(names, choice, strict=True))) for choice in product(*(WORDS[n] for n in names))
        ]
    return found


def curve(settings: Iterable[tuple[float, float]], seed: int) -> list[Point]:
    """Return a point for each (`wait_ms`, `max_wait_ms`); where the two are equal, words make no difference."""
    dice = random.Random(seed)
    pauses = []
    for sentence in sentences():
        words = sentence.split()
        gap = dice.randrange(1, len(words))
        pauses.append((" ".join(words[:gap]), dice.uniform(*PAUSES_MS)))
    points = []
    for least, most in settings:
        ends = [wait_ms(sentence, least_ms=least, most_ms=most) for sentence in sentences()]
        cut = fmean(pause > wait_ms(words, least_ms=least, most_ms=most) for words, pause in pauses)
        points.append(Point(least, most, cut, percentile(ends, 0.5), fmean(ends), percentile(ends, 0.95)))
    return points


def run() -> int:
    """Print and draw the curves, and return the exit code."""
    ours = {most: curve(((least, most) for least in WAITS_MS), 1) for most in MOST_MS}
    plain = curve(((setting, setting) for setting in PLAIN_MS), 1)
    table = Table(title=f"{len(sentences())} sentences, one pause of 100-1,200 ms in each", title_justify="left")
    for column in ("wait_ms", "max_wait_ms", "false cut-offs, %", "wait at the end, median", "mean", "p95"):
        table.add_column(column, justify="right")
    for point in (*ours[700], *ours[1200], *plain):
        waits = (point.median_ms, point.mean_ms, point.longest_ms)
        cells = (point.wait_ms, point.max_wait_ms, 100 * point.cut_offs, *waits)
        table.add_row(*(f"{cell:.0f}" for cell in cells), end_section=point in (ours[700][-1], ours[1200][-1]))
    _draw(ours, plain, Path("docs") / "bench-pauses.svg")
    figures = {
        f"{name}_{point.wait_ms:.0f}_{point.max_wait_ms:.0f}": round(value, 3)
        for point in (ours[700][0], ours[1200][0], ours[1200][2])
        for name, value in (("cut_offs", point.cut_offs), ("mean_wait_ms", point.mean_ms))
    }
    return finish("pauses", table, figures, ok=True)


def _draw(ours: Mapping[int, list[Point]], plain: list[Point], path: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "mythic", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
    for most, points in ours.items():
        label = f"Mythic, by the words, max_wait_ms {most}"
        axes.plot([p.mean_ms for p in points], [100 * p.cut_offs for p in points], "o-", label=label)
    axes.plot(
        [p.mean_ms for p in plain], [100 * p.cut_offs for p in plain], "s--", label="the same pauses, silence alone"
    )
    for point in (point for points in ours.values() for point in points):
        place = (point.mean_ms, 100 * point.cut_offs)
        axes.annotate(f"{point.wait_ms:.0f}", place, (4, 4), textcoords="offset points")
    for name in dict.fromkeys(name.split(",")[0] for name, _, _ in PUBLISHED):
        known = [(delay, cut) for who, delay, cut in PUBLISHED if who.startswith(name)]
        axes.plot(
            [d for d, _ in known], [c for _, c in known], "x:", alpha=0.7, label=f"{name} (published, other pauses)"
        )
    axes.set_xlabel("mean wait at a true end, ms")
    axes.set_ylabel("pauses taken for the end, %")
    axes.set_ylim(0)
    axes.set_xlim(0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
