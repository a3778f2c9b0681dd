"""Written text as it is spoken, and the distance between transcripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.text.spoken_words import comparable_words, spoken_words, word_error_rate, word_errors


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Where is Captain Reed?", "where is captain reed"),
        ("1,205 coins", "one thousand two hundred five coins"),
        ("open at 2:30", "open at two thirty"),
        ("at 7:05 and 6:00", "at seven oh five and six"),
        ("5pm", "five p m"),
        ("the 21st and the 12th", "the twenty first and the twelfth"),
        ("3.5% & more", "three point five percent and more"),
        ("Reed\u2019s boat, don't!", "reed's boat don't"),
        ("well-known", "well known"),
        ("Zo\u00eb", "zo\u00eb"),
        ("1234567890", "one two three four five six seven eight nine zero"),
        ("", ""),
        ("?!…", ""),
    ],
)
def test_text_as_it_is_said(written: str, spoken: str) -> None:
    assert " ".join(spoken_words(written)) == spoken


@given(st.text())
def test_speaking_spoken_words_changes_nothing(text: str) -> None:
    words = spoken_words(text)
    assert spoken_words(" ".join(words)) == words


def test_contractions_and_spelling_are_no_errors() -> None:
    assert word_error_rate("What is at the harbour?", "what's at the harbor") == 0
    assert word_error_rate("I cannot pay 20.", "i can't pay twenty") == 0
    assert comparable_words("captain's") == ["captain's"]


def test_error_rate() -> None:
    assert word_error_rate("where is the market", "where is market") == 0.25
    assert word_error_rate("hello", "well hello there") == 2.0
    assert word_error_rate("", "") == 0
    assert word_error_rate("", "three more words") == 3


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_errors_are_a_distance(one: list[str], other: list[str]) -> None:
    errors = word_errors(one, other)
    assert errors == word_errors(other, one)
    assert (errors == 0) == (one == other)
    assert abs(len(one) - len(other)) <= errors <= max(len(one), len(other))
