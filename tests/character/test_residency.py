"""Residency in conversations, in virtual time: warm-up, parking and the prompt that a parked character keeps."""

from __future__ import annotations

import asyncio

import pytest

from mythicd.dialogue.summary import QUESTION
from mythicd.engines.llm import Focus, InlineCall
from mythicd.errors import BusyError, StoreError
from mythicd.text.token_estimate import estimate_tokens
from mythicd.wire import messages as m
from tests.fakes import FakeEmbedder, now
from tests.screenplay import Screenplay

LONG = "One two three four. Five six seven eight. Nine ten eleven twelve."


def attend(p: Screenplay, attending: bool = True, npc_id: str = "marla") -> None:
    p.npcs[npc_id].post(m.Attend(npc_id=npc_id, attending=attending))


@pytest.mark.virtual
async def test_attended_character_has_its_prompt_evaluated() -> None:
    async with Screenplay() as p:
        attend(p)
        await asyncio.sleep(0.5)
        assert p.llm.done_for("marla") == ["attend"] and p.llm.focused == [Focus(on_screen=True)]
        p.type("Hello there.")
        await p.done()
        turn = p.llm.requests[0].prompt.turn[0].content
        assert p.llm.evaluated == [len(f"<user> {turn}".split())], "more than the turn was evaluated"


@pytest.mark.virtual
async def test_pressed_key_warms_up_an_unannounced_character() -> None:
    async with Screenplay() as p:
        p.asr.hears = "go"
        mic = p.press()
        await p.talk(mic, 0.5, voiced=False)
        assert p.llm.done_for("marla") == ["attend"]
        await p.talk(mic, 0.5)
        p.let_go(mic)
        await p.done()
        assert p.llm.evaluated[0] <= len(p.llm.requests[0].prompt.turn[0].content.split()) + 1


@pytest.mark.virtual
async def test_listening_character_has_the_microphone_focus() -> None:
    async with Screenplay() as p:
        attend(p)
        await p.say()
        await p.done()
        seen, heard = Focus(on_screen=True), Focus(on_screen=True, mic=True)
        assert p.states() == ["Listening", "Thinking", "Speaking", "Idle"]
        assert p.llm.focused == [seen, heard, seen]
        attend(p, False)
        await asyncio.sleep(0.1)
        assert p.llm.focused[-1] == Focus(on_screen=False)


@pytest.mark.virtual
async def test_character_out_of_view_is_parked_with_a_summary() -> None:
    async with Screenplay() as p:
        attend(p)
        p.llm.to["my name is Anselm Grey"] = ["Well met, Anselm Grey. I keep a room for you."]
        p.type("my name is Anselm Grey")
        await p.done()
        for number in range(2, 9):
            p.type(f"and what of matter number {number}, which matters to me a great deal?")
            await p.done(number)
        await p.player.until(lambda: p.states()[-1] == "Idle")
        before = p.npc.resting_prompt()
        attend(p, False)
        await asyncio.sleep(1.0)
        done = p.llm.done_for("marla")
        assert done[-2:] == ["attend", "park"]
        left = p.llm.attended[-1]
        assert (left.world, left.character) == (before.world, before.character)
        assert sum(estimate_tokens(said.content) for said in left.history) <= 160
        question, told = left.history[:2]
        assert question.content == QUESTION and "Anselm Grey" in told.content
        attend(p)
        await asyncio.sleep(1.0)
        assert p.llm.done_for("marla")[-1] == "attend" and p.llm.attended[-1] == left
        p.type("Do you know me?")
        await p.done(9)
        assert p.llm.requests[-1].prompt.history == left.history
        turn = p.llm.requests[-1].prompt.turn[0].content
        assert p.llm.evaluated[-1] == len(f"<user> {turn}".split())


@pytest.mark.virtual
async def test_summary_has_the_characters_actions() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [["This way then. ", InlineCall("show", {"place": "market"})], [f"{LONG} {LONG}"]]
        p.type("Take me there, would you be so kind as to do that for me?")
        await p.done()
        for number in range(2, 5):
            p.type("Go on and tell me much more of that old story that you began to tell me yesterday evening.")
            await p.done(number)
        attend(p, False)
        await asyncio.sleep(1.0)
        assert "I did show the market." in p.llm.attended[-1].history[1].content


@pytest.mark.virtual
async def test_character_that_leaves_view_in_a_turn_is_parked_after_it() -> None:
    async with Screenplay() as p:
        attend(p)
        await asyncio.sleep(0.5)
        p.llm.scripts = [[LONG]]
        p.type("Tell me.")
        await p.player.come(m.StreamStart)
        attend(p, False)
        await asyncio.sleep(0.5)
        assert p.llm.done_for("marla") == ["attend", "generate"], p.llm.asked
        assert p.llm.focused[-1] == Focus(on_screen=False)
        done = await p.done()
        assert done.played == LONG, "the reply was not finished"
        await asyncio.sleep(1.0)
        assert p.llm.done_for("marla") == ["attend", "generate", "attend", "park"]
        assert p.llm.attended[-1].history[-1].content == LONG


