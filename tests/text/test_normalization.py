"""Text normalisation in English: tokens, number spelling, and the spans of replacements."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.text.english.normalization import normalize
from mythicd.text.english.normalization.amounts import Amount, parse_amount
from mythicd.text.english.normalization.spelling import (
    cardinal,
    ordinal_words,
    spell_decade,
    spell_fraction,
    spell_year,
)
from mythicd.text.english.normalization.tokens import tokenize


@pytest.mark.parametrize(
    "whole",
    [
        "$5-$10",
        "10:30-11:00",
        "marla@gull.example",
        "https://gull.example/menu?a=b",
        "www.gull.example",
        "03/14/2025",
        "1.2.3",
        "555-1234",
        "(555) 123-4567",
        "24/7",
        "2d6+3",
        "6'2\"",
        "1½",
        "W-what",
        "AC/DC",
        "5‰",
        "-5",
        "+2",
        ".5",
        "-$5",
        "'90s",
        "10x10",
        "3:1",
        "1 000 000",
        "10,000.50",
        "#LanternFestival",
        "@marla",
        "O’Malley’s",
        "20°C",
        "C++",
    ],
)
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("So ", ", then"), ("'", "'"), ("“", ".”"), ("Well—", "—no"), ("(", ")")]
)
def test_token_is_whole_between_punctuation(whole: str, before: str, after: str) -> None:
    text = f"{before}{whole}{after}"
    tokens = tokenize(text)
    found = [token for token in tokens if token.text == whole]
    assert len(found) == 1
    assert text[found[0].start : found[0].end] == whole


@given(st.text(alphabet="aB1 2-–.,:;'\"$€%/@#()½…—\n+x", max_size=60))
def test_tokens_with_what_stands_between_are_the_text(text: str) -> None:
    tokens = tokenize(text)
    assert all(token.text for token in tokens)
    if tokens:
        assert "".join(token.before + token.text for token in tokens) + tokens[-1].after == text
        assert all(one.after == other.before for one, other in pairwise(tokens))


@given(st.text(max_size=80))
def test_replacements_are_ordered_and_do_not_overlap(text: str) -> None:
    spans = [(edit.start, edit.end) for edit in normalize(text)]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (21, "twenty-one"),
        (1_205, "one thousand two hundred five"),
        (2_000_000_000_001, "two trillion one"),
    ],
)
def test_cardinal(number: int, words: str) -> None:
    assert cardinal(number) == words


@pytest.mark.parametrize(
    ("number", "words"), [(1, "first"), (21, "twenty-first"), (20, "twentieth"), (112, "one hundred twelfth")]
)
def test_ordinal(number: int, words: str) -> None:
    assert ordinal_words(number) == words


@pytest.mark.parametrize(
    ("year", "words"),
    [
        (1984, "nineteen eighty-four"),
        (1066, "ten sixty-six"),
        (1905, "nineteen oh five"),
        (1900, "nineteen hundred"),
        (2000, "two thousand"),
        (2005, "two thousand five"),
        (2024, "twenty twenty-four"),
        (342, "three hundred forty-two"),
    ],
)
def test_year(year: int, words: str) -> None:
    assert spell_year(year) == words


@pytest.mark.parametrize(
    ("digits", "words"),
    [("1990", "nineteen nineties"), ("80", "eighties"), ("1900", "nineteen hundreds"), ("2000", "two thousands")],
)
def test_decade(digits: str, words: str) -> None:
    assert spell_decade(digits) == words


@pytest.mark.parametrize(
    ("over", "under", "words"),
    [(1, 2, "a half"), (3, 4, "three quarters"), (1, 8, "an eighth"), (2, 3, "two thirds"), (5, 2, "five halves")],
)
def test_fraction(over: int, under: int, words: str) -> None:
    assert spell_fraction(over, under) == words


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("5", Amount("5")),
        ("1,205", Amount("1205")),
        ("1.000.000", Amount("1000000")),
        ("3'500", Amount("3500")),
        ("3.14", Amount("3", "14")),
        (".5", Amount("", "5")),
        ("1½", Amount("1", fraction=(1, 2))),
        ("-5", Amount("5", sign="minus")),
        ("10k", Amount("10", scale="thousand")),
        ("1,2", None),
        ("1.2.3", None),
        ("5-10", None),
        ("abc", None),
        ("5xyz", None),
        ("", None),
    ],
)
def test_amount(text: str, amount: Amount | None) -> None:
    assert parse_amount(text) == amount
