"""The pocketsphinx recogniser: `decoder.py` in a child process.

pocketsphinx holds the interpreter's lock while it works, 70 to 250 ms at the end of an utterance. In the daemon's
process that would stop the language model and the voice just when the response starts.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

from mythicd.asr.pocketsphinx.decoder import Recogniser
from mythicd.audio.pcm import to_array
from mythicd.concurrency.child_process import ChildProcess
from mythicd.engines.asr import Recognition, Vocabulary
from mythicd.errors import BusyError, EngineError

LATE_S: Final = 20.0
"""Longest time, in seconds, in which a process may abandon an utterance; then it counts as hung and is killed."""


class PocketSphinxAsr:
    """The starter profile's recogniser."""

    has_reliable_partials: bool = False
    """The first hypotheses of a sound are guesses, such as "the", "who" and "will you"."""
    agreement_s: float = 0.4
    """Measured with hypotheses every 20 ms, 96 questions at 20 dB: at 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7 s the final words
    keep the whole stable prefix in 7, 23, 33, 56, 65, 70, 77 % of utterances, and at the end of the audio the prefix is
    47, 71, 82, 86, 81, 74, 61 % of the words."""

    def __init__(self, *, cache_dir: Path | None = None, max_streams: int = 4) -> None:
        """Language models are kept in `cache_dir`; without it they are temporary."""
        self._cache_dir = cache_dir
        self._max_streams = max_streams
        self._child: ChildProcess | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._vocabulary = Vocabulary()
        self._open = 0
        self._numbers = count(1)
        self._mending = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The recogniser's process id; None when it is not running."""
        return self._child.pid if self._child is not None else None

    async def start(self) -> None:
        """Load the acoustic model. Raises EngineUnavailable without the package, ModelError without its model,
        EngineError where no process can be started."""
        if self._cache_dir is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="mythic-asr-")
        try:
            self._child = await self._begin()
        except BaseException:
            await self.stop()
            raise

    async def learn(self, vocabulary: Vocabulary) -> None:
        """Learn the names and lore of this world. Open streams keep the model that they have."""
        self._vocabulary = vocabulary
        child = await self._mended()
        await child.call("learn", vocabulary, self._folder())

    async def open(self) -> PocketSphinxStream:
        """Open an utterance. Raises BusyError when `max_streams` are open."""
        self._running()
        if self._open >= self._max_streams:
            raise BusyError(
                f"All {self._max_streams} recognisers are listening.", remedy="Finish or abandon an utterance first."
            )
        try:
            return await self._open_stream()
        except EngineError:
            if self._running().alive:
                raise
            return await self._open_stream()  # the process died just now; another one is started

    async def stop(self) -> None:
        """Free the models and end the process."""
        async with self._mending:
            child, self._child = self._child, None
            if child is not None:
                await child.close()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    async def _open_stream(self) -> PocketSphinxStream:
        self._open += 1
        stream = None
        try:
            stream = PocketSphinxStream(await self._mended(), next(self._numbers), self._closed)
            await stream.begin()
        except BaseException:
            if stream is None:
                self._open -= 1
            else:  # it may be open in the process although the call was cancelled
                await stream.abandon()
            raise
        return stream

    async def _begin(self) -> ChildProcess:
        """Start a process, and teach it the current vocabulary."""
        child = ChildProcess("asr-pocketsphinx", Recogniser)
        try:
            await child.start()
            await child.call("learn", self._vocabulary, self._folder())
        except BaseException:
            await child.close()
            raise
        return child

    async def _mended(self) -> ChildProcess:
        """Return the process, or start another one if it has died. Utterances of the dead one are lost."""
        async with self._mending:
            child = self._running()
            if not child.alive:
                await child.close()
                child = self._child = await self._begin()
            return child

    def _folder(self) -> Path:
        if self._cache_dir is not None:
            return self._cache_dir
        assert self._temporary is not None, "made by start"
        return Path(self._temporary.name)

    def _closed(self) -> None:
        self._open -= 1

    def _running(self) -> ChildProcess:
        if self._child is None:
            raise EngineError("The recogniser is not running.", remedy="Call start() first.")
        return self._child


class PocketSphinxStream:
    """The recognition of one utterance in the recogniser's process."""

    def __init__(self, child: ChildProcess, number: int, closed: Callable[[], None]) -> None:
        self._child = child
        self._number: int | None = number
        self._closed = closed

    async def begin(self) -> None:
        """Open the utterance."""
        await self._child.call("open", self._unfinished())

    async def push(self, pcm: bytes) -> str:
        """Take s16le 16 kHz audio; return the hypothesis so far. Raises AudioError; the utterance then goes on."""
        number = self._unfinished()
        to_array(pcm)
        return str(await self._child.call("push", number, pcm))

    async def guess(self) -> Recognition:
        """Return what `finish` would return now; the utterance goes on."""
        found: Recognition = await self._child.call("guess", self._unfinished())
        return found

    async def finish(self) -> Recognition:
        """Return the final words; the text is empty if none were recognised."""
        number = self._end()
        # Shielded, so that the decoder is given back even if the caller is cancelled.
        found: Recognition = await asyncio.shield(self._child.call("finish", number))
        return found

    async def abandon(self) -> None:
        """Discard the utterance. Does nothing if it is over."""
        if self._number is not None:
            number = self._end()
            leaving = asyncio.ensure_future(self._child.call("abandon", number))
            leaving.add_done_callback(_ignore)  # fails if the process has died
            done, _ = await asyncio.wait([leaving], timeout=LATE_S)
            if not done:
                self._child.kill()

    def _end(self) -> int:
        number, self._number = self._unfinished(), None
        self._closed()
        return number

    def _unfinished(self) -> int:
        if self._number is None:
            raise EngineError("This utterance is over.", remedy="Open another one.")
        return self._number


def _ignore(done: asyncio.Future[None]) -> None:
    """Mark the exception as retrieved, so that asyncio does not log it."""
    if not done.cancelled():
        done.exception()
