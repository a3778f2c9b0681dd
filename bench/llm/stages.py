"""The other stages of `python -m bench llm`: a newcomer among speakers, and our engine alone."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench import random_model
from bench.child_process import Child
from bench.llm import engine_scenarios
from bench.llm import scenarios as scenes
from bench.llm.llama_server_side import Peer
from bench.llm.mythic_side import Ours, options
from bench.llm.prompts import Script
from bench.llm.targets import Claim, Count, ratio
from bench.stats import Interval, interval, speedup, until_known
from mythicd.engines.llm import Prompt

SPEAKERS = 4
NEWCOMER = 800
"""Tokens of the newcomer's prompt."""
DEFAULT_BATCH = 2048
"""llama-server's default n_batch."""
BEFORE = 14
"""Tokens that each speaker has written when the newcomer comes: its first phrase is out."""


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Effect of a newcomer on the speakers, for each setting of the server and for us (`ours`)."""

    arrivals: dict[str, list[scenes.Arrival]]

    @property
    def best(self) -> str:
        """The server's setting with the shortest longest gap."""
        theirs = {name: interval(self.longest(name)).median for name in self.arrivals if name != "ours"}
        return min(theirs, key=lambda name: theirs[name])

    def longest(self, name: str) -> list[float]:
        """Return the longest gap of each round."""
        return [arrival.longest for arrival in self.arrivals[name]]

    def ttft(self, name: str) -> list[float]:
        """Return the newcomer's own wait in each round."""
        return [arrival.ttft for arrival in self.arrivals[name]]

    def gaps(self, name: str) -> list[float]:
        """Return all gaps of all speakers in all rounds."""
        return [gap for arrival in self.arrivals[name] for gap in arrival.gaps]


def newcomers(
    model: Path, script: Script, batches: tuple[int, ...], rounds: int, blocks: int = 1, core: int | None = None
) -> Newcomers:
    """Measure a newcomer while others write, repeatedly, with each setting of the server in turn.

    With more `blocks` there are up to `blocks` times as many rounds, until the first setting's TTFT relative to ours is
    known.
    """
    with ExitStack() as stack:
        sides = {"ours": stack.enter_context(Child("ours", Ours, core, model=model, options=options()))}
        for batch in batches:
            peer = Child(
                f"n_batch {batch}",
                Peer,
                core,
                model=model,
                style="pinned",
                slots=SPEAKERS + 1,
                n_ctx=(SPEAKERS + 1) * 1280,
                n_batch=None if batch == DEFAULT_BATCH else batch,
            )
            sides[str(batch)] = stack.enter_context(peer)
        speakers = [script.stranger(f"speaker {number}", 64) for number in range(SPEAKERS)]
        came = Newcomers({name: [] for name in sides})
        numbers = count()

        def arrive() -> dict[str, scenes.Arrival]:
            newcomer = script.stranger(f"newcomer {next(numbers)}", NEWCOMER)
            return {
                name: child.run(scenes.newcomer, speakers=speakers, prompt=newcomer, before=BEFORE)
                for name, child in sides.items()
            }

        def block() -> Interval:
            for _ in range(rounds):
                for name, arrival in arrive().items():
                    came.arrivals[name].append(arrival)
            return speedup(came.ttft(str(batches[0])), came.ttft("ours"))

        arrive()  # the first is a warm-up and does not count
        until_known(block, blocks)
    return came


def parking(ours: Child, script: Script, rounds: int) -> list[Claim]:
    """Measure parking and restoring a character, against prefilling it."""
    traveller = script.stranger("traveller", NEWCOMER, script.world())
    found = ours.run(
        engine_scenarios.park_and_restore, neighbour=script.front("neighbour", 0), prompt=traveller, rounds=rounds
    )
    both = [parked.park + parked.restore for parked in found]
    name = f"park and restore {NEWCOMER} tokens | prefill"
    return [ratio("park", name, both, [parked.prefill for parked in found], 500)]


