"""Microphone input: the lifetime of the microphone that speaks to one character, and its timeouts.

Two things that may never answer are bounded here: a microphone that falls silent within an utterance, and a recogniser
that takes too long for one step. A failure costs one utterance; an open microphone stays open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from mythicd.audio.gap_fill import GapFill
from mythicd.audio.pcm import MIC_RATE, SAMPLE_BYTES
from mythicd.character.environment import CharacterContext
from mythicd.character.hear.current_speech import ASR_PATIENCE_S, CurrentSpeech, asr_timeout
from mythicd.character.hear.speech_input import SpeechEvent, SpeechInput
from mythicd.character.mailbox import MicFrame
from mythicd.wire import messages as m

log = logging.getLogger(__name__)

MIC_PATIENCE_S = 1.5
"""How long a microphone may send nothing within an utterance before that ends the utterance."""
PIECE_BYTES = 6400
"""Longer frames are processed in pieces of 0.2 s, so that one long frame does not delay other characters."""


class SpeechSink(Protocol):
    """What takes the events of a microphone (character.hear.turn_taking.TurnTaking)."""

    @property
    def is_hearing(self) -> bool:
        """Whether the player is being heard."""

    def heard(self, event: SpeechEvent) -> None:
        """Take an event of the utterance."""

    def lost(self) -> None:
        """The utterance came to nothing, or its microphone is gone."""

    def failed(self, error: BaseException) -> None:
        """Something went wrong with the microphone or the recogniser."""


@dataclass(slots=True)
class MicStream:
    """An open microphone."""

    start: m.MicStart
    speech: SpeechInput
    gaps: GapFill
    heard_s: float
    """When its last audio was processed, on the monotonic clock."""


class MicrophoneInput:
    """One character's microphone: one player, one stream at a time."""

    def __init__(self, context: CharacterContext, current: CurrentSpeech, sink: SpeechSink) -> None:
        self._context = context
        self._current = current
        self._sink = sink
        self._mic: MicStream | None = None

    @property
    def deadline_s(self) -> float | None:
        """When `check_deadline` has something to do, on the monotonic clock."""
        if self._mic is None or not self._sink.is_hearing:
            return None
        return self._mic.heard_s + MIC_PATIENCE_S

    async def open(self, start: m.MicStart) -> None:
        """Open a microphone; the one before is closed."""
        await self.close()
        context, now = self._context, self._context.clock()
        engines, turn, echo = context.engines, context.settings.turn, context.environment.echo
        speech = SpeechInput(engines.vad, engines.asr, turn, start.mode, now, echo)
        self._set(MicStream(start, speech, GapFill(start.stream), now))

    async def release(self, stream: int) -> None:
        """Close a microphone in order: what was said until now is the utterance."""
        if self._mic is not None and self._mic.start.stream == stream:
            await self._pass_on(self._mic.speech.release(self._context.clock()))
            await self.close()

    async def close(self) -> None:
        """Close the microphone; an utterance under way is lost."""
        mic = self._mic
        self._set(None)
        self._lose()
        if mic is not None:
            with contextlib.suppress(Exception):  # it may be closed because its recogniser failed
                await mic.speech.abandon()

    async def receive(self, frame: MicFrame) -> None:
        """Take a microphone's audio; that of another stream is ignored."""
        if self._mic is None or self._mic.start.stream != frame.stream:
            return
        gaps = self._mic.gaps
        before = gaps.offset
        pcm, arrived_s, troubles = gaps.add(frame.sample, frame.pcm, frame.arrived_s)
        if gaps.offset != before:
            self._mic.speech.seek(gaps.next - len(pcm) // SAMPLE_BYTES)
        for trouble in troubles:
            self._sink.failed(trouble)
        for at in range(0, len(pcm), PIECE_BYTES):
            if self._mic is None or self._mic.start.stream != frame.stream:
                return
            piece = pcm[at : at + PIECE_BYTES]
            later = len(pcm) - at - len(piece)
            await self._pass_on(self._mic.speech.add(piece, arrived_s - later / SAMPLE_BYTES / MIC_RATE))
            if self._mic is not None:
                self._mic.heard_s = self._context.clock()

    async def check_deadline(self) -> None:
        """End the utterance of a microphone that has fallen silent."""
        deadline = self.deadline_s
        if self._mic is not None and deadline is not None and self._context.clock() >= deadline:
            log.warning("%s: the microphone fell silent within an utterance", self._context.npc_id)
            await self._pass_on(self._mic.speech.release(self._context.clock()))
            self._lose()

    def _set(self, mic: MicStream | None) -> None:
        self._mic = mic
        self._current.input = None if mic is None else mic.speech

    def _lose(self) -> None:
        if self._sink.is_hearing:
            self._sink.lost()

    async def _pass_on(self, events: AsyncGenerator[SpeechEvent, None]) -> None:
        """Pass events to the sink. On failure the utterance is lost and reported; an open microphone stays open."""
        try:
            async with asyncio.timeout(ASR_PATIENCE_S), contextlib.aclosing(events):
                async for event in events:
                    self._sink.heard(event)
            return
        except TimeoutError:
            self._sink.failed(asr_timeout())
        except Exception as error:
            self._sink.failed(error)
        mic, was_hearing = self._mic, self._sink.is_hearing
        await self.close()
        # A failure before any speech would come again with every frame: then the microphone stays closed.
        if mic is not None and mic.start.mode == "open" and was_hearing:
            self._set(mic)
