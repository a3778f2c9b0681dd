"""Speech input: one microphone stream from PCM to words, by voice activity detection, endpointing and recognition.

With an open microphone the recogniser runs only during speech, from a little before it (pre-roll), so that no first
consonant is lost. With push-to-talk everything is recognised and the release of the key ends the turn; voice activity
then only tells speech from pauses. At a soft end the recogniser can be asked for the words as if the utterance ended
there (`guess`). It gets no more audio until the player goes on: silence changes no words, so the guess is final at the
hard end. Endpointing counts samples, so a replay is exact; marks are on the monotonic clock (audio/mic_clock.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal

from mythicd.aec.canceller import EchoCanceller
from mythicd.asr.transcript import Partial, Transcript
from mythicd.audio.mic_clock import MicClock
from mythicd.audio.pcm import MIC_RATE, SAMPLE_BYTES, Reframer, samples_of
from mythicd.config.settings import TurnSettings
from mythicd.engines.asr import Asr, AsrStream, Recognition
from mythicd.engines.vad import VAD_FRAME, Vad
from mythicd.telemetry.timeline import Mark, Timeline
from mythicd.vad.endpointer import Endpointer, EndpointSettings, HardEnd, SoftEnd, SpeechResumed, SpeechStart

MAX_HELD_S = 60
"""Longest utterance of one press of a push-to-talk key: a bound for a key that is stuck."""


@dataclass(frozen=True, slots=True)
class UtteranceSoftEnd:
    """The player has fallen silent and may be done: `SpeechInput.guess` tells what was said."""

    timeline: Timeline
    """speech_start, speech_end and soft_end are set."""
    words: str
    """The last hypothesis: all words there are, as far as they are known yet."""


@dataclass(frozen=True, slots=True)
class UtteranceHardEnd:
    """The utterance is over."""

    recognition: Recognition
    timeline: Timeline
    """speech_start, speech_end, soft_end and hard_end are set."""
    voiced_ms: float
    """From the first voiced sample to the last; 0 when no speech was there at all."""

    @property
    def voiced(self) -> bool:
        """Whether any speech was there at all."""
        return self.voiced_ms > 0


SpeechEvent = SpeechStart | Partial | UtteranceSoftEnd | SpeechResumed | UtteranceHardEnd
"""What becomes of a microphone's audio. Start and resumption are the endpointer's own events."""


@dataclass(slots=True)
class _Utterance:
    """What is known of the utterance under way; positions are samples of the stream."""

    first_voiced: int | None = None
    last_voiced: int | None = None
    soft_end: int | None = None


class SpeechInput:
    """What one character hears of one microphone stream."""

    def __init__(
        self,
        vad: Vad,
        asr: Asr,
        settings: TurnSettings,
        mode: Literal["push_to_talk", "open"],
        opened_s: float,
        echo: EchoCanceller | None = None,
    ) -> None:
        """`echo` takes the characters' own voices out of an open microphone beside a loudspeaker."""
        self._asr = asr
        self._held = mode == "push_to_talk"
        self._echo = None if self._held else echo
        if self._echo is not None:
            self._echo.open()
        self._vad = vad.open()
        timing = EndpointSettings(soft_ms=settings.soft_ms, hard_ms=settings.max_wait_ms)
        self._soft_ms = timing.soft_ms
        self._endpointer = Endpointer(timing)
        if self._held:
            self._endpointer.press()
        self._frames = Reframer(VAD_FRAME)
        self._clock = MicClock(MIC_RATE)
        before_start = samples_of(timing.preroll_ms + timing.min_speech_ms, MIC_RATE) // VAD_FRAME + 1
        self._recent: deque[bytes] = deque(maxlen=before_start)
        self._received = 0
        self._opened_s = opened_s
        self._utterance = _Utterance()
        self._stream: AsrStream | None = None
        self._finishing: asyncio.Future[Recognition] | None = None
        """The final words, while the recogniser works on them."""
        self._transcript = Transcript(agreement_s=asr.agreement_s)
        self._words = ""
        self._withheld: list[bytes] | None = None
        """Audio since a pause began, which the recogniser does not get yet; None while there is no pause."""
        self._over = False
        """Whether the one utterance of a push-to-talk press has ended before the release."""
        self._deaf = False
        """Whether the rest of the utterance is ignored, as it was given up."""

    @property
    def voiced_ms(self) -> float:
        """How long the utterance under way has lasted, from its first voiced sample to its last."""
        first = self._utterance.first_voiced
        return 0.0 if first is None else max(0.0, (self._endpointer.last_voiced - first) * 1000 / MIC_RATE)

    @property
    def pause_ms(self) -> float:
        """How long the pause under way has lasted; 0 while there is none."""
        if self._withheld is None:
            return 0.0
        return (self._endpointer.samples - self._endpointer.last_voiced) * 1000 / MIC_RATE

    def seek(self, sample: int) -> None:
        """The next audio has this sample index at the client."""
        if self._echo is not None:
            self._echo.far_end.seek(sample - self._frames.left)

    async def guess(self) -> Recognition:
        """Return what was said if the utterance ended here. May be called while audio comes in. Raises EngineError."""
        if self._finishing is not None:
            return await asyncio.shield(self._finishing)
        if self._stream is None:
            return Recognition("", 0.0)
        if self._withheld:  # the pause so far: a short sound alone is understood with some silence after it
            silence, self._withheld = b"".join(self._withheld), []
            await self._stream.push(silence)
        return await self._stream.guess() if self._stream is not None else Recognition("", 0.0)

    def end_after(self, ms: float) -> None:
        """End the utterance when this pause has lasted so long; for this pause only."""
        if self._withheld is not None:
            self._endpointer.wait_ms = max(ms, self._soft_ms)

    async def add(self, pcm: bytes, arrived_s: float) -> AsyncGenerator[SpeechEvent, None]:
        """Take audio as it arrives; yield events as soon as they are known. Raises EngineError.

        SpeechStart comes before the recogniser is asked, so that a character is ducked without waiting for it.
        """
        if self._over:
            return
        self._received += len(pcm) // SAMPLE_BYTES
        self._clock.add(self._received, arrived_s)
        waiting: list[bytes] = []
        for frame in self._frames.add(pcm):
            if self._echo is None:
                probabilities = self._vad.push(frame)
            else:
                listened = self._echo.listen(frame, self._vad)
                frame, probabilities = listened.pcm, [listened.probability]
            waiting.append(frame)
            for event in self._endpointer.add(probabilities):
                match event:
                    case SpeechStart():
                        if self._utterance.first_voiced is None:
                            self._utterance.first_voiced = event.first_voiced
                        if not self._held:
                            waiting[:0] = self._recent
                            self._recent.clear()
                            yield event
                    case SoftEnd():
                        said = self._utterance
                        said.last_voiced, said.soft_end = event.last_voiced, event.sample
                        if (partial := await self._recognise(waiting, arrived_s)) is not None:
                            yield partial
                        waiting, self._withheld = [], []
                        if not self._deaf:
                            yield UtteranceSoftEnd(
                                self._timeline(said, self._when(event.sample, arrived_s)), self._words
                            )
                    case SpeechResumed():
                        self._utterance.soft_end = None
                        waiting[:0] = self._withheld or []
                        self._withheld = None
                        if not self._deaf:
                            yield event
                    case HardEnd():
                        # With push-to-talk only an utterance that is too long ends before the key is released.
                        self._utterance.last_voiced = event.last_voiced
                        if (partial := await self._recognise(waiting, arrived_s)) is not None:
                            yield partial
                        waiting = []
                        self._over = self._held
                        ended = await self._end(self._when(event.sample, arrived_s))
                        if not self._deaf:
                            yield ended
                        self._deaf = False
                        if self._over:
                            return
            if not self._held and not self._endpointer.speaking:
                self._recent += waiting
                waiting = []
        if (partial := await self._recognise(waiting, arrived_s)) is not None:
            yield partial
        if self._held and self._received >= MAX_HELD_S * MIC_RATE:
            self._over = True
            yield await self._end(arrived_s)

    async def release(self, now_s: float) -> AsyncGenerator[SpeechEvent, None]:
        """Close the microphone: yield what was said until now, or nothing when no utterance was under way."""
        if self._over:
            return
        for event in self._endpointer.release() if self._held else self._endpointer.close():
            match event:
                case SpeechStart():
                    self._utterance.first_voiced = event.first_voiced
                case HardEnd():
                    self._utterance.last_voiced = event.last_voiced
        rest = self._frames.finish()
        paused = self._withheld is not None
        if self._deaf or (not self._held and self._utterance.first_voiced is None):
            self._deaf = False
            return
        self._over = self._held
        if not paused:
            if (partial := await self._recognise([rest] if rest else [], now_s)) is not None:
                yield partial
            if self._utterance.first_voiced is not None:  # work on the answer may begin beside the recogniser's
                self._withheld = []
                yield UtteranceSoftEnd(self._timeline(self._utterance, now_s), self._words)
        yield await self._end(now_s)

    async def abandon(self) -> None:
        """Drop the utterance under way, to its end."""
        self._over, self._deaf = self._held, self._endpointer.speaking
        self._withheld = None
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.abandon()

    async def _recognise(self, frames: list[bytes], now_s: float) -> Partial | None:
        if self._withheld is not None:
            self._withheld += frames
            return None
        if not frames or self._deaf:
            return None
        if self._stream is None:
            self._stream = await self._asr.open()
        words = await self._stream.push(b"".join(frames))
        partial = None if words is None else self._transcript.add(words, now_s)
        self._words = self._words if partial is None else partial.text
        return partial

    async def _end(self, hard_s: float) -> UtteranceHardEnd:
        """Finish the utterance, and prepare for the next one of this stream."""
        said, self._utterance = self._utterance, _Utterance()
        stream, self._stream = self._stream, None
        self._transcript = Transcript(agreement_s=self._asr.agreement_s)
        self._words, self._withheld = "", None
        recognition = Recognition("", 0.0)
        if stream is not None:
            self._finishing = asyncio.ensure_future(stream.finish())
            try:
                recognition = await self._finishing
            except BaseException:
                await stream.abandon()  # it may not have come as far as to end
                raise
            finally:
                self._finishing = None
        timeline = self._timeline(said, hard_s)
        timeline.mark(Mark.HARD_END, hard_s)
        first, last = said.first_voiced, said.last_voiced
        voiced_ms = 0.0 if first is None else max(1.0, ((last or first) - first) * 1000 / MIC_RATE)
        return UtteranceHardEnd(recognition, timeline, voiced_ms)

    def _timeline(self, said: _Utterance, now_s: float) -> Timeline:
        """Return the marks of an utterance as it stands."""
        end_s = now_s if said.last_voiced is None else min(self._when(said.last_voiced, now_s), now_s)
        start_s = self._opened_s if said.first_voiced is None else self._when(said.first_voiced, self._opened_s)
        soft_s = now_s if said.soft_end is None else self._when(said.soft_end, now_s)
        timeline = Timeline()
        timeline.mark(Mark.SPEECH_START, min(start_s, end_s))
        timeline.mark(Mark.SPEECH_END, end_s)
        timeline.mark(Mark.SOFT_END, min(max(soft_s, end_s), now_s))
        return timeline

    def _when(self, sample: int, otherwise_s: float) -> float:
        when = self._clock.when(sample)
        return otherwise_s if when is None else when
