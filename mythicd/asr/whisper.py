"""The faster-whisper recogniser: any speech, on the CPU or a GPU, with a model that has to be downloaded once.

Whisper transcribes whole utterances. Partials are therefore made by transcribing the growing buffer again after each
`step_s` of audio; `guess` and `finish` transcribe all of it. A push during a transcription does not wait for it, and
returns the last hypothesis. The world's names are given to the decoder as hotwords.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mythicd.audio.pcm import MIC_RATE, to_array
from mythicd.concurrency.worker_thread import WorkerThread
from mythicd.engines.asr import Recognition, Vocabulary
from mythicd.errors import AudioError, BusyError, EngineError, EngineUnavailable, ModelError

LONGEST_S: Final = 30.0
"""Longest utterance, in seconds: Whisper's window. More would take several windows, and a multiple of the time."""
_SHORTEST_S: Final = 0.2
"""Shortest utterance, in seconds: in less there is no word, and Whisper invents one."""
_MOST_HOTWORDS: Final = 60
"""Names given as hotwords; they may take 223 tokens of the decoder's context, and the rest would be cut off."""
_FILES: Final = ("model.bin", "tokenizer.json")
_VOCABULARIES: Final = ("vocabulary.json", "vocabulary.txt")


class WhisperAsr:
    """The recogniser of faster-whisper, on its own thread."""

    def __init__(
        self,
        model_dir: Path,
        *,
        device: str = "cpu",
        compute_type: str = "int8",
        cpu_threads: int = 1,
        language: str = "en",
        beam_size: int = 1,
        step_s: float = 0.3,
        max_streams: int = 4,
    ) -> None:
        """`model_dir` holds a CTranslate2 Whisper model; nothing is ever downloaded here."""
        self._model_dir = model_dir
        self._device = device
        self._compute_type = compute_type
        self._cpu_threads = cpu_threads
        self._options: dict[str, Any] = {
            "language": language,
            "beam_size": beam_size,
            "temperature": 0.0,
            "without_timestamps": True,
            # With earlier text in its prompt Whisper repeats that text.
            "condition_on_previous_text": False,
            "vad_filter": False,
        }
        self._language = language
        self._step_s = step_s
        self._max_streams = max_streams
        self._worker: WorkerThread | None = None
        self._model: Any = None
        self._hotwords: str | None = None
        self._open = 0

    async def start(self) -> None:
        """Load the model. Raises EngineUnavailable without faster-whisper, ModelError for a bad model."""
        self._worker = WorkerThread("asr-whisper")
        try:
            self._model = await self._worker.call(self._load)
        except BaseException:
            await self.stop()
            raise

    async def learn(self, vocabulary: Vocabulary) -> None:
        """Take the world's names as hotwords. Streams already open keep those they had."""
        names = dict.fromkeys(vocabulary.people + vocabulary.places + vocabulary.items + vocabulary.topics)
        self._hotwords = ", ".join(list(names)[:_MOST_HOTWORDS]) or None

    async def open(self) -> WhisperStream:
        """Open an utterance. Raises BusyError when `max_streams` are open."""
        if self._worker is None or self._model is None:
            raise EngineError("The recogniser is not running.", remedy="Call start() first.")
        if self._open >= self._max_streams:
            raise BusyError(
                f"All {self._max_streams} recognisers are listening.", remedy="Finish or abandon an utterance first."
            )
        self._open += 1
        return WhisperStream(self, self._worker, {**self._options, "hotwords": self._hotwords}, self._step_s)

    async def stop(self) -> None:
        """Free the model and the thread."""
        if self._worker is not None:
            await self._worker.close()
            self._worker = None
        self._model = None

    def closed(self) -> None:
        """Count a stream as closed."""
        self._open -= 1

    def transcribe(self, samples: NDArray[np.float32], options: dict[str, Any]) -> Recognition:
        """Transcribe samples (−1 to 1, 16 kHz). Blocks; runs on the engine's thread."""
        try:
            segments, info = self._model.transcribe(samples, **options)
            heard = list(segments)
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                f"Whisper failed on {len(samples) / MIC_RATE:.1f} s of audio: {error}.", remedy="Repeat the utterance."
            ) from error
        text = " ".join(segment.text.strip() for segment in heard).strip()
        return Recognition(text, _confidence(heard) if text else 0.0, str(info.language or self._language))

    def _load(self) -> Any:
        check_model(self._model_dir)
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise EngineUnavailable(
                f"faster-whisper is not installed ({error}).", remedy="Install it: pip install 'mythicd[whisper]'"
            ) from error
        try:
            return WhisperModel(
                str(self._model_dir),
                device=self._device,
                compute_type=self._compute_type,
                cpu_threads=self._cpu_threads,
                num_workers=1,
                local_files_only=True,
            )
        except Exception as error:  # CTranslate2 and tokenizers raise RuntimeError, ValueError and bare Exception
            raise ModelError(
                f"The Whisper model in {self._model_dir} cannot be loaded on {self._device} as {self._compute_type}: "
                f"{error}.",
                remedy="Download it again, or choose device cpu and compute type int8.",
            ) from error


