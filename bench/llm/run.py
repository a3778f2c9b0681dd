"""The LLM benchmark: many characters on one model, compared with llama.cpp's own server on the same machine.

`python -m bench llm` plays the same conversations on Mythic's engine and on llama-server (three clients, see
llama_server_side.py), each in its own process with one thread, in turn. docs/benchmarks.md explains each row.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import median

from bench import random_model
from bench.child_process import Child
from bench.llm import build_baseline, targets
from bench.llm import crowd as llm_crowd
from bench.llm import stages as llm_stages
from bench.llm.crowd import AHEAD, BRIEF, BRIEF_TOKENS, DEFAULT, LENGTHS, PINNED, PLAIN, ROOMY, WARMED, Turns
from bench.llm.mythic_side import Ours, options
from bench.llm.prompts import Script
from bench.llm.targets import Claim, Count, figures, ratio, table
from bench.report import finish
from bench.stats import interval


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of a run."""

    shape: random_model.Shape
    characters: int
    """Characters of the crowd whose figures are claimed."""
    rounds: int
    sides: tuple[str, ...]
    crowds: tuple[int, ...]
    """Sizes of further crowds, for the plot."""
    crowd_rounds: int
    brief_rounds: int
    """Rounds of the crowd with short turns, which is as large as the first."""
    alike: int
    """Further crowds of the two sides that do the same, alone."""
    alike_rounds: int
    alike_again: int
    """Repetitions of each question there, each with another end."""
    batches: tuple[int, ...]
    """n_batch of the servers in the newcomer stage."""
    newcomers: int
    newcomers_alike: int
    """Further newcomers, for us and for the server's best setting alone."""
    widths: tuple[int, ...]
    """Streams of the comparison with a bare loop."""
    voices: tuple[int, ...]
    tokens: int
    """Tokens of a spoken reply."""
    pairs: int
    """Pairs of all other measurements."""
    blocks: int
    """Factor for the number of pairs, where a few per cent matter and the machine is noisy."""
    residents: tuple[int, ...]


FULL = Plan(
    random_model.FULL,
    characters=8,
    rounds=6,
    sides=(PLAIN, AHEAD, DEFAULT, ROOMY, PINNED, WARMED),
    crowds=(1, 2, 4, 16),
    crowd_rounds=2,
    brief_rounds=3,
    alike=3,
    alike_rounds=4,
    alike_again=5,
    batches=(2048, 512, 64, 32),
    newcomers=7,
    newcomers_alike=14,
    widths=(1, 2, 4, 8),
    voices=(2, 4, 8),
    tokens=48,
    pairs=7,
    blocks=4,
    residents=(0, 4, 12),
)
QUICK = Plan(
    random_model.SMALL,
    characters=3,
    rounds=2,
    sides=(PLAIN, AHEAD, PINNED, WARMED),
    crowds=(),
    crowd_rounds=0,
    brief_rounds=1,
    alike=1,
    alike_rounds=1,
    alike_again=1,
    batches=(2048, 32),
    newcomers=2,
    newcomers_alike=1,
    widths=(4,),
    voices=(4,),
    tokens=16,
    pairs=2,
    blocks=1,
    residents=(0, 4),
)
SIDES = {
    PLAIN: "Mythic",
    AHEAD: "prefilled",
    DEFAULT: "as it comes",
    ROOMY: "a slot for each",
    PINNED: "pinned",
    WARMED: "warm-up requests",
}
QUICK_CLAIMS = frozenset({f"evaluated_short_{PLAIN}"})
"""Claims of a quick run: counts, which are the same on any machine. Ratios need the full model and many pairs, and the
number of simultaneous speakers depends on the machine's speed.
"""


STAGES = ("turns", "newcomer", "engine")
"""Stages, in this order. Before each run the builds of llama.cpp are measured, which normalise the ratios."""