def decoding(
    ours: Child, script: Script, widths: tuple[int, ...], tokens: int, rounds: int, blocks: int = 1
) -> list[Claim]:
    """Measure several streams against a bare loop; up to `blocks` times, until the ratio is known."""
    claims: list[Claim] = []
    for width in widths:
        prompts = [script.stranger(f"writer {number}", 128) for number in range(width)]
        engine, bare = _steps(ours, prompts, tokens, rounds, blocks)
        name = f"a step of {width} stream{'s' * (width > 1)} | bare llama_decode"
        claims.append(ratio(f"decode_{width}", name, engine, bare, 1 / 1.05))
    return claims


def _steps(
    ours: Child, prompts: list[Prompt], tokens: int, rounds: int, blocks: int
) -> tuple[list[float], list[float]]:
    """Return a step's milliseconds through the engine and by the bare loop, in pairs."""
    engine: list[float] = []
    bare: list[float] = []

    def block() -> Interval:
        found = ours.run(engine_scenarios.decode, prompts=prompts, tokens=tokens, rounds=rounds)
        engine.extend(steps.engine for steps in found)
        bare.extend(steps.bare for steps in found)
        return speedup(bare, engine)

    until_known(block, blocks)
    return engine, bare


def chorus(ours: Child, script: Script, widths: tuple[int, ...], tokens: int) -> list[Claim]:
    """Measure several simultaneous speakers with voices; then more than can be served in time."""
    claims: list[Claim] = []
    for width in widths:
        prompts = [script.stranger(f"voice {number}", 128) for number in range(width)]
        found = ours.run(engine_scenarios.speak_at_once, prompts=prompts, tokens=tokens, patience_s=10.0)
        claims.append(Count(f"stutters_{width}", f"{width} at once: stutters", found.stutters, most=0))
        claims.append(Count(f"busy_{width}", f"{width} at once: told Busy", found.busy))
    width, patience_s = 12, 2.0
    prompts = [script.stranger(f"voice {number}", 128) for number in range(width)]
    found = ours.run(engine_scenarios.speak_at_once, prompts=prompts, tokens=tokens, patience_s=patience_s)
    asked = f"{width} at once, patience {patience_s:g} s"
    claims.append(Count("crowded_spoke", f"{asked}: spoke", found.spoke, least=1))
    claims.append(Count("crowded_busy", f"{asked}: told Busy", found.busy, least=1))
    claims.append(Count("crowded_stutters", f"{asked}: stutters", found.stutters, most=0))
    late = max(0.0, found.longest - 1000 * patience_s)
    claims.append(Count("crowded_late_ms", f"{asked}: latest by, ms", late, most=500))
    return claims


def rotation(ours: Child, script: Script, shape: random_model.Shape, tokens: int, rounds: int) -> list[Claim]:
    """Measure four streams with two adapters, against one, against none."""
    red, blue = (str(random_model.adapter(shape, seed)) for seed in (1, 2))
    casts = {"none": [None] * 4, "one": [red] * 4, "two": [red, blue, red, blue]}
    prompts = [script.stranger(f"actor {number}", 64) for number in range(4)]
    found = ours.run(engine_scenarios.rotate, prompts=prompts, casts=casts, tokens=tokens, rounds=rounds)
    return [
        ratio("adapter", "a token of 4 streams, one adapter | none", found["one"], found["none"], None),
        ratio("adapters", "a token of 4 streams, two adapters | one", found["two"], found["one"], None),
    ]


def cache_kinds(ours: Child, counts: tuple[int, ...], length: int, steps: int) -> list[Claim]:
    """Measure decoding with residents, with a unified and with a split KV cache."""
    found = ours.run(engine_scenarios.residents, counts=counts, length=length, steps=steps)
    return [
        ratio(
            f"split_kv_{count}",
            f"beside {count} residents, split KV | unified",
            [found["split"][count]],
            [found["unified"][count]],
            None,
        )
        for count in counts
    ]
