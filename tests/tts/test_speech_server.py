"""The speech server's engine, on a server whose voice is espeak-ng."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speech_server import (
    RATE,
    SpeechServer,
    always,
    breaking,
    cut,
    endless,
    error,
    properly,
    speech_server,
    spoken_by,
    stream,
    wav_header,
)

from mythicd.engines.tts import ServerVoice, VoiceChunk, VoiceSpec
from mythicd.errors import AudioError, BusyError, ConfigError, EngineError, EngineUnavailable, ModelError
from mythicd.tts.phrase_buffer import Phrase
from mythicd.tts.speakable_text import spoken
from mythicd.tts.speech_queue import SpeechQueue
from mythicd.tts.speech_server import engine as engine_module
from mythicd.tts.speech_server.audio_body import AudioBody
from mythicd.tts.speech_server.engine import SpeechServerTts
from mythicd.tts.speech_server.options import SpeechServerOptions
from mythicd.tts.speech_server.request import served_voice
from mythicd.tts.speech_server.wav_stream import WavStream

pytestmark = pytest.mark.engine

TEXT = "Mind the blue lantern, by the market gate."
MARLA = VoiceSpec("marla", "en-us+f2", server=ServerVoice("alloy"))
TOM = VoiceSpec("tom", "en-gb+m3")
PCM = b"\1\0" * 4000

Start = Callable[..., Awaitable[SpeechServerTts]]


@pytest.fixture
async def server() -> AsyncIterator[SpeechServer]:
    async with speech_server() as running:
        yield running


@pytest.fixture
async def start(server: SpeechServer) -> AsyncIterator[Start]:
    engines: list[SpeechServerTts] = []

    async def begin(sample_rate: int = RATE, environment: dict[str, str] | None = None, **options: Any) -> Any:
        settings = SpeechServerOptions(**{"url": server.url, "voices": ("alloy", "onyx"), **options})
        engine = SpeechServerTts(settings, sample_rate, environment=environment or {})
        await engine.start()
        engines.append(engine)
        return engine

    yield begin
    for engine in engines:
        await engine.stop()


async def say(tts: SpeechServerTts, text: str = TEXT, voice: VoiceSpec = MARLA) -> list[VoiceChunk]:
    return [chunk async for chunk in tts.speak(text, voice)]


def pcm(chunks: list[VoiceChunk]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)


# --- speech ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audio_format", ["pcm", "wav"])
async def test_audio_arrives_whole_with_onsets(start: Start, server: SpeechServer, audio_format: str) -> None:
    tts = await start(format=audio_format)
    await tts.prepare(MARLA)
    chunks = await say(tts)
    sound = pcm(chunks)
    expected = spoken_by("alloy", TEXT)
    assert abs(len(sound) - len(expected)) < RATE // 50  # espeak-ng repeats itself to within a period of its voice
    words = [word for chunk in chunks for word in chunk.words]
    assert [TEXT[word.start : word.end] for word in words] == TEXT.split()
    phonemes = [onset for chunk in chunks for onset in chunk.phonemes]
    for onsets in (words, phonemes):
        assert all(a.sample <= b.sample for a, b in pairwise(onsets))
        assert 0 <= onsets[0].sample and onsets[-1].sample <= len(sound) // 2
    assert len([onset for onset in phonemes if onset.ipa]) > 20
    assert server.requests[-1] == {
        "model": "tts-1",
        "input": TEXT,
        "voice": "alloy",
        "response_format": audio_format,
    }


async def test_pieces_are_yielded_while_the_server_speaks(start: Start, server: SpeechServer) -> None:
    tts = await start()
    server.pace_s = 0.01
    async with aclosing(tts.speak(TEXT, MARLA)) as chunks:
        count, speaking = 0, []
        async for _ in chunks:
            count += 1
            speaking.append(server.speaking)
    assert count > 5
    assert speaking[:3] == [1, 1, 1]


async def test_onsets_come_with_the_audio_they_lie_in(start: Start, server: SpeechServer) -> None:
    server.pace_s = 0.002
    length = 0
    for chunk in await say(await start()):
        assert all(onset.sample >= length for onset in chunk.phonemes)
        length += len(chunk.pcm) // 2
        assert all(onset.sample <= length for onset in (*chunk.phonemes, *chunk.words))


async def test_audio_is_resampled_to_the_engines_rate(start: Start, server: SpeechServer) -> None:
    coarse = pcm(await say(await start(sample_rate=16_000)))
    assert len(coarse) * 3 / 2 == pytest.approx(len(spoken_by("alloy", TEXT)), rel=0.01)


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "audio/pcm;rate=16000"}, {"Content-Type": "audio/mpeg", "X-Sample-Rate": "16000"}],
)
async def test_a_declared_rate_is_used(start: Start, server: SpeechServer, headers: dict[str, str]) -> None:
    content_type = headers.pop("Content-Type")
    server.answers = [always(200, content_type, spoken_by("alloy", TEXT, 16_000), **headers)]
    sound = pcm(await say(await start()))
    assert len(sound) == pytest.approx(len(spoken_by("alloy", TEXT)), rel=0.02)


async def test_a_wav_is_understood_where_pcm_was_asked(start: Start, server: SpeechServer) -> None:
    whole = spoken_by("alloy", TEXT, 16_000)
    server.answers = [always(200, "audio/pcm", wav_header(len(whole), 16_000) + whole)]
    sound = pcm(await say(await start()))
    assert len(sound) == pytest.approx(len(whole) * 1.5, rel=0.01)


async def test_it_feeds_the_queue(start: Start) -> None:
    tts = await start()
    await tts.prepare(MARLA)
    queue = SpeechQueue(tts.sample_rate)
    queue.begin(Phrase(TEXT, 0), spoken(TEXT))
    for chunk in await say(tts):
        queue.add(chunk)
    queue.end()
    frames = queue.take(0)
    while more := queue.take(frames[-1].end):
        frames += more
    shown = 0
    for frame in frames:
        for event in frame.visemes:
            assert event.start == shown
            shown = event.end
    assert shown == frames[-1].end
    assert queue.heard(frames[-1].end) == len(TEXT)
    assert 0 < queue.heard(frames[-1].end // 2) < len(TEXT)


async def test_a_voice_is_described_in_the_request(start: Start, server: SpeechServer) -> None:
    slow = VoiceSpec("marla", "en-us", server=ServerVoice("onyx", 0.8, "Whisper."))
    await say(await start(model="tiny", extra={"stream": True, "model": "x"}), voice=slow)
    body = server.requests[0]
    assert body == {
        "model": "tiny",
        "input": TEXT,
        "voice": "onyx",
        "response_format": "pcm",
        "speed": 0.8,
        "instructions": "Whisper.",
        "stream": True,
    }


def test_a_voice_without_entry_gets_always_the_same_of_the_pool() -> None:
    pool = ("alloy", "onyx", "nova", "sage")
    names = {served_voice(VoiceSpec(f"voice_{number}", "en-us"), pool).name for number in range(40)}
    assert names == set(pool)
    assert served_voice(TOM, pool) == served_voice(TOM, pool)
    assert [served_voice(VoiceSpec("x", "de", rate=rate), pool).speed for rate in (80, 165, 450)] == [0.8, 1.0, 1.25]
    assert served_voice(VoiceSpec("x", "de"), pool).language == "de"


async def test_without_a_pool_a_voice_must_be_named(start: Start) -> None:
    tts = await start(voices=())
    with pytest.raises(ModelError, match=r"'tom'.*tts\.voices"):
        await tts.prepare(TOM)


@pytest.mark.parametrize("text", ["", "...", "\0", "\ud800", "🙂"])
async def test_a_text_without_words_sends_no_request(start: Start, server: SpeechServer, text: str) -> None:
    assert await say(await start(), text) == []
    assert server.requests == []


@pytest.mark.parametrize("text", ["a\0b \ud800 c", "Ünïcödé 漢字", "word " * 200])
async def test_odd_text_is_sent_readable(start: Start, server: SpeechServer, text: str) -> None:
    assert pcm(await say(await start(), text))
    assert len(server.requests[0]["input"]) == len(text)
    assert "\0" not in server.requests[0]["input"]


async def test_a_voice_is_calibrated_once(start: Start, server: SpeechServer) -> None:
    tts = await start()
    await tts.prepare(MARLA)
    await tts.prepare(MARLA)
    assert len(server.requests) == 1


async def test_words_are_timed_by_the_voices_own_pace(start: Start, server: SpeechServer) -> None:
    """The server's two voices speak at 190 and 130 words per minute; the reference at 165."""
    tts = await start()
    for name in ("alloy", "onyx"):
        voice = VoiceSpec(name, "en-us", server=ServerVoice(name))
        await tts.prepare(voice)
        chunks = await say(tts, TEXT, voice)
        end = len(pcm(chunks)) // 2
        last = [word for chunk in chunks for word in chunk.words][-1]
        assert 0.75 * end < last.sample < end


