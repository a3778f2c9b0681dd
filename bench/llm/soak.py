"""The soak: many characters on one model for a long time, with random events.

`python -m bench llm_soak --minutes 30`. Eight characters are spoken to, interrupted, prefilled and rolled back, leave
view and come back, are forgotten, change their adapter, in a KV cache too small for all. A sample is taken every ten
seconds; every two minutes all pause for a probe (soak_probe.py). At the end memory must not have grown, the probe's
steps must not have become slower, and no request may have waited past its patience.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import psutil
from rich.table import Table

from bench import random_model
from bench.llm.mythic_side import Ours, options
from bench.llm.prompts import Lengths, Script
from bench.llm.raw_llamacpp import Bare
from bench.llm.soak_character import Actor, Ledger, Pause
from bench.llm.soak_probe import Probe, probe, yardstick
from bench.report import finish
from bench.stats import figure, growth, slope, steady_growth
from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.telemetry.counters import LlmCounters

SHAPE = random_model.SMALL
"""Small, so that more happens in a minute: this tests bookkeeping, not arithmetic."""
CHARACTERS = 8
CELLS = 3584
"""KV cells: fewer than eight conversations need, so that some are always evicted."""
PARK_BYTES = 16 * 2**20
"""Host memory of 2,730 cells: now and then a parked character is dropped and has to be evaluated again."""
SAMPLE_S = 10.0
PROBE_EVERY_S = 120.0
"""Seconds between probes, or a fifth of a shorter run. At the first all conversations are in the cache."""
FEWEST_PROBES = 3
"""Least number of probes; with fewer the run is not ok."""
SETTLING_S = 120.0
"""Seconds that do not count: caches are filled in the first two minutes."""
MOST_RSS_SLOPE = 1.0
"""Largest growth of memory, MB per minute."""
MOST_GROWTH = 0.1
"""Largest growth of the probe's steps over the run, compared with a bare loop's, as a share of them."""
GRACE_S = 0.5
"""Seconds past its patience in which a request may still be answered, by a step that had started."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample, of ten seconds."""

    at: float
    """Seconds since the beginning."""
    rss: float
    """Resident memory, MB."""
    step: float
    """Mean step of the model, milliseconds."""
    tokens: float
    """Mean tokens of a step: the more are evaluated, the longer it takes."""
    ttft: float
    """Median time to first token of the replies that started, milliseconds; NaN if none did."""
    replies: int
    refused: int


def run(*, minutes: float) -> int:
    """Run the soak, and return the exit code."""
    model = random_model.model(SHAPE)
    adapters = [str(random_model.adapter(SHAPE, seed)) for seed in (1, 2)]
    script = Script(SHAPE.vocabulary, Lengths(world=500, persona=200, exchanges=0))
    side = Ours(model, replace(options(CELLS), park_bytes=PARK_BYTES))
    ledger = Ledger()
    with yardstick(model, script) as bare:
        samples, probes = asyncio.run(_soak(side, script, adapters, ledger, bare, 60 * minutes))
    return _report(samples, probes, ledger, side.engine.counters, minutes)


async def _soak(
    side: Ours, script: Script, adapters: list[str], ledger: Ledger, bare: Bare, seconds: float
) -> tuple[list[Sample], list[Probe]]:
    engine = side.engine
    await engine.start()
    pause = Pause()
    actors = [
        Actor(f"npc {number}", engine, script, adapters, ledger, pause, random.Random(number))
        for number in range(CHARACTERS)
    ]
    tasks = [asyncio.create_task(actor.live()) for actor in actors]
    samples: list[Sample] = []
    probes: list[Probe] = []
    every, begun = min(PROBE_EVERY_S, seconds / 5), time.monotonic()
    try:
        while (left := seconds - (at := time.monotonic() - begun)) > 0:
            if at >= every * (len(probes) + 1):
                async with pause:
                    probes.append(await probe(side, script, bare, time.monotonic() - begun))
                print(_told(probes[-1]), file=sys.stderr, flush=True)
            samples.append(await _sample(engine, ledger, tasks, min(SAMPLE_S, left), begun))
            print(_line(samples[-1]), file=sys.stderr, flush=True)
        ledger.failed = engine.counters.failed  # before the end cancels replies
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.stop()
    return samples, probes


async def _sample(
    engine: LlamaLlm, ledger: Ledger, tasks: list[asyncio.Task[None]], seconds: float, begun: float
) -> Sample:
    counted = engine.counters
    before = (counted.step.total, sum(counted.step.counts), _tokens(counted))
    ledger.begin()
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()
    steps = max(1, sum(counted.step.counts) - before[1])
    return Sample(
        at=time.monotonic() - begun,
        rss=psutil.Process().memory_info().rss / 1e6,
        step=1000 * (counted.step.total - before[0]) / steps,
        tokens=(_tokens(counted) - before[2]) / steps,
        ttft=1000 * float(np.median(ledger.ttfts)) if ledger.ttfts else float("nan"),
        replies=ledger.replies,
        refused=ledger.refused,
    )


