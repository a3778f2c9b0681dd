"""A whole turn: a spoken question in, a spoken answer from lore out, with visemes, tools and a timeline."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from mythicd.audio.pcm import rms_dbfs
from mythicd.client.daemon_client import DaemonClient, ReceivedVoice
from mythicd.telemetry.timeline import Mark
from mythicd.text.spoken_words import word_error_rate
from mythicd.wire import messages as m
from mythicd.wire.frames import OVR15
from tests.daemon import process
from tests.daemon.process import DaemonProcess, say

pytestmark = pytest.mark.realtime

BARKEEP = "barkeep_01"
HOURS = "When does the tavern close?"


def timeline_of(turn: list[m.ServerMessage]) -> m.TurnTimeline:
    assert isinstance(turn[-1], m.TurnTimeline), turn
    return turn[-1]


def voice_of(client: DaemonClient, turn: list[m.ServerMessage]) -> ReceivedVoice:
    starts = [message for message in turn if isinstance(message, m.StreamStart)]
    assert len(starts) == 1
    return client.streams[starts[0].stream]


async def ask(client: DaemonClient, text: str, npc_id: str = BARKEEP) -> m.TurnTimeline:
    """Type a question; return how the turn went."""
    await client.send(m.TextInput(npc_id=npc_id, text=text))
    return timeline_of(await client.turn())


async def test_a_spoken_question_is_answered_aloud_from_lore(client: DaemonClient) -> None:
    question = HOURS
    await client.send(m.Attend(npc_id=BARKEEP))
    await client.speak(BARKEEP, say(question))
    turn = await client.turn()
    heard = next(message for message in turn if isinstance(message, m.ASRFinal))
    assert word_error_rate(question, heard.text) <= 0.2
    assert any(isinstance(message, m.ASRPartial) for message in turn), "partials come while the player speaks"
    done = timeline_of(turn)
    assert "two in the morning" in done.reply.lower()
    assert done.played == done.reply

    marks = [mark.value for mark in Mark]
    present = [name for name in done.marks if name in marks]
    assert set(present) == set(marks) - {Mark.FIRST_MURMUR}, "all but the one that only a slow reply has"
    assert list(done.marks.values()) == sorted(done.marks.values())
    chain = [
        Mark.SPEECH_START, Mark.SPEECH_END, Mark.SOFT_END, Mark.CONTEXT_READY,
        Mark.PREFILL_DONE, Mark.LLM_FIRST_TOKEN, Mark.FIRST_PHRASE, Mark.TTS_FIRST_CHUNK, Mark.FIRST_AUDIO_SENT,
        Mark.PLAYBACK_STARTED, Mark.FIRST_AUDIBLE, Mark.PLAYBACK_STOPPED,
    ]  # fmt: skip
    times = [done.marks[mark] for mark in chain]
    assert times == sorted(times), done.marks

    voice = voice_of(client, turn)
    assert rms_dbfs(voice.clip.pcm) > -40
    assert voice.end is not None and voice.end.samples == sum(samples for _, samples in voice.frames)
    at = 0
    for timestamp, samples in voice.frames:
        assert timestamp == at, "PCM frames are gapless"
        assert 1 <= samples <= voice.start.sample_rate * 0.080
        at += samples

    visemes = voice.visemes
    assert visemes[0].start <= voice.start.sample_rate * 0.040
    assert all(a.start + a.duration <= b.start for a, b in zip(visemes, visemes[1:], strict=False))
    assert all(
        b.start - (a.start + a.duration) <= voice.start.sample_rate * 0.040
        for a, b in zip(visemes, visemes[1:], strict=False)
    )
    assert abs(visemes[-1].start + visemes[-1].duration - at) <= voice.start.sample_rate * 0.040
    assert OVR15[visemes[-1].code] == "sil"
    assert len({event.code for event in visemes}) >= 5


async def test_audio_is_sent_before_the_reply_is_complete(client: DaemonClient) -> None:
    """The first frame is sent while the model still writes.

    A reply with a tool call is long enough to test this: it has words before the call.
    """
    done = await ask(client, "Can you show me the way to the market?")
    assert done.marks["first_audio_sent"] < done.marks["llm_done"], done.marks


async def test_a_question_beyond_the_lore_gets_a_dont_know(client: DaemonClient) -> None:
    done = await ask(client, "How much does a dragon saddle cost?")
    assert re.search(
        r"(don't|do not|no idea|can't say|couldn't say|wouldn't know|not know|never heard)", done.reply, re.I
    )


async def test_the_way_to_the_market_is_a_tool_call(client: DaemonClient) -> None:
    await client.send(m.Attend(npc_id=BARKEEP))
    await client.send(m.TextInput(npc_id=BARKEEP, text="Can you show me the way to the market?"))
    turn = await client.turn()
    calls = [message for message in turn if isinstance(message, m.ToolCall)]
    assert [call.name for call in calls] == ["set_waypoint"]
    assert set(calls[0].arguments) == {"x", "y", "z"}
    assert all(isinstance(value, float | int) for value in calls[0].arguments.values())
    assert timeline_of(turn).reply.strip(), "the call comes with words"
    assert "<" not in timeline_of(turn).reply


async def test_a_call_comes_after_its_words_were_heard_and_before_the_rest(client: DaemonClient) -> None:
    """At the call, which the client acknowledges, part of the reply was heard, and more words are still to come."""
    await client.send(m.TextInput(npc_id=BARKEEP, text="Please show me the way to the market."))
    heard_s = 0.0
    async for message in client.events():
        if isinstance(message, m.StreamStart):
            voice = client.streams[message.stream]
        if isinstance(message, m.ToolCall):
            heard_s = voice.playback.played / voice.start.sample_rate
        if isinstance(message, m.TurnTimeline):
            break
    assert heard_s > 0
    # The call comes with the first words heard; one word of a lead, such as "Certainly.", lasts half a second.
    assert voice.playback.played / voice.start.sample_rate - heard_s > 0.5
    assert message.played == message.reply and len(re.findall(r"[.!]", message.reply)) >= 2, message.reply


async def test_silence_in_push_to_talk_is_not_a_turn(client: DaemonClient) -> None:
    from mythicd.audio.pcm import Clip

    await client.speak(BARKEEP, Clip(bytes(32000), 16000))
    await client.send(m.TextInput(npc_id=BARKEEP, text=HOURS))
    assert "two in the morning" in timeline_of(await client.turn()).reply.lower()


async def test_push_to_talk_cuts_the_reply_at_the_last_heard_word(client: DaemonClient) -> None:
    await client.send(m.TextInput(npc_id=BARKEEP, text=HOURS))
    async for message in client.events():
        if isinstance(message, m.StreamStart):
            break
    await asyncio.sleep(0.7)  # the player listens to a few words of it
    await client.speak(BARKEEP, say("Where is the market?"))
    first = timeline_of(await client.turn())
    second = timeline_of(await client.turn())
    assert first.played.endswith("—")
    front = first.played.removesuffix("—")
    assert front and first.reply.startswith(front) and len(front) < len(first.reply) - 5
    assert "market" in second.reply.lower()


@pytest.fixture
def edited(tmp_path: Path, world: Path) -> Iterator[DaemonProcess]:
    """A daemon whose world a test may edit."""
    running = process.start(tmp_path / "data", world)
    yield running
    running.stop()


async def test_edited_lore_is_spoken_on_the_next_turn(edited: DaemonProcess) -> None:
    async with await DaemonClient.connect(edited.data, process.hello("lore")) as client:
        assert "two in the morning" in (await ask(client, HOURS)).reply.lower()
        file = next(file for file in (edited.world / "lore").glob("*.yaml") if "two in the morning" in file.read_text())
        file.write_text(file.read_text().replace("two in the morning", "midnight"))
        reply = (await ask(client, HOURS)).reply.lower()
        assert "midnight" in reply and "two in the morning" not in reply

        whole = file.read_text()
        file.write_text(whole.replace("entries:", "entires:"))
        assert "midnight" in (await ask(client, HOURS)).reply.lower(), "a broken edit changes nothing"
        file.write_text(whole)


async def test_utterances_are_stored_by_playthrough(client: DaemonClient, daemon: DaemonProcess) -> None:
    """Each playthrough has its own history; it is written off the turn's path, which does not wait for it."""
    await ask(client, HOURS)
    playthrough = "test-utterances-are-stored-by-playthrough"
    async with asyncio.timeout(10.0):
        while len(rows := _utterances(daemon, playthrough)) < 2:  # noqa: ASYNC110  (a file must be polled)
            await asyncio.sleep(0.05)
    assert [kind for kind, _ in rows] == ["player", "npc"]
    assert all(text for _, text in rows)


def _utterances(daemon: DaemonProcess, playthrough: str) -> list[tuple[str, str]]:
    """Return (speaker, heard text) of each utterance, in the order in which they were written."""
    db = apsw.Connection(str(daemon.data / "memory.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        query = "select speaker_kind, heard_text from utterance where playthrough = ? order by id"
        return [(str(kind), str(text or "")) for kind, text in db.execute(query, (playthrough,))]
    finally:
        db.close()
