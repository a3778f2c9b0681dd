"""Turn-taking in virtual time: pauses, resumed speech, fillers, and speculation without effects."""

from __future__ import annotations

import asyncio
import random

import pytest

from mythicd.character.responder import MOST_TRIES
from mythicd.config.settings import TurnSettings
from mythicd.dialogue.end_of_turn import wait_ms
from mythicd.engines.llm import InlineCall
from mythicd.errors import BusyError, EngineError
from mythicd.wire import frames
from mythicd.wire import messages as m
from tests.fakes import VOICE_RATE, WORD_S, Step, now
from tests.screenplay import LONG, SHOW, Screenplay, speak
from tests.virtual_time import run

ASK = InlineCall("ask", {"place": "market"})


def echo(message: str) -> list[Step]:
    """Return a script that repeats the player's words and calls a tool, so that each response names its question."""
    words = message.rpartition("\n")[2]
    return [f"You asked {words}, I think. ", SHOW, "Now you know it, friend."]


def sounds(p: Screenplay) -> list[float]:
    """Return when each frame of audio arrived."""
    return [at for at, item in p.player.log if isinstance(item, frames.Frame) and item.type == frames.FrameType.TTS_PCM]


# --- speculative responses -------------------------------------------------------------------------------------------


@pytest.mark.virtual
async def test_response_is_prepared_in_the_pause_and_sent_at_the_end() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [["Up the hill, friend. ", "You can not miss it."]]
        p.llm.prefill_s, p.asr.finish_s = 0.005, 0.01
        mic = p.press(mode="open")
        await p.talk(mic, 0.2, voiced=False)
        await speak(p, mic, "where is the market")
        silent = now()
        await p.talk(mic, 1.0, voiced=False)
        done = await p.done()
        assert done.heard == "where is the market" and done.played == done.reply
        assert done.marks["tts_first_chunk"] < done.marks["hard_end"], "the response was not ready"
        assert done.marks["asr_final"] < done.marks["hard_end"]
        assert done.marks["first_audio_sent"] - done.marks["hard_end"] < 1.0, "not sent within the same millisecond"
        assert 0.19 <= sounds(p)[0] - silent <= 0.23
        assert p.engines.counters.committed == p.engines.counters.turns == 1 and p.engines.counters.undone == 0
        assert p.asr.finished == 1 and len(p.llm.requests) == 1
        assert p.states() == ["Listening", "Thinking", "Speaking", "Idle"]


@pytest.mark.virtual
async def test_speculative_response_sends_nothing() -> None:
    async with Screenplay() as p:
        p.llm.answers = lambda message: [*echo(message), InlineCall("show", {"place": "moon"})]
        mic = p.press(mode="open")
        await speak(p, mic, "where is the market", (3, 0.16))
        await p.talk(mic, 0.5)  # the player goes on
        assert p.engines.counters.undone == 1
        told = {type(item) for _, item in p.player.log}
        assert told == {m.NpcState, m.ASRPartial}
        assert p.states() == ["Listening"], "a state was sent for a pause"
        assert p.store.utterances == [] and p.store.tools == []
        await p.talk(mic, 1.0, voiced=False)
        await p.done()
        await asyncio.sleep(0.5)
        records = {record.call_id for record in p.store.tools}
        assert records == {call.call_id for call in p.player.all(m.ToolCall)}, "a call that was rolled back is recorded"
        assert p.errors() == ["TOOL_REJECTED"]


@pytest.mark.virtual
async def test_unfinished_sentence_waits_longer_than_a_finished_one() -> None:
    waits = []
    for words in ("where is the market", "where is the"):
        async with Screenplay() as p:
            mic = p.press(mode="open")
            await speak(p, mic, words)
            await p.talk(mic, 1.0, voiced=False)
            waits.append((await p.done()).marks["hard_end"])
    assert waits == [pytest.approx(200, abs=21), pytest.approx(700, abs=21)]


@pytest.mark.virtual
@pytest.mark.parametrize("pause", [0.15, 0.3, 0.45, 0.6, 0.69])
async def test_pause_in_a_sentence_does_not_end_the_turn(pause: float) -> None:
    async with Screenplay() as p:
        p.llm.answers = echo
        mic = p.press(mode="open")
        await speak(p, mic, "can you show me the way to the market", (4, pause))
        await p.talk(mic, 1.0, voiced=False)
        done = await p.done()
        assert done.heard == "can you show me the way to the market"
        assert done.reply.startswith("You asked can you show me the way to the market")
        assert len(p.player.all(m.ASRFinal)) == 1


