"""The barge-in benchmark: does a character speak on at "mm-hm", and stop at "stop"?

A player asks the real daemon with the profile `cpu`, over its socket and in real time; during the answer something is
said into the open microphone (utterances.py), in three levels of noise. Every voice is ducked first, and then restored
or cut. After a cut no more of it may arrive, and the history must have the beginning of the line. The policy alone is
tested first, with more voices (barge_in_offline.py). Five cases share a playthrough; its first reply is heard in
silence, from which the daemon learns that there is no echo. espeak-ng's samples vary, so runs differ by a case or two.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from bench.child_process import Child
from bench.open_mic import barge_in_offline
from bench.open_mic.microphone import Room, until
from bench.open_mic.utterances import BACKCHANNELS, INTERRUPTIONS, noise, spoken
from bench.report import finish
from bench.stats import percentile
from bench.turn.mythic_side import Ours
from mythicd.audio.pcm import Clip
from mythicd.client.daemon_client import DaemonClient
from mythicd.errors import DaemonUnreachable
from mythicd.wire import messages as m

NPC = "barkeep_01"
ASKED = "What can you tell me about the market, the harbor, and the tavern?"
"""A question with an answer long enough to be interrupted."""
ONSET_S = (0.3, 1.2)
"""Earliest and latest speech within the answer, in seconds."""
SETTLE_S = 1.0
"""Seconds without a message after which a case is over."""
CASE_TIMEOUT_S = 60.0
"""Longest case, in seconds; then it has failed, and the run with it."""
GROUP = 5
QUICK_CASES = 2
ROUNDS = 5
"""Rounds of the policy alone, each over all cases."""
MIN_WENT_ON = 0.90
MIN_STOPPED = 0.95


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one case. Times are in milliseconds from the first sample of what is said."""

    text: str
    ducked_ms: float | None
    """Time of the ducking; None if the speech was not noticed."""
    restored_ms: float | None
    """Time at which the voice was restored."""
    cut_ms: float | None
    """Time of the cut; None if the character spoke on."""
    frames_after: int
    """Frames of the voice that arrived after the cut."""
    is_true: bool
    """Whether the history has the beginning of the line, or all of it if the character spoke on."""


def run(*, quick: bool = False) -> int:
    """Print the table; return 1 when a target is missed."""
    cases = QUICK_CASES if quick else len(BACKCHANNELS)
    with tempfile.TemporaryDirectory(prefix="mythic-bench-") as folder:
        over_alone, against_alone = asyncio.run(
            barge_in_offline.sweep(Path(folder), range(1 if quick else ROUNDS), cases)
        )
    with (
        tempfile.TemporaryDirectory(prefix="mythic-bench-") as folder,
        Child("daemon", Ours, data=Path(folder), overrides={"profile": "cpu", "server": {"port": 0}}) as daemon,
    ):
        daemon.wait()
        over = asyncio.run(_talk_over(Path(folder), "sign", BACKCHANNELS[:cases]))
        against = asyncio.run(_talk_over(Path(folder), "interruption", INTERRUPTIONS[:cases]))
    went_on = sum(outcome.cut_ms is None for outcome in over) / len(over)
    stopped = sum(outcome.cut_ms is not None for outcome in against) / len(against)
    for outcome in (*(one for one in over if one.cut_ms is not None), *(one for one in against if one.cut_ms is None)):
        print(f"wrong: {outcome}")
    table = Table(title="Speech over a character's voice", title_justify="left")
    for column in ("", "as intended", "target", "ducked after ms", "p95", "decided after ms", "p95"):
        table.add_column(column, justify="right" if column else "left")
    figures: dict[str, float | int | str | None] = {"cases": cases}
    alone_ok = True
    for key, name, target, judged in (
        ("signs", "backchannels, policy alone", MIN_WENT_ON, over_alone),
        ("interruptions", "interruptions, policy alone", MIN_STOPPED, against_alone),
    ):
        verdicts = [one.stopped_ms for one in judged if one.stopped_ms is not None]
        right = len(judged) - len(verdicts) if key == "signs" else len(verdicts)
        share = right / len(judged)
        alone_ok = alone_ok and share >= target
        table.add_row(f"{name}, {len(judged)}", f"{share:.1%}", f"≥ {target:.0%}", "–", "–", *_middle_and_end(verdicts))
        figures |= {f"{key}_alone": len(judged), f"{key}_alone_as_meant": round(share, 3)}
    for key, name, share, target, outcomes in (
        ("signs", "backchannels, over the socket", went_on, MIN_WENT_ON, over),
        ("interruptions", "interruptions, over the socket", stopped, MIN_STOPPED, against),
    ):
        ducked = [one.ducked_ms for one in outcomes if one.ducked_ms is not None]
        decisions = [one.restored_ms if one.cut_ms is None else one.cut_ms for one in outcomes]
        decided = [at for at in decisions if at is not None]
        cells = [*_middle_and_end(ducked), *_middle_and_end(decided)]
        table.add_row(f"{name}, {len(outcomes)}", f"{share:.0%}", f"≥ {target:.0%}", *cells)
        figures |= {
            f"{key}_as_meant": round(share, 3),
            f"{key}_unnoticed": len(outcomes) - len(ducked),
            f"{key}_decided_ms": round(statistics.median(decided)) if decided else None,
        }
    figures["frames_after_a_cut"] = sum(one.frames_after for one in (*over, *against))
    figures["lines_not_as_heard"] = sum(not one.is_true for one in (*over, *against))
    clean = not figures["frames_after_a_cut"] and not figures["lines_not_as_heard"]
    return finish(
        "barge_in", table, figures, ok=clean and alone_ok and went_on >= MIN_WENT_ON and stopped >= MIN_STOPPED
    )


