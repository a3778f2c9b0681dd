"""English: numbers, plurals, abbreviations, sentences and words."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.text.english.abbreviations import BEFORE_NUMBER, LAST_BEFORE_CAPITAL, NEVER_LAST, TITLES
from mythicd.text.english.function_words import possible_stems
from mythicd.text.english.numbers import (
    CARDINALS,
    NUMBER_WORDS,
    ORDINALS,
    number_words,
    ordinal,
    ordinal_words,
    read_number,
)
from mythicd.text.english.plurals import plural, singular
from mythicd.text.english.sentences import Rest, ends_sentence, full_stop_ends, sentences
from mythicd.text.english.words import BARE_WORD, WORD, straight_apostrophes

# --- stems


@pytest.mark.parametrize(
    ("word", "stem"), [("hailing", "hail"), ("tides", "tide"), ("hoped", "hope"), ("quickly", "quick")]
)
def test_inflected_words_have_their_stem(word: str, stem: str) -> None:
    assert stem in possible_stems(word)


@pytest.mark.parametrize("word", ["marla", "is", "bed", "fly"])
def test_words_without_an_ending_or_too_short_have_no_stem(word: str) -> None:
    assert possible_stems(word) == ()


# --- numbers


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (20, "twenty"),
        (21, "twenty one"),
        (100, "one hundred"),
        (1_205, "one thousand two hundred five"),
        (2_000_017, "two million seventeen"),
        (3_000_000_000, "three billion"),
    ],
)
def test_number_words(number: int, words: str) -> None:
    assert " ".join(number_words(number)) == words


@given(st.integers(0, 999_999_999_999))
def test_number_words_read_back_as_the_number(number: int) -> None:
    words = number_words(number)
    assert set(words) <= NUMBER_WORDS
    assert read_number(words) == (number, len(words))


@given(st.integers(1, 99))
def test_ordinal_words_read_back_as_the_number(number: int) -> None:
    words = ordinal_words(number)
    assert read_number(words) == (number, len(words))


def test_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        number_words(-1)


@pytest.mark.parametrize(
    ("cardinal", "expected"),
    [("one", "first"), ("five", "fifth"), ("six", "sixth"), ("twelve", "twelfth"), ("twenty", "twentieth")],
)
def test_ordinal(cardinal: str, expected: str) -> None:
    assert ordinal(cardinal) == expected
    assert ORDINALS[expected] == CARDINALS[cardinal]


@pytest.mark.parametrize(
    ("text", "value", "length"),
    [
        ("two hundred and five coins", 205, 4),
        ("Twenty five", 25, 2),
        ("five six", 5, 1),
        ("twenty first", 21, 2),
        ("a dozen", None, 0),
        ("dozen", 12, 1),
        ("half", 0.5, 1),
        ("hundred and more", 100, 1),
        ("1,205 coins", 1205, 1),
        ("3.5", 3.5, 1),
        ("14:30", 14, 1),
        ("1.2.3", None, 1),
        ("coins", None, 0),
    ],
)
def test_read_number(text: str, value: float | None, length: int) -> None:
    assert read_number(text.split()) == (value, length)


def test_read_number_starts_where_it_is_told() -> None:
    assert read_number("pay thirty two gold".split(), 1) == (32, 2)


# --- plurals

NOUNS = {
    "church": "churches",
    "brush": "brushes",
    "glass": "glasses",
    "box": "boxes",
    "axe": "axes",
    "pickaxe": "pickaxes",
    "berry": "berries",
    "key": "keys",
    "ferry": "ferries",
    "blade": "blades",
    "horse": "horses",
    "coin": "coins",
}


@pytest.mark.parametrize(("noun", "expected"), NOUNS.items())
def test_plural_and_singular(noun: str, expected: str) -> None:
    assert plural(noun) == expected
    assert singular(expected) == noun
    assert singular(noun) == noun


def test_plural_stays_as_it_is() -> None:
    assert plural("coins") == "coins"


@pytest.mark.parametrize("word", ["bus", "status", "axis", "this", "pass", "gas", "is"])
def test_singular_keeps_other_words_in_s(word: str) -> None:
    assert singular(word) == word


@given(st.text(string.ascii_lowercase, min_size=4, max_size=12))
def test_singular_of_plural_is_singular_of_word(word: str) -> None:
    if not word.endswith(("s", "z", "i", "u", "ie", "che", "she", "xe")):  # ambiguous plurals
        assert singular(plural(word)) == singular(word)


# --- abbreviations


def test_each_abbreviation_has_one_meaning() -> None:
    groups = [frozenset(TITLES), NEVER_LAST, BEFORE_NUMBER, LAST_BEFORE_CAPITAL]
    words = [word for group in groups for word in group]
    assert len(words) == len(set(words))
    assert all(word == word.lower() and not word.endswith(".") for word in words)


@pytest.mark.parametrize(
    ("word", "before_capital", "before_lower", "before_digit", "unknown", "at_end"),
    [
        ("home", True, True, True, True, True),
        ("i", True, True, True, True, True),
        ("capt", False, False, False, False, True),
        ("e.g", False, False, False, False, True),
        ("j", False, False, False, False, True),
        ("no", True, True, False, False, True),
        ("p.m", True, False, True, False, True),
        ("etc", True, False, True, False, True),
        ("u.s", True, False, True, False, True),
    ],
)
def test_full_stop_ends(
    word: str, before_capital: bool, before_lower: bool, before_digit: bool, unknown: bool, at_end: bool
) -> None:
    judged = [full_stop_ends(word, following) for following in ("B", "b", "5", None, "")]
    assert judged == [before_capital, before_lower, before_digit, unknown, at_end]


# --- sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The bell of St. Elmo rang. Nobody came.", ["The bell of St. Elmo rang.", "Nobody came."]),
        ("It opens at 9 p.m. sharp. Be early!", ["It opens at 9 p.m. sharp.", "Be early!"]),
        ("It opens at 9 p.m. Be early!", ["It opens at 9 p.m.", "Be early!"]),
        ("The reef is 3.5 miles out. Mind it.", ["The reef is 3.5 miles out.", "Mind it."]),
        ("Ask J. R. Hobb. He knows.", ["Ask J. R. Hobb.", "He knows."]),
        ("She said no. Then she left.", ["She said no.", "Then she left."]),
        ("Berth No. 7 is free.", ["Berth No. 7 is free."]),
        ("Who? Me?! Well... yes.", ["Who?", "Me?!", "Well... yes."]),
        ('"Go away." He shut the door.', ['"Go away."', "He shut the door."]),
        (
            "It lies on Mar. 3 and closes in Mar. Then it opens.",
            ["It lies on Mar. 3 and closes in Mar.", "Then it opens."],
        ),
        (
            "Bring oil, etc. and come. Bring oil, etc. Then go.",
            ["Bring oil, etc. and come.", "Bring oil, etc.", "Then go."],
        ),
        ("One line\n\nanother\nparagraph", ["One line", "another paragraph"]),
        ("St.\n\nElmo", ["St.", "Elmo"]),
        (" \n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "prose", "any_case"),
    [
        ("mind the gate. it sticks.", ["mind the gate. it sticks."], ["mind the gate.", "it sticks."]),
        ("really? yes", ["really? yes"], ["really?", "yes"]),
        ("well... yes", ["well... yes"], ["well... yes"]),
        ('"Go!" he said.', ['"Go!" he said.'], ['"Go!" he said.']),
        ("at 9 p.m. sharp", ["at 9 p.m. sharp"], ["at 9 p.m. sharp"]),
    ],
)
def test_lower_case_begins_a_sentence_in_any_case_only(text: str, prose: list[str], any_case: list[str]) -> None:
    assert sentences(text) == prose
    assert sentences(text, any_case=True) == any_case


@given(st.text(alphabet="aB.!? \n\"')…5", max_size=80), st.booleans())
def test_sentences_lose_nothing_but_space(text: str, any_case: bool) -> None:
    assert " ".join(sentences(text, any_case=any_case)).split() == text.split()


def judged(text: str, rest: Rest) -> bool | None:
    """Judge the last mark of a text that a space follows, with the quotes that close after it."""
    *_, mark = re.finditer(r"([.!?…]+)[\"”)]*(?=\s)", text)
    return ends_sentence(text, mark.start(), mark.end(1), mark.end(), rest)


@pytest.mark.parametrize(
    ("text", "coming", "whole"),
    [
        ("It is late. ", True, True),
        ("It is late. go", True, True),
        ("Ask Capt. Reed", None, None),
        ("Ask Capt. ", None, True),
        ("Berth No. ", None, True),
        ("Berth No. 7", None, None),
        ("I say no. Then", True, True),
        ("At 9 p.m. ", None, True),
        ("At 9 p.m. B", True, True),
        ("At 9 p.m. s", None, None),
        ("Well… ", None, True),
        ("Well… no", None, None),
        ('"Halt!" ', None, True),
        ('"Halt!" he', False, False),
        ('"Halt!" He', True, True),
        ("Halt! he", True, True),
    ],
)
def test_ends_sentence_waits_while_text_streams(text: str, coming: bool | None, whole: bool | None) -> None:
    assert judged(text, Rest.COMING) is coming
    assert judged(text, Rest.NONE) is whole


# --- words


def test_words_keep_inner_apostrophes_and_bare_words_do_not() -> None:
    assert WORD.findall("'Don't' take Reed’s well-known boat_2!") == [
        "Don't",
        "take",
        "Reed’s",
        "well",
        "known",
        "boat",
        "2",
    ]
    assert BARE_WORD.findall("Don't, Zoë") == ["Don", "t", "Zoë"]
    assert straight_apostrophes("Reed’s") == "Reed's"
