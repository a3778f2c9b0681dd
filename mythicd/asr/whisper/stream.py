"""One utterance for the faster-whisper recogniser: growing audio, partials at intervals, guesses and the final."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mythicd.asr.whisper.model import NamePrompt, Transcription
from mythicd.asr.whisper.names import NameRepair
from mythicd.asr.whisper.options import WhisperOptions
from mythicd.asr.whisper.window import BEFORE_S, LONGEST_S
from mythicd.asr.whisper.word_times import follow
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

    async def final(self, speech: Samples, names: NamePrompt, *, is_certain: Callable[[], bool]) -> Transcription:
        """Transcribe a whole utterance. `is_certain` tells whether it is over; asked while the call waits."""

    async def partial(self, speech: Samples, names: NamePrompt) -> str:
        """Transcribe an utterance so far."""

    async def repaired(self, repair: NameRepair, text: str) -> str:
        """Repair the names in a transcript, outside the event loop."""

    def closed(self) -> None:
        """Count a stream as closed."""

    def discard(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task whose result and error are not wanted any more, and own it until it has ended."""


@dataclass(slots=True)
class _Guess:
    """The transcription of all audio so far, running or done."""

    task: asyncio.Task[Recognition]
    waiting: int = 0
    """Callers that wait for it."""


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
        self._has_words = False
        """Whether a partial had words."""
        self._guess: _Guess | None = None
        self._is_over = False

    async def push(self, pcm: bytes) -> str | None:
        """Take s16le 16 kHz audio; return the words so far if they were recognised again.

        Raises AudioError for an odd number of bytes, and EngineError when a partial failed; the audio was taken then.
        """
        self._check_open()
        to_array(pcm)
        self._pcm += pcm
        if pcm:
            self._drop_guess()
        new: str | None = None
        if self._running is not None and self._running.done():
            task, self._running = self._running, None
            words = task.result()
            # Words do not vanish: such a partial was taken for noise, and the hypothesis before it stands.
            new = None if self._has_words and not words else words
            self._has_words = self._has_words or bool(words)
        samples = len(self._pcm) // 2
        if self._running is None and samples - self._heard >= self._step and samples <= LONGEST_S * MIC_RATE:
            self._heard = samples
            self._running = asyncio.create_task(self._partial(), name="whisper partial")
        # Let the loop run, so that a transcription can end even if the caller has much audio at once.
        await asyncio.sleep(0)
        return new

    async def guess(self) -> Recognition:
        """Return the final words if the utterance ended with the audio so far; it goes on.

        Can be cancelled: the work continues until more audio comes. Raises EngineError, also after `abandon`.
        """
        self._check_open()
        return await self._all_words()

    async def finish(self) -> Recognition:
        """Return the final words and close the stream; at once when a guess has heard it all. Raises EngineError."""
        self._check_open()
        self._is_over = True
        self._engine.closed()
        self._drop_partial()
        return await self._all_words()

    async def abandon(self) -> None:
        """Close the stream without a result. Does nothing if it is over."""
        if not self._is_over:
            self._is_over = True
            self._engine.closed()
        self._drop_partial()
        self._drop_guess(is_wanted=False)

    # --- within ------------------------------------------------------------------------------------------------------

    async def _all_words(self) -> Recognition:
        guess = self._guess
        if guess is None:
            guess = self._guess = _Guess(asyncio.create_task(self._final(), name="whisper final"))
        guess.waiting += 1
        try:
            return await asyncio.shield(guess.task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if guess.task.cancelled() and (caller is None or not caller.cancelling()):
                raise _over() from None
            raise
        except EngineError:
            if self._guess is guess:
                self._guess = None  # the next one tries again
            raise
        finally:
            guess.waiting -= 1

    async def _partial(self) -> str:
        begun = self._clock()
        text = await self._engine.partial(self._samples(), self._names)
        took = self._clock() - begun
        self._step = max(self._least_step, round(took / _DUTY * MIC_RATE))
        # Punctuation at the end of what goes on is a guess that would stand in the prompt.
        text = _ENDING.sub("", text)
        # The last word may be half said ("the mar…"): it is left as it was heard.
        complete, _, last = text.rpartition(" ")
        return f"{await self._repaired(complete)} {last}".strip()

    async def _final(self) -> Recognition:
        speech = self._samples()
        if len(speech) < _SHORTEST_S * MIC_RATE:
            return Recognition("", 0.0, self._lang)
        found: list[Transcription] = []
        words: list[WordTime] = []
        begun = 0
        for part in parts(speech):
            found.append(await self._engine.final(part, self._names, is_certain=lambda: self._is_over))
            offset = begun / MIC_RATE
            words += [WordTime(each.text, each.start_s + offset, each.end_s + offset) for each in found[-1].words]
            begun += len(part)
        said = [each for each in found if each.text]
        if not said:
            return Recognition("", 0.0, self._lang)
        text = await self._repaired(" ".join(each.text for each in said))
        return Recognition(text, min(each.confidence for each in said), self._lang, follow(words, text))

    async def _repaired(self, text: str) -> str:
        return text if self._repair is None or not text else await self._engine.repaired(self._repair, text)

    def _samples(self) -> Samples:
        return to_array(bytes(self._pcm)).astype(np.float32) / np.float32(32768)

    def _drop_partial(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            self._engine.discard(running)

    def _drop_guess(self, *, is_wanted: bool = True) -> None:
        """Forget the guess; where somebody waits for it and `is_wanted`, it is completed all the same."""
        guess, self._guess = self._guess, None
        if guess is not None and not (is_wanted and guess.waiting):
            self._engine.discard(guess.task)

    def _check_open(self) -> None:
        if self._is_over:
            raise _over()


def _over() -> EngineError:
    return EngineError("This utterance is over.", remedy="Open another one.")


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
