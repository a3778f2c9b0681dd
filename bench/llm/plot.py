"""The plot of docs/benchmarks.md: time to first token by number of characters, and the histogram of token gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.stats import Bars, Interval, histogram

NAMES = {
    "default": "llama-server as it comes",
    "pinned": "… slots pinned by hand",
    "warmed": "… pinned, with warm-up requests",
    "plain": "Mythic",
    "ahead": "Mythic, prefilled during speech",
}
COLOURS = {"default": "#b04a3a", "pinned": "#d09030", "warmed": "#8a8a3a", "plain": "#3a7ab0", "ahead": "#1a4a7a"}
SHORTEST_MS, FACTOR, BARS = 8.0, 2.0, 11
"""Bars of the histogram: up to 8 ms, 16, 32 … 4 s, and longer."""


def draw(path: Path, lines: Mapping[str, Mapping[int, Interval]], gaps: Mapping[str, Sequence[float]]) -> None:
    """Draw both halves into an SVG file.

    `lines` has for each side the time to first token by number of characters; `gaps` the token gaps of the speakers
    when a newcomer comes, for `ours` and for settings of the server by their n_batch. All in milliseconds.
    """
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "mythic"  # the same data gives the same file
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for side, points in lines.items():
        sizes = list(points)
        middle = [points[size].median for size in sizes]
        left.plot(sizes, middle, marker="o", markersize=4, color=COLOURS[side], label=NAMES[side])
        low, high = [points[size].low for size in sizes], [points[size].high for size in sizes]
        left.fill_between(sizes, low, high, color=COLOURS[side], alpha=0.15, linewidth=0)
    left.set(xscale="log", yscale="log", xlabel="characters", ylabel="time to first token of a steady turn, ms")
    left.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    left.minorticks_off()
    left.legend(fontsize=8, frameon=False, loc=(0.25, 0.3))  # between sides that evaluate the turn and sides that have

    shades = {"ours": COLOURS["ahead"]}
    width = 0.8 / len(gaps)
    for place, (name, values) in enumerate(gaps.items()):
        bars = histogram(values, SHORTEST_MS, FACTOR, BARS)
        heights = [100 * count / max(1, len(values)) for count in bars.counts]
        where = [number + place * width for number in range(len(heights))]
        label = "Mythic" if name == "ours" else f"llama-server, n_batch {name}"
        colour = shades.get(name, (COLOURS["default"], COLOURS["pinned"])[place % 2])
        right.bar(where, heights, width, color=colour, label=label)
    right.set_xticks([number + 0.4 - width / 2 for number in range(BARS)], _labels(bars), fontsize=7, rotation=30)
    right.set(xlabel="gap between two tokens of a speaker, ms", ylabel="% of gaps while a newcomer is prefilled")
    right.legend(fontsize=8, frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.2)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _labels(bars: Bars) -> list[str]:
    """Return the label of each bar: its upper edge, and for the last its lower edge."""
    return [f"≤ {edge:g}" for edge in bars.edges[1:]] + [f"> {bars.edges[-1]:g}"]
