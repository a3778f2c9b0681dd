"""The voice stream in each viseme set: what a client gets of a real reply, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import get_args

import pytest

from mythicd.character.speak.voice_stream import VoiceStream
from mythicd.engines.tts import VoiceChunk
from mythicd.native.espeakng import EspeakNg
from mythicd.tts.phrase_buffer import Phrase
from mythicd.tts.speakable_text import spoken
from mythicd.tts.speech_queue import SpeechQueue
from mythicd.tts.visemes.track import rest_event
from mythicd.wire import messages as m
from mythicd.wire.frames import VISEME_SETS, Frame, FrameType, unpack_blends, unpack_visemes

SETS: tuple[m.VisemeSetName, ...] = get_args(m.VisemeSetName)
REPLY = ("We open at noon, friend.", " Mind the lantern by the gate!")


@dataclass
class Recorder:
    """An outlet that keeps everything."""

    messages: list[m.ServerMessage] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)

    def send(self, message: m.ServerMessage) -> None:
        self.messages.append(message)

    def send_frame(self, frame: Frame) -> None:
        self.frames.append(frame)

    def drop_media(self, stream: int) -> None:
        raise AssertionError("nothing is cut off here")

    def close(self, code: int, reason: str) -> None:
        raise AssertionError("nothing closes here")


@cache
def speech(text: str) -> tuple[VoiceChunk, ...]:
    """Return espeak-ng's speech, the same for every set: its noise differs from one time to the next."""
    return tuple(EspeakNg.load().synthesize(text, "en-us"))


def speak(name: m.VisemeSetName) -> Recorder:
    """Send a reply of two phrases in real espeak-ng speech, as far ahead of the listener as is allowed."""
    engine, outlet = EspeakNg.load(), Recorder()
    queue = SpeechQueue(engine.sample_rate, visemes=name)
    stream = VoiceStream(outlet, 7, npc_id="marla", turn_id="t-1", sample_rate=engine.sample_rate, visemes=name)
    at = 0
    for text in REPLY:
        queue.begin(Phrase(text, at), spoken(text, ("en",)))
        at += len(text)
        for chunk in speech(text.strip()):
            queue.add(chunk)
            for frame in queue.take(stream.sent):
                stream.send(frame)
        queue.end()
    while not queue.drained:
        for frame in queue.take(stream.sent):
            stream.send(frame)
    stream.end()
    return outlet


@pytest.mark.parametrize("name", SETS)
def test_a_reply_arrives_in_the_set_that_was_asked_for(name: m.VisemeSetName) -> None:
    outlet, kind = speak(name), VISEME_SETS[name]
    start, end = outlet.messages
    assert isinstance(start, m.StreamStart) and start.viseme_set == kind.label
    assert isinstance(end, m.StreamEnd)
    assert {frame.type for frame in outlet.frames} == {FrameType.TTS_PCM, kind.frame_type}
    unpack = unpack_blends if kind.frame_type == FrameType.BLEND else unpack_visemes
    shown = sounded = 0
    last: m.MouthEvent | None = None
    for frame in outlet.frames:
        if frame.type == FrameType.TTS_PCM:
            assert frame.timestamp == sounded
            sounded += len(frame.payload) // 2
            assert shown >= sounded, "the mouth is known before its sound"
            continue
        assert frame.payload[0] == kind.code
        assert frame.timestamp == sounded, "it belongs to the audio that follows"
        for last in unpack(frame.payload, frame.timestamp):
            assert last.start == shown
            shown = last.end
    assert shown == sounded == end.samples
    assert last == rest_event(name, last.start, last.duration)
    numbers = [frame.sequence for frame in outlet.frames if frame.type == kind.frame_type]
    assert numbers == list(range(len(numbers)))


def test_the_audio_is_the_same_in_every_set() -> None:
    audio = {
        name: b"".join(frame.payload for frame in speak(name).frames if frame.type == FrameType.TTS_PCM)
        for name in SETS
    }
    assert len(set(audio.values())) == 1
