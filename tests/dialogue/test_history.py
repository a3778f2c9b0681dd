"""What was said to each other, and how it is kept short."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mythicd.dialogue.history import History
from mythicd.dialogue.summary import QUESTION
from mythicd.engines.llm import ChatMessage


def test_exchanges_become_messages_in_turns() -> None:
    history = History()
    history.add("t-1", "hello", "Evening.")
    history.add("t-2", "bye", "")
    history.add("t-3", "", "Say again?")
    assert history.messages == (ChatMessage("user", "hello"), ChatMessage("assistant", "Evening."))
    assert history.turn_ids == ("t-1",)
    assert history.last_words == "hello"


SAID = st.one_of(st.text(min_size=1), st.sampled_from(["my name is Ann", "where is the gate", "Twelve crowns, Ann."]))


@given(st.lists(st.tuples(SAID, SAID)), st.integers(0, 300), st.integers(0, 300))
def test_it_fits_afterwards_and_keeps_the_newest(said: list[tuple[str, str]], room: int, less: int) -> None:
    history = History()
    for number, (words, answer) in enumerate(said):
        history.add(f"t-{number}", words, answer)
    whole = history.messages
    for space in (room, less):
        before = history.messages
        history.shorten(space, len)
        assert sum(len(message.content) for message in history.messages) <= space
        kept = 2 * len(history.turn_ids)
        recap = history.messages[: len(history.messages) - kept]
        assert history.messages[len(recap) :] == whole[len(whole) - kept :]
        assert [message.role for message in recap] in ([], ["user", "assistant"])
        if sum(len(message.content) for message in before) <= space:
            assert history.messages == before


@given(st.lists(st.tuples(SAID, SAID)), st.integers(0, 300))
def test_compact_keeps_four_messages_at_most(said: list[tuple[str, str]], room: int) -> None:
    history = History()
    for number, (words, answer) in enumerate(said):
        history.add(f"t-{number}", words, answer)
    for _ in range(2):
        before = history.messages
        history.compact(room, len)
        assert sum(len(message.content) for message in history.messages) <= room
        assert len(history.messages) <= 4
        assert history.turn_ids in ((), *((f"t-{len(said) - left}", f"t-{len(said) - 1}")[-left:] for left in (1, 2)))
    assert history.messages == before, "it is compact now"


def test_half_goes_at_once_and_leaves_a_recap() -> None:
    history = History()
    for number in range(8):
        history.add(f"t-{number}", f"where is gate {number}", "Over there")
    history.shorten(199, len)
    assert history.turn_ids == ("t-4", "t-5", "t-6", "t-7")
    assert history.messages[0].content == QUESTION
    assert history.messages[1].content.endswith('"where is gate 3"; I said "Over there".')
    assert history.last_words == "where is gate 7"
    before = history.messages
    history.add("t-8", "and gate 8", "There.")
    assert history.messages[: len(before)] == before, "what stands stays where it is until the next cut"
