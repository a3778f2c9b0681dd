"""The turn: from the player's last voiced sample to the first sample of the answer that can be heard.

Spoken questions go over the real socket at real-time pace into a daemon of the starter profile, with push-to-talk (the
key is let go with the last sample). Beside that stands the floor: the same engines, called one after another on the
same questions with nothing around them; it is what no arrangement of them could go below without working ahead:

    floor = recogniser's finish + embedding + search + prefill and tokens up to the first phrase + its first chunk

There is no target yet. The client's own jitter buffer (40 ms) is inside the measured time and outside the floor.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from bench.report import finish
from mythicd import hosts, talk, wire
from mythicd import messages as m
from mythicd.actions import Actions
from mythicd.app import Daemon
from mythicd.audio import Clip
from mythicd.client import DaemonClient
from mythicd.config import Settings, load_settings
from mythicd.dialogue import prompt
from mythicd.dialogue.history import History
from mythicd.engines import MIC_RATE, LlmRequest, Prompt, Sampling, TextDelta
from mythicd.intercom import Intercom
from mythicd.library import Library
from mythicd.memory.records import Scope
from mythicd.paths import find
from mythicd.thought import Thought
from mythicd.timeline import percentile
from mythicd.tts.phrases import PhraseBuffer
from mythicd.world import House, Stage

NPC = "barkeep_01"
QUESTIONS = (
    "When does the tavern open?",
    "Where is the market?",
    "Who is the harbor master?",
    "Where is the lighthouse?",
    "When does the tavern close?",
)
PREBUFFER_MS = 40.0


@dataclass(frozen=True, slots=True)
class Floor:
    """What the engines alone need for one question, in milliseconds."""

    asr: float
    embed: float
    search: float
    llm: float
    tts: float

    @property
    def total(self) -> float:
        """All of it, one after the other."""
        return self.asr + self.embed + self.search + self.llm + self.tts


class _Nowhere:
    """An outlet that nobody listens to."""

    def send(self, message: m.ServerMessage) -> None:
        """Drop it."""

    def send_frame(self, frame: wire.Frame) -> None:
        """Drop it."""

    def drop_media(self, stream: int) -> None:
        """There is none."""

    def close(self, code: int, reason: str) -> None:
        """It never was open."""


def run(*, quick: bool) -> int:
    """Run the benchmark; return the exit code."""
    rounds = 5 if quick else 20
    clips = [talk.synthesise(question) for question in QUESTIONS]
    with tempfile.TemporaryDirectory() as folder:
        turns = asyncio.run(measure_turns(Path(folder), clips, rounds))
        floors = asyncio.run(measure_floors(Path(folder), clips, rounds))
    latencies = [turn["first_audible"] for turn in turns]
    table = Table(title=f"push-to-talk, {rounds} turns, starter profile (ms)", title_justify="left")
    for column in ("", "p50", "p95", "min", "max"):
        table.add_column(column, justify="left" if not column else "right")

    def row(name: str, values: list[float]) -> None:
        table.add_row(name, *(f"{value:.1f}" for value in (*_spread(values), min(values), max(values))))

    row("speech_end → first audible", latencies)
    steps = ["hard_end", "asr_final", "context_ready", "prefill_done", "llm_first_token", "first_phrase"]
    steps += ["tts_first_chunk", "first_audio_sent", "playback_started", "first_audible"]
    for before, after in zip(["speech_end", *steps], steps, strict=False):
        row(f"  … {before} → {after}", [turn[after] - turn[before] for turn in turns if {before, after} <= turn.keys()])
    row("floor: the engines alone", [floor.total for floor in floors])
    for part in ("asr", "embed", "search", "llm", "tts"):
        row(f"  … {part}", [getattr(floor, part) for floor in floors])
    p50, p95 = _spread(latencies)
    floor_p50, floor_p95 = _spread([floor.total for floor in floors])
    figures = {
        "turns": rounds,
        "answered_by_the_model": sum("prefill_done" in turn for turn in turns),
        "latency_p50_ms": round(p50, 1),
        "latency_p95_ms": round(p95, 1),
        "floor_p50_ms": round(floor_p50, 1),
        "floor_p95_ms": round(floor_p95, 1),
        "over_floor_p50": round(p50 / floor_p50, 2),
        "client_prebuffer_ms": PREBUFFER_MS,
    }
    return finish("turn", table, figures, ok=True)


async def measure_turns(data: Path, clips: list[Clip], rounds: int) -> list[dict[str, float]]:
    """Ask `rounds` spoken questions over the socket; return each turn's marks, ms after speech_end."""
    daemon = Daemon(data, {"server": {"port": 0}})
    await daemon.start()
    turns: list[dict[str, float]] = []
    try:
        hello = m.Hello(game="bench", client="bench")
        async with await DaemonClient.connect(data, hello, prebuffer_ms=PREBUFFER_MS) as client:
            await client.send(m.Attend(npc_id=NPC))
            for number in range(rounds + 1):
                await client.speak(NPC, clips[number % len(clips)])
                done = (await client.turn())[-1]
                if not isinstance(done, m.TurnTimeline) or "first_audible" not in done.marks:
                    raise RuntimeError(f"A turn went wrong: {done}")
                if number:  # the first one finds cold caches; it is another benchmark's business
                    turns.append(done.marks)
                await asyncio.sleep(0.2)
    finally:
        await daemon.stop()
    return turns


