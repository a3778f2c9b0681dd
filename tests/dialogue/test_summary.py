"""What is left of exchanges that are gone: the few that matter, in bounded room, and nothing that was not said."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.dialogue.summary import QUESTION, Exchange, Summary, weight


def exchange(words: str, answer: str = "Aye.", *deeds: str) -> Exchange:
    return Exchange("t", words, answer, deeds)


def words(text: str) -> int:
    return len(text.split())


def told(recap: Summary) -> str:
    return recap.messages[1].content if recap.messages else ""


def test_it_reads_as_if_the_player_had_asked_for_it() -> None:
    recap = Summary().fold(
        [
            exchange("my name is Ann", "Well met, Ann."),
            exchange("can you show me the way to the market", "This way.", "show the player the way to the market"),
        ]
    )
    assert [(said.role, said.content) for said in recap.messages] == [
        ("user", QUESTION),
        (
            "assistant",
            'You said "my name is Ann"; I said "Well met, Ann". '
            'You asked "can you show me the way to the market"; I said "This way"; '
            "I did show you the way to the market.",
        ),
    ]
    assert Summary().messages == ()


@pytest.mark.parametrize(
    ("more", "less"),
    [
        (exchange("my name is Ann"), exchange("nice weather")),
        (exchange("hand me the key", "Here.", "hand the player the key"), exchange("what is that", "A key.")),
        (exchange("i will bring you the ring tomorrow"), exchange("it rains")),
        (exchange("how much is it", "Six silver."), exchange("how are you", "Well enough.")),
        (exchange("who runs the guild", "That is Hester Stone."), exchange("who runs the guild", "I don't know.")),
    ],
    ids=["a name", "a deed", "a promise", "a number", "an answer"],
)
def test_what_a_player_expects_to_be_remembered_weighs_more(more: Exchange, less: Exchange) -> None:
    assert weight(more) > weight(less)
    assert more.answer.rstrip(".") in told(Summary().fold([less, more, less]).within(30, words))


def test_small_talk_is_not_retold() -> None:
    recap = Summary().fold([exchange("hello"), exchange("good day to you", "And to you, friend.")])
    assert recap.within(1000, words).messages == ()


def test_what_was_retold_often_makes_room_for_what_is_new() -> None:
    recap = Summary().fold([exchange("my name is Ann", "Well met.")]).within(24, words)
    for number in range(12):
        asked = exchange(f"where is the house number {number}", "By the gate.")
        recap = recap.fold([asked]).within(24, words)
        assert sum(words(said.content) for said in recap.messages) <= 24
        if number == 0:
            assert "my name is Ann" in told(recap)
    assert "my name is Ann" not in told(recap) and "number 11" in told(recap)


def test_of_a_long_speech_the_sentence_that_tells_most_is_kept() -> None:
    long = "Well, well. Look who it is. My name is Cassia Thorn and I owe you forty crowns. Fine day it is, too."
    assert "My name is Cassia Thorn and I owe you forty crowns" in told(Summary().fold([exchange(long)]))
    endless = exchange("where is " + "the very old house " * 50, "There.")
    assert words(told(Summary().fold([endless]))) < 40


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=60)


@given(st.lists(st.lists(st.tuples(TEXT, TEXT), max_size=6), max_size=6), st.integers(0, 120))
def test_it_stays_within_its_room_and_makes_nothing_up(folds: list[list[tuple[str, str]]], room: int) -> None:
    recap = Summary()
    for said in folds:
        recap = recap.fold([exchange(*one) for one in said]).within(room, len)
        assert sum(len(message.content) for message in recap.messages) <= room
    known = {word for said in folds for one in said for text in one for word in text.split()}
    for quoted in re.findall(r'(?:asked|said) "(.*?)"(?=[;.])', told(recap), re.S):
        assert all(any(word.rstrip("….") in other for other in known) for word in quoted.split())
