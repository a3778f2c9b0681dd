"""The echo benchmark: is a character's voice in an open microphone taken for the player, and is the player detected?

A case is a reply of two sentences, played by a client whose jitter buffer stalls (reported by playheads) and whose
device delay jumps (not reported), through a generated room into the microphone, with a game's sounds, and in half of
the cases ducked by 12 dB for a time. Further cases have a player who speaks over it, at the usual level or up to 6 dB
below, and one with headphones, without echo. Detectors, canceller and endpointer are real, and new in each case, since
the first reply is the hardest. espeak-ng's samples vary, so runs differ by a case or two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rich.table import Table

from bench.open_mic import acoustics, utterances
from bench.open_mic.acoustics import Sound
from bench.report import finish
from mythicd.aec.canceller import EchoCanceller
from mythicd.audio.pcm import MIC_RATE, to_array
from mythicd.engines.vad import VAD_FRAME, Vad
from mythicd.vad.endpointer import Endpointer, SpeechStart
from mythicd.vad.gated_silero import GatedSileroVad

MS = MIC_RATE // 1000
STREAM = 1
CAUGHT_WITHIN_MS = 1000
"""Latest start of an utterance after the player's first audible sample."""

HEADPHONES_MS = (300, 600, 900, 1500)
"""Time in the first reply at which a player with headphones speaks."""
KNOWN_MS = 600
"""Time from which it is known that there is no echo."""

MAX_FALSE = 0.04
MIN_CAUGHT = 0.90


@dataclass(frozen=True, slots=True)
class Message:
    """A message between daemon and client."""

    due: int
    """Microphone sample at which it reaches or leaves the daemon."""
    kind: Literal["sent", "played", "ducked", "stopped"]
    pcm: bytes = b""
    samples: int = 0
    mic_sample: int | None = None
    gain_db: float = 0.0


@dataclass(frozen=True, slots=True)
class Case:
    """A recording, and the messages during it."""

    mic: Sound
    voice_rate: int
    """Hertz of the voice stream."""
    messages: tuple[Message, ...]
    onset: int | None
    """First audible sample of the player; None if there is no player."""
    story: str
    """Description of the case, for debugging."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one case."""

    is_false: bool
    """Whether an utterance started without the player's speech, or before it."""
    caught_ms: float | None
    """Delay of the utterance after the player's first audible sample; None without one, or after a false one."""
    frame_ms: float