def _report(samples: list[Sample], probes: list[Probe], ledger: Ledger, counted: LlmCounters, minutes: float) -> int:
    settled = [sample for sample in samples if sample.at >= min(SETTLING_S, 60 * minutes / 5)]
    at = [sample.at / 60 for sample in settled]
    held = [sample.rss for sample in settled]
    rss_slope = slope(at, held)
    probed = [probe.at / 60 for probe in probes]
    step_growth = steady_growth(probed, [probe.gap for probe in probes])
    against = steady_growth(probed, [probe.ratio for probe in probes])
    loaded = growth(at, [sample.step for sample in settled])
    quietest = min(ledger.turns.values(), default=0)
    checks = {
        "memory growth, MB per minute": (rss_slope, f"< {MOST_RSS_SLOPE}", rss_slope < MOST_RSS_SLOPE),
        "growth of steps, against a bare loop's": (
            against,
            f"< {MOST_GROWTH}",
            len(probes) >= FEWEST_PROBES and against < MOST_GROWTH,
        ),
        "  … without the comparison": (step_growth, "", True),
        "  … under load, at any number of tokens": (loaded, "", True),
        "longest wait past the patience, s": (ledger.latest, f"< {GRACE_S}", ledger.latest < GRACE_S),
        "  … for the first word, s": (ledger.latest_text, "", True),
        "fewest turns of a character": (quietest, "> 0", len(ledger.turns) == CHARACTERS and quietest > 0),
        "failed replies": (ledger.failed, "0", ledger.failed == 0),
    }
    told = {
        "least memory held, MB": min(held),
        "most memory held, MB": max(held),
        "replies": counted.replies,
        "cancelled": counted.cancelled,
        "refused (Busy)": counted.refused,
        "parked": counted.parks,
        "restored": counted.restores,
        "evictions": counted.evictions,
        "adapter switches": counted.adapter_switches,
        "longest wait for a first token, s": ledger.longest,
    }
    table = Table(title=f"{CHARACTERS} characters, {minutes:g} minutes of random load", title_justify="left")
    for column in ("", "found", "allowed", ""):
        table.add_column(column, justify="right" if column else "left")
    for name, (value, allowed, fine) in checks.items():
        table.add_row(
            name, figure(value), allowed, "" if not allowed else "[green]holds[/]" if fine else "[red]missed[/]"
        )
    for name, count in told.items():
        table.add_row(name, figure(count), "", "")
    numbers: dict[str, float | int | str | None] = {
        "minutes": minutes,
        "rss_slope_mb_per_min": round(rss_slope, 3),
        "rss_least_mb": round(min(held), 1),
        "rss_most_mb": round(max(held), 1),
        "rss_last_mb": round(samples[-1].rss, 1),
        "step_growth": round(step_growth, 3),
        "step_growth_against_bare": round(against, 3),
        "step_growth_under_load": round(loaded, 3),
        "probes": len(probes),
        "probe_over_bare": round(float(np.median([probe.ratio for probe in probes])), 3) if probes else None,
        "probe_ms": round(float(np.median([probe.gap for probe in probes])), 2) if probes else None,
        "step_ms": round(float(np.median([sample.step for sample in settled])), 2),
        "ttft_ms": round(float(np.nanmedian([sample.ttft for sample in settled])), 1),
        "longest_wait_s": round(ledger.longest, 2),
        "latest_past_patience_s": round(ledger.latest, 2),
        "latest_word_past_patience_s": round(ledger.latest_text, 2),
        "fewest_turns": quietest,
        "replies": counted.replies,
        "cancelled": counted.cancelled,
        "refused": counted.refused,
        "failed": ledger.failed,
        "parks": counted.parks,
        "restores": counted.restores,
        "evictions": counted.evictions,
    }
    return finish("llm_soak", table, numbers, ok=all(fine for _, _, fine in checks.values()))


def _tokens(counted: LlmCounters) -> int:
    """Return the tokens evaluated so far."""
    return counted.tokens_new + counted.tokens_ahead + counted.tokens_written


def _line(sample: Sample) -> str:
    return (
        f"{sample.at:6.0f} s  {sample.rss:6.0f} MB, step {sample.step:5.1f} ms of {sample.tokens:4.1f} tokens,"
        f" first token {sample.ttft:5.0f} ms, {sample.replies} replies, {sample.refused} refused"
    )


def _told(probe: Probe) -> str:
    return (
        f"{probe.at:6.0f} s  probe: {probe.gap:5.2f} ms between two tokens, bare loop {probe.bare:5.2f} ms,"
        f" ratio {probe.ratio:5.3f}"
    )