@pytest.mark.virtual
async def test_character_that_comes_into_view_while_it_speaks_goes_on() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[f"{LONG} ", 10.0, LONG]]
        p.type("Tell me.")
        await p.player.come(m.StreamStart)
        attend(p)
        done = await p.done()
        await asyncio.sleep(0.5)
        assert done.played == f"{LONG} {LONG}"
        assert p.llm.done_for("marla") == ["generate", "attend"]


@pytest.mark.virtual
async def test_store_failure_does_not_prevent_parking() -> None:
    async with Screenplay(embedder=FakeEmbedder()) as p:
        attend(p)
        await asyncio.sleep(0.5)

        async def failing(*_: object) -> int:
            raise StoreError("The disk is full.")

        p.store.embed_heard = failing  # type: ignore[method-assign, assignment]
        attend(p, False)
        await asyncio.sleep(1.0)
        assert p.llm.done_for("marla")[-2:] == ["attend", "park"]


@pytest.mark.virtual
async def test_character_that_comes_back_at_once_is_not_parked() -> None:
    async with Screenplay() as p:
        attend(p)
        await asyncio.sleep(1.0)
        p.llm.held.clear()
        attend(p, False)
        await asyncio.sleep(0.001)
        attend(p)
        await asyncio.sleep(1.0)
        assert "park" not in p.llm.done_for("marla") and p.llm.done_for("marla")[-1] == "attend"
        attend(p, False)
        attend(p, False)
        await asyncio.sleep(1.0)
        assert p.llm.done_for("marla").count("park") == 1
        p.type("Are you still there?")
        await p.done()
        assert p.llm.focused[-1] == Focus(on_screen=True), "a typed turn did not focus the character"


@pytest.mark.virtual
@pytest.mark.parametrize("after", [0.0, 0.01, 0.1, 0.3, 0.6, 1.0, 2.0, 4.0])
async def test_attention_changes_do_not_disturb_a_turn(after: float) -> None:
    async with Screenplay() as p:
        p.asr.hears = "when does the tavern close tonight"
        mic = p.press()
        task = asyncio.create_task(p.talk(mic, 1.5))
        await asyncio.sleep(after)
        for attending in (True, False, True, False):
            attend(p, attending)
            await asyncio.sleep(0.01)
        await task
        p.let_go(mic)
        done = await p.done()
        assert done.played == done.reply
        await asyncio.sleep(1.0)
        assert p.llm.done_for("marla")[-1] == ("park" if p.llm.focused[-1] == Focus(on_screen=False) else "attend")


@pytest.mark.virtual
async def test_model_id_contains_the_playthrough() -> None:
    async with Screenplay() as p:
        p.type("Hello.")
        await p.done()
        key = p.llm.requests[0].npc_id
        assert key.startswith("marla ") and "ann" in key
    assert p.llm.asked[-1][1:] == ("forget", key)


@pytest.mark.virtual
async def test_model_stuck_in_forget_does_not_delay_close() -> None:
    p = Screenplay()

    async def never(npc_id: str) -> None:
        await asyncio.sleep(3600)

    p.llm.forget = never  # type: ignore[method-assign]
    async with p:
        p.type("Hello.")
        await p.done()
        begun = now()
    assert now() - begun < 3.0


@pytest.mark.virtual
async def test_refused_turn_is_remembered_but_not_in_the_history() -> None:
    """The character heard the words, so it may remember them; without an answer they are not an exchange."""
    async with Screenplay() as p:
        p.llm.scripts = [[BusyError("Too many speak.")], ["Yes."]]
        p.type("Is the cellar open?")
        first = await p.done()
        assert p.player.all(m.Busy) and p.player.all(m.Error) == []
        assert (first.heard, first.reply, first.played) == ("Is the cellar open?", "", "")
        p.type("Well?")
        await p.done(2)
        assert p.llm.requests[1].prompt.history == ()
        await asyncio.sleep(0.1)
        said = [(each.speaker.kind, each.heard_text) for each in p.store.utterances]
        assert said == [("player", "Is the cellar open?"), ("player", "Well?"), ("npc", "Yes.")]


@pytest.mark.virtual
async def test_request_has_configured_patience_and_the_cards_sampling() -> None:
    from mythicd.config.world_files import SamplingOverride

    async with Screenplay() as p:
        p.type("Hello.")
        await p.done()
        p.type("Hello.")
        await p.done(2)
        common, again = (each.sampling for each in p.llm.requests)
        assert p.llm.requests[0].patience_s == p.place.settings.scheduler.patience_s == 10.0
        assert (common.temperature, common.top_p, common.max_tokens, common.stop) == (0.7, 0.9, 64, ())
        assert common.seed != again.seed, "the seed is not new for each turn"
        p.place.writes = SamplingOverride(
            temperature=0, top_p=0.5, repeat_penalty=1.3, max_tokens=9, stop=("\n",), seed=7, lora="/w/gruff.gguf"
        )
        p.type("Hello.")
        await p.done(3)
        await asyncio.sleep(1.0)
        own = p.llm.requests[2].sampling
        assert (own.temperature, own.top_p, own.repeat_penalty) == (0.0, 0.5, 1.3)
        assert (own.max_tokens, own.stop, own.seed) == (9, ("\n",), 7)
        assert p.llm.requests[2].prompt.adapter == p.llm.attended[-1].adapter == "/w/gruff.gguf"
        assert p.llm.requests[0].prompt.adapter is None
