"""The plot of docs/benchmarks.md: the latency of each question on every side."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

COLOURS = {"Mythic": "#1a4a7a", "Pipecat, tuned": "#d09030", "Pipecat as it comes": "#b04a3a", "floor": "#888888"}


def draw(path: Path, panels: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Draw the panels into an SVG file: each has, for some of COLOURS, its waits in milliseconds."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "mythic"  # the same data gives the same file
    from matplotlib import pyplot

    rows = [len(sides) for sides in panels.values()]
    shape = {"height_ratios": rows, "hspace": 0.1}
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(9, 0.42 * sum(rows) + 1.3), sharex=True, gridspec_kw=shape)
    figure.set_layout_engine("constrained")
    for panel, (name, sides) in zip(list(axes) if len(panels) > 1 else [axes], panels.items(), strict=True):
        for row, (side, waits) in enumerate(sides.items()):
            # Dots of a row are spread a little, always in the same way, so that equal waits are distinct.
            heights = [row + 0.24 * ((7 * number) % 11 / 10 - 0.5) for number in range(len(waits))]
            panel.scatter(waits, heights, s=14, color=COLOURS[side], alpha=0.6, linewidths=0)
            middle = statistics.median(waits)
            panel.plot([middle, middle], [row - 0.32, row + 0.32], color=COLOURS[side], linewidth=2)
            panel.annotate(f" {middle:,.0f}", (middle, row - 0.34), fontsize=7, color=COLOURS[side], va="bottom")
        panel.set_yticks(range(len(sides)), list(sides), fontsize=8)
        panel.set_ylim(len(sides) - 0.4, -0.6)
        panel.set_title(name, fontsize=9, loc="left")
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="x", alpha=0.2)
    panel.set(xlabel="from the player's last word to the first sound of the answer, ms")
    panel.set_xlim(left=0)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
