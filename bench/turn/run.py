"""The turn benchmark: from the player's last audible sample to the first of the answer, with Pipecat and the floor.

`python -m bench turn` asks spoken questions in real time, of the real daemon over its socket and of Pipecat pipelines
of the same engines (pipecat_side.py), in turn. The tier `real` has faster-whisper, Piper and SmolLM2; the tier
`random` has pocketsphinx, espeak-ng and a random model that says the same sentence on every side
(fixed_reply_model.py). The profiles themselves are compared with their floor alone (lower_bound.py).
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
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
from bench.turn.audio_marks import Speech, piper_speech, speech
from bench.turn.conversations import Played, play
from bench.turn.lower_bound import HANGOVER_MS, Alone
from bench.turn.mythic_side import Ours, Player
from bench.turn.report import DEFAULT, HELD, OPEN, TUNED, TUNED_HELD
from bench.turn.targets import Claim, above, faster
from mythicd.client import talk
from mythicd.config.world_files import World
from mythicd.provisioning.model_store import model_store

ENDINGS = {TUNED: "tuned", DEFAULT: "default", TUNED_HELD: "held"}
"""Side -> how its pipeline ends a turn."""
N_CTX = 16384
BARE = {"profile": "starter", "server": {"port": 0}, "turn": {"murmurs": False}}
"""Settings of all daemons. Fillers are off: a hesitation before a late answer would be heard first."""
REAL_LLM = "smollm2-135m-instruct"
REAL_TOKENS = 40
"""Most tokens of an answer of the tier `real`: the untuned model does not end by itself."""
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
REAL_TALKS, REAL_TURNS = 7, 4
"""Sizes of the tier `real`, for 21 pairs without the first contacts."""
QUICK = Plan(random_model.SMALL, talks=1, turns=1, starter=0, notice_s=1.0, build_pairs=0, warm_up=False)


def run(*, quick: bool, only: str | None = None) -> int:
    """Run the benchmark, or one part of it (`random`, `real`, `profiles`), and return the exit code."""
    if importlib.util.find_spec("pipecat") is None or importlib.util.find_spec("xllamacpp") is None:
        print("Pipecat and xllamacpp are not installed. Run: make bench BENCH=turn", file=sys.stderr)
        return 2
    plan = QUICK if quick else FULL
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {what} …", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        tiers: dict[str, _Tier] = {}
        profiles: dict[str, Played] = {}
        if only in (None, "real"):
            larger = plan if quick else replace(plan, talks=REAL_TALKS, turns=REAL_TURNS)
            tiers["real"] = _Tier("Whisper, Piper, SmolLM2", _real(Path(folder), larger, say), None)
        if only in (None, "random"):
            tiers["random"] = _Tier(plan.shape.name, _random(Path(folder), plan, say), turn_world.REPLY)
        if plan.starter and only in (None, "profiles"):
            profiles = {name: _profile(Path(folder), name, plan, say) for name in ("starter", "cpu")}
    console = Console(highlight=False, width=110)
    claims: list[Claim] = []
    figures: dict[str, float | int | str | None] = {}
    wrong: dict[str, int] = {}
    for key, tier in tiers.items():
        claims += _claims(key, tier)
        console.print(report.table(f"the turn, {tier.title}", tier.played))
        console.print(report.farthest(tier.title, tier.played))
        for name, side in (("open microphone", OPEN), ("push-to-talk", HELD)):
            marks = [answer.marks for answer in tier.played.answers[side]]
            console.print(report.waterfall(f"Mythic, {tier.title}, {name}: where the time goes", marks))
        checks = report.checks(tier.played, tier.reply)
        figures |= {f"{key}_{name}": value for name, value in {**report.figures(tier.played), **checks}.items()}
        # Recognisers and models of the real tier may differ in a word; what differs is reported.
        wrong |= {f"{key}_{name}": number for name, number in checks.items() if number and tier.reply is not None}
        if not quick:
            report.draw(SVG if key == "random" else SVG.with_stem(f"{SVG.stem}-{key}"), tier.played)
    for name, played in profiles.items():
        console.print(report.table(f"the turn, profile {name}", played))
        console.print(report.farthest(f"profile {name}", played))
        claims += _floor_claims(played, name, f"profile {name}", *PROFILE_FLOORS[name])
    if wrong:
        console.print(f"[red]the sides are not comparable: {wrong}[/]")
    figures |= targets.figures(claims)
    if quick:  # one question to each side, with cold caches: it shows that everything works, and claims nothing
        claims = []
    ok = not wrong and all(claim.met for claim in claims)
    return finish("turn", targets.table("what is claimed", claims), figures, ok=ok)


# --- the sides -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tier:
    """The engines that all sides have, and what was measured with them."""

    title: str
    played: Played
    reply: str | None
    """What every side must answer; None where the model writes its own words."""


def _random(folder: Path, plan: Plan, say: Callable[[str], None]) -> Played:
    """Play the talks with the random model and the starter's recogniser and voice."""
    from bench.turn.pipecat_services import Starter  # here, since the rest works without Pipecat

    world = turn_world.build(folder / "random_world", plan.talks + 1)
    model = fixed_reply_model.model(plan.shape, list(turn_world.texts(world)), turn_world.REPLY)
    if plan.build_pairs:
        say(f"{plan.shape.name}: each build of llama.cpp by itself")
        _compare_builds(model, plan.build_pairs)
    overrides = {
        **BARE,
        "gpu": {"llm_model": str(model), "ctx_tokens": N_CTX},
        "llm": {"grounded": False, "threads": 1, "temperature": 0},
        "kv": {"max_ctx_tokens": 4096},
        "rag": {"budgets": {"persona": 1000}},
    }
    said = [speech(question, talk.synthesise(question)) for question in turn_world.QUESTIONS]
    return _talks(folder, "random", world, model, overrides, Starter(_models()), said, plan, say)