def run(*, quick: bool, only: str | None = None) -> int:
    """Run the benchmark, or one of its stages, and return the exit code."""
    plan = QUICK if quick else FULL
    model = random_model.model(plan.shape)
    script = Script(plan.shape.vocabulary, LENGTHS)
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {what} …", file=sys.stderr, flush=True)

    say(f"{plan.shape.name}: each build of llama.cpp alone")
    builds = build_baseline.compare(model, plan.pairs, plan.blocks)
    short, long = builds.short.ratio.median, builds.long.ratio.median
    claims: list[Claim] = [
        ratio("bare_long", "a bare prompt of 512 tokens", builds.long.ours, builds.long.theirs, None),
        ratio("bare_short", "a bare prompt of 96 tokens", builds.short.ours, builds.short.theirs, None),
        ratio("bare_step", "a bare step of one stream", builds.step.ours, builds.step.theirs, None),
    ]
    stages = STAGES if only is None else (only,)
    crowds: dict[int, Turns] = {}
    came: llm_stages.Newcomers | None = None
    if "turns" in stages:
        crowds, found = _turns(plan, model, script, say, short, long)
        claims += found
    if "newcomer" in stages:
        say("a newcomer among speakers")
        came = llm_stages.newcomers(model, script, plan.batches, plan.newcomers)
        say(f"a newcomer, with Mythic and with n_batch {came.best} only")
        further = llm_stages.newcomers(model, script, (int(came.best),), plan.newcomers_alike, plan.blocks)
        claims += _newcomer_claims(came, further, short)
    if "engine" in stages:
        claims += _engine(plan, model, script, say)

    if came is not None and crowds and not quick:
        _draw(crowds, came)
    if quick:
        claims = [claim if claim.key in QUICK_CLAIMS else targets.unclaimed(claim) for claim in claims]
    holds = [claim.met for claim in claims]
    title = f"{plan.shape.name} random Q4_0, one thread each (ms)"
    numbers = {"model": plan.shape.name, "claims_missed": holds.count(False), **figures(claims)}
    return finish("llm", table(title, claims), numbers, ok=all(holds))


def _turns(
    plan: Plan, model: Path, script: Script, say: Callable[[str], None], short: float, long: float
) -> tuple[dict[int, Turns], list[Claim]]:
    """Play crowds of several sizes, and return the claims about the first."""
    say(f"{plan.characters} characters")
    turns = llm_crowd.play(model, script, plan.sides, plan.characters, plan.rounds)
    alike = []
    for number in range(plan.alike):
        say(f"{plan.characters} characters, prefilled and warm-up requests alone, {number + 1} of {plan.alike}")
        alike.append(
            llm_crowd.play(model, script, (AHEAD, WARMED), plan.characters, plan.alike_rounds, again=plan.alike_again)
        )
    claims = _crowd_claims(turns, alike, short, long)
    say(f"{plan.characters} characters, short turns")
    brief = llm_crowd.play(
        model, Script(plan.shape.vocabulary, BRIEF), (PLAIN, DEFAULT), plan.characters, plan.brief_rounds, tokens=8
    )
    claims += _brief_claims(brief, short)
    crowds = {plan.characters: turns}
    for characters in plan.crowds:
        say(f"{characters} characters")
        sides = tuple(side for side in plan.sides if side != ROOMY)
        crowds[characters] = llm_crowd.play(model, script, sides, characters, plan.crowd_rounds)
    return crowds, claims


def _engine(plan: Plan, model: Path, script: Script, say: Callable[[str], None]) -> list[Claim]:
    """Return the claims about our engine alone."""
    say("Mythic's engine alone")
    # Parking only on request: it is measured here, and the bare loop uses the context of the idle engine.
    with Child("ours", Ours, model=model, options=replace(options(), park_idle=False)) as ours:
        claims = llm_stages.parking(ours, script, 2 * plan.pairs)
        # More and shorter pairs than for the rest: 5 % is little compared with the noise of the machine.
        claims += llm_stages.decoding(ours, script, plan.widths, 16, 6 * plan.pairs, plan.blocks)
        claims += llm_stages.rotation(ours, script, plan.shape, 24, plan.pairs)
        say("voices")
        claims += llm_stages.chorus(ours, script, plan.voices, plan.tokens)
        claims += llm_stages.cache_kinds(ours, plan.residents, 600, 16)
    return claims


