"""`mythicd talk` against a scripted daemon: every wait ends, and says what it waited for."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console

from mythicd.audio.pcm import Clip
from mythicd.client import talk
from mythicd.client.daemon_client import AT_ONCE, DaemonClient
from mythicd.client.display import Display
from mythicd.client.talk import Conversation, Question, question_from_text
from mythicd.errors import BadMessage, DaemonError, DaemonUnreachable
from mythicd.wire import messages as m
from tests.client.scripted_daemon import NPC, Answer, ScriptedDaemon, done, scripted, state, voice

SPOKEN = Question(text="(a wav)", clip=Clip(bytes(640), 16000))
TYPED = Question(text="hi")
REFUSED = m.Error(code="BAD_MESSAGE", message="no", remedy="yes")

Script = Callable[[m.ClientMessage], Sequence[Answer]]


@asynccontextmanager
async def conversation(script: Script) -> AsyncIterator[tuple[Conversation, io.StringIO, ScriptedDaemon]]:
    """Talk to a scripted daemon; what is printed is in the StringIO."""
    printed = io.StringIO()
    display = Display(Console(file=printed, highlight=False, width=200), "Marla")
    async with scripted(script) as daemon:
        hello = m.Hello(game="tests")
        async with await DaemonClient.connect(Path(), hello, discovery=daemon.where, speed=AT_ONCE) as client:
            yield Conversation(client, NPC, display), printed, daemon


def answers(kind: type[m.Message], *sent: Answer) -> Script:
    """Return a script that answers messages of one kind."""
    return by_kind({kind: sent})


def by_kind(answers: Mapping[type[m.Message], Sequence[Answer]]) -> Script:
    """Return a script with the answers to each kind of message."""
    return lambda message: answers.get(type(message), ())


async def asked(script: Script, *questions: Question) -> tuple[str, bool]:
    """Ask questions; return what was printed, and whether one failed. A wait may take two seconds."""
    async with conversation(script) as (talking, printed, _):
        async with asyncio.timeout(2.0):
            for question in questions:
                await talking.ask(question)
        return printed.getvalue(), talking.has_failed


async def test_timeline_ends_the_turn() -> None:
    printed, failed = await asked(answers(m.TextInput, state("t-1", "Thinking"), done("t-1")), TYPED)
    assert "Marla: Aye." in printed and not failed


@pytest.mark.parametrize("words", ["", "  \n", "\u200b\ufeff"])
async def test_blank_question_is_not_sent(words: str) -> None:
    async with conversation(answers(m.TextInput)) as (talking, printed, daemon):
        await talking.ask(Question(text=words))
        assert "heard nothing" in printed.getvalue() and not talking.has_failed
        assert [type(message) for message in daemon.received] == [m.Hello]


async def test_empty_clip_is_not_sent() -> None:
    printed, failed = await asked(answers(m.TextInput), Question(text="(empty)", clip=Clip(b"", 16000)))
    assert "heard nothing" in printed and not failed


async def test_idle_without_a_turn_means_that_nothing_was_heard() -> None:
    script = {m.MicStart: [state("t-1", "Listening")], m.MicStop: [state("", "Idle")]}
    printed, failed = await asked(by_kind(script), SPOKEN)
    assert printed.count("heard nothing") == 1 and not failed


async def test_empty_transcript_before_idle_is_told_once() -> None:
    empty = m.ASRFinal(npc_id=NPC, turn_id="t-1", text="", confidence=0.0)
    script = {m.MicStart: [state("t-1", "Listening")], m.MicStop: [empty, state("", "Idle")]}
    printed, failed = await asked(by_kind(script), SPOKEN)
    assert printed.count("heard nothing") == 1 and not failed


async def test_idle_of_the_turn_before_does_not_end_the_wait() -> None:
    script = answers(m.TextInput, state("", "Idle"), state("t-2", "Thinking"), done("t-2"))
    printed, failed = await asked(script, TYPED)
    assert "Marla: Aye." in printed and "heard nothing" not in printed and not failed


@pytest.mark.parametrize("question", [TYPED, SPOKEN], ids=["typed", "spoken"])
async def test_error_without_a_turn_ends_the_wait(question: Question) -> None:
    printed, failed = await asked(by_kind({m.TextInput: [REFUSED], m.MicStart: [REFUSED]}), question)
    assert "BAD_MESSAGE" in printed and failed
    assert "heard nothing" not in printed


async def test_error_of_the_turn_waits_for_its_end() -> None:
    failure = m.Error(code="ENGINE", message="broken", npc_id=NPC, turn_id="t-1")
    printed, failed = await asked(
        answers(m.TextInput, state("t-1", "Thinking"), failure, done("t-1", ""), state("", "Idle")), TYPED
    )
    assert "ENGINE" in printed and "says nothing" in printed and failed


async def test_late_playhead_error_does_not_end_a_turn() -> None:
    stale = m.Error(code="UNKNOWN_STREAM", message="stream 9")
    printed, failed = await asked(answers(m.TextInput, state("t-1", "Thinking"), stale, done("t-1")), TYPED)
    assert "Marla: Aye." in printed and not failed


async def test_turn_of_an_earlier_question_does_not_end_the_wait() -> None:
    turns = iter([[state("t-1", "Thinking"), REFUSED], [done("t-1", "Late."), done("t-2", "Mine.")]])

    def script(message: m.ClientMessage) -> Sequence[Answer]:
        return next(turns) if isinstance(message, m.TextInput) else ()

    printed, _ = await asked(script, TYPED, TYPED)
    assert "Mine." in printed


async def test_message_of_a_later_version_is_ignored() -> None:
    odd = '{"type":"Weather","sky":"grey"}'
    printed, failed = await asked(answers(m.TextInput, odd, state("t-1", "Thinking"), odd, done("t-1")), TYPED)
    assert "Marla: Aye." in printed and not failed


@pytest.mark.parametrize(("code", "says"), [(1001, "shutting down"), (4409, "took over"), (4999, "4999")])
async def test_close_is_told_with_its_reason(code: int, says: str) -> None:
    with pytest.raises(DaemonUnreachable, match=says):
        await asked(answers(m.TextInput, state("t-1", "Thinking"), code), TYPED)


@pytest.mark.parametrize(
    ("question", "sent", "awaited"),
    [
        (TYPED, [], "StreamStart"),
        (SPOKEN, [], "ASRFinal"),
        (TYPED, [state("t-1", "Thinking"), *voice(1, "t-1", 1600)], "TurnTimeline"),
    ],
    ids=["reply", "words", "end of turn"],
)
async def test_silent_daemon_ends_the_wait_with_what_was_awaited(
    monkeypatch: pytest.MonkeyPatch, question: Question, sent: list[Answer], awaited: str
) -> None:
    monkeypatch.setattr(talk, "PATIENCE_S", 0.2)
    with pytest.raises(DaemonError, match=awaited):
        await asked(answers(m.TextInput, *sent), question)


async def test_too_long_text_is_refused_with_the_limit() -> None:
    with pytest.raises(BadMessage, match=r"3000.*2000"):
        question_from_text("x" * 3000)
    assert question_from_text("x" * 2000).text == "x" * 2000


async def test_brackets_are_printed_as_they_are() -> None:
    reply = "[E] [/bold] [laughs] fine"
    printed, _ = await asked(
        answers(m.TextInput, state("t-1", "Thinking"), done("t-1", reply)), Question(text="[/dim] [red]")
    )
    assert reply in printed and "[/dim] [red]" in printed


async def test_voice_at_once_takes_no_time_and_is_all_played() -> None:
    async with conversation(answers(m.TextInput, state("t-1", "Thinking"), *voice(1, "t-1", 160000))) as (
        talking,
        _,
        daemon,
    ):
        begun = time.monotonic()
        asking = asyncio.create_task(talking.ask(TYPED))
        await daemon.received_kind(m.PlaybackStopped)
        assert time.monotonic() - begun < 1.0, "a voice of ten seconds"
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    stopped = next(message for message in daemon.received if isinstance(message, m.PlaybackStopped))
    assert stopped.played_samples == 160000
