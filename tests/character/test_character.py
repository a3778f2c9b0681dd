"""The character actor: turns, barge-in, failures, tools and disconnects, as screenplays in virtual time."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mythicd.character.hear.current_speech import ASR_PATIENCE_S
from mythicd.character.hear.microphone import MIC_PATIENCE_S
from mythicd.character.mailbox import MAX_CONTROL, Mailbox, MicFrame
from mythicd.character.turn import RESPONSE_PATIENCE_S
from mythicd.config.settings import TurnSettings
from mythicd.dialogue.state import State
from mythicd.engines.llm import InlineCall, LlmAbilities
from mythicd.errors import BusyError, EngineError, StoreError
from mythicd.telemetry.timeline import Mark
from mythicd.wire import frames
from mythicd.wire import messages as m
from tests.fakes import WORD_S, now
from tests.screenplay import UPLINK_S, Screenplay

LONG = "One two three four. Five six seven eight. Nine ten eleven twelve. Red blue green black. White grey pink brown."
SHOW = InlineCall("show", {"place": "market"})
ASK = InlineCall("ask", {"place": "market"})


# --- turns without trouble -------------------------------------------------------------------------------------------


@pytest.mark.virtual
@pytest.mark.parametrize("mode", ["push_to_talk", "open"])
async def test_spoken_turn_has_all_marks_in_order(mode: str) -> None:
    async with Screenplay() as p:
        mic = p.press(mode=mode)
        await p.talk(mic, 0.3, voiced=False)
        await p.talk(mic, 1.0)
        if mode == "open":
            await p.talk(mic, 1.0, voiced=False)
        p.let_go(mic)
        done = await p.done()
        await p.player.until(lambda: p.states()[-1] == "Idle")
        assert (done.heard, done.reply) == ("when do you open", "We open at noon, friend. Come in then.")
        assert done.played == done.reply
        assert set(done.marks) == {mark.value for mark in Mark} - {Mark.FIRST_MURMUR}
        # A response may be prepared before the turn is over, so the hard end only comes before the first audio. It
        # starts with the words of the last partial, at the same time as the final recognition.
        loose = (Mark.HARD_END, Mark.ASR_FINAL, Mark.FIRST_MURMUR, Mark.LLM_DONE, Mark.TTS_DONE)
        times = [done.marks[mark] for mark in Mark if mark not in loose]
        assert times == sorted(times), done.marks
        for mark in ("hard_end", "asr_final"):
            assert done.marks["soft_end"] <= done.marks[mark] <= done.marks["first_audio_sent"]
        assert done.marks["first_audio_sent"] < done.marks["llm_done"], "audio waited for the whole reply"
        assert p.states() == ["Listening", "Thinking", "Speaking", "Idle"]
        assert p.player.all(m.ASRPartial)[-1].text.startswith("when do you")
        await asyncio.sleep(0.1)
        words = [(said.speaker.kind, said.heard_text) for said in p.store.utterances]
        assert words == [("player", "when do you open"), ("npc", done.reply)]
        assert p.llm.attended, "the prompt of the next turn was not evaluated"


@pytest.mark.virtual
async def test_typed_turn_is_in_the_next_turns_history() -> None:
    async with Screenplay() as p:
        p.type("When do you open?")
        first = await p.done()
        p.type("And when do you close?")
        await p.done(2)
        told = [(message.role, message.content) for message in p.llm.requests[1].prompt.history]
        assert told == [("user", "When do you open?"), ("assistant", first.played)]
        assert p.states() == ["Thinking", "Speaking", "Idle"] * 2


@pytest.mark.virtual
async def test_new_character_has_the_stored_history() -> None:
    p = Screenplay()
    async with p:
        p.type("Hello")
        await p.done()
    again = Screenplay()
    again.share_engines(p)
    async with again:
        again.type("Do you know me?")
        await again.done()
    assert p.llm.requests[-1].prompt.history[0].content == "Hello"


@pytest.mark.virtual
async def test_ten_characters_at_once() -> None:
    npcs = [f"npc{number}" for number in range(10)]
    async with Screenplay(*npcs) as p:
        for npc in npcs:
            p.type(f"Hello {npc}", npc)
        await p.done(10)
        assert {done.npc_id: done.heard for done in p.player.all(m.TurnTimeline)} == {
            npc: f"Hello {npc}" for npc in npcs
        }
        assert len(p.player.voices) == 10


# --- barge-in --------------------------------------------------------------------------------------------------------


@pytest.mark.virtual
@hypothesis_settings(max_examples=40)
@given(at=st.floats(0.0, 8.0), open_mic=st.booleans(), reports=st.booleans())
async def test_barge_in_cuts_the_voice_and_keeps_what_was_heard(at: float, open_mic: bool, reports: bool) -> None:
    """At any time the voice is cut, no more of it is sent, and only what was heard counts as said."""
    async with Screenplay() as p:
        p.player.reports = reports
        p.llm.scripts = [["I see."]]
        p.llm.to["Tell me."] = [
            *("One two three. Four five six. ", SHOW, "Seven eight nine. ", 0.5, "Red blue. ", SHOW, "Green."),
        ]
        p.type("Tell me.")
        await asyncio.sleep(at)
        if open_mic:
            mic = p.press(mode="open")
            await p.talk(mic, 1.0)
            await p.talk(mic, 1.0, voiced=False)
            p.let_go(mic)
        else:
            await p.say()
        await p.done(2)
        await asyncio.sleep(4.0)
        first, second = p.player.all(m.TurnTimeline)
        assert (second.heard, second.played) == ("when do you open", "I see.")
        voice = p.player.voices.get(1)
        bare = first.played.rstrip("—").rstrip(".,")
        assert first.reply.startswith(bare), "what was heard is not a prefix of what was said"
        if voice is not None and voice.cut_s is not None:
            words = voice.playback.played / voice.playback.rate / WORD_S
            whole = words + 0.5 >= len(first.reply.split())
            assert first.played != first.reply or whole or not reports
            assert len(bare.split()) <= words + 0.5, "more words than were played"
            assert first.played in ("", first.reply) or first.played.endswith("—")
        elif voice is not None:
            assert first.played == first.reply
        history = [message.content for message in p.llm.requests[-1].prompt.history]
        assert history == (["Tell me.", first.played] if first.played else [])
        stored = [said for said in p.store.said_by("marla") if said.turn_id == first.turn_id]
        assert [said.heard_text for said in stored] == ([first.played] if first.reply else [])
        sent = [call.call_id for call in p.player.all(m.ToolCall)]
        assert len(sent) == len(set(sent))
        status: dict[str, list[str]] = {}
        for record in p.store.tools:
            status.setdefault(record.call_id, []).append(record.status)
        assert all(states == (["sent", "ok"] if call in sent else ["cancelled"]) for call, states in status.items())
        heard = first.played.rstrip("—")
        if "six" in heard:
            assert len(sent) >= 1, "its words were heard, but it was not sent"
        if "five" not in heard and reports:
            assert sent == [], "its words were not heard, but it was sent"


@pytest.mark.virtual
async def test_speech_during_thinking_cancels_the_response() -> None:
    async with Screenplay(turn=TurnSettings(murmurs=False)) as p:
        p.llm.prefill_s = 2.0
        await p.say()
        await p.player.until(lambda: p.states()[-1] == "Thinking")
        await asyncio.sleep(1.0)
        await p.say()
        await p.done(2)
        first, second = p.player.all(m.TurnTimeline)
        assert (first.reply, second.reply != "") == ("", True)
        assert p.player.all(m.Cutoff) == [] and len(p.player.voices) == 1
        assert p.llm.closed[0][1] is False, "the model was not stopped"


@pytest.mark.virtual
async def test_typing_during_speech_or_listening_replaces_the_turn() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[LONG], ["Yes."]]
        p.type("Tell me.")
        await p.player.come(m.StreamStart)
        await asyncio.sleep(1.0)
        p.type("Stop.")
        await p.done(2)
        assert p.player.all(m.TurnTimeline)[0].played.endswith("—")
        mic = p.press()
        await p.talk(mic, 0.5)
        p.type("Never mind.")
        await p.talk(mic, 0.5)
        p.let_go(mic)
        done = await p.done(3)
        assert done.heard == "Never mind."
        partials = {partial.turn_id for partial in p.player.all(m.ASRPartial)}
        assert done.turn_id not in partials, "partials of the unfinished utterance belong to the typed turn"
        await asyncio.sleep(2.0)
        assert len(p.player.all(m.TurnTimeline)) == 3 and p.npc.state is State.IDLE


@pytest.mark.virtual
async def test_voice_is_ducked_before_the_recogniser_opens() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[LONG], ["Yes."]]
        opened = p.asr.open

        async def slowly() -> object:
            await asyncio.sleep(0.5)
            return await opened()

        p.asr.open = slowly  # type: ignore[method-assign, assignment]
        p.type("Tell me.")
        await p.player.come(m.StreamStart)
        await asyncio.sleep(1.0)
        begun = now()
        mic = p.press(mode="open")
        await p.talk(mic, 1.0)
        await p.talk(mic, 1.0, voiced=False)
        assert p.player.when(m.Duck) - begun < 0.15
        assert [duck.gain_db for duck in p.player.all(m.Duck)] == [-12.0]
        await p.done(2)


@pytest.mark.virtual
async def test_unrequested_playback_stop_ends_the_reply() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[LONG]]
        p.type("Tell me.")
        stream = (await p.player.come(m.StreamStart)).stream
        await asyncio.sleep(1.0)
        p.player.reports = False
        p.npc.post(m.PlaybackStopped(stream=stream, played_samples=p.player.voices[stream].playback.played))
        done = await p.done()
        assert done.played.endswith("—") and p.player.all(m.Cutoff)[0].reason == "cancelled"
        assert p.llm.closed


# --- no words, wrong words, broken microphones -----------------------------------------------------------------------


@pytest.mark.virtual
async def test_key_press_without_words_starts_no_turn() -> None:
    async with Screenplay() as p:
        mic = p.press()
        await p.talk(mic, 1.0, voiced=False)
        p.let_go(mic)
        p.let_go(p.press())
        await asyncio.sleep(1.0)
        assert p.states() == ["Listening", "Idle"] * 2
        assert [(final.text, final.confidence) for final in p.player.all(m.ASRFinal)] == [("", 0.0)] * 2
        assert p.llm.requests == [] and p.player.all(m.TurnTimeline) == []


@pytest.mark.virtual
@pytest.mark.parametrize(("hears", "confidence"), [("", 0.9), ("when doe yuo", 0.2)])
async def test_low_confidence_is_answered_with_a_question(hears: str, confidence: float) -> None:
    async with Screenplay() as p:
        p.asr.hears, p.asr.confidence = hears, confidence
        await p.say()
        done = await p.done()
        assert done.reply and done.played == done.reply
        assert "noon" not in done.reply, "the model's answer to misheard words was spoken"
        captions = "".join(caption.delta for caption in p.player.all(m.LLMStreamDelta))
        assert captions == done.reply


@pytest.mark.virtual
@pytest.mark.parametrize("mode", ["push_to_talk", "open"])
async def test_microphone_that_falls_silent_ends_the_utterance(mode: str) -> None:
    async with Screenplay() as p:
        mic = p.press(mode=mode)
        await p.talk(mic, 1.0)
        silent = now()
        final = await p.player.come(m.ASRFinal)
        assert final.text == "when do you open"
        assert MIC_PATIENCE_S <= now() - silent < MIC_PATIENCE_S + 0.2
        await p.done()
        await asyncio.sleep(5.0)
        await p.talk(mic, 1.0)  # it sends audio again
        await p.talk(mic, 1.0, voiced=False)
        p.let_go(mic)
        await asyncio.sleep(10.0)
        assert len(p.player.all(m.TurnTimeline)) == (2 if mode == "open" else 1)


@pytest.mark.virtual
@pytest.mark.parametrize("mode", ["push_to_talk", "open"])
@pytest.mark.parametrize("where", ["open", "push", "finish", "vad", "hang"])
async def test_recogniser_failure_loses_one_utterance(where: str, mode: str) -> None:
    async with Screenplay() as p:
        p.vad.fails, p.asr.hangs = where == "vad", where == "hang"
        p.asr.fails = where if where in ("open", "push", "finish") else ""
        mic = p.press(mode=mode)
        await p.talk(mic, 1.0)
        await p.talk(mic, 1.0, voiced=False)
        p.let_go(mic)
        await asyncio.sleep(2 * ASR_PATIENCE_S)
        assert p.errors() == ["ENGINE"], "one error for each frame"
        assert p.npc.state is State.IDLE
        p.vad.fails, p.asr.fails, p.asr.hangs = False, "", False
        await p.say()
        assert (await p.done()).heard == "when do you open"


@pytest.mark.virtual
async def test_repeated_microphone_messages_are_harmless() -> None:
    async with Screenplay() as p:
        first = p.press()
        await p.talk(first, 0.5)
        second = p.press()
        await p.talk(first, 0.5)
        await p.talk(second, 1.0)
        p.let_go(first)
        p.let_go(second)
        p.let_go(second)
        await p.talk(second, 0.5)
        assert (await p.done()).heard == "when do you open"
        p.llm.scripts = [[LONG], ["Yes."]]
        p.llm.requests.clear()
        p.type("Tell me.")
        await p.player.until(lambda: p.states()[-1] == "Speaking")
        await asyncio.sleep(1.0)
        p.press()
        third = p.press(mode="open")
        await p.talk(third, 1.0)
        await p.talk(third, 1.0, voiced=False)
        await p.done(3)
        assert p.errors() == []


@pytest.mark.virtual
async def test_stuck_key_ends_after_the_longest_utterance() -> None:
    async with Screenplay() as p:
        mic = p.press()
        await p.talk(mic, 40.0)
        p.let_go(mic)
        await p.done()
        mic = p.press()
        await p.talk(mic, 70.0, voiced=False)
        assert p.npc.state is State.IDLE
        p.let_go(mic)
        await asyncio.sleep(0.1)
        assert [bool(final.text) for final in p.player.all(m.ASRFinal)] == [True, False]


@pytest.mark.virtual
@pytest.mark.parametrize(
    ("reply", "script", "spoken"),
    [
        ("مرحبا بك يا صديقي. Come in, friend.", "Arabic", "Come in, friend."),
        ("欢迎光临，朋友！ Come in, friend.", "Han", "Come in, friend."),
        ("Come in. Добро пожаловать, друг.", "Cyrillic", "Come in."),
        ("नमस्ते, मित्र। Come in, friend.", "Devanagari", "Come in, friend."),
    ],
)
async def test_a_script_that_the_voice_cannot_read_is_shown_and_reported(reply: str, script: str, spoken: str) -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[reply]]
        p.type("Hello.")
        await p.done()
        (error,) = p.player.all(m.Error)
        assert f"cannot read {script} script" in error.message and "voice of that language" in error.remedy
        heard = "".join(text for _, text in p.tts.begun)
        assert " ".join(heard.split()).lstrip(",!. ") == spoken
        shown = "".join(caption.delta for caption in p.player.all(m.LLMStreamDelta))
        assert " ".join(shown.split()) == reply


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.virtual
@pytest.mark.parametrize(
    ("script", "told"),
    [
        ([EngineError("No model.")], ["ENGINE"]),
        (["One two three. Four five six. ", 3.0, EngineError("Lost it.")], ["ENGINE"]),
        ([ValueError("nobody foresaw this")], ["INTERNAL"]),
        ([BusyError("Too many speak.")], []),
        ([], []),
        ([0.1, 4000.0], ["ENGINE"]),
        (["One two three. Four five six. ", 4000.0], ["ENGINE"]),
    ],
    ids=["at once", "in the middle", "a bug", "busy", "empty", "never answers", "never goes on"],
)
async def test_model_failure_loses_one_turn(script: list[object], told: list[str]) -> None:
    async with Screenplay() as p:
        p.llm.scripts = [script, ["Yes."]]  # type: ignore[list-item]
        p.type("Tell me.")
        begun = now()
        first = await p.done()
        assert now() - begun < RESPONSE_PATIENCE_S + 10
        assert p.errors() == told and len(p.player.all(m.Busy)) == (script != [] and isinstance(script[0], BusyError))
        assert first.reply.startswith(first.played.rstrip("—"))
        assert (first.played != "") == (script == [] or isinstance(script[0], str))
        p.type("Again.")
        assert (await p.done(2)).played == "Yes."
        assert len(p.player.all(m.TurnTimeline)) == 2


@pytest.mark.virtual
async def test_voice_failure_cuts_the_reply() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[LONG], ["Yes."]]
        p.tts.fails_at = "Red"
        p.type("Tell me.")
        first = await p.done()
        assert first.played.endswith("—") and p.errors() == ["ENGINE"]
        assert p.player.all(m.Cutoff)[0].reason == "error"
        p.type("Again.")
        assert (await p.done(2)).played == "Yes."
        assert p.tts.closed == len(p.tts.begun)


@pytest.mark.virtual
async def test_store_failure_loses_no_turn() -> None:
    async with Screenplay() as p:
        p.place.fails = StoreError("The disk is gone.")
        p.store.fails = True
        p.type("Tell me.")
        assert (await p.done()).played
        await asyncio.sleep(0.1)
        assert set(p.errors()) == {"STORE"}


@pytest.mark.virtual
async def test_client_without_playback_reports_gets_whole_replies() -> None:
    async with Screenplay() as p:
        p.player.reports = False
        p.llm.scripts = [[LONG, SHOW], ["First. ", ASK], ["Then this."]]
        p.type("Tell me.")
        begun = now()
        done = await p.done()
        spoken = len(LONG.split()) * WORD_S
        assert done.played == done.reply
        assert spoken < now() - begun < spoken + 5.0
        ahead = [
            frame.timestamp / 8000 - (at - p.player.when(m.StreamStart))
            for at, frame in p.player.log
            if isinstance(frame, frames.Frame)
        ]
        assert max(ahead) <= 2.0, "sent more than two seconds ahead"
        p.type("Ask.")
        assert (await p.done(2)).played == "First. Then this."
        assert len(p.player.all(m.ToolCall)) == 2


@pytest.mark.virtual
async def test_false_playback_reports_change_nothing() -> None:
    async with Screenplay() as p:
        p.player.reports = False
        p.llm.scripts = [[LONG]]
        p.type("Tell me.")
        stream = (await p.player.come(m.StreamStart)).stream
        p.npc.post(m.PlaybackStarted(stream=stream))
        for samples in (10**15, 0, 5):
            p.npc.post(m.Playhead(stream=stream, played_samples=samples))
        p.npc.post(m.Playhead(stream=777, played_samples=3))
        p.npc.post(m.PlaybackStopped(stream=777, played_samples=3))
        await asyncio.sleep(0.1)
        mic = p.press()
        await p.player.come(m.Cutoff)
        await p.talk(mic, 0.5)
        p.let_go(mic)
        first = await p.done()
        sent = p.player.voices[stream].playback.received / 8000
        assert len(first.played.split()) <= sent / WORD_S
        assert p.errors() == []
        await p.done(2)


@pytest.mark.virtual
async def test_flood_of_messages_does_not_stop_a_turn() -> None:
    async with Screenplay() as p:
        p.type("Tell me.")
        stream = (await p.player.come(m.StreamStart)).stream
        refused = 0
        for number in range(2 * MAX_CONTROL):
            try:
                p.npc.post(m.Playhead(stream=stream, played_samples=number))
            except BusyError:
                refused += 1
        for _ in range(2000):
            p.npc.post(MicFrame(99, bytes(640), now()))
        assert refused >= MAX_CONTROL
        assert (await p.done()).played


async def test_full_mailbox_accepts_a_turns_own_messages() -> None:
    mailbox: Mailbox[str] = Mailbox()
    for _ in range(MAX_CONTROL):
        mailbox.post("from outside")
    with pytest.raises(BusyError):
        mailbox.post("from outside")
    mailbox.post_own("the turn is over")


@pytest.mark.virtual
async def test_store_bug_loses_one_record() -> None:
    async with Screenplay() as p:
        record = p.store.record_utterance

        async def broken(scope: Any, utterance: Any) -> int:
            p.store.record_utterance = record  # type: ignore[method-assign]
            raise ValueError("a bug")

        p.store.record_utterance = broken  # type: ignore[method-assign]
        p.type("Tell me.")
        await p.done()
    assert p.errors() == ["STORE"]
    assert [said.speaker.kind for said in p.store.utterances] == ["npc"]


# --- tools -----------------------------------------------------------------------------------------------------------


@pytest.mark.virtual
async def test_reply_waits_for_a_tool_result_and_continues() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [["Let me ask. ", ASK, "Never said."], ["It is open."]]
        p.player.answers = lambda call: m.Ack(call_id=call.call_id, result={"open": True})
        p.type("Is it open?")
        done = await p.done()
        assert done.played == "Let me ask. It is open."
        assistant, tool = p.llm.requests[1].prompt.turn[1:]
        assert assistant.content.startswith("Let me ask. <tool_call>") and '"open":true' in tool.content
        assert p.player.when(m.ToolCall) - p.player.when(m.StreamStart) >= 3 * WORD_S - 0.1, "sent too early"


@pytest.mark.virtual
async def test_server_calls_after_one_that_needs_a_result_are_made() -> None:
    """An OpenAI-compatible server sends all calls at once, after the text, and does not repeat them."""
    async with Screenplay() as p:
        p.llm.abilities = LlmAbilities(prepares=True, places_calls=False, adapters=True)
        p.llm.scripts = [["Let me ask. ", ASK, SHOW, ASK], ["It is open."]]
        p.player.answers = lambda call: m.Ack(call_id=call.call_id, result={"of": call.call_id})
        p.type("Is it open?")
        assert (await p.done()).played == "Let me ask. It is open."
        made = p.player.all(m.ToolCall)
        assert [call.name for call in made] == ["ask", "show"], "the game is not asked twice"
        assistant, *tools = p.llm.requests[1].prompt.turn[1:]
        assert assistant.content.count('<tool_call>{"name":"ask"') == assistant.content.count("</tool_call>") == 2
        assert [message.role for message in tools] == ["tool", "tool"]
        told = [json.loads(message.content)["result"]["of"] for message in tools]
        assert told == [made[0].call_id] * 2, "the repeated call did not get the result"
        assert len(p.llm.requests) == 2


@pytest.mark.virtual
async def test_placed_call_that_needs_a_result_ends_the_generation() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [["Let me ask. ", ASK, SHOW, ASK], ["It is open."]]
        p.type("Is it open?")
        assert (await p.done()).played == "Let me ask. It is open."
        assert [call.name for call in p.player.all(m.ToolCall)] == ["ask"], "the model writes the others later"
        assert [message.role for message in p.llm.requests[1].prompt.turn[1:]] == ["assistant", "tool"]


@pytest.mark.virtual
@pytest.mark.parametrize("answer", ["error", "none"])
async def test_failed_tool_result_reaches_the_model(answer: str) -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[ASK], ["I can not tell."]]
        p.player.answers = lambda call: (
            m.Ack(call_id=call.call_id, status="error", message="closed") if answer == "error" else None
        )
        p.type("Is it open?")
        assert (await p.done()).played == "I can not tell."
        assert p.errors() == ([] if answer == "error" else ["TOOL_TIMEOUT"])
        status = p.llm.requests[1].prompt.turn[-1].content
        assert ("failed" if answer == "error" else "timed_out") in status


@pytest.mark.virtual
async def test_repeated_calls_end_without_tools() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [[ASK]]
        p.type("Is it open?")
        await p.done()
        assert len(p.llm.requests) == 4
        assert p.llm.requests[-1].tools == ()


@pytest.mark.virtual
async def test_call_with_an_unknown_argument_is_rejected() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [
            ["One two. ", SHOW, "Three four. ", InlineCall("show", {"place": "moon"}), "Five. ", SHOW, "Six."]
        ]
        p.type("Show me.")
        done = await p.done()
        assert done.played == "One two. Three four. Five. Six."
        assert len({call.call_id for call in p.player.all(m.ToolCall)}) == 1, "the second SHOW repeats the first"
        assert p.errors() == ["TOOL_REJECTED"]
        await asyncio.sleep(0.1)
        assert sorted(record.status for record in p.store.tools) == ["ok", "sent"]


@pytest.mark.virtual
async def test_guardrail_violation_ends_the_generation() -> None:
    async with Screenplay() as p:
        p.llm.scripts = [["Well now. ", "As an AI language model I cannot. ", SHOW, 30.0, "More."]]
        p.type("Tell me.")
        done = await p.done()
        assert "language model" not in done.reply and done.played == done.reply
        assert p.llm.closed[0][0] < 2.0 and p.llm.closed[0][1] is False, "not closed at once"
        assert p.player.all(m.ToolCall) == [], "a call after the violation was sent"
        await asyncio.sleep(0.1)
        assert [record.status for record in p.store.tools] in ([], ["cancelled"])


# --- disconnects, and random messages --------------------------------------------------------------------------------


@pytest.mark.virtual
@pytest.mark.parametrize("after", [0.0, 0.001, 0.05, 0.15, 0.25, 0.4, 0.8, 1.5, 2.5, 4.0])
@pytest.mark.parametrize("how", ["speech", "text", "barge-in", "warm-up"])
async def test_lost_client_leaves_consistent_records(how: str, after: float) -> None:
    p = Screenplay()
    p.llm.scripts = [[LONG, ASK]]
    async with p:
        if how == "warm-up":
            p.npc.post(m.Attend(npc_id="marla"))
        else:
            p.type("Tell me.") if how != "speech" else None
            speaking = asyncio.create_task(p.say(2.0)) if how != "text" else None
            if how == "barge-in":
                await asyncio.sleep(1.0)
        await asyncio.sleep(after)
        p.vanish()
        if how not in ("warm-up", "text"):
            assert speaking is not None
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
    for done in p.player.all(m.TurnTimeline):
        stored = [said for said in p.store.said_by("marla") if said.turn_id == done.turn_id]
        assert [said.heard_text for said in stored] == ([done.played] if done.reply else [])


@pytest.mark.virtual
@hypothesis_settings(max_examples=60)
@given(seed=st.integers(0, 2**32))
async def test_random_messages_and_failures_keep_turns_consistent(seed: int) -> None:
    """Every turn ends once, the character ends idle, and no task is left."""
    dice = random.Random(seed)
    async with Screenplay() as p:
        pieces: list[Any] = ["One two three. ", "Four, five. ", SHOW, ASK, 0.3, "*nods* ", "As an AI I can't. "]
        fails: list[Any] = [EngineError("gone"), BusyError("busy"), ValueError("bug")]
        p.llm.scripts = [
            dice.choices(pieces, k=dice.randint(0, 6)) + dice.choices([*fails, "End."], [1, 1, 1, 6]) for _ in range(12)
        ]
        mic = 0
        for _ in range(dice.randint(3, 25)):
            p.tts.fails_at = dice.choice([None, None, None, "five"])
            p.asr.fails = dice.choice(["", "", "", "", "push", "finish", "open"])
            p.store.fails = dice.random() < 0.1
            p.player.reports = dice.random() < 0.9
            stream = dice.randint(1, 4)
            match dice.randint(0, 9):
                case 0:
                    p.type("Tell me.")
                case 1 | 2:
                    mic = p.press(mode=dice.choice(["push_to_talk", "open"]))
                case 3 | 4:
                    await p.talk(mic or 1, dice.random(), voiced=dice.random() < 0.7)
                case 5:
                    p.let_go(dice.choice([mic or 1, 1]))
                case 6:
                    p.npc.post(m.Attend(npc_id="marla", attending=dice.random() < 0.7))
                case 7:
                    kind = dice.choice([m.Playhead, m.PlaybackStopped])
                    p.npc.post(kind(stream=stream, played_samples=dice.randint(0, 10**6)))
                case 8:
                    call = f"c-{dice.randint(0, 3)}"
                    p.npc.post(m.Ack(call_id=call))
                case _:
                    await asyncio.sleep(dice.random() * 3)
        if mic:
            p.let_go(mic)
        await asyncio.sleep(200.0)
        assert p.npc.state is State.IDLE
        internal = [error for error in p.player.all(m.Error) if error.code == "INTERNAL"]
        assert len(internal) <= sum(isinstance(step, ValueError) for script in p.llm.scripts for step in script)
        ended = [done.turn_id for done in p.player.all(m.TurnTimeline)]
        assert len(ended) == len(set(ended))
        # A turn that the player resumes before the first sound, and then replaces by typing, ends at Listening.
        states = p.player.all(m.NpcState)
        given_up = {turn_id for turn_id, last in {s.turn_id: s.state for s in states}.items() if last == "Listening"}
        answered = {state.turn_id for state in states if state.state == "Thinking"} - given_up
        assert answered <= set(ended), "an answered turn has no timeline"
        assert (p.npc.snapshot().responses, p.npc.snapshot().awaited_calls) == (0, 0)


@pytest.mark.virtual
async def test_turn_ends_when_the_player_hears_the_end() -> None:
    """The turn does not wait for a timeout after the last acknowledged sample."""
    async with Screenplay() as p:
        p.type("Tell me.")
        await p.done()
        voice = p.player.voices[1]
        ends = p.player.when(m.StreamStart) + voice.playback.received / 8000
        assert now() - ends < 0.1 + 4 * UPLINK_S + 0.25
