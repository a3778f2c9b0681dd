"""A room full of talk: the policy on made-up levels, and the real detectors in a generated tavern."""

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


def test_a_quiet_room_believes_everything() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -65, 2), 0.0)
    for _ in range(5):
        assert all(listen(room, wavering(10, -25, 20), 0.9)), "a short word"
        listen(room, wavering(200, -65, 2), 0.0)
    assert all(listen(room, wavering(500, -30, 40), 0.9)), "and a long story"
    assert room.fence_dbfs == float("-inf")


def test_a_loud_room_that_is_no_speech_is_left_alone() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -30, 8), 0.1)
    assert all(listen(room, wavering(20, -18, 4), 0.9))


def test_a_room_that_passes_for_speech_is_believed_no_more() -> None:
    room = BabbleGate()
    listen(room, wavering(250, -34, 10), 0.6)
    assert not any(listen(room, wavering(500, -34, 10, seed=2), 0.9))
    assert -30 < room.fence_dbfs < -22


def test_who_stands_out_of_it_is_believed_after_a_tenth_of_a_second_and_until_they_fall_silent() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -34, 10), 0.6)
    believed = listen(room, wavering(50, -17, 6), 0.9)
    assert believed.index(True) == 4 and all(believed[4:])
    after = listen(room, wavering(50, -38, 2), 0.9)
    assert after.index(False) == 11 and not any(after[11:])


def test_one_loud_glass_is_nobody() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -34, 10), 0.6)
    assert not any(listen(room, [-10.0] * 3, 0.9))


def test_a_player_who_talks_on_does_not_become_the_room() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -34, 10), 0.6)
    fence = room.fence_dbfs
    for seed in range(20):
        listen(room, wavering(20, -15, 8, seed) + wavering(10, -36, 4, seed), 0.9)
    assert room.fence_dbfs == pytest.approx(fence, abs=1.0)


def test_a_louder_tavern_is_learnt_within_seconds_and_trusted_again_after_a_minute() -> None:
    room = BabbleGate()
    listen(room, wavering(500, -34, 8), 0.6)
    listen(room, wavering(260, -24, 8), 0.6)
    assert not any(listen(room, wavering(200, -24, 8, seed=3), 0.9))
    listen(room, wavering(3300, -65, 2), 0.0)
    assert room.fence_dbfs == float("-inf")


# --- the real thing --------------------------------------------------------------------------------------------------


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
async def test_five_minutes_of_noise_alone_start_no_turn_more_than_once_a_minute(
    vad: GatedSileroVad, talkers: int
) -> None:
    rng = np.random.default_rng(11)
    noise = acoustics.babble(rng, 300, TAVERN_DBFS, talkers) if talkers else acoustics.fan(rng, 300, TAVERN_DBFS)
    starts = [event.sample for event in endpoints(vad, noise) if isinstance(event, SpeechStart)]
    assert all(later - earlier >= MINUTE for earlier, later in zip(starts, starts[1:], strict=False)), starts
    assert len(starts) <= 2


@pytest.mark.parametrize(("level", "talkers"), [(-15, 6), (TAVERN_DBFS, 3)])
async def test_loud_babble_and_that_of_three_are_no_different(vad: GatedSileroVad, level: float, talkers: int) -> None:
    babble = acoustics.babble(np.random.default_rng(12), 180, level, talkers)
    assert sum(isinstance(event, SpeechStart) for event in endpoints(vad, babble)) <= 3, "one a minute"


async def test_who_speaks_in_a_tavern_is_heard_from_beginning_to_end(vad: GatedSileroVad) -> None:
    """15 dB above it, 16 players: nearly all begin within half a second, and end though the tavern goes on."""
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
