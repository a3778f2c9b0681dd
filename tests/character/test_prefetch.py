"""Prefetch in conversations, in virtual time: speculative search and prefill while the player speaks."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mythicd.engines.llm import InlineCall, LlmAbilities
from mythicd.wire import messages as m
from tests.screenplay import Screenplay

HOURS = "The tavern closes at two."
CELLAR = "The cellar is locked."
QUESTION = "when does the tavern close tonight"
SHOW = InlineCall("show", {"place": "market"})


def told(content: str) -> list[str]:
    """Return the lines of lore and memories in a turn's message."""
    return [line[2:] for line in content.splitlines() if line.startswith("- ")]


@pytest.mark.virtual
async def test_end_of_speech_finds_most_of_the_prompt_evaluated() -> None:
    async with Screenplay() as p:
        p.asr.hears, p.store.lore = QUESTION, {"tavern": HOURS, "cellar": CELLAR}
        await p.say(1.6)
        done = await p.done()
        assert done.heard == QUESTION
        asked = p.llm.requests[0].prompt
        assert told(asked.turn[0].content) == [HOURS] and asked.turn[0].content.endswith(QUESTION)
        assert p.llm.evaluated == [2], "more than the unstable words were evaluated"
        assert len(p.llm.prepared) >= 2
        last = p.llm.prepared[-1]
        assert last.turn[0].content.endswith("\nwhen does the tavern"), "unstable words were evaluated"
        assert asked.turn[0].content.startswith(last.turn[0].content)
        assert (last.world, last.character, last.history) == (asked.world, asked.character, asked.history)
        assert "rollback" not in p.llm.done_for("marla")


@pytest.mark.virtual
async def test_other_final_words_get_their_own_lines() -> None:
    async with Screenplay() as p:
        p.asr.hears, p.store.lore = QUESTION, {"tavern": HOURS, "cellar": CELLAR}
        p.asr.hears_at_last = "when does the cellar close tonight"
        await p.say(2.0)
        await p.done()
        assert told(p.llm.prepared[-1].turn[0].content) == [HOURS]
        assert told(p.llm.requests[-1].prompt.turn[0].content) == [HOURS, CELLAR], "evaluated lines do not come first"
        p.asr.hears_at_last = "when does the thing close tonight"
        await p.say(2.0)
        await p.done(2)
        asked = p.llm.requests[-1].prompt.turn[0].content
        assert told(asked) == [], "lines that no final word calls for"


@pytest.mark.virtual
async def test_later_words_add_lines_before_the_end() -> None:
    async with Screenplay() as p:
        p.asr.hears = "tell me what is in the old tavern and then in the cellar of the house over there"
        p.store.lore = {"tavern": HOURS, "cellar": CELLAR}
        await p.say(5.0)
        await p.done()
        seen = [told(each.turn[0].content) for each in p.llm.prepared]
        assert seen[0] == [] and [HOURS] in seen and seen[-1] == [HOURS, CELLAR]
        assert told(p.llm.requests[0].prompt.turn[0].content) == [HOURS, CELLAR]
        assert p.llm.evaluated[0] <= 4


@pytest.mark.virtual
async def test_lines_are_evaluated_before_any_word_is_stable() -> None:
    async with Screenplay() as p:
        p.asr.hears, p.store.lore = "the tavern when does it close tonight", {"tavern": HOURS}
        await p.say(1.6)
        await p.done()
        assert told(p.llm.prepared[0].turn[0].content) == [HOURS]
        assert p.llm.prepared[0].turn[0].content.endswith("## Player\n")


@pytest.mark.virtual
async def test_vague_first_words_do_not_search_the_last_topic() -> None:
    async with Screenplay() as p:
        p.asr.hears, p.store.lore = QUESTION, {"tavern": HOURS, "cellar": CELLAR}
        await p.say(1.6)
        await p.done()
        before = len(p.llm.prepared)
        p.asr.hears = "what is the cellar like then"
        await p.say(2.0)
        await p.done(2)
        assert all(told(each.turn[0].content) in ([], [CELLAR]) for each in p.llm.prepared[before:])


@pytest.mark.virtual
async def test_corrected_word_evaluates_no_lines_again() -> None:
    async with Screenplay() as p:
        p.asr.hears = "where is it that the tavern cellar tavern and so on lies"
        p.store.lore = {"tavern": HOURS, "cellar": CELLAR}
        p.asr.hears_at_last = "where is it that the tavern and so on lies"
        await p.say(3.5)
        await p.done()
        lines = [told(each.turn[0].content) for each in p.llm.prepared]
        assert [HOURS] in lines and lines[-1] == [HOURS, CELLAR]
        assert told(p.llm.requests[-1].prompt.turn[0].content) == [HOURS, CELLAR]
        assert p.llm.evaluated[-1] <= 8, "lines were evaluated again"


