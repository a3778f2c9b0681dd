"""Speech during a reply, in virtual time: ducking, cuts, backchannels, and what then counts as said."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest

from bench.stats import percentile
from mythicd.character.hear.turn_taking import ASK_AFTER_S
from mythicd.wire import frames
from mythicd.wire import messages as m
from tests.fakes import VOICE_RATE, WORD_S, now
from tests.screenplay import LONG, SHOW, Screenplay, speak, talked_over
from tests.virtual_time import run


@pytest.mark.virtual
@pytest.mark.parametrize(("words", "seconds"), [("mm hm", 0.5), ("right", 0.3), ("", 0.25)])
async def test_backchannel_ducks_the_voice_and_does_not_cut_it(words: str, seconds: float) -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[LONG]]
        p.type("Tell me.")
        await p.player.come(m.StreamStart)
        await asyncio.sleep(1.0)
        begun = now()
        mic = p.press(mode="open")
        p.asr.by_voice, p.asr.hears, p.asr.had = True, words, 0
        await p.talk(mic, seconds)
        await p.talk(mic, 1.5, voiced=False)
        ducks = p.player.voices[1].ducks
        assert [gain for _, gain in ducks] == [-12.0, 0.0]
        assert ducks[0][0] - begun < 0.1 and ducks[1][0] - begun < seconds + 0.9
        done = await p.done()
        await asyncio.sleep(0.1)
        assert done.played == LONG and p.player.all(m.Cutoff) == []
        assert len(p.player.all(m.TurnTimeline)) == 1
        assert p.engines.counters.backchannels == 1
        assert [said.text for said in p.store.utterances] == ["Tell me.", LONG]
        assert p.states() == ["Thinking", "Speaking", "Idle"]


def test_interrupted_voice_is_silent_within_a_frame_of_the_verdict() -> None:
    dice = random.Random(7)
    late: list[float] = []

    async def play(at: float, words: str) -> None:
        async with Screenplay() as p:
            p.llm.to["Tell me."] = ["One two three. Four five six. ", SHOW, "Seven eight nine. Red blue. ", SHOW, LONG]
            mic = await talked_over(p, at)
            await speak(p, mic, words)
            await p.talk(mic, 1.0, voiced=False)
            await p.done(2)
            await p.player.until(lambda: p.states()[-1] == "Idle")
            await asyncio.sleep(0.5)
            first, second = p.player.all(m.TurnTimeline)[:2]
            voice = p.player.voices[1]
            assert voice.cut_s is not None and voice.ducks[0][1] == -12.0
            assert second.heard == words
            states = [(moment, s.state) for moment, s in p.player.log if isinstance(s, m.NpcState)]
            verdict = next(moment for moment, state in states if state == "BargeIn")
            late.append(voice.cut_s - verdict)
            after = [f for moment, f in p.player.log if isinstance(f, frames.Frame) and moment > voice.cut_s]
            assert all(frame.stream != 1 for frame in after), "frame of the cut stream"
            # Never more words than were acknowledged, and at most one fewer.
            sounded = np.frombuffer(voice.playback.pcm, "<i2")[: voice.playback.played]
            begun = np.count_nonzero(sounded) / VOICE_RATE / WORD_S
            heard = len(first.played.split())
            assert int(begun) - 1 <= heard <= begun + 0.01, (heard, begun)
            unheard = set(first.reply.split()[heard + 1 :]) - set(first.reply.split()[: heard + 1])
            for request in p.llm.requests[1:]:
                told = " ".join(message.content for message in request.prompt.history)
                assert not unheard & set(told.split())
            calls = p.player.all(m.ToolCall)
            assert len(calls) <= ("six" in first.played) + ("blue" in first.played) + 0

    for _ in range(100):
        run(play(dice.uniform(0.3, 6.0), dice.choice(["stop it now", "wait where is the market", "no that is wrong"])))
    assert percentile(late, 0.95) <= 0.060


@pytest.mark.virtual
async def test_overlap_that_outlasts_the_reply_is_a_turn() -> None:
    async with Screenplay() as p:
        p.llm.to["Tell me."] = ["One two three."]
        p.llm.scripts = [["Yes, indeed."]]
        mic = await talked_over(p, 0.5)
        await speak(p, mic, "right where is the market")
        await p.talk(mic, 1.0, voiced=False)
        await p.done(2)
        first, second = p.player.all(m.TurnTimeline)
        assert second.heard == "right where is the market" and second.played == "Yes, indeed."
        assert "One two" in first.played


@pytest.mark.virtual
async def test_each_backchannel_ducks_again() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[LONG]]
        mic = await talked_over(p, 0.5)
        for _ in range(3):
            p.asr.by_voice, p.asr.hears, p.asr.had = True, "mm hm", 0
            await p.talk(mic, 0.5)
            await p.talk(mic, 0.9, voiced=False)
        assert (await p.done()).played == LONG
        assert [gain for _, gain in p.player.voices[1].ducks] == [-12.0, 0.0] * 3


@pytest.mark.virtual
async def test_backchannel_and_what_follows_are_one_utterance() -> None:
    """ "Okay … stop": "okay" looks finished, and outside a reply 200 ms of silence after it would end the turn."""
    async with Screenplay() as p:
        p.llm.scripts = [[LONG], ["As you wish."]]
        mic = await talked_over(p, 0.5)
        p.asr.by_voice, p.asr.hears, p.asr.had = True, "okay stop", 0
        await p.talk(mic, 0.3)
        await p.talk(mic, 0.5, voiced=False)
        assert [gain for _, gain in p.player.voices[1].ducks] == [-12.0, 0.0], "the voice was not restored"
        await p.talk(mic, 0.4)
        said = now()
        await p.talk(mic, 1.0, voiced=False)
        await p.done(2)
        assert p.player.voices[1].cut_s is not None
        assert p.player.all(m.TurnTimeline)[1].heard == "okay stop"
        final = next(moment for moment, each in p.player.log if isinstance(each, m.ASRFinal) and each.text)
        assert final - said < 0.4, "an interruption waits no longer than its words need"


@pytest.mark.virtual
async def test_question_after_the_reply_excludes_an_earlier_backchannel() -> None:
    async with Screenplay() as p:
        p.llm.to["Tell me."] = ["One two three four five six seven."]
        mic = await talked_over(p, 7 * WORD_S - 0.55)
        p.asr.by_voice, p.asr.hears, p.asr.had = True, "so where is the market", 0
        await p.talk(mic, 0.3)
        await p.talk(mic, 0.6, voiced=False)
        assert p.states()[-1] == "Idle" and p.engines.counters.backchannels == 1
        await p.talk(mic, 1.0)
        await p.talk(mic, 1.0, voiced=False)
        await p.done(2)
        assert p.player.all(m.TurnTimeline)[1].heard == "where is the market"


@pytest.mark.virtual
@pytest.mark.parametrize(("words", "stops"), [("tell me where the market is", True), ("mm hm mm", False)])
async def test_pause_that_ends_before_its_recognition_decides_nothing(words: str, stops: bool) -> None:
    """ "Stop talking" contains a pause of 140 ms: the guess of its first half says nothing about the whole."""
    async with Screenplay() as p:
        p.llm.scripts = [[LONG]]
        mic = await talked_over(p, 0.5)
        p.asr.by_voice, p.asr.hears, p.asr.had, p.asr.finish_s = True, words, 0, 0.1
        await p.talk(mic, 0.2)
        await p.talk(mic, 0.16, voiced=False)  # the guess starts, and is not ready before the speech resumes
        began = now()
        await p.talk(mic, 1.3 if stops else 0.3)
        await p.talk(mic, 1.0, voiced=False)
        await p.done(2 if stops else 1)
        ducks = p.player.voices[1].ducks
        assert [gain for _, gain in ducks] == [-12.0] if stops else [-12.0, 0.0]
        assert (p.player.voices[1].cut_s is not None) is stops
        assert stops or ducks[1][0] > began + 0.3, "restored while the player still spoke"


@pytest.mark.virtual
async def test_late_guess_of_one_pause_does_not_decide_the_next() -> None:
    """The recogniser is so slow that speech has resumed and paused again before its guess is ready."""
    async with Screenplay() as p:
        p.llm.scripts = [[LONG]]
        mic = await talked_over(p, 0.5)
        p.asr.by_voice, p.asr.hears, p.asr.had, p.asr.finish_s = True, "mm hm", 0, 0.36
        await p.talk(mic, 0.26)
        await p.talk(mic, 0.16, voiced=False)  # the guess starts 140 ms into the pause, and takes 360 ms
        await p.talk(mic, 0.26)
        paused = now()
        await p.talk(mic, 1.5, voiced=False)
        await p.done()
        ducks = p.player.voices[1].ducks
        assert [gain for _, gain in ducks] == [-12.0, 0.0]
        assert ducks[1][0] > paused + 0.06 + ASK_AFTER_S, "restored before the guess of this pause"


@pytest.mark.virtual
async def test_pressed_key_cuts_at_once() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[LONG], ["Yes."]]
        p.type("Tell me.")
        await p.player.come(m.StreamStart)
        await asyncio.sleep(1.0)
        begun = now()
        mic = p.press()
        await p.player.come(m.Cutoff)
        assert now() - begun < 0.001 and p.player.all(m.Duck) == []
        await p.talk(mic, 0.5)
        p.let_go(mic)
        await p.done(2)


@pytest.mark.virtual
@pytest.mark.parametrize("at", [0.02 * number for number in range(25)])
async def test_speech_at_the_first_audio_starts_a_turn(at: float) -> None:
    async with Screenplay() as p:
        p.llm.to["Tell me."] = [LONG]
        p.llm.scripts = [["Yes."]]
        mic = p.press(mode="open")
        p.type("Tell me.")
        await p.talk(mic, at, voiced=False)
        await speak(p, mic, "where is the market")
        await p.talk(mic, 1.0, voiced=False)
        await p.done(2)
        assert p.errors() == []
        assert p.player.all(m.TurnTimeline)[1].played == "Yes."


# --- clients that report little --------------------------------------------------------------------------------------


@pytest.mark.virtual
async def test_tool_call_waits_for_a_playhead_and_not_for_an_estimate() -> None:
    """Without further reports of the client, later words do not count as heard."""
    async with Screenplay() as p:
        p.llm.scripts = [["One two three four five six. ", SHOW, "Seven eight nine ten eleven twelve. ", SHOW]]
        p.type("Tell me.")
        await p.player.come(m.ToolCall)
        p.player.reports = False
        await asyncio.sleep(1.0)
        mic = p.press()
        await p.talk(mic, 0.5)
        p.let_go(mic)
        first = await p.done()
        assert len(p.player.all(m.ToolCall)) == 1
        assert len(first.played.split()) <= 8
        p.player.reports = True
        await p.done(2)