# --- several phrases -------------------------------------------------------------------------------------------------


async def test_no_more_requests_than_workers(start: Start, server: SpeechServer) -> None:
    tts = await start(workers=2)
    server.pace_s = 0.005
    spoken_phrases = await asyncio.gather(*(say(tts) for _ in range(6)))
    assert server.most_speaking == 2
    assert all(pcm(chunks) for chunks in spoken_phrases)


async def test_the_shortest_lead_is_served_first(start: Start, server: SpeechServer) -> None:
    tts = await start(workers=1)
    server.pace_s = 0.005

    async def speak(text: str, lead: float) -> None:
        async for _ in tts.speak(text, MARLA, lambda: lead):
            pass

    async with asyncio.TaskGroup() as group:
        group.create_task(speak("First.", 9))
        await asyncio.sleep(0)
        for text, lead in (("Far.", 5), ("Near.", 1), ("Middle.", 3)):
            group.create_task(speak(text, lead))
    assert [body["input"] for body in server.requests] == ["First.", "Near.", "Middle.", "Far."]


async def test_a_cancelled_phrase_closes_its_connection(start: Start, server: SpeechServer) -> None:
    tts = await start(workers=1)
    server.answers = [endless]
    speech = tts.speak(TEXT, MARLA)
    await anext(speech)
    await speech.aclose()
    async with asyncio.timeout(5):
        await server.left.wait()
    assert pcm(await say(tts))


