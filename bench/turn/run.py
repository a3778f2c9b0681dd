"""The turn benchmark: from the player's last audible sample to the first of the answer, with Pipecat and the floor.

`python -m bench turn` asks spoken questions in real time, of the real daemon over its socket and of Pipecat pipelines
of the same engines (pipecat_side.py), in turn: a random model of 143 million weights that says the same sentence on
every side (fixed_reply_model.py), pocketsphinx, espeak-ng. The floor is in lower_bound.py. The starter profile is
compared with its floor alone. docs/benchmarks.md explains each row.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import random_model
from bench.child_process import Child
from bench.llm import build_baseline
from bench.report import finish
from bench.stats import figure, interval
from bench.turn import fixed_reply_model, llama_server, lower_bound, report, targets
from bench.turn import world as turn_world
from bench.turn.audio_marks import Speech, speech
from bench.turn.conversations import Played, play
from bench.turn.lower_bound import HANGOVER_MS, Alone
from bench.turn.mythic_side import Ours, Player
from bench.turn.report import DEFAULT, HELD, OPEN, TUNED, TUNED_HELD
from bench.turn.targets import Claim, above, faster
from mythicd.client import talk

ENDINGS = {TUNED: "tuned", DEFAULT: "default", TUNED_HELD: "held"}
"""Side -> how its pipeline ends a turn."""
N_CTX = 16384
BARE = {"server": {"port": 0}, "turn": {"murmurs": False}}
"""Settings of all daemons. Fillers are off: a hesitation before a late answer would be heard first."""
STARTER_NPC = "barkeep_01"
STARTER_QUESTIONS = (
    "When does the tavern open?",
    "Where is the market?",
    "Who is the harbor master?",
    "Where is the lighthouse?",
    "When does the tavern close?",
)
SVG = Path("docs/bench-turn.svg")


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of a run."""

    shape: random_model.Shape
    talks: int
    turns: int
    """Questions of a talk, the first contact among them."""
    starter: int
    """Questions of the starter profile."""
    notice_s: float
    """Seconds before the first question at which a character comes into view."""
    build_pairs: int
    """Rounds of the comparison of the two builds of llama.cpp."""
    warm_up: bool
    """Whether there is a warm-up talk that does not count."""


# 24 questions of each tier: with 18 the 95th percentile is nearly the worst one, which the machine causes.
FULL = Plan(random_model.FULL, talks=8, turns=3, starter=24, notice_s=2.0, build_pairs=3, warm_up=True)
QUICK = Plan(random_model.SMALL, talks=1, turns=1, starter=0, notice_s=1.0, build_pairs=0, warm_up=False)


def run(*, quick: bool) -> int:
    """Run the benchmark, and return the exit code."""
    if importlib.util.find_spec("pipecat") is None or importlib.util.find_spec("xllamacpp") is None:
        print("Pipecat and xllamacpp are not installed. Run: make bench BENCH=turn", file=sys.stderr)
        return 2
    plan = QUICK if quick else FULL
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {what} …", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        played = _tier(Path(folder), plan, say)
        claims = _claims(played, plan.shape.name)
        checks = report.checks(played)
        starter = _starter(Path(folder), plan, say) if plan.starter else None
    if starter is not None:
        claims += _floor_claims(starter, "starter", "starter profile")
    console = Console(highlight=False, width=110)
    console.print(report.table(f"the turn, {plan.shape.name}", played))
    if starter is not None:
        console.print(report.table("the turn, starter profile", starter))
    for name, kept_of in ((plan.shape.name, played), ("starter profile", starter)):
        if kept_of is not None:
            console.print(report.farthest(name, kept_of))
    for name, kept in (("open microphone", played.answers[OPEN]), ("push-to-talk", played.answers[HELD])):
        console.print(report.waterfall(f"Mythic, {name}: where the time goes", [answer.marks for answer in kept]))
    if not quick:
        report.draw(SVG, played)
    wrong = {name: number for name, number in checks.items() if number}
    if wrong:
        console.print(f"[red]the sides are not comparable: {wrong}[/]")
    figures = {**report.figures(played), **targets.figures(claims), **checks}
    if quick:  # one question to each side, with cold caches: it shows that everything works, and claims nothing
        claims = []
    ok = not wrong and all(claim.met for claim in claims)
    return finish("turn", targets.table("what is claimed", claims), figures, ok=ok)


# --- the sides -------------------------------------------------------------------------------------------------------


def _tier(folder: Path, plan: Plan, say: Callable[[str], None]) -> Played:
    """Play the talks with the large model, on all sides."""
    from bench.turn.pipecat_side import Pipecat, learn  # here, since the rest works without it

    world_folder = folder / "world"
    world = turn_world.build(world_folder, plan.talks + 1)
    model = fixed_reply_model.model(plan.shape, list(turn_world.texts(world)), turn_world.REPLY)
    said = _speeches(turn_world.QUESTIONS)
    npcs = [turn_world.npc_id(number) for number in range(plan.talks + 1)]
    if plan.build_pairs:
        say(f"{plan.shape.name}: each build of llama.cpp by itself")
        _compare_builds(model, plan.build_pairs)
    overrides = {
        **BARE,
        "world": str(world_folder),
        "gpu": {"llm_model": str(model), "ctx_tokens": N_CTX},
        "llm": {"grounded": False, "threads": 1, "temperature": 0},
        "kv": {"max_ctx_tokens": 4096},
        "rag": {"budgets": {"persona": 1000}},
    }
    say(f"{plan.shape.name}: starting")
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(Child(f"server of {name}", llama_server.Server, model=model, n_ctx=N_CTX))
            for name in ENDINGS
        }
        engines = stack.enter_context(_engines(folder / "tier", overrides))
        peers: dict[str, Child] = {}
        for name, ending in ENDINGS.items():
            where = servers[name].run(llama_server.address)
            peer = Child(name, Pipecat, world=world_folder, models=_models(), server=where, ending=ending)
            peers[name] = stack.enter_context(peer)
        sides = {**stack.enter_context(_players(engines)), **peers}
        found = engines.alone.run(lower_bound.found, npc=npcs[0], questions=turn_world.QUESTIONS)
        for peer in peers.values():
            peer.run(learn, found=found)
        if plan.warm_up:
            say(f"{plan.shape.name}: warming up")
            _play(sides, engines, plan, said[:1], npcs[-1:], 1)
        return _play(sides, engines, plan, said, npcs[:-1], plan.turns, say)


