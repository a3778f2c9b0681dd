"""What a character does while the player speaks, in virtual time: it reads ahead, and nothing of that is true."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mythicd.engines.llm import InlineCall, LlmAbilities
from mythicd.wire import messages as m
from tests.screenplay import Screenplay
from tests.virtual_time import run

HOURS = "The tavern closes at two."
CELLAR = "The cellar is locked."
QUESTION = "when does the tavern close tonight"
SHOW = InlineCall("show", {"place": "market"})


def told(content: str) -> list[str]:
    """Return the lines of a turn's message that were found for it."""
    return [line[2:] for line in content.splitlines() if line.startswith("- ")]


def test_she_has_read_nearly_everything_when_the_player_stops() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.asr.hears, p.store.lore = QUESTION, {"tavern": HOURS, "cellar": CELLAR}
            await p.say(1.6)
            done = await p.done()
            assert done.heard == QUESTION
            asked = p.llm.requests[0].prompt
            assert told(asked.turn[0].content) == [HOURS] and asked.turn[0].content.endswith(QUESTION)
            assert p.llm.evaluated == [2], "the words that were not stable yet, and no more"
            assert len(p.llm.prepared) >= 2
            last = p.llm.prepared[-1]
            assert last.turn[0].content.endswith("\nwhen does the tavern"), "only words that no partial takes back"
            assert asked.turn[0].content.startswith(last.turn[0].content)
            assert (last.world, last.character, last.history) == (asked.world, asked.character, asked.history)
            assert "rollback" not in p.llm.done_for("marla")

    run(play())


def test_final_words_that_call_for_something_else_get_it() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.asr.hears, p.store.lore = QUESTION, {"tavern": HOURS, "cellar": CELLAR}
            p.asr.hears_at_last = "when does the cellar close tonight"
            await p.say(2.0)
            await p.done()
            assert told(p.llm.prepared[-1].turn[0].content) == [HOURS]
            assert told(p.llm.requests[-1].prompt.turn[0].content) == [HOURS, CELLAR], "what was read stays in front"
            p.asr.hears_at_last = "when does the thing close tonight"
            await p.say(2.0)
            await p.done(2)
            asked = p.llm.requests[-1].prompt.turn[0].content
            assert told(asked) == [], "what answers nothing must not look like an answer"

    run(play())


def test_words_that_come_later_call_for_more_before_the_end() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.asr.hears = "tell me what is in the old tavern and then in the cellar of the house over there"
            p.store.lore = {"tavern": HOURS, "cellar": CELLAR}
            await p.say(5.0)
            await p.done()
            seen = [told(each.turn[0].content) for each in p.llm.prepared]
            assert seen[0] == [] and [HOURS] in seen and seen[-1] == [HOURS, CELLAR]
            assert told(p.llm.requests[0].prompt.turn[0].content) == [HOURS, CELLAR]
            assert p.llm.evaluated[0] <= 4

    run(play())


def test_what_is_found_is_read_before_any_word_is_sure() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.asr.hears, p.store.lore = "the tavern when does it close tonight", {"tavern": HOURS}
            await p.say(1.6)
            await p.done()
            assert told(p.llm.prepared[0].turn[0].content) == [HOURS]
            assert p.llm.prepared[0].turn[0].content.endswith("## Player\n")

    run(play())


def test_words_that_say_nothing_yet_do_not_look_up_what_was_talked_about() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.asr.hears, p.store.lore = QUESTION, {"tavern": HOURS, "cellar": CELLAR}
            await p.say(1.6)
            await p.done()
            before = len(p.llm.prepared)
            p.asr.hears = "what is the cellar like then"
            await p.say(2.0)
            await p.done(2)
            assert all(told(each.turn[0].content) in ([], [CELLAR]) for each in p.llm.prepared[before:])

    run(play())


def test_a_word_that_was_taken_for_another_one_costs_nothing() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.asr.hears = "where is it that the tavern cellar tavern and so on lies"
            p.store.lore = {"tavern": HOURS, "cellar": CELLAR}
            p.asr.hears_at_last = "where is it that the tavern and so on lies"
            await p.say(3.5)
            await p.done()
            lines = [told(each.turn[0].content) for each in p.llm.prepared]
            assert [HOURS] in lines and lines[-1] == [HOURS, CELLAR]
            assert told(p.llm.requests[-1].prompt.turn[0].content) == [HOURS, CELLAR]
            assert p.llm.evaluated[-1] <= 8, "words alone"

    run(play())