async def test_a_phrase_cancelled_in_the_line_frees_it(start: Start, server: SpeechServer) -> None:
    tts = await start(workers=1)
    server.answers = [breaking([PCM], stall=True)]
    first, second, third = (asyncio.create_task(say(tts)) for _ in range(3))
    await server.asked.wait()
    second.cancel()
    first.cancel()
    assert pcm(await third)
    await asyncio.gather(first, second, return_exceptions=True)
    assert len(server.requests) == 2


async def test_stopping_ends_a_phrase_with_an_error(start: Start, server: SpeechServer) -> None:
    tts = await start()
    server.answers = [breaking([PCM], stall=True)]
    speech = asyncio.create_task(say(tts))
    await server.asked.wait()
    await tts.stop()
    with pytest.raises(EngineError):
        await speech
    with pytest.raises(EngineError, match="speech server is not running"):
        await say(tts)


# --- refusals --------------------------------------------------------------------------------------------------------


async def test_a_missing_key_names_its_variable(start: Start) -> None:
    with pytest.raises(ConfigError, match="SPEECH_KEY is not set"):
        await start(api_key_env="SPEECH_KEY")
    with pytest.raises(ConfigError, match="SPEECH_KEY is not a valid"):
        await start(api_key_env="SPEECH_KEY", environment={"SPEECH_KEY": "a\nb"})


async def test_a_key_is_sent_and_a_wrong_one_refused(start: Start, server: SpeechServer) -> None:
    server.key = "secret"
    await say(await start(api_key_env="SPEECH_KEY", environment={"SPEECH_KEY": "secret"}))
    assert server.keys == ["Bearer secret"]
    with pytest.raises(ConfigError, match="Incorrect API key.*SPEECH_KEY") as caught:
        await start(api_key_env="SPEECH_KEY", environment={"SPEECH_KEY": "hunter2"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"tts\.server\.api_key_env"):
        await start()


async def test_an_unreachable_server_is_named(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(EngineUnavailable, match=str(port)):
        await start(url=f"http://127.0.0.1:{port}/v1")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (error(400, "Unknown voice."), ModelError, r"Unknown voice.*voices\.yaml"),
        (always(422, "application/json", b'{"detail":[{"loc":["body"],"msg":"too long"}]}'), ModelError, "too long"),
        (error(404, "No such model."), ConfigError, r"No such model.*tts\.server\.url"),
        (error(429, "Pay first.", "insufficient_quota"), ConfigError, "quota"),
        (error(500, "CUDA out of memory"), EngineError, "CUDA out of memory"),
        (always(302, "text/plain", b"", Location="http://elsewhere.invalid/"), ConfigError, "302"),
        (always(500, "text/html", b"<html><title>Bad gateway</title></html>"), EngineError, "500: Bad gateway"),
    ],
)
async def test_a_refusal_is_reported(
    start: Start, server: SpeechServer, answer: Any, kind: type[Exception], words: str
) -> None:
    tts = await start()
    server.answers = [answer]
    with pytest.raises(kind, match=words):
        await say(tts)
    assert len(server.requests) == 1
    assert pcm(await say(tts))


