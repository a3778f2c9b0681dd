"""The babble gate: on synthetic levels, and with the real detectors in a generated tavern."""

from __future__ import annotations

import numpy as np
import pytest

from bench.open_mic import acoustics
from bench.open_mic.acoustics import Sound
from mythicd.audio.pcm import MIC_RATE
from mythicd.engines.vad import VAD_FRAME
from mythicd.vad.babble import BabbleGate
from mythicd.vad.endpointer import Endpoint, Endpointer, HardEnd, SpeechStart
from mythicd.vad.gated_silero import GatedSileroVad

pytestmark = pytest.mark.engine

MINUTE = 60 * MIC_RATE
TAVERN_DBFS = acoustics.PLAYER_DBFS - 15


def wavering(frames: int, middle: float, spread: float, seed: int = 1) -> list[float]:
    return list(np.random.default_rng(seed).uniform(middle - spread / 2, middle + spread / 2, frames))


def listen(room: BabbleGate, levels: list[float], probability: float) -> list[bool]:
    return [room.admits(level, probability) for level in levels]


def test_quiet_room_is_not_gated() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -65, 2), 0.0)
    for _ in range(5):
        assert all(listen(room, wavering(10, -25, 20), 0.9)), "a short word was rejected"
        listen(room, wavering(200, -65, 2), 0.0)
    assert all(listen(room, wavering(500, -30, 40), 0.9)), "a long speech was rejected"
    assert room.fence_dbfs == float("-inf")


def test_loud_noise_that_is_not_speech_is_not_gated() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -30, 8), 0.1)
    assert all(listen(room, wavering(20, -18, 4), 0.9))


def test_babble_taken_for_speech_is_rejected() -> None:
    room = BabbleGate()
    listen(room, wavering(250, -34, 10), 0.6)
    assert not any(listen(room, wavering(500, -34, 10, seed=2), 0.9))
    assert -30 < room.fence_dbfs < -22


def test_louder_speech_is_accepted_after_100_ms_until_its_end() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -34, 10), 0.6)
    believed = listen(room, wavering(50, -17, 6), 0.9)
    assert believed.index(True) == 4 and all(believed[4:])
    after = listen(room, wavering(50, -38, 2), 0.9)
    assert after.index(False) == 11 and not any(after[11:])


def test_short_loud_noise_is_rejected() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -34, 10), 0.6)
    assert not any(listen(room, [-10.0] * 3, 0.9))


def test_long_speech_does_not_become_the_background() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -34, 10), 0.6)
    fence = room.fence_dbfs
    for seed in range(20):
        listen(room, wavering(20, -15, 8, seed) + wavering(10, -36, 4, seed), 0.9)
    assert room.fence_dbfs == pytest.approx(fence, abs=1.0)


def test_louder_babble_is_learnt_in_seconds_and_gated_for_a_minute() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -34, 8), 0.6)
    listen(room, wavering(260, -24, 8), 0.6)
    assert not any(listen(room, wavering(200, -24, 8, seed=3), 0.9))
    listen(room, wavering(3300, -65, 2), 0.0)
    assert room.fence_dbfs == float("-inf")


# --- real detectors --------------------------------------------------------------------------------------------------


@pytest.fixture
async def vad() -> GatedSileroVad:
    gate = GatedSileroVad()
    await gate.start()
    return gate


def endpoints(vad: GatedSileroVad, sound: Sound) -> list[Endpoint]:
    stream, endpointer = vad.open(), Endpointer()
    events: list[Endpoint] = []
    pcm = acoustics.to_pcm(sound)
    for at in range(0, len(pcm) - 2 * VAD_FRAME + 1, 2 * VAD_FRAME):
        events += endpointer.add(stream.push(pcm[at : at + 2 * VAD_FRAME]))
    return events


@pytest.mark.parametrize("talkers", [0, 6])
async def test_five_minutes_of_babble_start_at_most_one_turn_a_minute(vad: GatedSileroVad, talkers: int) -> None:
    rng = np.random.default_rng(11)
    noise = acoustics.babble(rng, 300, TAVERN_DBFS, talkers) if talkers else acoustics.fan(rng, 300, TAVERN_DBFS)
    starts = [event.sample for event in endpoints(vad, noise) if isinstance(event, SpeechStart)]
    assert all(later - earlier >= MINUTE for earlier, later in zip(starts, starts[1:], strict=False)), starts
    assert len(starts) <= 2


@pytest.mark.parametrize(("level", "talkers"), [(-15, 6), (TAVERN_DBFS, 3)])
async def test_loud_babble_and_babble_of_three_start_few_turns(vad: GatedSileroVad, level: float, talkers: int) -> None:
    babble = acoustics.babble(np.random.default_rng(12), 180, level, talkers)
    assert sum(isinstance(event, SpeechStart) for event in endpoints(vad, babble)) <= 3, "more than one turn a minute"


async def test_speech_in_a_tavern_is_found_from_start_to_end(vad: GatedSileroVad) -> None:
    """16 players, 15 dB above the babble: nearly all starts are found within half a second, and ends during babble."""
    begun = ended = 0
    for seed in range(16):
        rng = np.random.default_rng(100 + seed)
        sound = acoustics.babble(rng, 12, TAVERN_DBFS)
        said = acoustics.heard(
            *acoustics.say(str(rng.choice(acoustics.INTERRUPTIONS)), acoustics.VOICES[seed % len(acoustics.VOICES)])
        )
        said = acoustics.at_level(said, acoustics.PLAYER_DBFS)
        at = 7 * MIC_RATE
        first, last = (at + sample for sample in acoustics.audible(said))
        sound[at : at + len(said)] += said
        events = endpoints(vad, sound)
        begun += any(isinstance(e, SpeechStart) and 0 <= e.sample - first <= 0.5 * MIC_RATE for e in events)
        ended += any(isinstance(e, HardEnd) and abs(e.last_voiced - last) <= 0.3 * MIC_RATE for e in events)
    assert begun >= 15 and ended >= 15
