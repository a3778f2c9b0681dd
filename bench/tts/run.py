"""The voice benchmark: when does a sentence begin to sound, what does it cost, and who has to wait?

Piper's own package and the Piper engine speak the same sentences in turn, on one thread each, in one process. Then
four characters speak at once on two workers, each to a listener in real time. Last, sentences are cut off.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from dataclasses import dataclass

import psutil
from rich import box
from rich.table import Table

from bench.report import finish
from bench.stats import figure, percentile, speedup
from bench.tts.sentences import LONG, SHORT
from bench.tts.sides import Spoken, dry_s, engine, freed_s, largest_difference, ours, piper, theirs, voice_file, whole
from mythicd.tts.piper.loading import load_voice
from mythicd.tts.piper.voice import LoadedVoice

LONG_S = 2.5
"""Shortest duration of a sentence that counts as long, in seconds."""
MIN_SOONER = 2.5
"""Least ratio of Piper's first sound to ours, at the median of long sentences."""
MAX_RTF = 0.25
MAX_DIFFERENCE = 1e-4
PITCHES = (0.0, 4.5, -2.0, 1.5)
"""Of the characters who speak at once, in semitones: a moved voice is resampled."""
MAX_FREED = 1.0
"""Longest time until a worker is free after a cancellation, at the median, as a share of the longest piece."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One row of the table."""

    name: str
    value: str
    target: str
    is_met: bool | None
    """None for a row without a target."""


def run(*, quick: bool = False) -> int:
    """Print the table; return 1 when a target is missed."""
    return asyncio.run(_measured(quick))