def _crowd_claims(turns: Turns, alike: list[Turns], short: float, long: float) -> list[Claim]:
    """Return the claims about turns. `short` and `long` are the builds' ratios for prompts of such lengths.

    `alike` are the further crowds of the two sides that do the same: to detect 5 % takes many pairs, close in time.
    """
    claims: list[Claim] = []
    steady, first = turns.steady, turns.first
    for key, name, ours, theirs, target, build in (
        ("steady_long_default", "steady turn | server as it comes", PLAIN, DEFAULT, None, short),
        ("steady_roomy", "steady turn | a slot for each", PLAIN, ROOMY, None, short),
        ("steady_pinned", "steady turn | slots pinned", PLAIN, PINNED, 0.95, short),
        ("steady_ahead_pinned", "steady, prefilled | slots pinned", AHEAD, PINNED, 5.0, short),
    ):
        if theirs in steady:
            claims.append(ratio(key, name, steady[ours], steady[theirs], target, build))
    for key, name, ours, theirs, target, build in (
        ("first_pinned", "first contact, prefilled | slots pinned", AHEAD, PINNED, 10.0, long),
        ("first_plain_pinned", "first contact | slots pinned", PLAIN, PINNED, None, long),
        ("first_default", "first contact | server as it comes", PLAIN, DEFAULT, None, long),
    ):
        if theirs in first:
            claims.append(ratio(key, name, first[ours], first[theirs], target, build))
    crowds = [turns, *alike]
    for key, name, found in (
        ("steady_ahead_warmed", "steady, prefilled | warm-up requests", [crowd.steady for crowd in crowds]),
        ("first_warmed", "first contact, prefilled | warm-up requests", [crowd.first for crowd in crowds]),
    ):
        prefilled, warmed = (list(chain.from_iterable(times[side] for times in found)) for side in (AHEAD, WARMED))
        claims.append(ratio(key, name, prefilled, warmed, 0.95, short))
    for side, evaluated in turns.evaluated.items():
        claims.append(Count(f"evaluated_{side}", f"tokens of a steady turn: {SIDES[side]}", median(evaluated)))
    return claims


def _brief_claims(turns: Turns, short: float) -> list[Claim]:
    """Return the claim about turns with few new tokens; with many, both sides evaluate those."""
    name = "steady short turn | server as it comes"
    claims: list[Claim] = [
        ratio("steady_default", name, turns.steady[PLAIN], turns.steady[DEFAULT], 5.0, short),
    ]
    for side, evaluated in turns.evaluated.items():
        most = BRIEF_TOKENS if side == PLAIN else None
        claims.append(
            Count(f"evaluated_short_{side}", f"tokens of a short turn: {SIDES[side]}", median(evaluated), most=most)
        )
    return claims


def _newcomer_claims(came: llm_stages.Newcomers, further: llm_stages.Newcomers, short: float) -> list[Claim]:
    """Return the claims about a newcomer; `further` is of us and the server's best setting only."""
    best, default = came.best, str(llm_stages.DEFAULT_BATCH)
    gap, ttft = came.longest("ours"), came.ttft("ours")
    claims: list[Claim] = [
        ratio("gap_default", "longest gap | server as it comes", gap, came.longest(default), 8.0, short),
        ratio("newcomer_default", "newcomer's first token | server as it comes", ttft, came.ttft(default), None, short),
    ]
    for key, name, of in (
        ("gap_best", f"longest gap | its best n_batch, {best}", llm_stages.Newcomers.longest),
        ("newcomer_best", f"newcomer's first token | n_batch {best}", llm_stages.Newcomers.ttft),
    ):
        ours, theirs = (of(came, side) + of(further, side) for side in ("ours", best))
        claims.append(ratio(key, name, ours, theirs, 1.0, short))
    for name in came.arrivals:
        if name not in ("ours", best, default):
            claims.append(ratio(f"gap_{name}", f"longest gap | n_batch {name}", gap, came.longest(name), None, short))
    return claims


def _draw(crowds: dict[int, Turns], came: llm_stages.Newcomers) -> None:
    from bench.llm import plot

    lines = {
        side: {size: interval(turns.steady[side]) for size, turns in sorted(crowds.items())}
        for side in (DEFAULT, PINNED, PLAIN, WARMED, AHEAD)
    }
    gaps = {name: came.gaps(name) for name in (str(llm_stages.DEFAULT_BATCH), came.best, "ours")}
    path = Path("docs") / "bench-llm.svg"
    plot.draw(path, lines, gaps)
    print(f"drawn: {path}", file=sys.stderr)
