"""The real detectors with the endpointer, on espeak-ng's speech, on noise and on music."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from mythicd.audio.pcm import MIC_RATE, Resampler
from mythicd.engines.vad import VAD_FRAME, Vad
from mythicd.errors import EngineError, EngineUnavailable
from mythicd.native.espeakng import EspeakNg
from mythicd.vad.endpointer import Endpoint, Endpointer, HardEnd, SoftEnd, SpeechStart
from mythicd.vad.gated_silero import GatedSileroVad
from mythicd.vad.silero import SileroVad
from mythicd.vad.webrtc import WebRtcVad

pytestmark = pytest.mark.engine

Samples = NDArray[np.int16]
SECOND = MIC_RATE


def say(text: str, voice: str = "en-us", rate: int = 165, level: float = 1.0) -> Samples:
    espeak = EspeakNg.load()
    resampler = Resampler(espeak.sample_rate, MIC_RATE)
    pcm = b"".join(resampler.add(chunk.pcm) for chunk in espeak.synthesize(text, voice, rate)) + resampler.finish()
    return (np.frombuffer(pcm, dtype="<i2") * level).astype("<i2")


def noise(samples: int, dbfs: float, seed: int = 1) -> Samples:
    rng = np.random.default_rng(seed)
    return np.clip(rng.standard_normal(samples) * 32768 * 10 ** (dbfs / 20), -32768, 32767).astype("<i2")


def tones(*hertz: float, seconds: int = 4, level: float = 4000) -> Samples:
    time = np.arange(seconds * SECOND) / SECOND
    return (level * sum(np.sin(2 * np.pi * f * time) for f in hertz)).astype("<i2")


def in_a_room(speech: Samples, dbfs: float = -60) -> tuple[Samples, int, int]:
    """Put one second of noise before and after the speech; return it with the speech's audible start and end."""
    loud = np.flatnonzero(np.abs(speech.astype(int)) > np.abs(speech.astype(int)).max() // 30)
    padded = np.concatenate([np.zeros(SECOND, int), speech, np.zeros(SECOND, int)]) + noise(
        len(speech) + 2 * SECOND, dbfs
    )
    return np.clip(padded, -32768, 32767).astype("<i2"), SECOND + int(loud[0]), SECOND + int(loud[-1])


async def endpoints(vad: Vad, sound: Samples) -> list[Endpoint]:
    stream, endpointer = vad.open(), Endpointer()
    events: list[Endpoint] = []
    for at in range(0, len(sound) - VAD_FRAME + 1, VAD_FRAME):
        events += endpointer.add(stream.push(sound[at : at + VAD_FRAME].tobytes()))
    return events


@pytest.fixture
async def vad() -> GatedSileroVad:
    gate = GatedSileroVad()
    await gate.start()
    assert gate.degraded is None
    return gate


@pytest.mark.parametrize("voice", ["en-us", "en-us+m3", "en-us+f2", "en-gb+m7"])
@pytest.mark.parametrize("rate", [140, 190])
async def test_question_is_one_utterance(vad: GatedSileroVad, voice: str, rate: int) -> None:
    sound, begins, ends = in_a_room(say("Is the market open, and when does it close?", voice, rate))
    events = await endpoints(vad, sound)
    [start] = [event for event in events if isinstance(event, SpeechStart)]
    [end] = [event for event in events if isinstance(event, HardEnd)]
    assert 0 < start.sample - begins < 0.15 * SECOND
    assert start.start < begins
    assert abs(end.last_voiced - ends) < 0.08 * SECOND
    assert end.sample > ends, "the tail was cut"
    soft = [event for event in events if isinstance(event, SoftEnd)][-1]
    assert soft.sample - ends < 0.2 * SECOND


@pytest.mark.parametrize("word", ["Hello.", "When?", "No."])
async def test_a_single_word_is_an_utterance(vad: GatedSileroVad, word: str) -> None:
    sound, begins, _ = in_a_room(say(word))
    events = await endpoints(vad, sound)
    assert [type(event) for event in events][0 :: len(events) - 1] == [SpeechStart, HardEnd]
    assert events[0].sample - begins < 0.2 * SECOND


@pytest.mark.parametrize("dbfs", [-60, -50, -40, -30])
async def test_noise_is_never_speech(vad: GatedSileroVad, dbfs: float) -> None:
    assert await endpoints(vad, noise(10 * SECOND, dbfs)) == []


async def test_noise_onset_is_not_speech(vad: GatedSileroVad) -> None:
    assert await endpoints(vad, np.concatenate([noise(3 * SECOND, -65), noise(5 * SECOND, -35)])) == []


@pytest.mark.parametrize(
    "sound", [tones(440), tones(50, level=3000), tones(440, 554, 659), np.zeros(4 * SECOND, "<i2")]
)
async def test_hum_tones_and_silence_are_not_speech(vad: GatedSileroVad, sound: Samples) -> None:
    assert await endpoints(vad, sound) == []


async def test_musical_tones_are_not_speech_despite_webrtc(vad: GatedSileroVad) -> None:
    rng = np.random.default_rng(3)
    melody = 8000 * np.sin(
        2 * np.pi * np.repeat(rng.choice([220, 262, 330, 392, 440], 40), 2000) * np.arange(80_000) / SECOND
    )
    sound = (melody * np.tile(np.exp(-np.arange(2000) / 600), 40)).astype("<i2")
    assert await endpoints(vad, sound) == []
    webrtc = WebRtcVad()
    await webrtc.start()
    assert any(isinstance(event, SpeechStart) for event in await endpoints(webrtc, sound))


@pytest.mark.parametrize("snr_db", [20, 10])
async def test_speech_in_noise_is_found(vad: GatedSileroVad, snr_db: float) -> None:
    speech = say("Where can I find the old harbour master?", "en-us+f2")
    level = 10 * np.log10(np.mean(speech.astype(float) ** 2) / 32768**2)
    sound, begins, ends = in_a_room(speech, level - snr_db)
    events = await endpoints(vad, sound)
    starts = [event for event in events if isinstance(event, SpeechStart)]
    ends_found = [event for event in events if isinstance(event, HardEnd)]
    assert len(starts) == len(ends_found) == 1
    assert abs(starts[0].sample - begins) < 0.2 * SECOND
    assert abs(ends_found[0].last_voiced - ends) < 0.25 * SECOND


async def test_faint_speech_is_found(vad: GatedSileroVad) -> None:
    sound, *_ = in_a_room(say("Is the market open, and when does it close?", level=0.05), -70)
    events = await endpoints(vad, sound)
    assert isinstance(events[0], SpeechStart)


async def test_two_questions_are_two_utterances(vad: GatedSileroVad) -> None:
    first, *_ = in_a_room(say("Where is the market?"))
    second, *_ = in_a_room(say("And who is Tom?", "en-us+m3"))
    events = await endpoints(vad, np.concatenate([first, second]))
    assert sum(isinstance(event, HardEnd) for event in events) == 2


@pytest.mark.parametrize("make", [WebRtcVad, SileroVad, GatedSileroVad])
async def test_chunking_gives_the_same_probabilities(make: type[WebRtcVad | SileroVad | GatedSileroVad]) -> None:
    vad = make()
    await vad.start()
    pcm = in_a_room(say("Hello there."))[0].tobytes()
    whole = vad.open().push(pcm)
    stream = vad.open()
    pieces = [p for at in range(0, len(pcm), 777) for p in stream.push(pcm[at : at + 777])]
    assert len(whole) == len(pcm) // (2 * VAD_FRAME)
    assert pieces == pytest.approx(whole, abs=1e-5)
    assert all(0 <= probability <= 1 for probability in whole)
    assert vad.open().push(b"") == []
    await vad.stop()


async def test_streams_do_not_disturb_each_other(vad: GatedSileroVad) -> None:
    pcm = in_a_room(say("Hello there."))[0].tobytes()
    alone = vad.open().push(pcm)
    one, other = vad.open(), vad.open()
    mixed: list[float] = []
    for at in range(0, len(pcm), 640):
        mixed += one.push(pcm[at : at + 640])
        other.push(noise(320, -20, seed=at).tobytes())
    assert mixed == pytest.approx(alone, abs=1e-5)


# --- missing packages ------------------------------------------------------------------------------------------------


async def test_without_silero_webrtc_works_alone_as_degraded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    vad = GatedSileroVad()
    await vad.start()
    assert vad.degraded is not None
    assert "pip install onnxruntime" in vad.degraded
    sound, *_ = in_a_room(say("Is the market open?"), -70)
    assert any(isinstance(event, HardEnd) for event in await endpoints(vad, sound))


async def test_without_webrtc_silero_works_alone_as_degraded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    vad = GatedSileroVad()
    await vad.start()
    assert vad.degraded is not None
    assert "webrtcvad-wheels" in vad.degraded
    sound, *_ = in_a_room(say("Is the market open?"))
    assert any(isinstance(event, HardEnd) for event in await endpoints(vad, sound))


async def test_without_both_engine_is_unavailable_with_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineUnavailable, match="pip install webrtcvad-wheels onnxruntime"):
        await GatedSileroVad().start()


@pytest.mark.parametrize("make", [WebRtcVad, SileroVad, GatedSileroVad])
def test_unstarted_detector_raises_engine_error(make: type[WebRtcVad | SileroVad | GatedSileroVad]) -> None:
    with pytest.raises(EngineError, match="start"):
        make().open()
