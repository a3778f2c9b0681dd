"""Speech input: the events of one microphone stream."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from mythicd.asr.transcript import Partial
from mythicd.audio.pcm import MIC_RATE
from mythicd.character.hear.speech_input import (
    MAX_HELD_S,
    SpeechEvent,
    SpeechInput,
    UtteranceHardEnd,
    UtteranceSoftEnd,
)
from mythicd.config.settings import TurnSettings
from mythicd.engines.vad import VAD_FRAME
from mythicd.errors import EngineError
from mythicd.telemetry.timeline import Mark
from mythicd.vad.endpointer import SpeechResumed, SpeechStart
from tests.fakes import FakeAsr, FakeVad

FRAME_S = VAD_FRAME / MIC_RATE


class Listener:
    """A microphone stream and its speech input, with the events so far."""

    def __init__(self, mode: Any) -> None:
        self.asr = FakeAsr()
        self.speech = SpeechInput(FakeVad(), self.asr, TurnSettings(), mode, 0.0)
        self.at = 0.0
        self.events: list[SpeechEvent] = []

    async def hear(self, seconds: float, *, voiced: bool) -> None:
        for _ in range(round(seconds / FRAME_S)):
            self.at += FRAME_S
            async for event in self.speech.add((b"\1\0" if voiced else b"\0\0") * VAD_FRAME, self.at):
                self.events.append(event)

    async def release(self) -> None:
        async for event in self.speech.release(self.at):
            self.events.append(event)

    def kinds(self) -> list[type]:
        passing = (Partial, UtteranceSoftEnd, SpeechResumed)
        return [type(event) for event in self.events if not isinstance(event, passing)]

    def pauses(self) -> list[type]:
        return [type(event) for event in self.events if isinstance(event, UtteranceSoftEnd | SpeechResumed)]


def ended(events: Iterable[SpeechEvent]) -> UtteranceHardEnd:
    return next(event for event in events if isinstance(event, UtteranceHardEnd))


@pytest.mark.virtual
async def test_open_microphone_hears_one_utterance_after_another() -> None:
    listener = Listener("open")
    for _ in range(2):
        await listener.hear(1.0, voiced=False)
        await listener.hear(1.0, voiced=True)
        await listener.hear(0.8, voiced=False)
    assert listener.kinds() == [SpeechStart, UtteranceHardEnd] * 2
    assert listener.asr.opened == 2, "silence opened a recognition"
    marks = ended(listener.events).timeline.marks
    assert marks[Mark.SPEECH_START] == pytest.approx(1.0)
    assert marks[Mark.SPEECH_END] == pytest.approx(2.0)
    assert marks[Mark.SOFT_END] == pytest.approx(2.06)
    assert marks[Mark.HARD_END] == pytest.approx(2.7), "not the default wait"
    await listener.release()
    assert len(listener.kinds()) == 4, "release without an utterance made an event"


@pytest.mark.virtual
async def test_soft_end_has_the_words_so_far_and_may_become_the_end() -> None:
    listener = Listener("open")
    listener.asr.by_voice = True
    await listener.hear(0.5, voiced=True)
    assert listener.speech.voiced_ms == pytest.approx(500)
    await listener.hear(0.2, voiced=False)
    assert listener.pauses() == [UtteranceSoftEnd]
    paused = next(event for event in listener.events if isinstance(event, UtteranceSoftEnd))
    assert paused.words == "when do" and set(paused.timeline.marks) == {
        Mark.SPEECH_START,
        Mark.SPEECH_END,
        Mark.SOFT_END,
    }
    assert (await listener.speech.guess()).text == "when do"
    await listener.hear(0.5, voiced=True)
    assert listener.pauses() == [UtteranceSoftEnd, SpeechResumed]
    await listener.hear(0.1, voiced=False)
    assert (await listener.speech.guess()).text == "when do you open", "words before the pause are missing"
    listener.speech.end_after(200)
    await listener.hear(0.1, voiced=False)
    assert listener.kinds() == [SpeechStart, UtteranceHardEnd]
    assert ended(listener.events).recognition.text == "when do you open"
    assert listener.asr.finished == 2, "a guess was recognised again"
    listener.speech.end_after(200)
    assert (await listener.speech.guess()).text == "", "guess after the end of the utterance"


@pytest.mark.virtual
async def test_wait_is_for_one_pause_and_at_least_the_soft_end() -> None:
    listener = Listener("open")
    await listener.hear(0.5, voiced=True)
    await listener.hear(0.12, voiced=False)
    listener.speech.end_after(400)
    await listener.hear(0.2, voiced=True)
    await listener.hear(0.6, voiced=False)
    assert listener.kinds() == [SpeechStart], "the wait of the first pause ended the second"
    listener.speech.end_after(0)
    await listener.hear(0.02, voiced=False)
    assert listener.kinds() == [SpeechStart, UtteranceHardEnd]


@pytest.mark.virtual
async def test_key_released_in_a_pause_ends_with_the_guess() -> None:
    listener = Listener("push_to_talk")
    await listener.hear(1.0, voiced=True)
    await listener.hear(0.3, voiced=False)
    assert listener.pauses() == [UtteranceSoftEnd]
    assert (await listener.speech.guess()).text == "when do you open"
    await listener.release()
    assert listener.asr.finished == 1
    assert ended(listener.events).timeline.marks[Mark.SPEECH_END] == pytest.approx(1.0)


@pytest.mark.virtual
async def test_speech_start_comes_before_the_recogniser_opens() -> None:
    listener = Listener("open")
    listener.asr.fails = "open"
    with pytest.raises(EngineError):
        await listener.hear(1.0, voiced=True)
    assert listener.kinds() == [SpeechStart]
    await listener.speech.abandon()
    await listener.hear(1.0, voiced=True)
    await listener.hear(1.0, voiced=False)
    assert listener.kinds() == [SpeechStart], "an abandoned utterance is ignored until its end"
    listener.asr.fails = ""
    await listener.hear(1.0, voiced=True)
    await listener.hear(1.0, voiced=False)
    assert listener.kinds() == [SpeechStart, SpeechStart, UtteranceHardEnd]


@pytest.mark.virtual
async def test_recognised_audio_starts_before_the_detected_speech() -> None:
    listener = Listener("open")
    got: list[bytes] = []
    stream = await listener.asr.open()
    push = stream.push

    async def keep(pcm: bytes) -> str:
        got.append(pcm)
        return await push(pcm)

    async def opened() -> Any:
        stream.push = keep  # type: ignore[method-assign]
        return stream

    listener.asr.open = opened  # type: ignore[method-assign]
    await listener.hear(1.0, voiced=False)
    await listener.hear(0.1, voiced=True)
    audio = b"".join(got)
    quiet = len(audio) - len(audio.lstrip(b"\0"))
    assert 0.38 <= quiet / 2 / MIC_RATE <= 0.46


@pytest.mark.virtual
async def test_held_key_ends_at_its_release_or_after_a_minute() -> None:
    listener = Listener("push_to_talk")
    await listener.hear(0.2, voiced=False)
    await listener.hear(0.5, voiced=True)
    await listener.hear(3.0, voiced=False)
    assert listener.kinds() == [], "silence ended an utterance while the key was held"
    await listener.release()
    assert ended(listener.events).voiced
    assert ended(listener.events).timeline.marks[Mark.HARD_END] == pytest.approx(3.7)
    await listener.hear(1.0, voiced=True)
    await listener.release()
    assert listener.kinds() == [UtteranceHardEnd]
    forgotten = Listener("push_to_talk")
    await forgotten.hear(MAX_HELD_S + 5, voiced=False)
    await forgotten.release()
    assert forgotten.kinds() == [UtteranceHardEnd] and not ended(forgotten.events).voiced


@pytest.mark.virtual
async def test_odd_frame_lengths_give_the_same_events() -> None:
    pcm = b"\0\0" * 16000 + b"\1\0" * 16000 + b"\0\0" * 16000
    seen = []
    for size in (74, 640, 1000, 32000, len(pcm)):
        listener = Listener("open")
        for at in range(0, len(pcm), size):
            async for event in listener.speech.add(pcm[at : at + size], min(at + size, len(pcm)) / 2 / MIC_RATE):
                listener.events.append(event)
            await asyncio.sleep(0)
        assert listener.kinds() == [SpeechStart, UtteranceHardEnd]
        seen.append(round(ended(listener.events).timeline.marks[Mark.SPEECH_END], 1))
    assert set(seen) == {2.0}
