"""The talk soak: several characters of the real daemon talk for a long time, all at once.

`python -m bench talk_soak --minutes 30` runs the profile `cpu`. Each player is a client of its own with its own
character: it asks spoken questions with a key, in turn, without a pause, so that all characters speak at once. At the
end the daemon's memory must not have grown, turns must not take longer than at the beginning, no voice may have run
dry, and each question was answered or refused with Busy.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.table import Table

from bench.report import finish
from bench.stats import figure, growth, percentile, slope
from mythicd.client.daemon_client import DaemonClient
from mythicd.client.talk import synthesise
from mythicd.errors import DaemonUnreachable
from mythicd.telemetry.timeline import Mark
from mythicd.wire import messages as m
from mythicd.wire.discovery import discover

PLAYERS = ("barkeep_01", "guard_01", "blacksmith_01", "lamp_keeper_01")
QUESTIONS = (
    "When does the tavern close?",
    "Where is the market?",
    "Who is the harbor master?",
    "What can you tell me about the lighthouse?",
    "Where does the ferry leave?",
)
SAMPLE_S = 10.0
SETTLING_S = 120.0
"""Seconds that do not count: caches and histories fill in the first two minutes."""
TURN_S = 60.0
"""Longest turn."""
MOST_RSS_SLOPE = 1.0
"""Largest growth of memory, MB per minute."""
MOST_GROWTH = 0.15
"""Largest growth of the wait for a first sound over the run, as a share of it."""


@dataclass(slots=True)
class Found:
    """What the players found."""

    waits: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since the beginning, milliseconds from the end of speech to the first audible sample)."""
    dry: int = 0
    """Gaps in voices."""
    busy: int = 0
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since the beginning, resident MB of the daemon and its children)."""


def run(*, minutes: float, profile: str = "cpu") -> int:
    """Run the soak, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="mythic-bench-") as folder:
        found = asyncio.run(_soak(Path(folder), 60 * minutes, profile))
    return _report(found, minutes)


async def _soak(data: Path, seconds: float, profile: str) -> Found:
    command = [sys.executable, "-m", "mythicd", "run", "--headless", "--port", "0", "--data", str(data)]
    daemon = await asyncio.create_subprocess_exec(*command, "--profile", profile, "--log", "warning")
    try:
        await _ready(data, daemon)
        found, begun = Found(), time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number, npc in enumerate(PLAYERS):
                tasks.create_task(_play(data, npc, number, found, begun, seconds), name=f"player {npc}")
            tasks.create_task(_watch(daemon.pid, found, begun, seconds), name="memory")
        return found
    finally:
        if daemon.returncode is None:
            daemon.terminate()
        await daemon.wait()


async def _ready(data: Path, daemon: asyncio.subprocess.Process) -> None:
    for _ in range(600):
        try:
            discover(data)
            return
        except DaemonUnreachable:
            if daemon.returncode is not None:
                raise
            await asyncio.sleep(0.1)
    raise TimeoutError("The daemon was not ready within 60 s.")


async def _play(data: Path, npc: str, number: int, found: Found, begun: float, seconds: float) -> None:
    """Ask questions until the time is over."""
    clips = [synthesise(question) for question in QUESTIONS]
    hello = m.Hello(game="bench", client="bench", playthrough=f"soak-{number}")
    async with await DaemonClient.connect(data, hello) as client:
        await client.send(m.Attend(npc_id=npc))
        asked = number
        while time.monotonic() - begun < seconds:
            known = set(client.streams)
            answering = asyncio.create_task(client.turn(TURN_S))
            await client.speak(npc, clips[asked % len(clips)])
            asked += 1
            messages = await answering
            timeline = messages[-1]
            assert isinstance(timeline, m.TurnTimeline)
            found.busy += sum(isinstance(message, m.Busy) for message in messages)
            found.errors += [f"{each.code}: {each.message}" for each in messages if isinstance(each, m.Error)]
            found.dry += sum(client.streams.pop(new).playback.underruns for new in set(client.streams) - known)
            if (heard := timeline.marks.get(Mark.FIRST_AUDIBLE)) is not None:
                found.waits.append((time.monotonic() - begun, heard - timeline.marks[Mark.SPEECH_END]))


async def _watch(pid: int, found: Found, begun: float, seconds: float) -> None:
    """Sample the memory of the daemon."""
    daemon = psutil.Process(pid)
    while (at := time.monotonic() - begun) < seconds:
        every = [daemon, *daemon.children(recursive=True)]
        found.memory.append((at, sum(each.memory_info().rss for each in every) / 1e6))
        last = [wait for when, wait in found.waits if when > at - SAMPLE_S]
        print(
            f"{at:6.0f} s  {found.memory[-1][1]:6.0f} MB, {len(found.waits)} turns,"
            f" first sound {figure(statistics.median(last)) if last else '–'} ms, {found.dry} dry, {found.busy} busy",
            file=sys.stderr,
            flush=True,
        )
        await asyncio.sleep(SAMPLE_S)


def _report(found: Found, minutes: float) -> int:
    settled = min(SETTLING_S, 60 * minutes / 3)
    memory = [(at / 60, held) for at, held in found.memory if at >= settled]
    waits = [(at / 60, wait) for at, wait in found.waits if at >= settled]
    rss_slope = slope([at for at, _ in memory], [held for _, held in memory])
    slower = growth([at for at, _ in waits], [wait for _, wait in waits])
    checks = {
        "memory growth, MB per minute": (rss_slope, f"< {MOST_RSS_SLOPE}", rss_slope < MOST_RSS_SLOPE),
        "growth of the wait for a first sound": (slower, f"< {MOST_GROWTH}", slower < MOST_GROWTH),
        "voices that ran dry": (found.dry, "0", found.dry == 0),
        "errors": (len(found.errors), "0", not found.errors),
    }
    told = {
        "turns": len(found.waits),
        "refused (Busy)": found.busy,
        "first sound, p50 ms": statistics.median(wait for _, wait in waits),
        "first sound, p95 ms": percentile([wait for _, wait in waits], 0.95),
        "memory at the end, MB": found.memory[-1][1],
    }
    title = f"{len(PLAYERS)} characters talk at once for {minutes:g} minutes"
    table = Table(title=title, title_justify="left")
    for column in ("", "found", "allowed", ""):
        table.add_column(column, justify="right" if column else "left")
    for name, (value, allowed, fine) in checks.items():
        table.add_row(name, figure(value), allowed, "[green]holds[/]" if fine else "[red]missed[/]")
    for name, value in told.items():
        table.add_row(name, figure(value), "", "")
    for error in dict.fromkeys(found.errors):
        print(error, file=sys.stderr)
    numbers: dict[str, float | int | str | None] = {
        "minutes": minutes,
        "rss_slope_mb_per_min": round(rss_slope, 3),
        "wait_growth": round(slower, 3),
        "dry": found.dry,
        "busy": found.busy,
        "errors": len(found.errors),
        **{name.replace(" ", "_").replace(",", ""): round(value, 1) for name, value in told.items()},
    }
    return finish("talk_soak", table, numbers, ok=all(fine for _, _, fine in checks.values()))