def case(seed: int, *, player: bool, mic_samples: bool, sentences: int = 2) -> Case:
    """Generate a case. `mic_samples` is whether the client names the microphone's sample in its playheads."""
    rng = np.random.default_rng(seed)
    voice, other = (str(one) for one in rng.choice(acoustics.VOICES, 2, replace=False))
    pcm, rate = acoustics.say(
        " ".join(rng.choice(acoustics.SENTENCES, sentences, replace=False)), voice, int(rng.integers(150, 180))
    )
    sound = acoustics.heard(pcm, rate)
    begins = int(rng.uniform(500, 1000)) * MS

    stalls = [(rng.uniform(0.1, 0.9), int(rng.uniform(20, 80)) * MS) for _ in range(rng.integers(0, 3))]
    stretches = _stretches(begins, len(sound), sorted(stalls))
    last = stretches[-1]
    ends = last[0] + last[2] - last[1]
    total = ends + MIC_RATE
    played = np.zeros(total)
    for at, first, behind in stretches:
        played[at : at + behind - first] = sound[first:behind]

    where = begins + int(rng.uniform(0.05, 0.75) * (ends - begins))
    duck = (where + 200 * MS, where + 1000 * MS) if player else (where, where + 1200 * MS)
    is_ducked = bool(rng.random() < 0.5)
    if is_ducked:
        played[duck[0] + 40 * MS : duck[1] + 40 * MS] *= 10 ** (-12 / 20)

    delays = [rng.uniform(20, 200)]
    for _ in range(rng.integers(0, 3)):
        delays.append(float(np.clip(delays[-1] + rng.choice((-1, 1)) * rng.uniform(5, 40), 20, 200)))
    moves = sorted(begins + int(share * (ends - begins)) for share in rng.uniform(0, 1, len(delays) - 1))
    late = np.zeros(total)
    for first, behind, delay in zip([0, *moves], [*moves, total], delays, strict=True):
        source = np.arange(first, behind) - int(delay * MS)
        late[first:behind] = np.where(source >= 0, played[source], 0.0)

    attenuation = rng.uniform(6, 20)
    driven = np.tanh(1.2 * late) / 1.2
    response = acoustics.impulse_response(rng, rt60_s=rng.uniform(0.2, 0.5), direct_db=rng.uniform(-3, 6))
    mic = acoustics.convolve(driven, response)
    mic *= 10 ** (-attenuation / 20) * np.sqrt(np.mean(late**2) / np.mean(mic**2))
    game_level = rng.uniform(-55, -35)
    mic += acoustics.game_sounds(rng, total, game_level)
    mic += 10 ** (-62 / 20) * rng.standard_normal(total)
    onset = None
    if player:
        words = str(rng.choice(acoustics.INTERRUPTIONS))
        said = acoustics.heard(*acoustics.say(words, other, int(rng.integers(150, 180))))
        said = acoustics.at_level(said, acoustics.PLAYER_DBFS - rng.uniform(0, 6))
        said = acoustics.convolve(said, acoustics.impulse_response(rng, rt60_s=0.3, direct_db=8))
        onset = where + acoustics.audible(said)[0]
        mic[where : where + len(said)] += said[: total - where]

    messages = [
        *_frames(pcm, rate, begins),
        *_playheads(rng, stretches, rate, mic_samples=mic_samples),
        Message(ends, "stopped", samples=len(pcm) // 2),
    ]
    if is_ducked:
        messages += [Message(duck[0], "ducked", gain_db=-12.0), Message(duck[1], "ducked")]
    story = (
        f"seed {seed}: {voice}, {-attenuation:.0f} dB, delays {[round(delay) for delay in delays]} ms, "
        f"{len(stalls)} stalls, game at {game_level:.0f} dBFS" + (", ducked" if is_ducked else "")
    )
    return Case(mic, rate, tuple(sorted(messages, key=lambda message: message.due)), onset, story)


def headphones(seed: int, *, onset_ms: int) -> Case:
    """Generate a case of a player with headphones, who speaks `onset_ms` into the reply."""
    rng = np.random.default_rng(seed)
    pcm, rate = acoustics.say(
        " ".join(rng.choice(acoustics.SENTENCES, 2, replace=False)), str(rng.choice(acoustics.VOICES))
    )
    sound = acoustics.heard(pcm, rate)
    begins = int(rng.uniform(500, 1000)) * MS
    ends = begins + len(sound)
    mic = utterances.noise(seed) / 32768 * rng.standard_normal(ends + MIC_RATE)
    text = utterances.INTERRUPTIONS[seed % len(utterances.INTERRUPTIONS)]
    said = to_array(utterances.spoken(text, seed).pcm) / 32768
    said = acoustics.at_level(said, acoustics.PLAYER_DBFS - rng.uniform(0, 6))
    onset = begins + acoustics.audible(sound)[0] + onset_ms * MS
    mic[onset : onset + len(said)] += said[: len(mic) - onset]
    messages = [
        *_frames(pcm, rate, begins),
        *_playheads(rng, [(begins, 0, len(sound))], rate, mic_samples=True),
        Message(ends, "stopped", samples=len(pcm) // 2),
    ]
    return Case(mic, rate, tuple(sorted(messages, key=lambda message: message.due)), onset, f"seed {seed}: {text}")


def _stretches(begins: int, samples: int, stalls: list[tuple[float, int]]) -> list[tuple[int, int, int]]:
    """Return the position of each stretch of the voice: (microphone sample, first sample, sample after the last)."""
    cuts = [0, *(int(share * samples) for share, _ in stalls), samples]
    stretches, at = [], begins
    for first, behind, (_, gap) in zip(cuts, cuts[1:], [*stalls, (0.0, 0)], strict=False):
        stretches.append((at, first, behind))
        at += behind - first + gap
    return stretches


def _frames(pcm: bytes, rate: int, begins: int) -> Iterator[Message]:
    """Yield the voice in frames of 80 ms, up to two seconds ahead."""
    step = 2 * int(0.08 * rate)
    for at in range(0, len(pcm), step):
        due = begins - 60 * MS + max(0, int((at / 2 / rate - 2.0) * MIC_RATE))
        yield Message(due, "sent", pcm=pcm[at : at + step])


def _playheads(
    rng: np.random.Generator, stretches: list[tuple[int, int, int]], rate: int, *, mic_samples: bool
) -> Iterator[Message]:
    """Yield playheads, every 50 ms, with both positions in steps of a buffer: 21 ms of voice, 20 ms of microphone.

    They come up to 10 ms late, and up to 100 ms where only their time of arrival counts.
    """
    begins, ends = stretches[0][0], stretches[-1][0] + stretches[-1][2] - stretches[-1][1]
    for at in range(begins, ends, 50 * MS):
        heard = max(first + min(at - where, behind - first) for where, first, behind in stretches if at >= where)
        samples = heard // 341 * 341 * rate // MIC_RATE
        late = int(rng.uniform(0, 10 if mic_samples else 100)) * MS
        # The first one is PlaybackStarted, which does not name the microphone's sample.
        named = at // VAD_FRAME * VAD_FRAME if mic_samples and at > begins else None
        yield Message(at + late, "played", samples=samples, mic_sample=named)


def tell(canceller: EchoCanceller, message: Message, rate: int) -> None:
    """Handle such a message as the daemon does."""
    speaker = canceller.far_end
    match message.kind:
        case "sent":
            speaker.sent(STREAM, message.pcm, rate)
        case "played":
            speaker.played(STREAM, message.samples, message.mic_sample)
        case "ducked":
            speaker.ducked(STREAM, message.gain_db)
        case "stopped":
            speaker.stopped(STREAM, message.samples)


def judge(case: Case, vad: Vad, canceller: EchoCanceller | None = None) -> Verdict:
    """Play a case to the canceller, detector and endpointer, and return the outcome."""
    canceller = canceller or EchoCanceller()
    canceller.open()
    detector, endpointer = vad.open(), Endpointer()
    pcm, waiting = acoustics.to_pcm(case.mic), list(case.messages)
    starts: list[int] = []
    spent, frames = 0.0, len(case.mic) // VAD_FRAME
    for index in range(frames):
        canceller.far_end.arrived(VAD_FRAME)
        while waiting and waiting[0].due <= (index + 1) * VAD_FRAME:
            tell(canceller, waiting.pop(0), case.voice_rate)
        frame = pcm[2 * VAD_FRAME * index : 2 * VAD_FRAME * (index + 1)]
        began = time.perf_counter()
        listened = canceller.listen(frame, detector)
        spent += time.perf_counter() - began
        starts += [event.sample for event in endpointer.add([listened.probability]) if isinstance(event, SpeechStart)]
    frame_ms = spent * 1000 / frames
    if case.onset is None:
        return Verdict(bool(starts), None, frame_ms)
    if starts and starts[0] < case.onset:
        return Verdict(True, None, frame_ms)
    late = [start - case.onset for start in starts if start - case.onset <= CAUGHT_WITHIN_MS * MS]
    return Verdict(False, late[0] / MS if late else None, frame_ms)


def sweep(
    seeds: range, vad: Vad, *, player: bool, mic_samples: bool, cancels: bool = True, sentences: int = 2
) -> list[tuple[Case, Verdict]]:
    """Judge a case for each seed. With `cancels` false, as without the canceller's package."""
    judged = []
    for seed in seeds:
        one = case(seed, player=player, mic_samples=mic_samples, sentences=sentences)
        judged.append((one, judge(one, vad, EchoCanceller(cancels=cancels))))
    return judged


def run(*, quick: bool = False, seed: int = 40_000) -> int:
    """Print the table; return 1 when a target is missed."""
    return asyncio.run(_run(5 if quick else 50, seed))


async def _run(cases: int, seed: int) -> int:
    vad = GatedSileroVad()
    await vad.start()
    table = Table(title=f"Echo in an open microphone, {cases} cases each")
    for column in (
        "playheads",
        "canceller",
        "false barge-in",
        "player detected",
        "after ms, median",
        "p90",
        "ms per frame",
    ):
        table.add_column(column, justify="left" if column in ("playheads", "canceller") else "right")
    figures: dict[str, float | int | str | None] = {"cases": cases}
    ok = True
    for cancels in (True, False):
        for mic_samples in (True, False):
            alone = sweep(range(seed, seed + cases), vad, player=False, mic_samples=mic_samples, cancels=cancels)
            over = sweep(
                range(seed + 5000, seed + 5000 + cases), vad, player=True, mic_samples=mic_samples, cancels=cancels
            )
            false = sum(verdict.is_false for _, verdict in alone) / cases
            caught = [verdict.caught_ms for _, verdict in over if verdict.caught_ms is not None]
            median, late = np.percentile(caught, [50, 90]) if caught else (float("nan"), float("nan"))
            cost = float(np.median([verdict.frame_ms for _, verdict in alone + over]))
            ok = ok and (not cancels or (false <= MAX_FALSE and len(caught) / cases >= MIN_CAUGHT))
            table.add_row(
                "with mic_samples" if mic_samples else "by arrival",
                "AEC3" if cancels else "none",
                f"{false:.0%}",
                f"{len(caught) / cases:.0%}",
                f"{median:.0f}",
                f"{late:.0f}",
                f"{cost:.2f}",
            )
            name = f"{'named' if mic_samples else 'arrival'}_{'aec3' if cancels else 'none'}"
            figures |= {
                f"{name}_false": false,
                f"{name}_caught": len(caught) / cases,
                f"{name}_median_ms": round(median),
            }
            for one, verdict in alone:
                if verdict.is_false:
                    print("false: ", one.story)
            for one, verdict in over:
                if verdict.caught_ms is None:
                    print("early: " if verdict.is_false else "missed:", one.story)
    for onset_ms in HEADPHONES_MS:
        judged = [judge(headphones(number, onset_ms=onset_ms), vad) for number in range(seed, seed + cases)]
        caught = [verdict.caught_ms for verdict in judged if verdict.caught_ms is not None]
        median, late = np.percentile(caught, [50, 90]) if caught else (float("nan"), float("nan"))
        share = len(caught) / cases
        ok = ok and (onset_ms < KNOWN_MS or share >= MIN_CAUGHT)
        table.add_row(
            f"headphones, {onset_ms} ms into the first reply",
            "AEC3",
            "",
            f"{share:.0%}",
            f"{median:.0f}",
            f"{late:.0f}",
        )
        figures[f"headphones_{onset_ms}_caught"] = share
    return finish("echo", table, figures, ok=ok)