async def test_prepare_reports_an_unknown_voice(start: Start) -> None:
    with pytest.raises(ModelError, match="'nobody'"):
        await (await start()).prepare(VoiceSpec("x", "en", server=ServerVoice("nobody")))


@pytest.mark.parametrize("busy", [error(503, "Loading model."), error(429, "Slow down.", **{"Retry-After": "0"})])
async def test_a_busy_server_is_asked_again(start: Start, server: SpeechServer, busy: Any) -> None:
    tts = await start()
    server.answers = [busy, busy]
    assert pcm(await say(tts))
    assert len(server.requests) == 3


async def test_a_server_that_stays_busy_is_reported(start: Start, server: SpeechServer) -> None:
    tts = await start()
    server.answers = [error(503, "Loading model.")] * 3
    with pytest.raises(BusyError, match="Loading model"):
        await say(tts)
    server.answers = [error(429, "Slow down.", **{"Retry-After": "3600"})]
    with pytest.raises(BusyError):  # at once: that is after the deadline
        await say(tts)
    assert len(server.requests) == 4


async def test_a_dropped_connection_is_retried(start: Start, server: SpeechServer) -> None:
    tts = await start()
    server.answers = [breaking([]), breaking([])]
    assert pcm(await say(tts))
    assert len(server.requests) == 3


# --- wrong answers ---------------------------------------------------------------------------------------------------

MP3 = b"\xff\xfb\x90\x64" + bytes(400)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (always(200, "text/html", b"<html><title>Log in</title>..."), "text/html.*Log in"),
        (always(200, "application/json", b'{"error": {"message": "No such voice"}}'), "No such voice"),
        (always(200, "audio/pcm", b'{"error": "no such voice"}'), "text .*error"),
        (always(200, "text/event-stream", b"data: {}\n\n"), "text/event-stream"),
        (always(200, "audio/mpeg", MP3), "mp3"),
        (always(200, "audio/mpeg", b"ID3\4" + bytes(400)), "mp3"),
        (always(200, "audio/ogg", b"OggS" + bytes(400)), "ogg"),
        (always(200, "audio/pcm;channels=2", PCM), "2 channels"),
    ],
)
async def test_another_format_is_named(start: Start, server: SpeechServer, answer: Any, words: str) -> None:
    tts = await start()
    server.answers = [answer]
    with pytest.raises(ConfigError, match=words):
        await say(tts)
    assert pcm(await say(tts))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "sent no audio"),
        (PCM + b"\1", "within a sample"),
        (wav_header(0), "sent no audio"),
        (wav_header(9000) + PCM, "1000 bytes"),
        (wav_header(0xFFFF_FFFF) + PCM + b"\1", "within a sample"),
        (wav_header(0xFFFF_FFFF)[:30], "within its header"),
        (wav_header(8000, bits=8) + PCM, "8 bits"),
        (wav_header(8000, bits=24) + PCM, "24 bits"),
        (wav_header(8000, rate=7) + PCM, "7 Hz"),
        (wav_header(8000, channels=64) + PCM, "64 channels"),
        (b"RIFF\0\0\0\0AVI " + PCM, "not a wav"),
        (b"RIFF\0\0\0\0WAVE\0\1\2\3" + PCM, "damaged chunk"),
        (b"RIFF\0\0\0\0WAVEdata\0\1\0\0" + PCM, "before its format"),
        (b"RIFF\0\0\0\0WAVEjunk\xff\xff\0\1" + PCM, "header is longer"),
    ],
)
async def test_damaged_audio_is_reported(start: Start, server: SpeechServer, content: bytes, words: str) -> None:
    tts = await start()
    server.answers = [always(200, "audio/pcm", content)]
    with pytest.raises(EngineError, match=words):
        await say(tts)
    assert pcm(await say(tts))


async def test_a_wav_must_be_one_where_wav_was_asked(start: Start, server: SpeechServer) -> None:
    server.answers = [always(200, "audio/wav", PCM)]
    with pytest.raises(ConfigError, match=r"asked for wav.*tts\.server\.format"):
        await say(await start(format="wav"))


async def test_a_connection_that_breaks_is_reported(start: Start, server: SpeechServer) -> None:
    tts = await start()
    server.answers = [breaking([spoken_by("alloy", TEXT)[:40_000]])]
    heard = []
    with pytest.raises(EngineError, match="broke"):
        async for chunk in tts.speak(TEXT, MARLA):
            heard.append(chunk)
    assert len(pcm(heard)) > 20_000
    assert len(server.requests) == 1, "never again once it was heard"