def _starter(folder: Path, plan: Plan, say: Callable[[str], None]) -> Played:
    """Play a talk with the starter profile."""
    say("starter profile: starting")
    said = _speeches(STARTER_QUESTIONS)
    with ExitStack() as stack:
        engines = stack.enter_context(_engines(folder / "starter", BARE))
        sides = stack.enter_context(_players(engines))
        _play(sides, engines, plan, said[:1], [STARTER_NPC], 1)
        return _play(sides, engines, plan, said, [STARTER_NPC], plan.starter, say)


@dataclass(frozen=True, slots=True)
class _Engines:
    """A daemon, and the same engines without one."""

    daemon: Child
    alone: Child
    data: Path
    """The daemon's data dir."""


@contextmanager
def _engines(folder: Path, overrides: Mapping[str, Any]) -> Iterator[_Engines]:
    """Start a daemon, and its engines without it."""
    is_first = not any(_models().iterdir())
    data = {name: _data(folder / name) for name in ("alone", "daemon")}
    with ExitStack() as stack:
        alone = stack.enter_context(Child("engines alone", Alone, data=data["alone"], overrides=overrides))
        if is_first:
            alone.wait()  # it fills the shared folder
        daemon = stack.enter_context(Child("daemon", Ours, data=data["daemon"], overrides=overrides))
        yield _Engines(daemon, alone, data["daemon"])


@contextmanager
def _players(engines: _Engines) -> Iterator[dict[str, Child]]:
    """Connect a player with an open microphone and one with a key."""
    engines.daemon.wait()
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Child(name, Player, data=engines.data, mode=mode))
            for name, mode in ((OPEN, "open"), (HELD, "push_to_talk"))
        }


def _play(
    sides: Mapping[str, Child],
    engines: _Engines,
    plan: Plan,
    said: Sequence[Speech],
    npcs: Sequence[str],
    turns: int,
    say: Callable[[str], None] = lambda what: None,
) -> Played:
    return play(sides, engines.daemon, engines.alone, said, npcs, turns, notice_s=plan.notice_s, say=say)


def _data(folder: Path) -> Path:
    """Create a data dir that shares its models with other runs."""
    folder.mkdir(parents=True)
    (folder / "models").symlink_to(_models(), target_is_directory=True)
    return folder


def _models() -> Path:
    path = random_model.cache_dir() / "models"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _speeches(questions: Sequence[str]) -> list[Speech]:
    return [speech(question, talk.synthesise(question)) for question in questions]


def _compare_builds(model: Path, rounds: int) -> None:
    """Print the times of the two builds of llama.cpp, which are part of every ratio."""
    builds = build_baseline.compare(model, rounds)
    for pairs, work in ((builds.short, "a prompt of 96 tokens"), (builds.step, "a step of one stream")):
        mine, other = (figure(interval(times).median) for times in (pairs.ours, pairs.theirs))
        print(f"  {work}: {mine} ms here, {other} ms in the server's build", file=sys.stderr)


# --- results ---------------------------------------------------------------------------------------------------------


def _claims(played: Played, tier: str) -> list[Claim]:
    claims: list[Claim] = []

    def add(key: str, name: str, ours: str, theirs: str, contact: bool, median: float, bad_end: float) -> None:
        mine, others = (played.waits(side, contact=contact) for side in (ours, theirs))
        if mine:  # a quick run has first contacts only
            claims.append(faster(key, name, mine, others, median=median, bad_end=bad_end))

    add("tuned", "open microphone | Pipecat, tuned", OPEN, TUNED, False, 2.0, 1.5)
    add("default", "open microphone | Pipecat as it comes", OPEN, DEFAULT, False, 2.5, 1.8)
    add("contact_tuned", "first contact | Pipecat, tuned", OPEN, TUNED, True, 3.0, 2.25)
    add("contact_default", "first contact | Pipecat as it comes", OPEN, DEFAULT, True, 3.0, 2.25)
    add("held", "push-to-talk | Pipecat, tuned, same key", HELD, TUNED_HELD, False, 2.0, 1.5)
    return claims + _floor_claims(played, "tier", tier)


def _floor_claims(played: Played, key: str, tier: str) -> list[Claim]:
    claims: list[Claim] = []
    for told, whose, marked in ((False, "floor", ""), (True, "floor, lore told", "_told")):
        for side, name, hangover in ((OPEN, "open microphone", HANGOVER_MS), (HELD, "push-to-talk", 0.0)):
            floors = played.floor(hangover, told=told)
            claims.append(above(f"{key}_{side}{marked}", f"{tier}, {name} | {whose}", played.waits(side), floors))
    return claims
