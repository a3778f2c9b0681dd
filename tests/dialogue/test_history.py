"""What was said to each other, and how it is kept short."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mythicd.dialogue.history import History
from mythicd.engines import ChatMessage


def test_exchanges_become_messages_in_turns() -> None:
    history = History()
    history.add("t-1", "hello", "Evening.")
    history.add("t-2", "bye", "")
    history.add("t-3", "", "Say again?")
    assert history.messages == (ChatMessage("user", "hello"), ChatMessage("assistant", "Evening."))
    assert history.turn_ids == ("t-1",)
    assert history.last_words == "hello"


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1))), st.integers(0, 60))
def test_it_fits_afterwards_and_keeps_the_newest(said: list[tuple[str, str]], room: int) -> None:
    history = History()
    for number, (words, answer) in enumerate(said):
        history.add(f"t-{number}", words, answer)
    whole = history.messages
    history.shorten(room, len)
    assert sum(len(message.content) for message in history.messages) <= room
    assert whole[len(whole) - len(history.messages) :] == history.messages
    if sum(len(message.content) for message in whole) <= room:
        assert history.messages == whole


def test_half_goes_at_once() -> None:
    history = History()
    for number in range(8):
        history.add(f"t-{number}", "ab", "cd")
    history.shorten(31, len)
    assert history.turn_ids == ("t-4", "t-5", "t-6", "t-7")
