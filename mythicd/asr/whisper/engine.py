"""The faster-whisper recogniser: any speech, on the CPU or a GPU, in a window as long as the speech.

Partials are transcriptions of the growing utterance, at least every `partial_ms` of speech; they have a worker of their
own, so that no final waits for one. The world's names are given to the decoder as earlier text, and names that were
misheard are repaired by sound (names.py). docs/asr.md has the measurements.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from mythicd.asr.whisper.model import NO_NAMES, NamePrompt, Transcription, WhisperModel, load_model
from mythicd.asr.whisper.names import NameRepair
from mythicd.asr.whisper.options import WhisperOptions
from mythicd.asr.whisper.stream import Samples, WhisperStream
from mythicd.audio.pcm import MIC_RATE
from mythicd.concurrency.worker_pool import WorkerPool
from mythicd.engines.asr import Vocabulary
from mythicd.errors import BusyError, EngineError, EngineUnavailable
from mythicd.native.espeakng import EspeakNg

_WARM_UP_S: Final = 1.0
"""Silence that is transcribed at the start: first calls are slow."""
_SILENCE: Final = np.zeros(round(_WARM_UP_S * MIC_RATE), np.float32)
_VOICES: Final = {"en": "en-us"}
"""espeak-ng voice for a language's pronunciations, where it is not the language's code."""


class WhisperAsr:
    """A pool of faster-whisper workers. Implements `Asr`."""

    has_reliable_partials: bool = True
    agreement_s: float = 0.0
    """Two hypotheses in a row that agree make a word stable (LocalAgreement-2, Macháček et al. 2023)."""

    def __init__(self, directory: Path, options: WhisperOptions | None = None) -> None:
        """`directory` holds a CTranslate2 Whisper model; nothing is ever downloaded here."""
        self._directory = directory
        self._options = options or WhisperOptions()
        self._model: WhisperModel | None = None
        self._finals: WorkerPool | None = None
        self._partials: WorkerPool | None = None
        self._names = NO_NAMES
        self._repair: NameRepair | None = None
        self._espeak: EspeakNg | None = None
        self._open = 0
        self._discarded: set[asyncio.Task[Any]] = set()
        """Cancelled work of streams, until its thread is done with it."""
        self.notices: tuple[str, ...] = ()
        """What works less well than the options ask for; final after `start`."""

    async def start(self) -> None:
        """Load the model. Raises EngineUnavailable without faster-whisper or CUDA, ModelError for a bad model."""
        self._finals = WorkerPool("asr-final", self._options.workers)
        self._partials = WorkerPool("asr-partial", 1)
        try:
            model, notice = await self._finals.run(None, load_model, self._directory, self._options)
            await self._finals.run(None, model.final, _SILENCE, NO_NAMES)
            self._model = model
        except BaseException:
            await self.stop()
            raise
        try:
            self._espeak = await self._partials.run(None, EspeakNg.load)
        except EngineUnavailable as error:
            notice = notice or f"Misheard names are not repaired: {error}"
        self.notices = (notice,) if notice else ()

    async def learn(self, vocabulary: Vocabulary) -> None:
        """Take the world's names, for the decoder and for the repair. Streams already open keep those they had."""
        model, pool = self._started()
        self._names, self._repair = await pool.run(None, self._learn, model, vocabulary)

    async def open(self) -> WhisperStream:
        """Open an utterance. Raises BusyError when `max_streams` are open."""
        self._started()
        if self._open >= self._options.max_streams:
            raise BusyError(
                f"All {self._options.max_streams} recognisers are listening.",
                remedy="Finish or abandon an utterance first.",
            )
        self._open += 1
        return WhisperStream(self, self._names, self._repair, self._options)

    async def stop(self) -> None:
        """Free the model and the threads."""
        for pool in (self._partials, self._finals):
            if pool is not None:
                await pool.close()
        if self._discarded:
            await asyncio.wait(self._discarded)
        self._partials = self._finals = self._model = None

    # --- for streams -------------------------------------------------------------------------------------------------

    def closed(self) -> None:
        """Count a stream as closed."""
        self._open -= 1

    def discard(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task whose result and error are not wanted any more, and own it until it has ended."""

        def ended(done: asyncio.Task[Any]) -> None:
            self._discarded.discard(done)
            if not done.cancelled():
                done.exception()  # seen, so that asyncio does not log it

        self._discarded.add(task)
        task.cancel()
        task.add_done_callback(ended)

    async def final(self, speech: Samples, names: NamePrompt, *, is_certain: Callable[[], bool]) -> Transcription:
        """Transcribe a whole utterance; certain ones go before guesses. Raises EngineError."""
        model, pool = self._started()
        return await pool.run(lambda: 0.0 if is_certain() else 1.0, model.final, speech, names)

    async def partial(self, speech: Samples, names: NamePrompt) -> str:
        """Transcribe an utterance so far. Raises EngineError."""
        model, _ = self._started()
        assert self._partials is not None, "it was started with the model"
        return await self._partials.run(None, model.partial, speech, names)

    async def repaired(self, repair: NameRepair, text: str) -> str:
        """Repair the names in a transcript, on a thread: it compares sounds for up to 30 ms."""
        return await asyncio.to_thread(repair.repair, text)

    def _learn(self, model: WhisperModel, vocabulary: Vocabulary) -> tuple[NamePrompt, NameRepair | None]:
        names = list(dict.fromkeys((*vocabulary.people, *vocabulary.places, *vocabulary.items)))
        espeak, language = self._espeak, self._options.language
        if espeak is None:
            return model.name_prompt(names), None
        voice = _VOICES.get(language, language)
        repair = NameRepair(
            (*names, *vocabulary.topics),
            vocabulary.lines,
            lambda words: espeak.phonemes(words, voice),
            model.common_words(),
        )
        return model.name_prompt(names), repair

    def _started(self) -> tuple[WhisperModel, WorkerPool]:
        if self._model is None or self._finals is None:
            raise EngineError("The recogniser is not running.", remedy="Call start() first.")
        return self._model, self._finals