def _real(folder: Path, plan: Plan, say: Callable[[str], None]) -> Played:
    """Play the talks with Whisper, Piper and SmolLM2."""
    from bench.turn.pipecat_services import Own

    world = turn_world.build(folder / "real_world", plan.talks + 1)
    store = model_store(_data(folder / "real_models"))
    voice = store.find(turn_world.PIPER_VOICE, "tts")
    overrides = {
        **BARE,
        "profile": "cpu",
        "gpu": {"llm_model": REAL_LLM, "ctx_tokens": N_CTX},
        "llm": {"grounded": False, "threads": 1, "temperature": 0, "max_tokens": REAL_TOKENS},
        "kv": {"max_ctx_tokens": 2048},
        "rag": {"budgets": {"persona": 1000}},
    }
    said = [speech(question, piper_speech(voice, question)) for question in turn_world.QUESTIONS]
    services = Own(store.find("whisper-tiny.en", "asr"), voice)
    return _talks(folder, "real", world, store.find(REAL_LLM, "llm"), overrides, services, said, plan, say)


def _talks(
    folder: Path,
    name: str,
    world: World,
    model: Path,
    overrides: Mapping[str, Any],
    services: object,
    said: Sequence[Speech],
    plan: Plan,
    say: Callable[[str], None],
) -> Played:
    """Play the talks on all sides."""
    from bench.turn.pipecat_side import Pipecat, learn

    npcs = [turn_world.npc_id(number) for number in range(plan.talks + 1)]
    tokens = overrides["llm"].get("max_tokens", 64)
    say(f"{name}: starting")
    with ExitStack() as stack:
        servers = {
            side: stack.enter_context(Child(f"server of {side}", llama_server.Server, model=model, n_ctx=N_CTX))
            for side in ENDINGS
        }
        engines = stack.enter_context(_engines(folder / name, {**overrides, "world": str(world.path)}))
        peers: dict[str, Child] = {}
        for side, ending in ENDINGS.items():
            where = servers[side].run(llama_server.address)
            peer = Child(
                side, Pipecat, world=world.path, services=services, server=where, ending=ending, max_tokens=tokens
            )
            peers[side] = stack.enter_context(peer)
        sides = {**stack.enter_context(_players(engines)), **peers}
        found = engines.alone.run(lower_bound.found, npc=npcs[0], questions=turn_world.QUESTIONS)
        for peer in peers.values():
            peer.run(learn, found=found)
        if plan.warm_up:
            say(f"{name}: warming up")
            _play(sides, engines, plan, said[:1], npcs[-1:], 1)
        return _play(sides, engines, plan, said, npcs[:-1], plan.turns, say)


