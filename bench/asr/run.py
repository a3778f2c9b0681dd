"""The recogniser's benchmark: cost and errors of finals, names, first partials, and what is invented in noise.

faster-whisper's own `transcribe` and the recogniser hear the same utterances in turn, on one thread each, in one
process; so changes of the machine affect both. Growing utterances are spoken in real time, to an open microphone on our
side. Noise goes through the same microphone, and to the recogniser directly in pieces of four seconds.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

from bench.asr.corpus import KINDS, Utterance, noises, utterances
from bench.asr.sides import (
    Growing,
    Heard,
    ours,
    ours_growing,
    peer,
    recogniser,
    theirs,
    theirs_growing,
    through_microphone,
)
from bench.report import finish
from bench.stats import figure, speedup
from mythicd.asr.whisper.engine import WhisperAsr
from mythicd.audio.pcm import MIC_RATE
from mythicd.text.spoken_words import comparable_words, word_errors
from mythicd.vad.gated_silero import GatedSileroVad

BEAMS = (5, 1)
"""Of faster-whisper: its default, and greedy."""
MIN_CHEAPER = 4.0
"""Least ratio of faster-whisper's time to ours for a final, at the median."""
COUNTED_S = (1.0, 6.0)
"""Shortest and longest utterance of that median."""
MAX_WORSE = 1.0
"""Most points of word error rate above faster-whisper's default."""
MIN_NAMES = 0.9
MAX_FIRST_S = 0.5
"""Latest first words after the speech began, at the median."""
PIECE_S = 4

Figures = dict[str, float | int | str | None]


@dataclass(frozen=True, slots=True)
class Claim:
    """One row of the table."""

    name: str
    value: str
    target: str = ""
    is_met: bool | None = None
    """None for a row without a target."""


def run(*, quick: bool = False) -> int:
    """Print the table; return 1 when a target is missed."""
    return asyncio.run(_measured(quick))


