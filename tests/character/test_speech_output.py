"""Speech output: when phrases are synthesised, how far ahead of the playhead they are sent, and cuts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mythicd.character.speak.commit_gate import CommitGate
from mythicd.character.speak.speech_output import MAX_PIECES, SILENCE_GRACE_S, SpeechOutput
from mythicd.config.settings import SchedulerSettings
from mythicd.config.world_files import PersonaCard
from mythicd.dialogue.cleaning.cleaner import ReplyCleaner
from mythicd.dialogue.guardrails import Guardrails
from mythicd.engines.tts import VoiceSpec
from mythicd.telemetry.timeline import Timeline
from mythicd.wire import frames
from mythicd.wire import messages as m
from tests.fakes import VOICE_RATE, WORD_S, now
from tests.screenplay import Player, Screenplay

SENTENCES = [f"This is sentence number {word}. " for word in ("one", "two", "three", "four", "five", "six", "seven")]


class Desk:
    """A reply, and a player who acknowledges it directly."""

    def __init__(self) -> None:
        play = Screenplay("marla")
        self.player = Player(self._answer)
        self.tts = play.tts
        self.voiced = 0
        self.turn_id = "t-1"
        self.gate = CommitGate(self.player.send, committed=True)
        self.timeline = Timeline()
        context = replace(play.context("marla"), outlet=self.player)
        self.reply = SpeechOutput(context, self, Guardrails(PersonaCard(name="Marla"), 1), ReplyCleaner("Marla"))

    def voice_started(self) -> None:
        self.voiced += 1

    def gestured(self, direction: str) -> str | None:
        return None

    def progressed(self) -> None: ...

    def _answer(self, npc_id: str, message: Any) -> None:
        match message:
            case m.PlaybackStarted():
                self.reply.started(now())
            case m.Playhead():
                self.reply.played(message.played_samples, now())
            case m.PlaybackStopped():
                self.reply.stopped(message.played_samples, now())

    async def run(self, *steps: str | float) -> None:
        self.player.start()
        try:
            await self.reply.run(self.writer(*steps))
        finally:
            await self.player.stop()

    def writer(self, *steps: str | float) -> Callable[[], Awaitable[None]]:
        async def write() -> None:
            for step in steps:
                if isinstance(step, str):
                    await self.reply.write(step)
                else:
                    await asyncio.sleep(step)

        return write

    def frames(self) -> list[tuple[float, frames.Frame]]:
        return [(at, item) for at, item in self.player.log if isinstance(item, frames.Frame) and item.type == 2]


@pytest.mark.virtual
@pytest.mark.parametrize("reports", [True, False])
async def test_next_sentence_is_synthesised_during_this_one(reports: bool) -> None:
    desk = Desk()
    desk.player.reports = reports
    await desk.run(*SENTENCES)
    assert desk.reply.heard == desk.reply.text == "".join(SENTENCES).strip()
    begun = desk.player.when(m.StreamStart)
    rate = VOICE_RATE
    sent = [(at, frame.timestamp + len(frame.payload) // 2) for at, frame in desk.frames()]
    assert all(end / rate - (at - begun) <= 2.0 + 0.1 for at, end in sent), "more than two seconds ahead"
    assert desk.player.voices[1].playback.underruns == 0
    assert len(desk.tts.begun) >= 4
    assert desk.tts.begun[-1][0] - desk.tts.begun[0][0] > 4.0, "phrases were synthesised too early"
    ends = begun + sent[-1][1] / rate
    assert now() - ends < (0.3 if reports else SILENCE_GRACE_S + 0.3)
    assert desk.voiced == 1


@pytest.mark.virtual
async def test_text_is_taken_no_faster_than_the_voice_needs() -> None:
    """Further text stays with the model, so that its scheduler knows the lead over the voice."""
    desk = Desk()
    lead: list[int] = []
    words = [f"{word} " for sentence in SENTENCES * 4 for word in sentence.split()]

    async def write() -> None:
        for number, word in enumerate(words, 1):
            await desk.reply.write(word)
            lead.append(number - len(desk.reply.heard.split()))

    desk.player.start()
    try:
        await desk.reply.run(write)
    finally:
        await desk.player.stop()
    phrase = 2 * max(len(sentence.split()) for sentence in SENTENCES)
    # Two seconds of audio, the phrase that is playing, the next one, which waits, and the pieces.
    assert max(lead) <= 2.0 / WORD_S + 2 * phrase + MAX_PIECES + 1
    assert desk.player.voices[1].playback.underruns == 0
    assert MAX_PIECES < SchedulerSettings().burst_tokens / 4


@pytest.mark.virtual
async def test_pause_of_the_model_does_not_let_frames_run_ahead() -> None:
    """Also for a client that reports no playback."""
    desk = Desk()
    desk.player.reports = False
    await desk.run(SENTENCES[0], 10.0, *SENTENCES[1:])
    resumed = next(at for at, _ in desk.frames() if at > 10.0)
    before = max(f.timestamp + len(f.payload) // 2 for at, f in desk.frames() if at < 10.0)
    lead = [
        (f.timestamp + len(f.payload) // 2 - before) / VOICE_RATE - (at - resumed)
        for at, f in desk.frames()
        if at >= resumed
    ]
    assert max(lead) <= 2.1
    assert desk.reply.heard == desk.reply.text


@pytest.mark.virtual
async def test_paused_game_pauses_the_reply() -> None:
    """While the client reports the same playhead the reply waits, and no part of it is lost."""
    desk = Desk()
    task = asyncio.create_task(desk.run(*SENTENCES))
    await desk.player.come(m.StreamStart)
    await asyncio.sleep(1.0)
    desk.player.pause()
    stood = desk.player.voices[1].playback.played
    await asyncio.sleep(30.0)
    ahead = max(f.timestamp + len(f.payload) // 2 for _, f in desk.frames()) - stood
    assert ahead / VOICE_RATE <= 2.2 and not task.done()
    desk.player.go_on()
    await task
    assert desk.reply.heard == desk.reply.text


@pytest.mark.virtual
@hypothesis_settings(max_examples=40)
@given(at=st.floats(0.0, 12.0), steps=st.lists(st.sampled_from([*SENTENCES, "Well, ", 0.4, 2.0]), max_size=8))
async def test_nothing_is_sent_after_a_cut(at: float, steps: list[str | float]) -> None:
    desk = Desk()
    task = asyncio.create_task(desk.run(*steps))
    await asyncio.sleep(at)
    if task.done():
        return
    audible = desk.reply.audible
    desk.reply.cut("barge_in")
    task.cancel()
    left = len(desk.player.log)
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(5.0)
    assert len(desk.player.log) == left
    assert len(desk.player.all(m.Cutoff)) == audible
    desk.reply.cut("error")
    assert len(desk.player.log) == left, "a second cut sent something"
    words = desk.player.voices[1].playback.played / VOICE_RATE / WORD_S if audible else 0
    assert len(desk.reply.heard.rstrip("—").split()) <= words + 0.5
    assert desk.tts.closed == len(desk.tts.begun), "a synthesis was not closed"


@pytest.mark.virtual
async def test_silent_words_open_no_stream() -> None:
    desk = Desk()
    desk.tts.speak = _silence  # type: ignore[method-assign]
    await desk.run("Hush now. ")
    assert (desk.reply.audible, desk.reply.heard) == (False, "Hush now.")
    assert desk.player.all(m.StreamStart) == desk.player.all(m.StreamEnd) == []


async def _silence(text: str, voice: VoiceSpec, lead_s: Any = None) -> Any:
    from mythicd.engines.tts import VoiceChunk

    yield VoiceChunk(bytes(VOICE_RATE))
