"""One utterance for the faster-whisper recogniser: growing audio, partials at intervals, guesses and the final."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mythicd.asr.whisper.model import NamePrompt, Transcription
from mythicd.asr.whisper.names import NameRepair
from mythicd.asr.whisper.options import WhisperOptions
from mythicd.asr.whisper.window import BEFORE_S, LONGEST_S
from mythicd.audio.pcm import MIC_RATE, to_array
from mythicd.engines.asr import Recognition, WordTime
from mythicd.errors import EngineError

Samples = NDArray[np.float32]
"""Samples from −1 to 1 at 16 kHz, shape [samples]."""

_SHORTEST_S: Final = 0.1
"""Shortest utterance that is transcribed: in less there is no word."""
_MOST_S: Final = 28.0
"""Longest part that is transcribed at once; what is longer is cut at its quietest place."""
_CUT_WITHIN_S: Final = 6.0
"""The place is looked for in these last seconds of a part."""
_DUTY: Final = 0.5
"""Most of the time that partials of one utterance may take: under load they come more rarely."""
_ENDING = re.compile(r"[\s.,!?;:…-]+$")


class Transcriber(Protocol):
    """The recogniser, as its streams use it."""

    async def final(self, speech: Samples, names: NamePrompt, *, is_certain: bool) -> Transcription:
        """Transcribe a whole utterance."""

    async def partial(self, speech: Samples, names: NamePrompt) -> str:
        """Transcribe an utterance so far."""

    def closed(self) -> None:
        """Count a stream as closed."""


class WhisperStream:
    """The recognition of one utterance. Implements `AsrStream`."""

    def __init__(
        self,
        engine: Transcriber,
        names: NamePrompt,
        repair: NameRepair | None,
        options: WhisperOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._names = names
        self._repair = repair
        self._lang = options.language
        self._least_step = options.partial_ms * MIC_RATE // 1000
        self._step = self._least_step
        self._clock = clock
        self._pcm = bytearray()
        self._heard = 0
        """Samples in the newest partial, running or done."""
        self._running: asyncio.Task[str] | None = None
        self._guess: asyncio.Task[Recognition] | None = None
        """The transcription of all audio so far, running or done."""
        self._is_over = False

    async def push(self, pcm: bytes) -> str | None:
        """Take s16le 16 kHz audio; return the words so far if they were recognised again. Raises AudioError."""
        self._check_open()
        to_array(pcm)
        self._pcm += pcm
        if pcm:
            self._drop_guess()
        new: str | None = None
        if self._running is not None and self._running.done():
            task, self._running = self._running, None
            new = task.result()
        samples = len(self._pcm) // 2
        if self._running is None and samples - self._heard >= self._step and samples <= LONGEST_S * MIC_RATE:
            self._heard = samples
            self._running = asyncio.create_task(self._partial(), name="whisper partial")
        # Let the loop run, so that a transcription can end even if the caller has much audio at once.
        await asyncio.sleep(0)
        return new

    async def guess(self) -> Recognition:
        """Return the final words if the utterance ended here; it goes on. Can be cancelled: the work continues."""
        self._check_open()
        if self._guess is None:
            self._guess = asyncio.create_task(self._final(is_certain=False), name="whisper guess")
        return await self._result(self._guess)

    async def finish(self) -> Recognition:
        """Return the final words and close the stream; at once when a guess has heard everything."""
        self._check_open()
        self._is_over = True
        self._engine.closed()
        self._drop_partial()
        if self._guess is None:
            self._guess = asyncio.create_task(self._final(is_certain=True), name="whisper final")
        return await self._result(self._guess)

    async def abandon(self) -> None:
        """Close the stream without a result. Does nothing if it is over."""
        if not self._is_over:
            self._is_over = True
            self._engine.closed()
        self._drop_partial()
        self._drop_guess()

    # --- within ------------------------------------------------------------------------------------------------------

    async def _result(self, task: asyncio.Task[Recognition]) -> Recognition:
        try:
            return await asyncio.shield(task)
        except EngineError:
            self._guess = None  # the next one tries again
            raise

    async def _partial(self) -> str:
        begun = self._clock()
        text = await self._engine.partial(self._samples(), self._names)
        took = self._clock() - begun
        self._step = max(self._least_step, round(took / _DUTY * MIC_RATE))
        # Punctuation at the end of what goes on is a guess that would stand in the prompt.
        return self._repaired(_ENDING.sub("", text))

    async def _final(self, *, is_certain: bool) -> Recognition:
        speech = self._samples()
        if len(speech) < _SHORTEST_S * MIC_RATE:
            return Recognition("", 0.0, self._lang)
        found: list[Transcription] = []
        words: list[WordTime] = []
        begun = 0
        for part in parts(speech):
            found.append(await self._engine.final(part, self._names, is_certain=is_certain))
            offset = begun / MIC_RATE
            words += [WordTime(each.text, each.start_s + offset, each.end_s + offset) for each in found[-1].words]
            begun += len(part)
        said = [each for each in found if each.text]
        if not said:
            return Recognition("", 0.0, self._lang)
        text = self._repaired(" ".join(each.text for each in said))
        return Recognition(text, min(each.confidence for each in said), self._lang, tuple(words))

    def _repaired(self, text: str) -> str:
        return text if self._repair is None or not text else self._repair.repair(text)

    def _samples(self) -> Samples:
        return to_array(bytes(self._pcm)).astype(np.float32) / np.float32(32768)

    def _drop_partial(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            _discard(running)

    def _drop_guess(self) -> None:
        guess, self._guess = self._guess, None
        if guess is not None:
            _discard(guess)

    def _check_open(self) -> None:
        if self._is_over:
            raise EngineError("This utterance is over.", remedy="Open another one.")


def parts(speech: Samples) -> list[Samples]:
    """Return an utterance in parts of at most `_MOST_S`, each cut at the quietest place of its last seconds."""
    cut: list[Samples] = []
    most, within, block = (round(each * MIC_RATE) for each in (_MOST_S, _CUT_WITHIN_S, 0.1))
    while len(speech) > (LONGEST_S - BEFORE_S) * MIC_RATE:
        window = speech[most - within : most]
        levels = [float(np.square(window[at : at + block]).sum()) for at in range(0, within - block, block // 2)]
        end = most - within + int(np.argmin(levels)) * (block // 2) + block // 2
        cut.append(speech[:end])
        speech = speech[end:]
    return [*cut, speech]


def _discard(task: asyncio.Task[object]) -> None:
    """Cancel a task whose result and error are not wanted any more."""
    task.cancel()
    task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