@pytest.mark.virtual
async def test_speech_resumed_before_the_first_audio_is_one_turn() -> None:
    """The response to half a sentence is rolled back, and the whole sentence is answered."""
    async with Screenplay() as p:
        p.llm.answers = echo
        p.llm.prefill_s = 2.0
        mic = p.press(mode="open")
        await speak(p, mic, "where is the market in this town", (3, 0.5))
        await p.talk(mic, 1.0, voiced=False)
        done = await p.done()
        assert done.heard == "where is the market in this town"
        assert [final.text for final in p.player.all(m.ASRFinal)] == ["where is the market", done.heard]
        assert {final.turn_id for final in p.player.all(m.ASRFinal)} == {done.turn_id}
        assert done.reply.startswith("You asked where is the market in this town")
        await asyncio.sleep(0.1)
        said = [said.text for said in p.store.utterances if said.speaker.kind == "player"]
        assert said == [done.heard], "the words were recorded twice"
        assert p.states().count("Listening") == 2


@pytest.mark.virtual
async def test_cough_before_the_first_audio_keeps_the_response() -> None:
    async with Screenplay() as p:
        p.llm.answers = echo
        p.llm.prefill_s = 2.0
        mic = p.press(mode="open")
        await speak(p, mic, "where is the market", (3, 0.5))
        await p.talk(mic, 0.1)  # too short for a word
        await p.talk(mic, 1.5, voiced=False)
        done = await p.done()
        assert done.heard == "where is the market" and done.played == done.reply != ""


@pytest.mark.virtual
async def test_other_final_words_are_answered() -> None:
    async with Screenplay() as p:
        p.llm.answers = echo
        p.asr.hears, p.asr.hears_at_last = "where is the market", "where is the harbor"
        mic = p.press(mode="open")
        await p.talk(mic, 1.0)
        await p.talk(mic, 1.0, voiced=False)
        done = await p.done()
        assert done.reply.startswith("You asked where is the harbor")
        assert p.engines.counters.missed == p.engines.counters.undone == 1
        assert all("market" not in caption.delta for caption in p.player.all(m.LLMStreamDelta))


@pytest.mark.virtual
async def test_released_key_finds_the_response_ready() -> None:
    async with Screenplay() as p:
        p.llm.answers = echo
        mic = p.press()
        await speak(p, mic, "where is the market")
        await p.talk(mic, 0.6, voiced=False)
        assert sounds(p) == [], "silence ended the turn while the key was held"
        p.let_go(mic)
        let_go = now()
        done = await p.done()
        assert done.heard == "where is the market"
        assert sounds(p)[0] - let_go < 0.001, "the response was not ready"


@pytest.mark.virtual
@pytest.mark.parametrize(
    "trouble", [EngineError("The model broke."), BusyError("Too many speak."), ValueError("a bug")]
)
async def test_failed_speculative_response_is_generated_again(trouble: Exception) -> None:
    async with Screenplay() as p:
        p.llm.scripts = [["Well, now. ", SHOW, trouble], ["Yes, indeed it is."]]
        mic = p.press()
        await speak(p, mic, "where is the market")
        await p.talk(mic, 0.6, voiced=False)
        p.let_go(mic)
        done = await p.done()
        assert done.played == "Yes, indeed it is."
        assert p.errors() == [] and p.player.all(m.Busy) == []
        assert p.player.all(m.ToolCall) == [] and p.store.tools == []


@pytest.mark.virtual
@pytest.mark.parametrize("trouble", [None, EngineError("The model broke.")])
async def test_guess_that_corrects_the_last_partial_is_answered(trouble: Exception | None) -> None:
    """The response to the partial, started at the same time as the recognition, is never heard."""
    async with Screenplay() as p:
        p.llm.answers = lambda message: echo(message) if trouble is None or "harbor" in message else [trouble]
        p.asr.hears, p.asr.corrections = "where is the market", {"market": "harbor"}
        mic = p.press(mode="open")
        await p.talk(mic, 1.04)
        await p.talk(mic, 1.0, voiced=False)
        done = await p.done()
        assert done.heard == "where is the harbor" and done.played == done.reply
        assert done.reply.startswith("You asked where is the harbor")
        assert [request.prompt.turn[0].content.split()[-1] for request in p.llm.requests] == ["market", "harbor"]
        assert (p.engines.counters.corrected, p.engines.counters.committed) == (1, 1)
        assert p.errors() == []
        records = {record.turn_id for record in p.store.tools}
        assert len({record.call_id for record in p.store.tools}) == 1 and records == {done.turn_id}