async def _measured(quick: bool) -> int:
    corpus = utterances(4 if quick else None)
    figures: Figures = {"utterances": len(corpus)}
    model, asr, vad = peer(), await recogniser(), GatedSileroVad()
    await vad.start()
    try:
        claims = await _finals(corpus, model, asr, figures, is_small=quick)
        claims += await _growing(
            [each for each in corpus if each.kind == "piper"][: 3 if quick else 20],
            model,
            asr,
            vad,
            figures,
            is_small=quick,
        )
        claims += await _noise(20 if quick else 150, asr, vad, figures)
    finally:
        await vad.stop()
        await asr.stop()
    table = Table(title="Whisper on short windows", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("what", "measured", "target", ""):
        table.add_column(column, justify="left" if column == "what" else "right")
    marks = {True: "[green]holds[/]", False: "[red]missed[/]", None: ""}
    for claim in claims:
        table.add_row(claim.name, claim.value, claim.target, marks[claim.is_met])
    return finish("asr", table, figures, ok=all(claim.is_met is not False for claim in claims))


async def _finals(
    corpus: Sequence[Utterance], model: Any, asr: WhisperAsr, figures: Figures, *, is_small: bool
) -> list[Claim]:
    """Let all sides hear each utterance in turn. A small run makes no claims: it has too few words."""
    found: dict[str, list[Heard]] = defaultdict(list)
    theirs(model, corpus[0].samples, BEAMS[0])
    await ours(asr, corpus[0].pcm)
    for utterance in corpus:
        for beam in BEAMS:
            found[f"beam {beam}"].append(theirs(model, utterance.samples, beam))
        found["ours"].append(await ours(asr, utterance.pcm))
    counted = [number for number, each in enumerate(corpus) if COUNTED_S[0] <= each.seconds <= COUNTED_S[1]]
    claims = []
    for beam in BEAMS:
        cheaper = speedup(*([found[side][number].seconds for number in counted] for side in (f"beam {beam}", "ours")))
        figures |= {
            f"cheaper_times_beam_{beam}": round(cheaper.median, 2),
            f"bad_end_beam_{beam}": round(cheaper.low, 2),
        }
        is_met = cheaper.median >= MIN_CHEAPER if beam == BEAMS[0] and not is_small else None
        target = f"≥ {MIN_CHEAPER:g}" if beam == BEAMS[0] else ""
        claims.append(
            Claim(f"a final of 1 to 6 s, times cheaper than transcribe, beam {beam}", str(cheaper), target, is_met)
        )
    busy = speedup(*([found[side][number].busy_s for number in counted] for side in (f"beam {BEAMS[0]}", "ours")))
    figures["less_processor_times"] = round(busy.median, 2)
    claims.append(Claim(f"the same in processor time, beam {BEAMS[0]}", str(busy)))
    for side, heard in found.items():
        milliseconds = statistics.median(heard[number].seconds for number in counted) * 1000
        figures[f"{side.replace(' ', '_')}_ms"] = round(milliseconds, 1)
        rates = {kind: _error_rate(corpus, heard, [kind]) for kind in KINDS}
        figures |= {f"{side.replace(' ', '_')}_errors_{kind}": round(rate, 2) for kind, rate in rates.items()}
        figures[f"{side.replace(' ', '_')}_errors"] = round(_error_rate(corpus, heard, KINDS), 2)
        each = ", ".join(f"{kind} {figure(rate)}" for kind, rate in rates.items())
        claims.append(
            Claim(
                f"{side}: {figure(milliseconds)} ms; word errors in per cent: {each}",
                figure(_error_rate(corpus, heard, KINDS)),
            )
        )
    worse = _error_rate(corpus, found["ours"], KINDS) - _error_rate(corpus, found[f"beam {BEAMS[0]}"], KINDS)
    figures["errors_above_default"] = round(worse, 2)
    is_met = None if is_small else worse <= MAX_WORSE
    claims.append(
        Claim("word errors above transcribe's default, in points", f"{worse:+.1f}", f"≤ {MAX_WORSE:g}", is_met)
    )
    for side in ("ours", f"beam {BEAMS[0]}"):
        right = [
            _has_name(each, heard)
            for each, heard in zip(corpus, found[side], strict=True)
            if _is_clear(each) and each.name
        ]
        share = statistics.fmean(right)
        figures[f"{side.replace(' ', '_')}_names"] = round(share, 3)
        is_met = None if is_small or side != "ours" else share >= MIN_NAMES
        target = f"≥ {MIN_NAMES:.0%}" if side == "ours" else ""
        claims.append(Claim(f"{side}: names right, Piper and 20 dB ({len(right)})", f"{share:.0%}", target, is_met))
    return claims


async def _growing(
    corpus: Sequence[Utterance], model: Any, asr: WhisperAsr, vad: GatedSileroVad, figures: Figures, *, is_small: bool
) -> list[Claim]:
    """Let both sides hear utterances while they are spoken."""
    own: list[Growing] = []
    other: list[Growing] = []
    for utterance in corpus:
        own.append(await ours_growing(asr, vad, utterance))
        other.append(await theirs_growing(model, utterance, BEAMS[1]))
    claims = []
    for side, grown in (("ours", own), ("transcribe again and again, greedy", other)):
        first = statistics.median(each.first_s if each.first_s is not None else float("inf") for each in grown)
        busy = statistics.median(each.busy for each in grown)
        key = "ours" if side == "ours" else "again"
        figures |= {f"{key}_first_ms": round(first * 1000), f"{key}_busy": round(busy, 3)}
        figures[f"{key}_hypotheses"] = round(statistics.fmean(each.calls for each in grown), 1)
        is_met = first <= MAX_FIRST_S if side == "ours" and not is_small else None
        target = f"≤ {MAX_FIRST_S * 1000:.0f} ms" if side == "ours" else ""
        claims.append(Claim(f"{side}: first words after speech begins", f"{first * 1000:.0f} ms", target, is_met))
        claims.append(Claim(f"{side}: cores while somebody speaks", figure(busy)))
    return claims


async def _noise(seconds: int, asr: WhisperAsr, vad: GatedSileroVad, figures: Figures) -> list[Claim]:
    """Let the microphone and the recogniser hear what has no words for them."""
    heard: list[str] = []
    direct: list[str] = []
    pieces = 0
    for name, pcm in noises(seconds).items():
        found = await through_microphone(asr, vad, pcm)
        figures[f"invented_{name}"] = len(found)
        heard += [f"{name}: {text}" for text in found]
        if name == "babble":
            continue
        size = 2 * PIECE_S * MIC_RATE
        for at in range(0, len(pcm) - size + 1, size):
            pieces += 1
            text = (await ours(asr, pcm[at : at + size])).text
            direct += [f"{name}: {text}"] if text else []
    figures |= {
        "invented": len(heard),
        "invented_directly": len(direct),
        "invented_texts": "; ".join(heard + direct)[:500],
    }
    minutes = 4 * seconds / 60
    return [
        Claim(f"invented in {figure(minutes)} minutes of silence, fan, music, babble", str(len(heard)), "0", not heard),
        Claim(
            f"the same without a detector and babble, in {pieces} pieces of {PIECE_S} s",
            str(len(direct)),
            "0",
            not direct,
        ),
    ]


def _error_rate(corpus: Sequence[Utterance], heard: Sequence[Heard], kinds: Iterable[str]) -> float:
    """Return word errors in per cent of the words that were said."""
    chosen = [
        (comparable_words(each.text), comparable_words(found.text))
        for each, found in zip(corpus, heard, strict=True)
        if each.kind in kinds
    ]
    return 100 * sum(word_errors(*pair) for pair in chosen) / sum(len(said) for said, _ in chosen)


def _is_clear(utterance: Utterance) -> bool:
    return utterance.kind == "piper" or utterance.snr_db == 20.0


def _has_name(utterance: Utterance, heard: Heard) -> bool:
    name, words = comparable_words(utterance.name), comparable_words(heard.text)
    return any(words[at : at + len(name)] == name for at in range(len(words)))
