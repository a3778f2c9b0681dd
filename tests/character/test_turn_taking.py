"""Who speaks when, as screenplays in virtual time: pauses, second thoughts, small sounds, what must never leave."""

from __future__ import annotations

import asyncio
import random
from typing import Any

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
    """Answer with the player's own words, and do something: what leaves then tells what it is an answer to."""
    words = message.rpartition("\n")[2]
    return [f"You asked {words}, I think. ", SHOW, "Now you know it, friend."]


def sounds(p: Screenplay) -> list[float]:
    """When each frame of a voice arrived."""
    return [at for at, item in p.player.log if isinstance(item, frames.Frame) and item.type == frames.FrameType.TTS_PCM]


# --- an answer is ready before the turn is over ----------------------------------------------------------------------


def test_the_answer_is_made_in_the_pause_and_leaves_when_the_turn_is_over() -> None:
    async def play() -> None:
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
            assert done.marks["tts_first_chunk"] < done.marks["hard_end"], "it waits for nothing but the end"
            assert done.marks["asr_final"] < done.marks["hard_end"]
            assert done.marks["first_audio_sent"] - done.marks["hard_end"] < 1.0, "it leaves in the same millisecond"
            assert 0.19 <= sounds(p)[0] - silent <= 0.23
            assert p.engines.counters.committed == p.engines.counters.turns == 1 and p.engines.counters.undone == 0
            assert p.asr.finished == 1 and len(p.llm.requests) == 1
            assert p.states() == ["Listening", "Thinking", "Speaking", "Idle"]

    run(play())


def test_nothing_of_an_answer_leaves_while_the_player_may_go_on() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.llm.answers = lambda message: [*echo(message), InlineCall("show", {"place": "moon"})]
            mic = p.press(mode="open")
            await speak(p, mic, "where is the market", (3, 0.16))
            await p.talk(mic, 0.5)  # it was not the end
            assert p.engines.counters.undone == 1
            told = {type(item) for _, item in p.player.log}
            assert told == {m.NpcState, m.ASRPartial}
            assert p.states() == ["Listening"], "a game is not told of pauses"
            assert p.store.utterances == [] and p.store.tools == []
            await p.talk(mic, 1.0, voiced=False)
            await p.done()
            await asyncio.sleep(0.5)
            records = {record.call_id for record in p.store.tools}
            assert records == {call.call_id for call in p.player.all(m.ToolCall)}, "what never counted is not on record"
            assert p.errors() == ["TOOL_REJECTED"]

    run(play())


def test_what_looks_unfinished_is_waited_for_and_what_looks_finished_is_not() -> None:
    async def play() -> None:
        waits = []
        for words in ("where is the market", "where is the"):
            async with Screenplay() as p:
                mic = p.press(mode="open")
                await speak(p, mic, words)
                await p.talk(mic, 1.0, voiced=False)
                waits.append((await p.done()).marks["hard_end"])
        assert waits == [pytest.approx(200, abs=21), pytest.approx(700, abs=21)]

    run(play())


@pytest.mark.parametrize("pause", [0.15, 0.3, 0.45, 0.6, 0.69])
def test_a_pause_in_the_middle_of_a_sentence_is_no_end(pause: float) -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.llm.answers = echo
            mic = p.press(mode="open")
            await speak(p, mic, "can you show me the way to the market", (4, pause))
            await p.talk(mic, 1.0, voiced=False)
            done = await p.done()
            assert done.heard == "can you show me the way to the market"
            assert done.reply.startswith("You asked can you show me the way to the market")
            assert len(p.player.all(m.ASRFinal)) == 1

    run(play())


def test_whoever_goes_on_before_the_first_sound_is_heard_as_one() -> None:
    """The wait was too short: the answer to half a sentence is taken back, and the whole of it is answered."""

    async def play() -> None:
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
            assert said == [done.heard], "it was said once"
            assert p.states().count("Listening") == 2

    run(play())


def test_a_cough_before_the_first_sound_does_not_cost_the_answer() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.llm.answers = echo
            p.llm.prefill_s = 2.0
            mic = p.press(mode="open")
            await speak(p, mic, "where is the market", (3, 0.5))
            await p.talk(mic, 0.1)  # too short for a word
            await p.talk(mic, 1.5, voiced=False)
            done = await p.done()
            assert done.heard == "where is the market" and done.played == done.reply != ""

    run(play())


def test_other_words_at_the_end_are_answered_as_they_are() -> None:
    async def play() -> None:
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

    run(play())


def test_a_key_held_through_a_pause_has_its_answer_ready_when_it_is_let_go() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.llm.answers = echo
            mic = p.press()
            await speak(p, mic, "where is the market")
            await p.talk(mic, 0.6, voiced=False)
            assert sounds(p) == [], "the key says when it is over, not the silence"
            p.let_go(mic)
            let_go = now()
            done = await p.done()
            assert done.heard == "where is the market"
            assert sounds(p)[0] - let_go < 0.001, "all was ready"

    run(play())


@pytest.mark.parametrize(
    "trouble", [EngineError("The model broke."), BusyError("Too many speak."), ValueError("a bug")]
)
def test_an_answer_that_fails_before_it_counts_is_made_again_when_it_does(trouble: Exception) -> None:
    async def play() -> None:
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

    run(play())


@pytest.mark.parametrize("trouble", [None, EngineError("The model broke.")])
def test_a_guess_that_corrects_the_last_partial_is_answered_as_it_is(trouble: Exception | None) -> None:
    """The model begins with the partial's words, beside the recogniser; what it made of them is never heard."""

    async def play() -> None:
        async with Screenplay() as p:
            p.llm.answers = lambda message: echo(message) if trouble is None or "harbor" in message else [trouble]
            guess = p.asr.open

            async def open_corrected() -> Any:
                stream = await guess()
                recognise = stream._recognise

                async def corrected(words: str) -> Any:
                    return await recognise(words.replace("market", "harbor"))

                stream._recognise = corrected  # type: ignore[method-assign]
                return stream

            p.asr.open = open_corrected  # type: ignore[method-assign]
            p.asr.hears = "where is the market"
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

    run(play())