@pytest.mark.parametrize("how", ["microphone", "typing", "not understood"])
def test_what_was_prepared_for_nothing_is_taken_back(how: str) -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.asr.hears, p.store.lore = QUESTION, {"tavern": HOURS}
            mic = p.press()
            await p.talk(mic, 2.0)
            assert p.llm.prepared
            match how:
                case "microphone":
                    p.let_go(p.press())
                case "typing":
                    p.type("Never mind.")
                    assert (await p.done()).heard == "Never mind."
                case _:
                    p.asr.confidence = 0.1
                    p.let_go(mic)
                    assert (await p.done()).reply, "she asks to hear it again"
            await p.player.until(lambda: p.states()[-1] == "Idle")
            await asyncio.sleep(1.0)
            done = p.llm.done_for("marla")
            assert done[-2:] == ["rollback", "attend"] and done.count("rollback") == 1
            assert ("generate" in done) == (how != "microphone"), "what is not understood may have been begun"
            p.asr.confidence = 0.9
            before = len(p.player.all(m.TurnTimeline))
            await p.say(2.0)
            await p.done(before + 1)
            assert told(p.llm.requests[-1].prompt.turn[0].content) == [HOURS]

    run(play())


@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize("goes_on", [True, False])
def test_over_her_own_voice_nothing_is_prepared_before_the_cut_is_settled(
    reports: bool, goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what the player said until then is made up for, also when no more is said after it."""
    monkeypatch.setattr("mythicd.character.character.CUT_TIMEOUT_S", 2.5)

    async def play() -> None:
        async with Screenplay() as p:
            p.llm.scripts = [["One two three four. Five six seven eight. Nine ten eleven twelve."], ["Yes."]]
            p.asr.hears, p.store.lore = QUESTION, {"tavern": HOURS}
            p.type("Tell me.")
            await p.player.come(m.StreamStart)
            await asyncio.sleep(1.5)
            p.player.reports = reports
            mic = p.press()
            await p.talk(mic, 2.0)
            await p.talk(mic, 1.0, voiced=goes_on)
            p.let_go(mic)
            await p.done(2)
            cut = p.player.when(m.Cutoff)
            settled = next(at for at, each in p.player.log if isinstance(each, m.TurnTimeline))
            assert settled - cut < 0.1 if reports else 2.4 < settled - cut < 2.6
            began = [at for at, what, _ in p.llm.asked if what == "prepare"]
            assert began and settled <= min(began)
            assert reports or min(began) < settled + 0.05, "as soon as may be"
            first = p.player.all(m.TurnTimeline)[0]
            assert first.played.endswith("—")
            for each in p.llm.prepared:
                assert [said.content for said in each.history] == ["Tell me.", first.played]
            assert told(p.llm.requests[1].prompt.turn[0].content) == [HOURS]
            assert p.llm.evaluated[1] <= 2

    run(play())


@pytest.mark.parametrize("close_s", [0.0, 0.3, 1.0])
def test_a_model_that_is_slow_to_stop_is_waited_for(close_s: float) -> None:
    """The player goes on while she thinks: what is new is read once the old reply has ended, and not disturbed."""

    async def play() -> None:
        async with Screenplay() as p:
            p.asr.hears, p.llm.prefill_s, p.llm.close_s = QUESTION, 5.0, close_s
            await p.say(0.3)
            await asyncio.sleep(0.5)
            assert len(p.llm.requests) == 1
            mic = p.press()
            await p.talk(mic, 2.0)
            p.llm.prefill_s = 0.1
            p.let_go(mic)
            done = await p.done(2)
            assert done.played == done.reply
            asked = p.llm.done_for("marla")
            assert "attend" not in asked[asked.index("prepare") : len(asked) - asked[::-1].index("generate")]
            assert p.llm.evaluated[1] <= 2
            p.llm.prefill_s = 5.0
            p.type("And?")
            await asyncio.sleep(0.5)
            assert len(p.llm.requests) == 3
            p.press()
            p.let_go(p.press())
            await asyncio.sleep(close_s + 0.5)
            assert p.llm.done_for("marla")[-1] == "attend"

    run(play())


def test_a_failure_is_told_once_and_not_by_a_look_ahead() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.llm.scripts = [["This way. ", SHOW], ["Yes."]]
            p.player.answers = lambda call: m.Ack(call_id=call.call_id, status="error", message="the gate is shut")
            p.type("Show me.")
            await p.done()
            p.asr.hears = QUESTION
            mic = p.press()
            await p.talk(mic, 2.0)
            failure = told(p.llm.prepared[-1].turn[0].content)
            assert len(failure) == 1 and "the gate is shut" in failure[0]
            p.let_go(p.press())  # nothing comes of it
            await asyncio.sleep(1.0)
            await p.say(2.0)
            await p.done(2)
            assert told(p.llm.requests[1].prompt.turn[0].content) == failure
            assert p.llm.evaluated[1] <= 3
            await p.say(2.0)
            await p.done(3)
            assert told(p.llm.requests[2].prompt.turn[0].content) == []

    run(play())


def test_a_failure_that_is_mended_while_the_player_speaks_is_not_told() -> None:
    """An Ack that comes late is the truth all the same."""

    async def play() -> None:
        async with Screenplay() as p:
            p.llm.scripts = [["This way. ", SHOW], ["Yes."]]
            calls: list[m.ToolCall] = []
            p.player.answers = lambda call: calls.append(call)
            p.type("Show me.")
            await p.done()
            await asyncio.sleep(3.0)
            assert p.errors() == ["TOOL_TIMEOUT"]
            p.asr.hears = QUESTION
            mic = p.press()
            await p.talk(mic, 2.0)
            assert len(told(p.llm.prepared[-1].turn[0].content)) == 1
            p.npc.post(m.Ack(call_id=calls[0].call_id))
            p.let_go(mic)
            await p.done(2)
            assert told(p.llm.requests[1].prompt.turn[0].content) == []

    run(play())


def test_a_memory_that_fails_while_the_player_speaks_is_not_told() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.asr.hears, p.store.lore = QUESTION, {"tavern": HOURS}
            await asyncio.sleep(0.1)
            p.store.fails = True
            mic = p.press()
            await p.talk(mic, 2.0)
            p.store.fails = False
            assert p.llm.prepared == []
            p.let_go(mic)
            await p.done()
            assert p.errors() == [], "it is the turn's search that counts"
            assert told(p.llm.requests[0].prompt.turn[0].content) == [HOURS]

    run(play())


def test_a_model_that_can_not_prepare_is_not_asked_to() -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.llm.abilities = LlmAbilities(prepares=False, places_calls=False, adapters=False)
            p.asr.hears, p.store.lore = QUESTION, {"tavern": HOURS}
            await p.say(2.0)
            assert (await p.done()).reply
            assert p.llm.prepared == [] and "rollback" not in p.llm.done_for("marla")
            assert told(p.llm.requests[0].prompt.turn[0].content) == [HOURS]

    run(play())


def test_a_slow_model_does_not_hold_up_the_turn() -> None:
    """What is being read ahead when the player stops is taken over, not waited for."""

    async def play() -> None:
        async with Screenplay() as p:
            p.asr.hears, p.llm.rate = QUESTION, 10.0
            await p.say(2.0)
            done = await p.done()
            read = sum(len(text.split()) for text in ("You are in a town.", p.llm.requests[0].prompt.character))
            assert len(p.llm.prepared) >= 2, "what is new is asked for at once, not behind what was asked before"
            assert 0 < p.llm.evaluated[0] < read, "it went on from where that had got"
            assert done.marks["prefill_done"] - done.marks["context_ready"] < 1000 * (0.11 + p.llm.evaluated[0] / 10)

    run(play())


WORDS = st.lists(st.sampled_from(["where", "is", "the", "tavern", "cellar", "gate", "now"]), min_size=1, max_size=9)


@hypothesis_settings(max_examples=60)
@given(partial=WORDS, final=WORDS, seconds=st.floats(0.3, 3.0), again=st.booleans())
def test_whatever_was_expected_the_answer_is_to_what_was_said(
    partial: list[str], final: list[str], seconds: float, again: bool
) -> None:
    async def play() -> None:
        async with Screenplay() as p:
            p.store.lore = {word: f"About the {word}." for word in ("tavern", "cellar", "gate")}
            p.llm.scripts = [["One two three four five six."]]
            p.asr.hears, p.asr.hears_at_last = " ".join(partial), " ".join(final)
            await p.say(seconds)
            if again:
                await asyncio.sleep(seconds)
                await p.say(seconds)
            await p.player.until(lambda: len(p.player.all(m.TurnTimeline)) == 1 + again)
            asked = p.llm.requests[-1].prompt.turn[0].content
            wanted = {line for word, line in p.store.lore.items() if word in final}
            assert asked.endswith(f"## Player\n{' '.join(final)}")
            assert wanted <= set(told(asked)) and bool(wanted) == bool(told(asked))
            await asyncio.sleep(1.0)
            assert p.llm.done_for("marla")[-1] == "attend"

    run(play())