async def test_a_server_that_stalls_is_reported(start: Start, server: SpeechServer) -> None:
    tts = await start(first_s=0.3, gap_s=0.2)
    server.answers = [breaking([], stall=True), breaking([PCM], stall=True), breaking([b"\0"], stall=True)]
    with pytest.raises(EngineError, match=r"no audio within 0\.3 s"):
        await say(tts)
    with pytest.raises(EngineError, match=r"nothing for 0\.2 s"):
        await say(tts)
    with pytest.raises(EngineError, match="no audio"):
        await say(tts)
    assert pcm(await say(tts))


async def test_an_endless_stream_is_ended(start: Start, server: SpeechServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "LONGEST_S", 20.0)
    tts = await start()
    server.answers = [endless]
    heard = 0
    with pytest.raises(EngineError, match="more than 20 s"):
        async for chunk in tts.speak(TEXT, MARLA):
            heard += len(chunk.pcm)
    assert heard <= 20 * RATE * 2
    async with asyncio.timeout(5):
        await server.left.wait()


async def test_a_silent_answer_has_no_onsets(start: Start, server: SpeechServer) -> None:
    server.answers = [always(200, "audio/pcm", bytes(48_000))]
    chunks = await say(await start())
    assert pcm(chunks) == bytes(48_000)
    assert not any(onset.ipa for chunk in chunks for onset in chunk.phonemes)
    assert not any(chunk.words for chunk in chunks)


# --- parsers ---------------------------------------------------------------------------------------------------------


@given(st.data())
def test_pieces_of_any_size_make_the_same_samples(data: st.DataObject) -> None:
    samples = data.draw(st.binary(max_size=200).map(lambda noise: noise[: len(noise) // 4 * 4]))
    channels = data.draw(st.sampled_from([1, 2]))
    size = data.draw(st.sampled_from([len(samples), 0, 0x7FFF_F000, 0xFFFF_FFFF]))
    extra = data.draw(st.sampled_from([b"", b"LIST" + struct.pack("<I", 3) + b"abc\0"]))
    wav = wav_header(size, channels=channels, extra=extra) + samples
    parser, got = WavStream(), b""
    while wav:
        step = data.draw(st.integers(1, 60))
        got += parser.add(wav[:step])
        wav = wav[step:]
    parser.finish()
    frames = np.frombuffer(samples, "<i2").reshape(-1, channels)
    assert got == np.rint(frames.mean(axis=1)).astype("<i2").tobytes()
    assert parser.rate == RATE


def test_a_wav_of_floats_is_converted() -> None:
    floats = np.array([0.0, 0.5, -1.0, 2.0, np.nan], "<f4").tobytes()
    parser = WavStream()
    got = parser.add(wav_header(len(floats), bits=32, kind=3) + floats)
    assert np.frombuffer(got, "<i2").tolist() == [0, 16384, -32768, 32767, 0]


def test_wavs_in_a_row_are_joined_and_other_chunks_skipped() -> None:
    one = wav_header(4) + b"\1\0\2\0" + b"LIST" + struct.pack("<I", 4) + b"abcd"
    parser = WavStream()
    assert parser.add(one + one) == b"\1\0\2\0" * 2
    parser.finish()
    with pytest.raises(AudioError, match="changes its format"):
        parser.add(wav_header(4, rate=16_000))


def test_a_declared_rate_out_of_range_is_ignored() -> None:
    body = AudioBody("pcm", 22_050, {"Content-Type": "audio/pcm;rate=0", "X-Sample-Rate": "9999999999"})
    body.add(PCM)
    assert body.rate == 22_050


def test_the_url_of_an_endpoint_gets_a_version() -> None:
    assert SpeechServerOptions("http://here:1").server.endpoint("models") == "http://here:1/v1/models"
    assert SpeechServerOptions("http://here:1/api/").server.endpoint("models") == "http://here:1/api/models"


async def test_a_paced_wav_is_streamed(start: Start, server: SpeechServer) -> None:
    async def with_its_size(one: SpeechServer, request: Any, body: dict[str, Any]) -> Any:
        whole = spoken_by("alloy", body["input"])
        return await stream(one, request, cut(wav_header(len(whole)) + whole, 777), "audio/x-wav")

    server.answers = [with_its_size, properly]
    tts = await start(format="wav")
    assert len(pcm(await say(tts))) == pytest.approx(len(pcm(await say(tts))), rel=0.02)
