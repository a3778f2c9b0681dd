"""One utterance for the faster-whisper recogniser, on a recogniser whose answers and durations are scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mythicd.asr.transcript import Transcript
from mythicd.asr.whisper.model import NO_NAMES, NamePrompt, Transcription
from mythicd.asr.whisper.names import NameRepair
from mythicd.asr.whisper.options import WhisperOptions
from mythicd.asr.whisper.stream import Samples, WhisperStream, parts
from mythicd.audio.pcm import MIC_RATE
from mythicd.engines.asr import Recognition, WordTime
from mythicd.errors import AudioError, EngineError

FRAME_S = 0.02
FRAME = bytes(round(FRAME_S * MIC_RATE) * 2)
WORDS = "where does the ferry leave in the morning".split()


class Scripted:
    """A recogniser that hears two words in a second, and takes a time of the event loop for it."""

    def __init__(self, *, partial_s: float = 0.05, final_s: float = 0.1) -> None:
        self.partial_s = partial_s
        self.final_s = final_s
        self.partials: list[float] = []
        """Seconds of audio of each partial."""
        self.finals: list[float] = []
        self.certain: list[bool] = []
        """Whether each final was certain when it was begun, and when it ended."""
        self.open = 1
        self.failure: Exception | None = None
        self.say: Callable[[float], str] = lambda seconds: " ".join(WORDS[: int(seconds * 2)])
        self.discarded: list[asyncio.Task[Any]] = []

    async def partial(self, speech: Samples, names: NamePrompt) -> str:
        self.partials.append(len(speech) / MIC_RATE)
        await asyncio.sleep(self.partial_s)
        self._fail()
        return self.say(len(speech) / MIC_RATE)

    async def final(self, speech: Samples, names: NamePrompt, *, is_certain: Callable[[], bool]) -> Transcription:
        self.finals.append(len(speech) / MIC_RATE)
        self.certain.append(is_certain())
        await asyncio.sleep(self.final_s)
        self.certain.append(is_certain())
        self._fail()
        text = self.say(len(speech) / MIC_RATE)
        times = [WordTime(word, number * 0.5, number * 0.5 + 0.4) for number, word in enumerate(text.split())]
        return Transcription(text, 0.9 if text else 0.0, tuple(times))

    async def repaired(self, repair: NameRepair, text: str) -> str:
        return repair.repair(text)

    def closed(self) -> None:
        self.open -= 1

    def discard(self, task: asyncio.Task[Any]) -> None:
        self.discarded.append(task)
        task.cancel()

    async def settled(self) -> None:
        await asyncio.gather(*self.discarded, return_exceptions=True)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def stream(engine: Scripted, repair: NameRepair | None = None) -> WhisperStream:
    return WhisperStream(engine, NO_NAMES, repair, WhisperOptions(), asyncio.get_running_loop().time)


async def speak(heard: WhisperStream, seconds: float) -> list[str]:
    """Push silence at the pace of speech; return what `push` returned, without None."""
    found: list[str] = []
    for _ in range(round(seconds / FRAME_S)):
        if (words := await heard.push(FRAME)) is not None:
            found.append(words)
        await asyncio.sleep(FRAME_S)
    return found


@pytest.mark.virtual
async def test_partials_come_at_least_every_250_ms() -> None:
    engine = Scripted()
    heard = stream(engine)
    found = await speak(heard, 4.0)
    steps = np.diff(engine.partials)
    assert max(steps) <= 0.25
    assert engine.partials[0] <= 0.25
    assert [len(words.split()) for words in found] == sorted(len(words.split()) for words in found)
    assert found[-1].split() == WORDS[: len(found[-1].split())] and len(found[-1].split()) >= 6
    await heard.finish()
    await engine.settled()


@pytest.mark.virtual
async def test_partials_come_more_rarely_under_load() -> None:
    engine = Scripted(partial_s=0.4)
    heard = stream(engine)
    await speak(heard, 4.0)
    assert min(np.diff(engine.partials[1:])) >= 0.4 / 0.5 - FRAME_S
    engine.partial_s = 0.05
    begun = len(engine.partials)
    await speak(heard, 3.0)
    assert min(np.diff(engine.partials[begun + 1 :])) <= 0.25
    await heard.abandon()
    await engine.settled()


@pytest.mark.virtual
async def test_one_partial_runs_at_a_time() -> None:
    engine = Scripted(partial_s=1.0)
    heard = stream(engine)
    await speak(heard, 0.9)
    assert len(engine.partials) == 1
    await heard.abandon()
    await engine.settled()


@pytest.mark.virtual
async def test_partials_end_without_punctuation() -> None:
    engine = Scripted()
    engine.say = lambda seconds: "Where is it?" if seconds < 0.5 else "Where is it, the key..."
    heard = stream(engine)
    found = await speak(heard, 1.5)
    assert set(found) == {"Where is it", "Where is it, the key"}
    assert (await heard.finish()).text == "Where is it, the key..."


@pytest.mark.virtual
async def test_an_empty_partial_keeps_the_words() -> None:
    engine = Scripted()
    engine.say = lambda seconds: "" if seconds < 0.5 or 0.9 < seconds < 1.2 else "Can you"
    heard = stream(engine)
    found = await speak(heard, 2.0)
    assert found[0] == ""
    first = found.index("Can you")
    assert set(found[first:]) == {"Can you"}
    await heard.abandon()
    await engine.settled()


@pytest.mark.virtual
async def test_words_are_stable_after_two_transcriptions() -> None:
    engine = Scripted()
    heard, transcript = stream(engine), Transcript(agreement_s=0.0)
    hypotheses = 0
    for number in range(100):
        words = await heard.push(FRAME)
        if words is not None:
            hypotheses += 1
            partial = transcript.add(words, number * FRAME_S)
            if partial is not None and partial.stable:
                break
        await asyncio.sleep(FRAME_S)
    assert transcript.stable == "where"
    # The first of one word is at 0.5 s of audio: the third or fourth. It takes one more to be stable.
    assert hypotheses == next(n for n, at in enumerate(engine.partials, 1) if at >= 0.5) + 1
    await heard.abandon()
    await engine.settled()


@pytest.mark.virtual
async def test_the_last_word_of_a_partial_is_not_repaired() -> None:
    engine = Scripted()
    said = {"mar": "Marla", "haster": "Hester"}
    repair = NameRepair(["Marla", "Hester"], (), lambda word: word, lambda word: word not in said)
    engine.say = lambda seconds: "to the mar" if seconds < 0.5 else "ask haster about the mar"
    heard = stream(engine, repair)
    assert set(await speak(heard, 1.0)) == {"to the mar", "ask Hester about the mar"}
    await heard.abandon()
    await engine.settled()


@pytest.mark.virtual
async def test_finish_after_a_guess_returns_it_at_once() -> None:
    engine = Scripted()
    heard = stream(engine)
    await speak(heard, 2.0)
    guessed = await heard.guess()
    assert await heard.guess() is guessed
    before_s = asyncio.get_running_loop().time()
    assert await heard.finish() is guessed
    assert asyncio.get_running_loop().time() == before_s
    assert engine.finals == [2.0]


@pytest.mark.virtual
async def test_more_audio_after_a_guess_is_transcribed() -> None:
    engine = Scripted()
    heard = stream(engine)
    await speak(heard, 1.0)
    guessed = await heard.guess()
    assert guessed.text == "where does"
    await heard.push(b"")
    assert await heard.guess() is guessed
    await speak(heard, 1.0)
    assert (await heard.finish()).text == "where does the ferry"
    assert engine.finals == [1.0, 2.0]
    await engine.settled()


@pytest.mark.virtual
async def test_a_cancelled_guess_goes_on_for_finish() -> None:
    engine = Scripted(final_s=0.5)
    heard = stream(engine)
    await heard.push(FRAME * 50)
    waiting = asyncio.create_task(heard.guess())
    await asyncio.sleep(0.3)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    before_s = asyncio.get_running_loop().time()
    assert (await heard.finish()).text == "where does"
    assert asyncio.get_running_loop().time() - before_s == pytest.approx(0.2)
    assert engine.finals == [1.0]


@pytest.mark.virtual
async def test_a_guess_overtaken_by_audio_is_completed() -> None:
    engine = Scripted(final_s=0.5)
    heard = stream(engine)
    await heard.push(FRAME * 50)
    waiting = asyncio.create_task(heard.guess())
    await asyncio.sleep(0.1)
    await heard.push(FRAME * 50)
    assert (await waiting).text == "where does"
    assert (await heard.finish()).text == "where does the ferry"
    await engine.settled()


@pytest.mark.virtual
async def test_a_forsaken_guess_is_cancelled_by_audio() -> None:
    engine = Scripted(final_s=0.5)
    heard = stream(engine)
    await heard.push(FRAME * 50)
    waiting = asyncio.create_task(heard.guess())
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await heard.push(FRAME)
    assert [task.get_name() for task in engine.discarded] == ["whisper final"]
    await heard.abandon()
    await engine.settled()


@pytest.mark.virtual
async def test_finish_makes_a_running_guess_certain() -> None:
    engine = Scripted(final_s=0.5)
    heard = stream(engine)
    await heard.push(FRAME * 50)
    waiting = asyncio.create_task(heard.guess())
    await asyncio.sleep(0.1)
    assert engine.certain == [False]
    final = await heard.finish()
    assert await waiting is final
    assert engine.certain == [False, True]


@pytest.mark.virtual
async def test_a_running_partial_does_not_delay_the_final() -> None:
    engine = Scripted(partial_s=100.0, final_s=0.1)
    heard = stream(engine)
    await speak(heard, 1.0)
    before_s = asyncio.get_running_loop().time()
    assert (await heard.finish()).text == "where does"
    assert asyncio.get_running_loop().time() - before_s == pytest.approx(0.1)
    await engine.settled()


@pytest.mark.virtual
async def test_abandon_ends_a_waiting_guess() -> None:
    engine = Scripted(final_s=0.5)
    heard = stream(engine)
    await heard.push(FRAME * 50)
    waiting = asyncio.create_task(heard.guess())
    await asyncio.sleep(0.1)
    await heard.abandon()
    await heard.abandon()
    with pytest.raises(EngineError, match="over"):
        await waiting
    assert engine.open == 0
    for call in (heard.push(FRAME), heard.guess(), heard.finish()):
        with pytest.raises(EngineError, match="over"):
            await call
    await engine.settled()


@pytest.mark.virtual
async def test_a_failed_guess_is_tried_again() -> None:
    engine = Scripted()
    engine.failure = EngineError("Whisper failed.", remedy="Repeat the utterance.")
    heard = stream(engine)
    await heard.push(bytes(MIC_RATE))
    with pytest.raises(EngineError, match="Whisper failed"):
        await heard.guess()
    engine.failure = None
    assert (await heard.finish()).text == "where"
    await engine.settled()


@pytest.mark.virtual
async def test_a_failed_partial_loses_no_audio() -> None:
    engine = Scripted()
    engine.failure = EngineError("Whisper failed.", remedy="Repeat the utterance.")
    heard = stream(engine)
    with pytest.raises(EngineError, match="Whisper failed"):
        await speak(heard, 1.0)
    engine.failure = None
    before = len(await speak(heard, 1.0))
    assert before > 0
    final = await heard.finish()
    assert engine.finals[-1] > 1.0 and final.text
    await engine.settled()


@pytest.mark.virtual
async def test_half_a_sample_is_rejected_and_loses_nothing() -> None:
    engine = Scripted()
    heard = stream(engine)
    await heard.push(FRAME * 50)
    with pytest.raises(AudioError, match="2 bytes"):
        await heard.push(b"\x00")
    assert (await heard.finish()).text == "where does"
    await engine.settled()


@pytest.mark.virtual
async def test_too_short_audio_has_no_words() -> None:
    for seconds in (0.0, 0.05, 0.09):
        engine = Scripted()
        engine.say = lambda _: "Thank you."
        heard = stream(engine)
        await heard.push(bytes(2 * round(seconds * MIC_RATE)))
        assert await heard.finish() == Recognition("", 0.0, "en")
        assert engine.finals == []


@pytest.mark.virtual
async def test_a_long_utterance_is_cut_at_its_pause() -> None:
    engine = Scripted()
    heard = stream(engine)
    random = np.random.default_rng(1)
    noise = random.normal(0, 2000, 60 * MIC_RATE)
    for at in (25.0, 50.0):
        noise[round(at * MIC_RATE) : round((at + 0.3) * MIC_RATE)] = 0
    engine.say = lambda seconds: f"{seconds:.0f} seconds"
    await heard.push(noise.astype("<i2").tobytes())
    final = await heard.finish()
    assert engine.finals[0] == pytest.approx(25.15, abs=0.15)
    assert engine.finals[0] + engine.finals[1] == pytest.approx(50.15, abs=0.15)
    assert sum(engine.finals) == pytest.approx(60.0)
    assert final.text == "25 seconds 25 seconds 10 seconds"
    assert [round(word.start_s) for word in final.words] == [0, 0, 25, 26, 50, 51]
    assert engine.partials == []


def test_parts_are_no_longer_than_the_window() -> None:
    for seconds in (0.0, 29.4, 29.6, 31.0, 60.0, 120.0):
        speech = np.random.default_rng(2).normal(0, 0.1, round(seconds * MIC_RATE)).astype(np.float32)
        cut = parts(speech)
        assert np.array_equal(np.concatenate(cut), speech)
        assert all(len(part) <= 29.5 * MIC_RATE for part in cut)
        assert all(len(part) >= 22 * MIC_RATE for part in cut[:-1])
