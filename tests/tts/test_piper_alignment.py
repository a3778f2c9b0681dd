"""Alignments of Piper: phonemes and their lengths to the onsets of sounds and words. Needs no package."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.tts.piper.alignment import PhonemeLength, read_alignment, readable, word_lengths, word_starts


def test_marks_join_the_sounds_they_belong_to() -> None:
    onsets, words = read_alignment([PhonemeLength(phoneme, 100) for phoneme in "^hˈiːl ˌa,$"])
    assert [(onset.sample, onset.ipa, onset.stress) for onset in onsets] == [
        (0, "", 0),
        (100, "h", 0),
        (200, "iː", 1),
        (500, "l", 0),
        (700, "a", 2),
        (900, "", 0),
        (1000, "", 0),
    ]
    assert words == [100, 700]


def test_sounds_of_words_are_counted() -> None:
    assert word_lengths([[*"hˈiːl ˌa, tʃɐ"], [*"…"], [*"wʌn"]]) == (3, 1, 3, 3)


@pytest.mark.parametrize(
    ("spoken", "alone", "expected"),
    [
        ((2, 4, 5, 4, 3), {"at": (2,), "3.5": (4, 5, 4), "now": (3,)}, {0: "at", 1: "3.5", 4: "now"}),
        ((4, 3), {"of": (2,), "the": (2,), "day": (2,), "—": ()}, {0: "of", 1: "day"}),
        ((2,), {"—": (), "so": (2,)}, {0: "so"}),
        ((3, 4, 5), {"saw": (3,), "such": (3,), "a": (2,), "storm": (5,)}, {0: "saw", 1: "such", 2: "storm"}),
        (
            (5, 4, 6),
            {"so": (2,), "is": (2,), "it": (2,), "over": (4,), "there": (6,)},
            {0: "so", 1: "over", 2: "there"},
        ),
        ((2, 3, 8, 2), {"at": (2,), "1987": (3, 4, 5), "so": (2,)}, {0: "at", 1: "1987", 3: "so"}),
        ((), {"one": (3,), "two": (2,)}, {}),
    ],
)
def test_written_words_find_their_spoken_ones(
    spoken: tuple[int, ...], alone: dict[str, tuple[int, ...]], expected: dict[int, str]
) -> None:
    text = " ".join(alone)
    starts = word_starts(text, spoken, alone.__getitem__)
    assert {number: text[start:end] for number, (start, end) in starts.items()} == expected


@given(st.lists(st.integers(2, 9), min_size=2, max_size=40), st.data())
def test_one_merged_pair_leaves_the_others_in_place(lengths: list[int], data: st.DataObject) -> None:
    lengths = [length * 10 + number for number, length in enumerate(lengths)]  # all different
    merged = data.draw(st.integers(0, len(lengths) - 2))
    spoken = [*lengths[:merged], lengths[merged] + lengths[merged + 1], *lengths[merged + 2 :]]
    text = " ".join(f"w{number}" for number in range(len(lengths)))
    starts = word_starts(text, spoken, lambda word: (lengths[int(word[1:])],))
    expected = [number for number in range(len(lengths)) if number != merged + 1]
    assert [int(text[start + 1 : end]) for _, (start, end) in sorted(starts.items())] == expected
    assert sorted(starts) == list(range(len(spoken)))


@given(st.lists(st.integers(0, 9), max_size=40), st.lists(st.lists(st.integers(1, 9), max_size=3), max_size=40))
def test_any_words_keep_their_order(spoken: list[int], alone: list[list[int]]) -> None:
    text = " ".join(f"w{number}" for number in range(len(alone)))
    starts = word_starts(text, spoken, lambda word: tuple(alone[int(word[1:])]))
    assert all(0 <= number < len(spoken) for number in starts)
    placed = [place for _, place in sorted(starts.items())]
    assert placed == sorted(placed)


def test_phoneme_notation_and_control_characters_are_blanked() -> None:
    assert readable("a[[b]]\0c\ud800d\n") == "a  b   c d "
