"""The barge-in policy alone on the starter tier (pocketsphinx): faster than real time, without the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.open_mic.utterances import BACKCHANNELS, INTERRUPTIONS, noise, spoken
from mythicd.asr.pocketsphinx.engine import PocketSphinxAsr
from mythicd.asr.transcript import Partial
from mythicd.audio.pcm import MIC_RATE, to_array
from mythicd.character.hear.speech_input import SpeechInput, UtteranceHardEnd, UtteranceSoftEnd
from mythicd.character.hear.turn_taking import ASK_AFTER_S
from mythicd.config.settings import TurnSettings
from mythicd.config.world_files import load_world
from mythicd.dialogue.barge_in import BargeIn, Verdict
from mythicd.engines.vad import VAD_FRAME
from mythicd.vad.endpointer import SpeechResumed, SpeechStart
from mythicd.vad.gated_silero import GatedSileroVad

WORLD = Path(__file__).parents[2] / "worlds" / "lanternport"
FRAME_S = VAD_FRAME / MIC_RATE
QUIET_S = 0.5
"""Seconds of noise before and after what is said."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on what was said."""

    text: str
    stopped_ms: float | None
    """Time from the first sample to the verdict that stops the character; None if it speaks on."""


def room(text: str, number: int, again: int) -> bytes:
    """Return what is said in noise, s16le, with QUIET_S before and after it; `again` selects voice and noise."""
    quiet = np.zeros(round(QUIET_S * MIC_RATE))
    sound = np.concatenate([quiet, to_array(spoken(text, number + again).pcm).astype(np.float64), quiet])
    sound += np.random.default_rng((again, number)).normal(0.0, noise(number + 5 * again), len(sound))
    return bytes(np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes())


async def judge(vad: GatedSileroVad, asr: PocketSphinxAsr, text: str, pcm: bytes) -> Judged:
    """Say it over a character, and ask for the verdict as `TurnTaking` does. Raises EngineError."""
    ear, barge_in = SpeechInput(vad, asr, TurnSettings(), "open", 0.0), BargeIn()
    words, speaks = "", False
    asks_at: int | None = None
    """The frame at which the pause is long enough to ask for the words."""
    stopped: float | None = None
    for number in range(len(pcm) // (2 * VAD_FRAME)):
        async for event in ear.add(pcm[2 * VAD_FRAME * number : 2 * VAD_FRAME * (number + 1)], number * FRAME_S):
            match event:
                case SpeechStart():
                    speaks = True
                case Partial():
                    words = event.text
                case UtteranceSoftEnd():
                    asks_at = number + round(ASK_AFTER_S / FRAME_S)
                case SpeechResumed():
                    asks_at = None
                case UtteranceHardEnd():
                    speaks = False
                    barge_in.end(event.voiced_ms, event.recognition.text, event.recognition.confidence)
        if number == asks_at:
            guess = await ear.guess()
            barge_in.end(ear.voiced_ms, guess.text, guess.confidence)
        elif speaks and not ear.pause_ms:
            barge_in.add(ear.voiced_ms, words)
        if barge_in.verdict is Verdict.INTERRUPTION:
            stopped = 1000 * ((number + 1) * FRAME_S - QUIET_S)
            break
    await ear.abandon()
    return Judged(text, stopped)


async def sweep(
    models: Path, rounds: Sequence[int], cases: int = len(BACKCHANNELS)
) -> tuple[list[Judged], list[Judged]]:
    """Judge the first `cases` backchannels and as many interruptions, once per round.

    `models` keeps the language models. Raises the errors of the engines.
    """
    vad, asr = GatedSileroVad(), PocketSphinxAsr(cache_dir=models)
    await vad.start()
    await asr.start()
    try:
        await asr.learn(load_world(WORLD).vocabulary())
        over: list[Judged] = []
        against: list[Judged] = []
        for judged, sayings in ((over, BACKCHANNELS), (against, INTERRUPTIONS)):
            for again in rounds:
                for number, text in enumerate(sayings[:cases]):
                    judged.append(await judge(vad, asr, text, room(text, number, again)))
        return over, against
    finally:
        await asr.stop()
        await vad.stop()