class WhisperStream:
    """The recognition of one utterance: a buffer that is transcribed again as it grows."""

    def __init__(self, engine: WhisperAsr, worker: WorkerThread, options: dict[str, Any], step_s: float) -> None:
        self._engine = engine
        self._worker = worker
        self._options = options
        self._step = max(1, round(step_s * MIC_RATE))
        self._pcm = bytearray()
        self._heard_samples = 0
        """Samples in the newest transcription, running or done."""
        self._text = ""
        self._running: asyncio.Task[Recognition] | None = None
        self._guess: Recognition | None = None
        """The result for all audio so far."""
        self._over = False

    async def push(self, pcm: bytes) -> str:
        """Take s16le 16 kHz audio; return the last hypothesis. Raises AudioError; the utterance then goes on."""
        if self._over:
            raise EngineError("This utterance is over.", remedy="Open another one.")
        to_array(pcm)
        if len(self._pcm) + len(pcm) > LONGEST_S * MIC_RATE * 2:
            raise AudioError(
                f"The utterance is longer than {LONGEST_S:.0f} s.", remedy="Finish it and open another one."
            )
        self._pcm += pcm
        if pcm:
            self._guess = None
        samples = len(self._pcm) // 2
        if self._running is not None and self._running.done():
            task, self._running = self._running, None
            self._text = task.result().text
        if self._running is None and samples - self._heard_samples >= self._step:
            self._heard_samples = samples
            self._running = asyncio.create_task(self._transcribe())
        # Let the loop run, so that a transcription can end even if the caller has much audio at once.
        await asyncio.sleep(0)
        return self._text

    async def guess(self) -> Recognition:
        """Transcribe all of the utterance so far; it goes on."""
        if self._over:
            raise EngineError("This utterance is over.", remedy="Open another one.")
        await self._drop_partial()
        return await self._final()

    async def finish(self) -> Recognition:
        """Transcribe the whole utterance."""
        if self._over:
            raise EngineError("This utterance is over.", remedy="Open another one.")
        await self._close()
        return await self._final()

    async def abandon(self) -> None:
        """Discard the utterance. Does nothing if it is over."""
        if not self._over:
            await self._close()

    async def _close(self) -> None:
        self._over = True
        self._engine.closed()
        await self._drop_partial()

    async def _drop_partial(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            # A running transcription cannot be stopped, one that waits for the thread can. Its result and its error
            # are ignored, because all audio is transcribed again.
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _final(self) -> Recognition:
        samples = len(self._pcm)
        if self._guess is None:
            if samples < _SHORTEST_S * MIC_RATE * 2:
                return Recognition("", 0.0)
            guess = await self._transcribe()
            if len(self._pcm) != samples:
                return guess  # audio that came meanwhile is not in this result
            self._guess = guess
        return self._guess

    async def _transcribe(self) -> Recognition:
        samples = to_array(bytes(self._pcm)).astype(np.float32) / 32768.0
        return await self._worker.call(self._engine.transcribe, samples, self._options)


def check_model(directory: Path) -> None:
    """Raise ModelError naming the first file that a CTranslate2 Whisper model lacks in `directory`.

    Without this check faster-whisper would download a missing tokenizer, and take a missing directory for the name of a
    model on the hub.
    """
    remedy = "Download the model, or correct its path."
    if not directory.is_dir():
        raise ModelError(f"The Whisper model directory {directory} does not exist.", remedy=remedy)
    for name in _FILES:
        if not (directory / name).is_file():
            raise ModelError(f"The Whisper model in {directory} lacks {name}.", remedy=remedy)
    if not any((directory / name).is_file() for name in _VOCABULARIES):
        raise ModelError(f"The Whisper model in {directory} lacks {' or '.join(_VOCABULARIES)}.", remedy=remedy)


def _confidence(segments: Sequence[Any]) -> float:
    """Return the geometric mean probability of a token, lowered by the chance that there was no speech at all."""
    tokens = sum(max(1, len(segment.tokens)) for segment in segments)
    mean = sum(segment.avg_logprob * max(1, len(segment.tokens)) for segment in segments) / tokens
    silent = max(segment.no_speech_prob for segment in segments)
    return float(min(1.0, max(0.0, math.exp(min(0.0, mean)) * (1.0 - silent))))