def _profile(folder: Path, name: str, plan: Plan, say: Callable[[str], None]) -> Played:
    """Play a talk with a profile as it comes."""
    say(f"profile {name}: starting")
    if name == "starter":
        said = [speech(question, talk.synthesise(question)) for question in STARTER_QUESTIONS]
    else:
        store = model_store(_data(folder / f"{name}_models"))
        voice = store.find(turn_world.PIPER_VOICE, "tts")
        said = [speech(question, piper_speech(voice, question)) for question in STARTER_QUESTIONS]
    with ExitStack() as stack:
        engines = stack.enter_context(_engines(folder / f"profile_{name}", {**BARE, "profile": name}))
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


def _compare_builds(model: Path, rounds: int) -> None:
    """Print the times of the two builds of llama.cpp, which are part of every ratio."""
    builds = build_baseline.compare(model, rounds)
    for pairs, work in ((builds.short, "a prompt of 96 tokens"), (builds.step, "a step of one stream")):
        mine, other = (figure(interval(times).median) for times in (pairs.ours, pairs.theirs))
        print(f"  {work}: {mine} ms here, {other} ms in the server's build", file=sys.stderr)


# --- results ---------------------------------------------------------------------------------------------------------


PROFILE_FLOORS = {"starter": (1.3, 1.6), "cpu": (1.4, 1.8)}
"""Largest median and p95 of a profile's wait over its floor."""
TIER_FLOORS = {"random": (1.3, 1.6), "real": (1.4, 1.8)}
RATIOS = {
    "random": {"tuned": (2.0, 1.5), "default": (2.5, 1.8), "contact": (3.0, 2.25), "held": (2.0, 1.5)},
    "real": {"tuned": (3.0, 0.0), "default": (3.5, 0.0), "contact": (3.0, 0.0), "held": (3.0, 0.0)},
}
"""Least ratio to Pipecat: of the median, and of the low end of its interval."""


def _claims(key: str, tier: _Tier) -> list[Claim]:
    claims: list[Claim] = []
    played, least = tier.played, RATIOS[key]

    def add(name: str, title: str, ours: str, theirs: str, contact: bool, kind: str) -> None:
        mine, others = (played.waits(side, contact=contact) for side in (ours, theirs))
        if mine:  # a quick run has first contacts only
            median, bad_end = least[kind]
            title = f"{key}, {title}"
            claims.append(faster(f"{key}_{name}", title, mine, others, median=median, bad_end=bad_end))

    add("tuned", "open microphone | Pipecat, tuned", OPEN, TUNED, False, "tuned")
    add("default", "open microphone | Pipecat as it comes", OPEN, DEFAULT, False, "default")
    add("contact_tuned", "first contact | Pipecat, tuned", OPEN, TUNED, True, "contact")
    add("contact_default", "first contact | Pipecat as it comes", OPEN, DEFAULT, True, "contact")
    add("held", "push-to-talk | Pipecat, tuned, same key", HELD, TUNED_HELD, False, "held")
    return claims + _floor_claims(played, key, tier.title, *TIER_FLOORS[key])


def _floor_claims(played: Played, key: str, title: str, median: float, p95: float) -> list[Claim]:
    claims: list[Claim] = []
    for told, whose, marked in ((False, "floor", ""), (True, "floor, lore told", "_told")):
        for side, name, hangover in ((OPEN, "open microphone", HANGOVER_MS), (HELD, "push-to-talk", 0.0)):
            floors = played.floor(hangover, told=told)
            named = f"{title}, {name} | {whose}"
            claims.append(above(f"{key}_{side}{marked}", named, played.waits(side), floors, median=median, p95=p95))
    return claims
