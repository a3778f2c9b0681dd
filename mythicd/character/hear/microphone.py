"""The microphone that speaks to one character, from its opening to its closing, and what goes wrong in between.

Whoever might never answer has a bound here: a microphone that falls silent in the middle of an utterance, and a
recogniser that takes too long for one step. What fails costs one utterance; an open microphone listens on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from mythicd.aec.canceller import EchoCanceller
from mythicd.audio.gap_fill import Continuity
from mythicd.audio.pcm import MIC_RATE, SAMPLE_BYTES
from mythicd.character.environment import Rooms
from mythicd.character.hear.speech_input import Ear, HeardEvent
from mythicd.character.mailbox import MicFrame
from mythicd.config.settings import TurnSettings
from mythicd.engines.asr import Recognition
from mythicd.errors import EngineError
from mythicd.wire import messages as m

log = logging.getLogger(__name__)

MIC_PATIENCE_S = 1.5
"""How long a microphone may send nothing in the middle of an utterance before that is taken as its end."""
HEARING_PATIENCE_S = 20.0
"""How long a recogniser may take for one step."""
PIECE_BYTES = 6400
"""Longer frames of a microphone are heard in pieces of 0.2 s, so that nobody else waits for a whole speech."""


@dataclass(slots=True)
class Microphone:
    """A microphone, and what hears it."""

    start: m.MicStart
    ear: Ear
    continuity: Continuity
    heard_s: float
    """When the last of its audio was heard, on the monotonic clock."""


class Hearing:
    """One character's hearing: one player, one microphone."""

    def __init__(
        self,
        npc_id: str,
        rooms: Rooms,
        *,
        clock: Callable[[], float],
        echo: EchoCanceller | None,
        is_hearing: Callable[[], bool],
        on_event: Callable[[HeardEvent], None],
        on_lost: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """`echo` takes out what the player's loudspeaker plays. `is_hearing` tells whether the player is being heard;
        `on_lost` is called when that came to nothing."""
        self._npc_id = npc_id
        self._rooms = rooms
        self._clock = clock
        self._echo = echo
        self._is_hearing = is_hearing
        self._on_event = on_event
        self._on_lost = on_lost
        self._on_error = on_error
        self._mic: Microphone | None = None

    @property
    def deadline_s(self) -> float | None:
        """When `look_at_clock` has something to do, on the monotonic clock."""
        if self._mic is None or not self._is_hearing():
            return None
        return self._mic.heard_s + MIC_PATIENCE_S

    @property
    def voiced_ms(self) -> float:
        """How long the utterance under way has lasted, from its first voiced sample to its last."""
        return 0.0 if self._mic is None else self._mic.ear.voiced_ms

    @property
    def pause_ms(self) -> float:
        """How long the pause under way has lasted; 0 while there is none."""
        return 0.0 if self._mic is None else self._mic.ear.pause_ms

    async def guess(self) -> Recognition:
        """Return what was said, should it end here. Raises what the recogniser raises, and EngineError when it is
        late."""
        if self._mic is None:
            return Recognition("", 0.0)
        try:
            async with asyncio.timeout(HEARING_PATIENCE_S):
                return await self._mic.ear.guess()
        except TimeoutError:
            raise _late() from None

    def wait(self, ms: float) -> None:
        """Let the pause that is under way end the utterance when it has lasted so long."""
        if self._mic is not None:
            self._mic.ear.wait(ms)

    async def open(self, start: m.MicStart, settings: TurnSettings) -> None:
        """A microphone opens; the one before is let go."""
        await self.close()
        now = self._clock()
        ear = Ear(self._rooms.vad, self._rooms.asr, settings, start.mode, now, self._echo)
        self._mic = Microphone(start, ear, Continuity(start.stream), now)

    async def release(self, stream: int) -> None:
        """The player lets go of a microphone: what was said until now is the utterance."""
        if self._mic is not None and self._mic.start.stream == stream:
            await self._listen(self._mic.ear.release(self._clock()))
            await self.close()

    async def close(self) -> None:
        """Let go of the microphone; what it was in the middle of is lost."""
        mic, self._mic = self._mic, None
        self._lose()
        if mic is not None:
            with contextlib.suppress(Exception):  # it may be closed because its recogniser failed
                await mic.ear.abandon()

    async def hear(self, frame: MicFrame) -> None:
        """Take a microphone's audio; that of another stream is ignored."""
        if self._mic is None or self._mic.start.stream != frame.stream:
            return
        continuity = self._mic.continuity
        before = continuity.offset
        pcm, arrived_s, troubles = continuity.add(frame.sample, frame.pcm, frame.arrived_s)
        if continuity.offset != before:
            self._mic.ear.seek(continuity.next - len(pcm) // SAMPLE_BYTES)
        for trouble in troubles:
            self._on_error(trouble)
        for at in range(0, len(pcm), PIECE_BYTES):
            if self._mic is None or self._mic.start.stream != frame.stream:
                return
            piece = pcm[at : at + PIECE_BYTES]
            later = len(pcm) - at - len(piece)
            await self._listen(self._mic.ear.hear(piece, arrived_s - later / SAMPLE_BYTES / MIC_RATE))
            if self._mic is not None:
                self._mic.heard_s = self._clock()

    async def look_at_clock(self) -> None:
        """End the utterance of a microphone that has fallen silent."""
        deadline = self.deadline_s
        if self._mic is not None and deadline is not None and self._clock() >= deadline:
            log.warning("%s: the microphone fell silent in the middle of an utterance", self._npc_id)
            await self._listen(self._mic.ear.release(self._clock()))
            self._lose()

    def _lose(self) -> None:
        if self._is_hearing():
            self._on_lost()

    async def _listen(self, events: AsyncGenerator[HeardEvent, None]) -> None:
        """Take what the ear hears. If it fails, the utterance is lost and told; an open microphone listens on."""
        try:
            async with asyncio.timeout(HEARING_PATIENCE_S), contextlib.aclosing(events):
                async for event in events:
                    self._on_event(event)
            return
        except TimeoutError:
            self._on_error(_late())
        except Exception as error:
            self._on_error(error)
        mic, was_hearing = self._mic, self._is_hearing()
        await self.close()
        # What fails without a word having been spoken would fail for every frame: then it stays closed.
        if mic is not None and mic.start.mode == "open" and was_hearing:
            self._mic = mic


def _late() -> EngineError:
    return EngineError(f"The recogniser did not answer within {HEARING_PATIENCE_S:.0f} s.", remedy="Try again.")
