"""The judgement of a voice over a character's, alone: real engines, at the speed of the machine, without the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.sayings import BACKCHANNELS, INTERRUPTIONS, noise, spoken
from mythicd.asr.pocketsphinx import PocketSphinxAsr
from mythicd.audio import to_array
from mythicd.dialogue.interruption import Interruption, Verdict
from mythicd.engines import MIC_RATE, VAD_FRAME
from mythicd.listening import ASK_AFTER_S
from mythicd.vad.endpoint import Endpointer, SoftEnd, SpeechResumed, SpeechStart
from mythicd.vad.gate import GateVad
from mythicd.worldfile import load_world

WORLD = Path(__file__).parents[1] / "worlds" / "lanternport"
PREROLL_FRAMES = 22


@dataclass(frozen=True, slots=True)
class Judged:
    """What a voice was taken for."""

    text: str
    stopped_ms: float | None
    """From its first sample to the verdict that stops the character; None where it speaks on."""


def room(text: str, number: int, again: int) -> bytes:
    """Return a saying in a room, s16le at MIC_RATE: 0.5 s before it, 0.5 s behind. `again` says it in another voice,
    in another noise."""
    quiet = np.zeros(MIC_RATE // 2)
    sound = np.concatenate([quiet, to_array(spoken(text, number + again).pcm).astype(np.float64), quiet])
    sound += np.random.default_rng((again, number)).normal(0.0, noise(number + 5 * again), len(sound))
    return bytes(np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes())


async def judge(vad: GateVad, asr: PocketSphinxAsr, text: str, pcm: bytes) -> Judged:
    """Say it over a character, as the ear and the dialogue hear it."""
    detector, endpointer, interruption = vad.open(), Endpointer(), Interruption()
    stream, first = None, 0
    withheld: list[bytes] | None = None
    """What is kept from the recogniser while the voice pauses."""
    asks_at: int | None = None
    """The sample at which the pause has lasted long enough to ask what was said."""
    stopped: float | None = None
    recent: list[bytes] = []
    for frame in (pcm[at : at + 2 * VAD_FRAME] for at in range(0, len(pcm) - 2 * VAD_FRAME + 1, 2 * VAD_FRAME)):
        recent = [*recent, frame][-PREROLL_FRAMES - 1 :]
        for event in endpointer.add(detector.push(frame)):
            if isinstance(event, SpeechStart):
                stream, first = await asr.open(), event.first_voiced
                await stream.push(b"".join(recent[:-1]))
            elif isinstance(event, SoftEnd) and stream is not None:
                await stream.push(frame)
                withheld, asks_at = [], event.sample + round(ASK_AFTER_S * MIC_RATE)
            elif isinstance(event, SpeechResumed) and stream is not None and withheld is not None:
                await stream.push(b"".join(withheld))
                withheld = asks_at = None
        if withheld is not None and stream is not None:
            withheld.append(frame)
            if asks_at is not None and endpointer.samples >= asks_at:
                asks_at = None
                await stream.push(b"".join(withheld))
                withheld = []
                guess = await stream.guess()
                voiced_ms = (endpointer.last_voiced - first) * 1000 / MIC_RATE
                interruption.end(voiced_ms, guess.text, guess.confidence)
        elif stream is not None:
            words = await stream.push(frame)
            interruption.hear((endpointer.samples - first) * 1000 / MIC_RATE, words)
        if interruption.verdict is Verdict.INTERRUPTION:
            stopped = endpointer.samples * 1000 / MIC_RATE - 500
            break
    if stream is not None:
        await stream.abandon()
    return Judged(text, stopped)


async def sweep(models: Path, rounds: Sequence[int]) -> tuple[list[Judged], list[Judged]]:
    """Judge every sign of listening and every interruption, once a round. `models` keeps the language models."""
    vad, asr = GateVad(), PocketSphinxAsr(cache_dir=models)
    await vad.start()
    await asr.start()
    try:
        await asr.learn(load_world(WORLD).vocabulary())
        over: list[Judged] = []
        against: list[Judged] = []
        for judged, sayings in ((over, BACKCHANNELS), (against, INTERRUPTIONS)):
            for again in rounds:
                for number, text in enumerate(sayings):
                    judged.append(await judge(vad, asr, text, room(text, number, again)))
        return over, against
    finally:
        await asr.stop()
        await vad.stop()