@pytest.mark.virtual
async def test_at_most_three_responses_are_started_in_a_turn() -> None:
    async with Screenplay() as p:
        p.llm.answers = echo
        words = "stop now stop now stop now stop now stop now"
        mic = p.press(mode="open")
        await speak(p, mic, words, *((number, 0.18) for number in range(1, 10, 2)))
        await p.talk(mic, 1.0, voiced=False)
        done = await p.done()
        assert done.heard == words
        assert p.engines.counters.prepared == MOST_TRIES
        assert done.played == done.reply


@pytest.mark.virtual
@pytest.mark.parametrize("how", ["off", "others wait", "others write"])
async def test_no_response_is_prepared_when_disabled_or_busy(how: str) -> None:
    async with Screenplay(turn=TurnSettings(speculate=how != "off")) as p:
        p.llm.counters.waiting = int(how == "others wait")
        p.llm.counters.writing = p.place.settings.scheduler.max_speakers if how == "others write" else 0
        mic = p.press(mode="open")
        await speak(p, mic, "where is the market")
        await p.talk(mic, 1.0, voiced=False)
        done = await p.done()
        assert p.engines.counters.prepared == 0 and done.played == done.reply != ""
        assert done.marks["hard_end"] == pytest.approx(200, abs=21), "without speculation the wait changed"


@pytest.mark.virtual
async def test_uncommitted_response_synthesises_a_second_and_waits() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[LONG]]
        mic = p.press()
        await speak(p, mic, "where is the market")
        await p.talk(mic, 5.0, voiced=False)
        made = sum(len(text.split()) for _, text in p.tts.begun if text.strip() in LONG) * WORD_S
        assert 1.0 <= made <= 3.0
        assert p.llm.requests[0].ahead_tokens > 0
        p.let_go(mic)
        assert (await p.done()).played == LONG


# --- two hundred turns -----------------------------------------------------------------------------------------------

QUESTIONS = (
    "where is the market in this town",
    "can you show me the way to the harbor",
    "when does the tavern close at night",
    "who keeps the lanterns by the old gate",
    "what do you know about the harbor master",
    "i would like to buy a lantern from you",
    "tell me about the road to the hills",
    "is there anybody who could mend my boots",
    "how much is a room for the night",
    "have you seen the captain of the guard today",
)


def test_two_hundred_turns_send_nothing_of_a_rolled_back_response() -> None:
    dice = random.Random(20261126)
    hits = turns = written = spoken = 0

    async def play(words: str, place: int, pause: float) -> None:
        nonlocal hits, turns, written, spoken
        async with Screenplay() as p:
            p.llm.answers = echo
            mic = p.press(mode="open")
            await p.talk(mic, 0.3, voiced=False)
            await speak(p, mic, words, (place, pause))
            await p.talk(mic, 1.2, voiced=False)
            await p.player.until(lambda: p.states()[-1] == "Idle")
            await asyncio.sleep(1.0)
            ended = p.player.all(m.TurnTimeline)
            counters = p.engines.counters
            # Every sample, tool call, caption and memory is of a response to final words.
            assert words.startswith(ended[0].heard)
            assert ended[0].heard == words or len(ended) > 1 or counters.backchannels == 1
            for each in ended:
                assert f"You asked {each.heard}, I think. Now you know it, friend.".startswith(each.reply)
                captions = [c.delta for c in p.player.all(m.LLMStreamDelta) if c.turn_id == each.turn_id]
                assert each.reply.startswith("".join(captions))
            heard = [said.text for said in p.store.utterances if said.speaker.kind == "player"]
            assert heard == [each.heard for each in ended]
            streams = p.player.all(m.StreamStart)
            assert len({start.turn_id for start in streams}) == len(streams) <= len(ended)
            replies = {each.turn_id: len(each.reply.split()) for each in ended}
            for start in streams:
                sound = (
                    sum(len(f.payload) for f in p.player.voices[start.stream].frames if f.type == 1) / 2 / VOICE_RATE
                )
                assert sound <= replies[start.turn_id] * WORD_S + 1.0
            # A rolled-back response has no records; calls that were committed but not heard are recorded as cancelled.
            calls = {record.call_id: record.turn_id for record in p.store.tools}
            assert {call.call_id for call in p.player.all(m.ToolCall)} <= calls.keys()
            assert len(set(calls.values())) == len(calls) and set(calls.values()) <= {each.turn_id for each in ended}
            finals = [final.text for final in p.player.all(m.ASRFinal)]
            assert len(finals) == counters.turns
            if 1000 * pause < wait_ms(" ".join(words.split()[: place + 1])) - 40:
                assert finals == [words], "a pause shorter than its wait ended the turn"
            turns += counters.turns
            hits += counters.committed
            written += p.llm.written
            spoken += sum(len(each.reply.split()) for each in ended)

    for number in range(200):
        words = QUESTIONS[number % len(QUESTIONS)]
        run(play(words, dice.randrange(1, len(words.split()) - 1), dice.uniform(0.1, 1.2)))
    assert hits / turns >= 0.8, f"{hits} of {turns}"
    assert written / spoken <= 1.5, f"{written} words written, {spoken} spoken"