def test_three_answers_are_begun_in_a_turn_and_no_more() -> None:
    async def play() -> None:
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

    run(play())


@pytest.mark.parametrize("how", ["off", "others wait", "others write"])
def test_nothing_is_begun_early_where_it_would_be_in_the_way(how: str) -> None:
    async def play() -> None:
        async with Screenplay(turn=TurnSettings(speculate=how != "off")) as p:
            p.llm.counters.waiting = int(how == "others wait")
            p.llm.counters.writing = p.place.settings.scheduler.max_speakers if how == "others write" else 0
            mic = p.press(mode="open")
            await speak(p, mic, "where is the market")
            await p.talk(mic, 1.0, voiced=False)
            done = await p.done()
            assert p.engines.counters.prepared == 0 and done.played == done.reply != ""
            assert done.marks["hard_end"] == pytest.approx(200, abs=21), "the wait is as short as ever"

    run(play())


def test_an_answer_that_does_not_count_makes_a_second_of_voice_and_waits() -> None:
    async def play() -> None:
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

    run(play())


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


def test_two_hundred_turns_with_pauses_let_nothing_out_that_was_taken_back() -> None:
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
            # Not one sample, tool, caption or memory but of the answers to the words that were final.
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
            # What never counted has left no record; what counted and was not heard is on record as cancelled.
            calls = {record.call_id: record.turn_id for record in p.store.tools}
            assert {call.call_id for call in p.player.all(m.ToolCall)} <= calls.keys()
            assert len(set(calls.values())) == len(calls) and set(calls.values()) <= {each.turn_id for each in ended}
            finals = [final.text for final in p.player.all(m.ASRFinal)]
            assert len(finals) == counters.turns
            if 1000 * pause < wait_ms(" ".join(words.split()[: place + 1])) - 40:
                assert finals == [words], "a pause shorter than its words call for is no end"
            turns += counters.turns
            hits += counters.committed
            written += p.llm.written
            spoken += sum(len(each.reply.split()) for each in ended)

    for number in range(200):
        words = QUESTIONS[number % len(QUESTIONS)]
        run(play(words, dice.randrange(1, len(words.split()) - 1), dice.uniform(0.1, 1.2)))
    assert hits / turns >= 0.8, f"{hits} of {turns}"
    assert written / spoken <= 1.5, f"{written} words written, {spoken} spoken"


# --- the small sounds ------------------------------------------------------------------------------------------------


def murmurs(p: Screenplay) -> list[m.StreamStart]:
    """The streams that are no replies."""
    return [start for start in p.player.all(m.StreamStart) if start.kind == "backchannel"]


def test_who_speaks_long_and_pauses_hears_that_she_listens() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.npc.post(m.Attend(npc_id="marla"))
            await asyncio.sleep(2.0)  # she rehearses while nothing is to be done
            rehearsed = len(p.tts.begun)
            assert rehearsed > 0
            p.llm.answers = echo
            words = " ".join(["i was on my way to the old mill and then the bridge was gone and"] * 3) + " that is all"
            mic = p.press(mode="open")
            await speak(p, mic, words, (15, 0.45), (19, 0.45), (31, 0.45))
            await p.talk(mic, 1.0, voiced=False)
            done = await p.done()
            assert done.heard == words and done.played == done.reply
            first, *more = murmurs(p)
            assert more == [], "not with every pause: six seconds lie between them"
            assert first.turn_id == done.turn_id
            voice = p.player.voices[first.stream]
            assert voice.playback.stopped and voice.playback.played > 0
            assert p.states() == ["Listening", "Thinking", "Speaking", "Idle"], "it takes no turn"
            captions = " ".join(caption.delta for caption in p.player.all(m.LLMStreamDelta))
            assert "mm" not in captions.lower()
            await asyncio.sleep(0.5)
            assert [said.text for said in p.store.utterances] == [words, done.reply], "nobody said it"
            assert p.engines.counters.murmurs == 1

    run(play())


def test_a_late_answer_is_preceded_by_a_sound_of_thinking_that_is_no_part_of_it() -> None:
    async def play() -> None:
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
            assert first.marks["first_audible"] > 3000, "the real figure stands beside it"
            assert "first_murmur" not in second.marks, "it would become a tic"
            assert first.marks["first_audio_sent"] >= first.marks["tts_first_chunk"]
            calls = [at for at, item in p.player.log if isinstance(item, m.ToolCall)]
            starts = [at for at, item in p.player.log if isinstance(item, m.StreamStart)]
            assert calls[0] - starts[0] > 2.0, "its words are not heard with the hesitation"
            counters = p.engines.counters
            assert counters.murmurs == 1 and counters.masked.total < counters.audible.total - 1.5
            history = p.llm.requests[-1].prompt.history[1].content
            assert history == first.reply

    run(play())


def test_who_talks_into_a_hesitation_has_heard_nothing() -> None:
    async def play() -> None:
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

    run(play())


def test_small_sounds_can_be_switched_off() -> None:
    async def play() -> None:
        async with Screenplay(turn=TurnSettings(murmurs=False)) as p:
            p.npc.post(m.Attend(npc_id="marla"))
            await asyncio.sleep(2.0)
            assert p.tts.begun == []
            p.llm.prefill_s = 3.0
            await p.say()
            assert "first_murmur" not in (await p.done()).marks

    run(play())