@pytest.mark.virtual
@pytest.mark.parametrize("how", ["microphone", "typing", "not understood"])
async def test_unused_prefill_is_rolled_back(how: str) -> None:
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
                assert (await p.done()).reply, "it does not ask the player to repeat"
        await p.player.until(lambda: p.states()[-1] == "Idle")
        await asyncio.sleep(1.0)
        done = p.llm.done_for("marla")
        assert done[-2:] == ["rollback", "attend"] and done.count("rollback") == 1
        assert ("generate" in done) == (how != "microphone"), "words not understood may start a reply"
        p.asr.confidence = 0.9
        before = len(p.player.all(m.TurnTimeline))
        await p.say(2.0)
        await p.done(before + 1)
        assert told(p.llm.requests[-1].prompt.turn[0].content) == [HOURS]


@pytest.mark.virtual
@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize("goes_on", [True, False])
async def test_barge_in_prefetches_only_after_the_cut_is_settled(
    reports: bool, goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words until then are prefetched afterwards, even if the player says no more."""
    monkeypatch.setattr("mythicd.character.character.CUT_TIMEOUT_S", 2.5)
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
        assert reports or min(began) < settled + 0.05, "not started at once"
        first = p.player.all(m.TurnTimeline)[0]
        assert first.played.endswith("—")
        for each in p.llm.prepared:
            assert [said.content for said in each.history] == ["Tell me.", first.played]
        assert told(p.llm.requests[1].prompt.turn[0].content) == [HOURS]
        assert p.llm.evaluated[1] <= 2


@pytest.mark.virtual
@pytest.mark.parametrize("close_s", [0.0, 0.3, 1.0])
async def test_prefetch_waits_for_a_model_that_is_slow_to_stop(close_s: float) -> None:
    """When the player goes on during thinking, the new words are evaluated after the old reply has ended."""
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


@pytest.mark.virtual
async def test_tool_failure_is_told_once_and_not_to_prefetch() -> None:
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
        p.let_go(p.press())  # without words
        await asyncio.sleep(1.0)
        await p.say(2.0)
        await p.done(2)
        assert told(p.llm.requests[1].prompt.turn[0].content) == failure
        assert p.llm.evaluated[1] <= 3
        await p.say(2.0)
        await p.done(3)
        assert told(p.llm.requests[2].prompt.turn[0].content) == []


@pytest.mark.virtual
async def test_late_ack_of_a_timed_out_call_is_not_a_failure() -> None:
    """A late Ack replaces the timeout."""
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


@pytest.mark.virtual
async def test_store_failure_during_prefetch_is_not_reported() -> None:
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
        assert p.errors() == [], "the turn has no lines of its own search"
        assert told(p.llm.requests[0].prompt.turn[0].content) == [HOURS]


@pytest.mark.virtual
async def test_model_without_prepare_is_not_asked_to() -> None:
    async with Screenplay() as p:
        p.llm.abilities = LlmAbilities(prepares=False, places_calls=False, adapters=False)
        p.asr.hears, p.store.lore = QUESTION, {"tavern": HOURS}
        await p.say(2.0)
        assert (await p.done()).reply
        assert p.llm.prepared == [] and "rollback" not in p.llm.done_for("marla")
        assert told(p.llm.requests[0].prompt.turn[0].content) == [HOURS]


@pytest.mark.virtual
async def test_unfinished_prefill_does_not_delay_the_turn() -> None:
    """The turn takes over a prefill that is in progress when the player stops, without waiting for it."""
    async with Screenplay() as p:
        p.asr.hears, p.llm.rate = QUESTION, 10.0
        await p.say(2.0)
        done = await p.done()
        read = sum(len(text.split()) for text in ("You are in a town.", p.llm.requests[0].prompt.character))
        assert len(p.llm.prepared) >= 2, "the turn waited for the prefill"
        assert 0 < p.llm.evaluated[0] < read, "what the prefill had evaluated was evaluated again"
        assert done.marks["prefill_done"] - done.marks["context_ready"] < 1000 * (0.11 + p.llm.evaluated[0] / 10)


WORDS = st.lists(st.sampled_from(["where", "is", "the", "tavern", "cellar", "gate", "now"]), min_size=1, max_size=9)


@pytest.mark.virtual
@hypothesis_settings(max_examples=60)
@given(partial=WORDS, final=WORDS, seconds=st.floats(0.3, 3.0), again=st.booleans())
async def test_answer_is_to_the_final_words(partial: list[str], final: list[str], seconds: float, again: bool) -> None:
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