def _middle_and_end(values: Sequence[float]) -> tuple[str, str]:
    return (f"{statistics.median(values):.0f}", f"{percentile(values, 0.95):.0f}") if values else ("–", "–")


async def _talk_over(data: Path, kind: str, sayings: Sequence[str]) -> list[Outcome]:
    """Say each of these over an answer, and return the outcomes."""
    dice = random.Random(kind)
    outcomes: list[Outcome] = []
    for first in range(0, len(sayings), GROUP):
        print(f"  {kind} {first + 1} to {first + GROUP} of {len(sayings)} …", file=sys.stderr)
        hello = m.Hello(game="bench", client="bench", playthrough=f"{kind}-{first + 1}")
        async with await DaemonClient.connect(data, hello) as client:
            await client.send(m.Attend(npc_id=NPC))
            async with Room(client, NPC, noise=noise(first)) as room:
                await client.send(m.TextInput(npc_id=NPC, text=ASKED))
                await until(client, m.TurnTimeline)
                await _settle(client)
                for number, text in enumerate(sayings[first : first + GROUP], first):
                    async with asyncio.timeout(CASE_TIMEOUT_S):
                        outcomes.append(await _say(client, room, text, spoken(text, number), dice.uniform(*ONSET_S)))
    return outcomes


async def _say(client: DaemonClient, room: Room, text: str, clip: Clip, onset_s: float) -> Outcome:
    await client.send(m.TextInput(npc_id=NPC, text=ASKED))
    start = (await until(client, m.StreamStart))[-1]
    assert isinstance(start, m.StreamStart)
    voice = client.streams[start.stream]
    await asyncio.sleep(onset_s)
    begun = time.monotonic()
    saying = asyncio.create_task(room.say(clip), name=f"says {text}")
    ducked = restored = cut = None
    frames = 0
    async for message in client.events():
        now = 1000 * (time.monotonic() - begun)
        match message:
            case m.Duck() if message.stream == start.stream and message.gain_db < 0:
                ducked, restored = ducked or now, None
            case m.Duck() if message.stream == start.stream:
                restored = now
            case m.Cutoff() if message.stream == start.stream:
                cut, frames = now, len(voice.frames)
            case m.TurnTimeline() if message.turn_id == start.turn_id:
                break
    else:
        raise DaemonUnreachable("The daemon closed the connection during a case.", remedy="See the daemon's log.")
    await saying
    await _settle(client)
    after = 0 if cut is None else len(voice.frames) - frames
    heard = message.played.removesuffix("—").rstrip()
    is_true = message.reply.startswith(heard) if cut is not None else message.played == message.reply
    return Outcome(text, ducked, restored, cut, after, is_true)


async def _settle(client: DaemonClient) -> None:
    """Wait until there is no voice, whatever the character did."""
    while True:
        try:
            async with asyncio.timeout(SETTLE_S):
                await anext(client.events())
        except TimeoutError:
            if all(voice.playback.stopped for voice in client.streams.values()):
                return
