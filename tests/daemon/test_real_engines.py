"""Whole turns with the engines of the profile `cpu`: a person's words are heard by Whisper, and Piper answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from mythicd.asr.whisper.engine import WhisperAsr
from mythicd.audio.pcm import MIC_RATE, Clip, rms_dbfs, to_array
from mythicd.client.daemon_client import DaemonClient, ReceivedVoice
from mythicd.provisioning.model_store import model_store
from mythicd.text.spoken_words import word_error_rate
from mythicd.wire import messages as m
from mythicd.wire.frames import OVR15
from tests.daemon import process

pytestmark = pytest.mark.realtime

BARKEEP, CAPTAIN = "barkeep_01", "harbor_master_01"


@pytest.fixture
def client(real_client: DaemonClient) -> DaemonClient:
    return real_client


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Person:
    return Person(model_store(tmp_path_factory.mktemp("models")).find("en_US-joe-medium", "tts"))


class Person:
    """A player who speaks with Piper's own package."""

    def __init__(self, voice: Path) -> None:
        from piper import PiperVoice

        self._voice = PiperVoice.load(voice)

    def say(self, text: str) -> Clip:
        """Speak a sentence, with 200 ms of a quiet room on both sides."""
        rate = self._voice.config.sample_rate
        speech = np.concatenate([chunk.audio_int16_array for chunk in self._voice.synthesize(text)])
        quiet = np.zeros(rate // 5)
        sound = np.concatenate([quiet, speech * 0.4, quiet]) + np.random.default_rng(7).normal(
            0, 12, len(speech) + 2 * len(quiet)
        )
        return Clip(np.clip(sound, -32768, 32767).astype("<i2").tobytes(), rate)


def voice_of(client: DaemonClient, turn: list[m.ServerMessage]) -> ReceivedVoice:
    start = next(message for message in turn if isinstance(message, m.StreamStart) and message.kind == "reply")
    return client.streams[start.stream]


def timeline_of(turn: list[m.ServerMessage]) -> m.TurnTimeline:
    assert isinstance(turn[-1], m.TurnTimeline), turn
    return turn[-1]


def final_of(turn: list[m.ServerMessage]) -> m.ASRFinal:
    return next(message for message in turn if isinstance(message, m.ASRFinal))


async def heard_by_whisper(voice: Clip, folder: Path) -> str:
    """Return what Whisper hears of a voice."""
    asr = WhisperAsr(model_store(folder).find("whisper-tiny.en", "asr"))
    await asr.start()
    try:
        stream = await asr.open()
        await stream.push(voice.at(MIC_RATE).pcm)
        return (await stream.finish()).text
    finally:
        await asr.stop()


async def test_auto_takes_the_real_engines(client: DaemonClient) -> None:
    status = await client.next_event(10)
    assert isinstance(status, m.Status)
    assert (status.profile, status.asr, status.tts) == ("cpu", "faster-whisper", "piper")
    assert status.profile_reason and not status.notices
    assert client.welcome.profile == "cpu"


async def test_spoken_question_is_answered_aloud_from_lore(
    client: DaemonClient, person: Person, tmp_path: Path
) -> None:
    await client.send(m.Attend(npc_id=BARKEEP))
    await client.speak(BARKEEP, person.say("When does the tavern close?"))
    turn = await client.turn()
    assert word_error_rate("When does the tavern close?", final_of(turn).text) == 0
    assert any(isinstance(message, m.ASRPartial) and message.text for message in turn)
    done = timeline_of(turn)
    assert "two in the morning" in done.reply.lower() and done.played == done.reply
    voice = voice_of(client, turn)
    assert rms_dbfs(voice.clip.pcm) > -40
    assert word_error_rate(done.reply, await heard_by_whisper(voice.clip, tmp_path)) <= 0.2


async def test_questions_in_noise_are_answered(client: DaemonClient) -> None:
    """Three voices, two speeds, white noise at 15 dB."""
    for question, fact, voice, rate in (
        ("Where is the market?", "north", "en-us+f2", 150),
        ("Who is the harbor master?", "hale", "en-us+m3", 165),
        ("When does the tavern close?", "two", "en-gb+m3", 150),
    ):
        await client.speak(BARKEEP, process.say(question, voice, rate, noise_db=15))
        turn = await client.turn()
        assert fact in timeline_of(turn).reply.lower(), (final_of(turn).text, timeline_of(turn).reply)


async def test_visemes_cover_the_voice(client: DaemonClient) -> None:
    await client.send(m.TextInput(npc_id=BARKEEP, text="Who is the harbor master?"))
    voice = voice_of(client, await client.turn())
    end = sum(samples for _, samples in voice.frames)
    gaps = [after.start - before.end for before, after in zip(voice.visemes, voice.visemes[1:], strict=False)]
    assert voice.visemes[0].start == 0 and set(gaps) == {0}
    assert voice.visemes[-1].end == end and OVR15[voice.visemes[-1].code] == "sil"
    assert len({event.code for event in voice.visemes}) >= 8


async def test_characters_of_one_voice_sound_different(client: DaemonClient) -> None:
    pitches = []
    for npc_id in (BARKEEP, CAPTAIN):
        await client.send(m.TextInput(npc_id=npc_id, text="Who is the harbor master?"))
        voice = voice_of(client, await client.turn())
        pitches.append(_pitch(voice.clip))
    assert max(pitches) / min(pitches) > 1.15, pitches


async def test_noise_alone_is_not_answered(client: DaemonClient) -> None:
    noise = np.random.default_rng(3).normal(0, 400, 3 * MIC_RATE).astype("<i2").tobytes()
    await client.speak(BARKEEP, Clip(noise, MIC_RATE))
    async with asyncio.timeout(10):
        async for message in client.events():
            assert not isinstance(message, m.StreamStart)
            if isinstance(message, m.ASRFinal):
                assert message.text == ""
                break


def _pitch(clip: Clip) -> float:
    """Return the median fundamental frequency of voiced 40 ms frames, in hertz, by autocorrelation."""
    sound = to_array(clip.pcm).astype(np.float64)
    size, least, most = clip.rate // 25, clip.rate // 400, clip.rate // 70
    found = []
    for at in range(0, len(sound) - size, size):
        frame = sound[at : at + size] - sound[at : at + size].mean()
        if np.sqrt(np.mean(frame**2)) < 700:
            continue
        against = np.correlate(frame, frame, "full")[size - 1 :]
        lag = least + int(np.argmax(against[least:most]))
        if against[lag] > 0.5 * against[0]:
            found.append(clip.rate / lag)
    return float(np.median(found))