async def measure_floors(data: Path, clips: list[Clip], rounds: int) -> list[Floor]:
    """Call each engine alone, back to back, on the same questions."""
    settings = load_settings(find("profiles", "starter", data))
    engines = hosts.build(settings, data)
    await engines.start()
    try:
        house = House(Library(find("worlds", settings.world, data)), engines.rooms(), settings, notices=[])
        await house.warm()
        stage = Stage(house, Scope("bench", "default", "player", "floor"), _Nowhere())
        await house.refresh(stage.scope)
        return [await _floor(clips[number % len(clips)], stage, house, settings) for number in range(rounds)]
    finally:
        await engines.stop()


async def _floor(clip: Clip, stage: Stage, house: House, settings: Settings) -> Floor:
    rooms = house.rooms
    ear = await rooms.asr.open()
    sound = clip.at(MIC_RATE).pcm
    for at in range(0, len(sound), 640):
        await ear.push(sound[at : at + 640].ljust(640, b"\0"))
    begun = time.perf_counter()
    words = (await ear.finish()).text or "hello"
    heard = time.perf_counter()
    if rooms.embedder is not None:
        await rooms.embedder.embed([words])
    embedded = time.perf_counter()

    actions = Actions(
        NPC,
        "floor",
        send=lambda message: None,
        record=lambda record: None,
        intercom=Intercom(),
        clock=time.monotonic,
        wall=time.time,
    )
    thought = Thought(
        NPC, stage, rooms, History(), actions, send=lambda message: None, clock=time.monotonic, wall=time.time
    )
    await thought.anticipate(words)
    before_search = time.perf_counter()
    question = await thought.recall("t-1", words, understood=True, seed=1)
    searched = time.perf_counter()

    resting = thought.resting_prompt()
    await rooms.llm.attend(NPC, resting)
    built = Prompt(resting.world, resting.character, (), (prompt.turn_message(words, question.sections),))
    request = LlmRequest(NPC, "t-1", built, (), Sampling(temperature=0, max_tokens=settings.llm.max_tokens))
    phrases = PhraseBuffer()
    first = ""
    before_llm = time.perf_counter()
    async with aclosing(rooms.llm.generate(request)) as events:
        async for event in events:
            if isinstance(event, TextDelta) and (ready := phrases.add(event.text, time.monotonic())):
                first = ready[0].text
                break
    first = first or "".join(phrase.text for phrase in phrases.finish()) or "Hm."
    written = time.perf_counter()
    async with aclosing(rooms.tts.speak(first, stage.voice(NPC))) as chunks:
        async for _ in chunks:
            break
    spoken = time.perf_counter()
    return Floor(
        asr=1000 * (heard - begun),
        embed=1000 * (embedded - heard),
        search=1000 * (searched - before_search),
        llm=1000 * (written - before_llm),
        tts=1000 * (spoken - written),
    )


def _spread(values: list[float]) -> tuple[float, float]:
    return statistics.median(values), percentile(values, 0.95)