async def _measured(quick: bool) -> int:
    texts = [*SHORT[:: 4 if quick else 1], *LONG[:: 4 if quick else 1]]
    rounds = 1 if quick else 3
    voice, peer = load_voice(voice_file(), threads=1, device="cpu"), piper()
    figures: dict[str, float | int | str | None] = {"sentences": len(texts), "rounds": rounds}
    claims = [*await _first_sound(texts, rounds, voice, peer, figures)]
    difference = max(largest_difference(voice, peer, text) for text in texts[:: 1 if quick else 2])
    figures["largest_difference"] = difference
    claims.append(
        Claim(
            "largest difference of a sample from Piper's, without noise",
            f"{difference:.1e}",
            f"≤ {MAX_DIFFERENCE:.0e}",
            difference <= MAX_DIFFERENCE,
        )
    )
    claims.extend(await _crowd(2 if quick else 6, figures))
    claims.append(await _cut_off(4 if quick else 20, figures))
    table = Table(title="A Piper voice in pieces", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("what", "measured", "target", ""):
        table.add_column(column, justify="left" if column == "what" else "right")
    marks = {True: "[green]holds[/]", False: "[red]missed[/]", None: ""}
    for claim in claims:
        table.add_row(claim.name, claim.value, claim.target, marks[claim.is_met])
    return finish("tts", table, figures, ok=all(claim.is_met is not False for claim in claims))


async def _first_sound(
    texts: list[str], rounds: int, voice: LoadedVoice, peer: object, figures: dict[str, float | int | str | None]
) -> list[Claim]:
    """Measure both sides sentence by sentence, in turn."""
    tts = engine(workers=1)
    await tts.start()
    peers: list[Spoken] = []
    own: list[Spoken] = []
    wholes: list[float] = []
    try:
        theirs(peer, texts[-1])
        await ours(tts, texts[-1])
        for _ in range(rounds):
            for text in texts:
                peers.append(theirs(peer, text))
                own.append(await ours(tts, text))
                wholes.append(whole(voice, text))
    finally:
        await tts.stop()
    # Durations are random, so a sentence counts by how long Piper made it.
    pairs = [(their, our, at) for their, our, at in zip(peers, own, wholes, strict=True) if their.audio_s >= LONG_S]
    sooner = speedup([their.first_s for their, _, _ in pairs], [our.first_s for _, our, _ in pairs])
    of_whole = speedup([seconds for _, _, seconds in pairs], [our.first_s for _, our, _ in pairs])
    rtf = statistics.median(our.total_s / our.audio_s for our in own)
    peer_rtf = statistics.median(their.total_s / their.audio_s for their in peers)
    first = statistics.median(our.first_s * 1000 for _, our, _ in pairs)
    peer_first = statistics.median(their.first_s * 1000 for their, _, _ in pairs)
    figures |= {
        "first_ms": round(first, 1),
        "piper_first_ms": round(peer_first, 1),
        "sooner_times": round(sooner.median, 3),
        "sooner_times_bad_end": round(sooner.low, 3),
        "sooner_than_whole_times": round(of_whole.median, 3),
        "rtf": round(rtf, 4),
        "piper_rtf": round(peer_rtf, 4),
    }
    return [
        Claim(
            f"first sound of long sentences, times sooner: {figure(first)} ms, Piper {figure(peer_first)} ms",
            str(sooner),
            f"≥ {MIN_SOONER}",
            sooner.median >= MIN_SOONER,
        ),
        Claim("the same against the cut graph, all frames at once", str(of_whole), "", None),
        Claim("computing time per second of sound, all pieces, one core", figure(rtf), f"≤ {MAX_RTF}", rtf <= MAX_RTF),
        Claim("the same of Piper", figure(peer_rtf), "", None),
    ]


async def _crowd(rounds: int, figures: dict[str, float | int | str | None]) -> list[Claim]:
    """Let several characters speak at once, each to a listener in real time."""
    tts = engine(workers=2)
    await tts.start()
    order = random.Random(1)
    dry: list[float] = []
    before = _busy_s()
    try:
        for _ in range(rounds):
            texts = order.sample(LONG, len(PITCHES))
            dry += await asyncio.gather(*(dry_s(tts, *each) for each in zip(texts, PITCHES, strict=True)))
    finally:
        await tts.stop()
    all_s, own_s, wall_s = (after - earlier for after, earlier in zip(_busy_s(), before, strict=True))
    others = max(0.0, (all_s - own_s) / wall_s)
    figures["others_cores"] = round(others, 2)
    count, worst = sum(each > 0 for each in dry), max(dry) * 1000
    figures |= {"voices": len(dry), "dry_voices": count, "worst_dry_ms": round(worst, 1)}
    return [
        Claim(
            f"{len(PITCHES)} voices at once on 2 workers: ran dry, of {len(dry)} (at most {worst:.0f} ms)",
            str(count),
            "0",
            count == 0,
        ),
        Claim("cores that other processes used meanwhile", figure(others), "", None),
    ]


def _busy_s() -> tuple[float, float, float]:
    """Return the processor time of the machine and of this process, and the clock, in seconds."""
    times = psutil.cpu_times()
    return times.user + times.system + times.nice, time.process_time(), time.perf_counter()


async def _cut_off(count: int, figures: dict[str, float | int | str | None]) -> Claim:
    """Cancel sentences while a piece is computed."""
    tts = engine(workers=1)
    await tts.start()
    order = random.Random(2)
    shares: list[float] = []
    freed: list[float] = []
    try:
        for _ in range(count):
            text = order.choice(LONG)
            longest = (await ours(tts, text)).longest_s
            freed.append(await freed_s(tts, text, lambda: order.uniform(0.0, 0.2)))
            shares.append(freed[-1] / longest)
    finally:
        await tts.stop()
    median, worst = statistics.median(shares), percentile(shares, 0.95)
    figures |= {"freed_ms": round(statistics.median(freed) * 1000, 1), "freed_of_piece": round(median, 3)}
    figures |= {"freed_of_piece_p95": round(worst, 3)}
    return Claim(
        f"cut off: worker free after {figure(statistics.median(freed) * 1000)} ms, as a share of the longest piece",
        f"{figure(median)}, p95 {figure(worst)}",
        f"≤ {MAX_FREED:g}",
        median <= MAX_FREED,
    )
