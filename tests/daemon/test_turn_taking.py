"""Turn-taking with the real daemon and the starter engines, over the real socket, in real time.

The same scenes run in virtual time, hundreds of times, in tests/character/test_turn_taking.py.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from bench.open_mic.microphone import Room, until
from mythicd.audio.pcm import Clip
from mythicd.client.daemon_client import DaemonClient, ReceivedVoice
from mythicd.text.spoken_words import spoken_words, word_error_rate
from mythicd.wire import messages as m
from tests.daemon.process import say

pytestmark = pytest.mark.realtime

BARKEEP = "barkeep_01"
TELL = "What can you tell me about the market, the harbor, and the tavern?"
PLAYER = "en-us+f2"


@pytest.fixture
def client(real_client: DaemonClient) -> DaemonClient:
    """Turn-taking is tested on the real engines."""
    return real_client


def joined(*parts: Clip | float) -> Clip:
    """Concatenate clips and pauses (seconds)."""
    rate = next(part.rate for part in parts if isinstance(part, Clip))
    pcm = b"".join(part.pcm if isinstance(part, Clip) else bytes(2 * round(part * rate)) for part in parts)
    return Clip(pcm, rate)


async def test_an_open_microphone_is_answered_after_a_silence(client: DaemonClient) -> None:
    await client.send(m.Attend(npc_id=BARKEEP))
    async with Room(client, BARKEEP) as room:
        await asyncio.sleep(0.5)
        question = "Where is the market?"
        await room.say(say(question))
        turn = await client.turn()
        done = turn[-1]
        assert isinstance(done, m.TurnTimeline)
        assert word_error_rate(question, done.heard) <= 0.25
        assert done.played == done.reply != ""
        assert done.marks["soft_end"] < done.marks["hard_end"] <= done.marks["first_audio_sent"]
        told = [type(message) for message in turn]
        assert told.index(m.ASRFinal) < told.index(m.StreamStart), "nothing is sent before the words are final"


async def test_a_pause_in_the_middle_of_a_question_does_not_end_it(client: DaemonClient) -> None:
    await client.send(m.Attend(npc_id=BARKEEP))
    async with Room(client, BARKEEP) as room:
        await asyncio.sleep(0.5)
        await room.say(joined(say("Can you show me the way to the"), say("market?")))
        turn = await client.turn()
        done = turn[-1]
        assert isinstance(done, m.TurnTimeline)
        assert spoken_words(done.heard)[-1] == "market" and len(done.heard.split()) >= 6
        assert sum(isinstance(message, m.ASRFinal) for message in turn) == 1
        # The response started on the first half has sent nothing.
        captions = "".join(message.delta for message in turn if isinstance(message, m.LLMStreamDelta))
        assert captions == done.reply


async def test_a_backchannel_ducks_the_character_without_a_cutoff(client: DaemonClient) -> None:
    """In one of three tries: other tests measure in fifty cases how often it is told from an interruption."""
    await client.send(m.Attend(npc_id=BARKEEP))
    softened = False
    async with Room(client, BARKEEP) as room:
        for attempt in range(3):
            await client.send(m.TextInput(npc_id=BARKEEP, text=TELL))
            before = await until(client, m.StreamStart)
            await asyncio.sleep(0.8)
            await room.say(say(("Okay.", "I see.", "Right.")[attempt]))
            turn = [*before, *await client.turn()]
            done = turn[-1]
            assert isinstance(done, m.TurnTimeline)
            gains = [message.gain_db for message in turn if isinstance(message, m.Duck)]
            softened = gains == [-12.0, 0.0]
            if softened:
                assert not any(isinstance(message, m.Cutoff) for message in turn)
                assert done.heard == TELL and done.played == done.reply
                break
            with contextlib.suppress(TimeoutError):  # the turn that may have resulted instead
                await client.turn(4.0)
    assert softened


async def interrupt(client: DaemonClient, room: Room) -> tuple[m.TurnTimeline, ReceivedVoice]:
    """Talk over replies until one is cut off, three at the most; return its turn and its voice.

    Other tests measure how often the first attempt succeeds, in fifty rooms (tests/vad, tests/dialogue).
    """
    for _ in range(3):
        await client.send(m.TextInput(npc_id=BARKEEP, text=TELL))
        stream = (await until(client, m.StreamStart))[-1]
        assert isinstance(stream, m.StreamStart)
        await asyncio.sleep(0.8)
        asking = asyncio.create_task(room.say(say("Stop! Where is the lighthouse?")))
        done = (await client.turn())[-1]
        await asking
        voice = client.streams[stream.stream]
        if isinstance(done, m.TurnTimeline) and done.turn_id == stream.turn_id and voice.cutoff is not None:
            return done, voice
        with contextlib.suppress(TimeoutError):  # the turn that may have resulted instead
            await client.turn(6.0)
    raise AssertionError("three replies were not cut off")


async def test_an_interruption_cuts_the_reply_at_the_last_heard_word(client: DaemonClient) -> None:
    await client.send(m.Attend(npc_id=BARKEEP))
    async with Room(client, BARKEEP) as room:
        first, voice = await interrupt(client, room)
        assert voice.ducks[0].gain_db == -12.0
        assert first.played.endswith("—") and first.reply.startswith(first.played[:-1].rstrip())
        second = (await client.turn())[-1]
        assert isinstance(second, m.TurnTimeline) and second.turn_id != first.turn_id


@pytest.mark.parametrize("echo_db", [-8.0, -16.0])
async def test_echo_of_the_own_voice_does_not_interrupt(client: DaemonClient, echo_db: float) -> None:
    await client.send(m.Attend(npc_id=BARKEEP))
    async with Room(client, BARKEEP, echo_db=echo_db):
        await asyncio.sleep(0.5)
        await client.send(m.TextInput(npc_id=BARKEEP, text=TELL))
        turn = await client.turn()
        done = turn[-1]
        assert isinstance(done, m.TurnTimeline) and len(done.reply.split()) > 6
        assert not any(isinstance(message, m.Cutoff) for message in turn)
        assert done.played == done.reply
        await asyncio.sleep(1.5)
        assert all(voice.cutoff is None for voice in client.streams.values())


async def test_the_player_can_interrupt_over_the_echo(client: DaemonClient) -> None:
    await client.send(m.Attend(npc_id=BARKEEP))
    async with Room(client, BARKEEP, echo_db=-12.0) as room:
        await asyncio.sleep(0.5)
        first, _ = await interrupt(client, room)
        assert first.played.endswith("—")
