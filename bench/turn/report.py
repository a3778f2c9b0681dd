"""The report of `python -m bench turn`: all waits, where Mythic's time goes, and whether the sides were comparable."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from bench.stats import figure, percentile
from bench.turn import plot, world
from bench.turn.conversations import Played
from bench.turn.lower_bound import HANGOVER_MS
from mythicd.telemetry.timeline import Mark
from mythicd.text.spoken_words import spoken_words

OPEN, HELD = "open", "held"
"""Mythic with an open microphone, and with a key."""
TUNED, DEFAULT, TUNED_HELD = "tuned", "default", "tuned_held"
"""Pipecat with the soonest end of turn, with its defaults, and with the same key."""
SAME_PROMPT = 0.12
"""Most tokens by which Mythic's prompt may be shorter than a peer's for the same question. It may be longer: lines that
half a question called for stay in it, and are work for Mythic alone.
"""

FARTHEST = 6
"""Number of answers that `farthest` shows."""


def checks(played: Played, reply: str | None = world.REPLY) -> dict[str, int]:
    """Return counts of differences that make the sides incomparable; all are 0 if there are none.

    `reply` is what every side must answer; None where each model writes its own.
    """
    shorter = [
        mine < (1 - SAME_PROMPT) * theirs
        for side, peers in ((OPEN, (TUNED, DEFAULT)), (HELD, (TUNED_HELD,)))
        for peer in peers
        if peer in played.answers
        for mine, theirs in zip(played.tokens(side), played.tokens(peer), strict=True)
    ]
    answers = [answer for kept in played.answers.values() for answer in kept]
    return {
        "prompts_shorter_than_peers": sum(shorter),
        "answers_not_scripted": sum(reply not in (None, answer.reply) for answer in answers),
        "questions_misheard": sum(
            len({tuple(spoken_words(answer.heard)) for answer in kept}) > 1
            for kept in zip(*played.answers.values(), strict=True)
        ),
    }


def figures(played: Played) -> dict[str, float | int | str | None]:
    """Return the values of the JSON line."""
    found: dict[str, float | int | str | None] = {"turns": len(played.places)}
    for name, answers in played.answers.items():
        waits = [answer.wait for answer in answers]
        found[f"{name}_p50_ms"] = round(statistics.median(waits), 1)
        found[f"{name}_p95_ms"] = round(percentile(waits, 0.95), 1)
        found[f"{name}_prompt_tokens"] = round(statistics.median(answer.prompt for answer in answers))
    found["floor_open_p50_ms"] = round(statistics.median(played.floor(HANGOVER_MS)), 1)
    found["floor_held_p50_ms"] = round(statistics.median(played.floor(0.0)), 1)
    return found


def table(title: str, played: Played) -> Table:
    """Return the waits of all sides, and the floor."""
    made = Table(title=f"{title}: {len(played.places)} questions (ms)", title_justify="left", box=box.SIMPLE_HEAD)
    columns = ("", "Mythic", "Pipecat, tuned", "Pipecat as it comes", "floor")
    for column in columns if TUNED in played.answers else (columns[0], columns[1], columns[4]):
        made.add_column(column, justify="right" if column else "left")

    def row(name: str, kept: Mapping[str, Callable[[], str]]) -> None:
        made.add_row(name, *(kept[str(column.header)]() for column in made.columns[1:]))

    def waits(side: str, contact: bool | None, share: float) -> Callable[[], str]:
        return lambda: _quantile(played.waits(side, contact=contact), share) if side in played.answers else "–"

    for name, contact, share in (
        ("p50", False, 0.5),
        ("p95", False, 0.95),
        ("first contact, p50", True, 0.5),
    ):
        for how, ours, tuned, default, hangover in (
            ("open microphone", OPEN, TUNED, DEFAULT, HANGOVER_MS),
            ("push-to-talk", HELD, TUNED_HELD, "", 0.0),
        ):
            floors = played.floor(hangover, contact=contact)
            cells = [waits(side, contact, share) for side in (ours, tuned, default)]
            cells.append(lambda floors=floors, share=share: _quantile(floors, share))  # type: ignore[misc]
            row(f"{how}, {name}", dict(zip(columns[1:], cells, strict=True)))
    for part in ("asr", "embed", "llm", "llm_told", "tts"):
        value = figure(statistics.median(getattr(floor, part) for floor in played.floors))
        made.add_row(f"  floor: {part.replace('_', ' ')}", *[""] * (len(made.columns) - 2), value)
    return made


def _quantile(values: Sequence[float], share: float) -> str:
    if not values:
        return "–"
    return figure(statistics.median(values) if share == 0.5 else percentile(values, share))


def waterfall(title: str, turns: Sequence[Mapping[str, float]]) -> Table:
    """Return the table of a turn's marks, in the daemon's own clock."""
    title = f"{title} (ms after the last voiced sample)"
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, min_width=len(title) + 2)
    for column in ("mark", "p50", "p95"):
        made.add_column(column, justify="left" if column == "mark" else "right")
    for mark in list(Mark)[1 : list(Mark).index(Mark.FIRST_AUDIBLE) + 1]:
        values = [marks[mark] for marks in turns if mark in marks]
        if values:
            made.add_row(mark.value, figure(statistics.median(values)), figure(percentile(values, 0.95)))
    return made


def farthest(title: str, played: Played) -> Table:
    """Return the answers that are farthest above their floors: these make the p95."""
    title = f"{title}: farthest above the floor (ms)"
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, min_width=len(title) + 2)
    for column in ("heard", "talk", "turn", "", "wait", "floor", "told", "ratio"):
        made.add_column(column, justify="left" if column in ("heard", "") else "right")
    rows = []
    for side, name, hangover in ((OPEN, "open", HANGOVER_MS), (HELD, "key", 0.0)):
        for place, answer, floor in zip(played.places, played.answers[side], played.floors, strict=True):
            ratio = answer.wait / floor.total(hangover)
            rows.append((ratio, answer, place, name, floor.total(hangover), floor.total(hangover, told=True)))
    for ratio, answer, place, name, known, told in sorted(rows, key=lambda row: -row[0])[:FARTHEST]:
        cells = (figure(answer.wait), figure(known), figure(told), figure(ratio))
        made.add_row(answer.heard, str(place.talk + 1), str(place.turn + 1), name, *cells)
    return made


def draw(path: Path, played: Played) -> None:
    """Draw the plot of docs/benchmarks.md."""
    names = list(plot.COLOURS)
    path.parent.mkdir(exist_ok=True)

    def panel(contact: bool, hangover: float, *sides: str) -> dict[str, list[float]]:
        waits = {name: played.waits(side, contact=contact) for name, side in zip(names, sides, strict=False)}
        return {**waits, names[-1]: played.floor(hangover, contact=contact)}

    plot.draw(
        path,
        {
            "open microphone": panel(False, HANGOVER_MS, OPEN, TUNED, DEFAULT),
            "open microphone, first contact": panel(True, HANGOVER_MS, OPEN, TUNED, DEFAULT),
            "push-to-talk": panel(False, 0.0, HELD, TUNED_HELD),
        },
    )