# --- fillers ---------------------------------------------------------------------------------------------------------


def murmurs(p: Screenplay) -> list[m.StreamStart]:
    """Return the streams of fillers."""
    return [start for start in p.player.all(m.StreamStart) if start.kind == "backchannel"]


@pytest.mark.virtual
async def test_pause_in_a_long_utterance_gets_a_backchannel() -> None:
    async with Screenplay() as p:
        p.npc.post(m.Attend(npc_id="marla"))
        await asyncio.sleep(2.0)  # fillers are synthesised in advance, in idle time
        rehearsed = len(p.tts.begun)
        assert rehearsed > 0
        assert min(p.tts.leads_s) > 10, "a filler took its turn before a character that speaks"
        p.llm.answers = echo
        words = " ".join(["i was on my way to the old mill and then the bridge was gone and"] * 3) + " that is all"
        mic = p.press(mode="open")
        await speak(p, mic, words, (15, 0.45), (19, 0.45), (31, 0.45))
        await p.talk(mic, 1.0, voiced=False)
        done = await p.done()
        assert done.heard == words and done.played == done.reply
        first, *more = murmurs(p)
        assert more == [], "second backchannel within six seconds"
        assert first.turn_id == done.turn_id
        voice = p.player.voices[first.stream]
        assert voice.playback.stopped and voice.playback.played > 0
        assert p.states() == ["Listening", "Thinking", "Speaking", "Idle"], "a backchannel changed the state"
        captions = " ".join(caption.delta for caption in p.player.all(m.LLMStreamDelta))
        assert "mm" not in captions.lower()
        await asyncio.sleep(0.5)
        assert [said.text for said in p.store.utterances] == [words, done.reply], "a backchannel was recorded"
        assert p.engines.counters.murmurs == 1


@pytest.mark.virtual
async def test_late_response_is_preceded_by_a_separate_hesitation() -> None:
    async with Screenplay() as p:
        p.npc.post(m.Attend(npc_id="marla"))
        await asyncio.sleep(2.0)
        p.llm.prefill_s = 3.0
        p.llm.scripts = [["Up the hill. ", SHOW, "You can not miss it."]]
        for turn in (1, 2):
            await p.say()
            done = await p.done(turn)
            assert done.reply == done.played == "Up the hill. You can not miss it."
            await asyncio.sleep(1.0)
        first, second = p.player.all(m.TurnTimeline)
        assert 880 <= first.marks["first_murmur"] <= 1000
        assert first.marks["first_audible"] > 3000, "the filler replaced the measured latency"
        assert "first_murmur" not in second.marks, "a hesitation in each turn"
        assert first.marks["first_audio_sent"] >= first.marks["tts_first_chunk"]
        calls = [at for at, item in p.player.log if isinstance(item, m.ToolCall)]
        starts = [at for at, item in p.player.log if isinstance(item, m.StreamStart)]
        assert calls[0] - starts[0] > 2.0, "the call was sent with the hesitation"
        counters = p.engines.counters
        assert counters.murmurs == 1 and counters.masked.total < counters.audible.total - 1.5
        history = p.llm.requests[-1].prompt.history[1].content
        assert history == first.reply


@pytest.mark.virtual
async def test_interrupted_hesitation_counts_as_nothing_heard() -> None:
    async with Screenplay() as p:
        p.npc.post(m.Attend(npc_id="marla"))
        await asyncio.sleep(2.0)
        p.llm.prefill_s = 3.0
        await p.say()
        await p.player.come(m.StreamStart)
        await asyncio.sleep(0.1)
        p.llm.prefill_s = 0.1
        await p.say()
        await p.done(2)
        first, second = p.player.all(m.TurnTimeline)
        assert (first.reply, first.played) == ("", "") and second.played == second.reply != ""
        assert p.player.all(m.Cutoff) != []
        assert [message.content for message in p.llm.requests[-1].prompt.history] == []


@pytest.mark.virtual
async def test_fillers_can_be_disabled() -> None:
    async with Screenplay(turn=TurnSettings(murmurs=False)) as p:
        p.npc.post(m.Attend(npc_id="marla"))
        await asyncio.sleep(2.0)
        assert p.tts.begun == []
        p.llm.prefill_s = 3.0
        await p.say()
        assert "first_murmur" not in (await p.done()).marks
