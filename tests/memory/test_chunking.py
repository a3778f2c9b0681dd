"""Lore cut into lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.memory.chunking import chunks, estimated_tokens
from mythicd.text.english.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The bell of St. Elmo rang. Nobody came.", ["The bell of St. Elmo rang.", "Nobody came."]),
        ("It opens at 9 p.m. sharp. Be early!", ["It opens at 9 p.m. sharp.", "Be early!"]),
        ("It opens at 9 p.m. Be early!", ["It opens at 9 p.m.", "Be early!"]),
        ("The reef is 3.5 miles out. Mind it.", ["The reef is 3.5 miles out.", "Mind it."]),
        ("Ask J. R. Hobb. He knows.", ["Ask J. R. Hobb.", "He knows."]),
        ("Drink, e.g. Rum, is dear.", ["Drink, e.g. Rum, is dear."]),
        ("She said no. Then she left.", ["She said no.", "Then she left."]),
        ("Berth No. 7 is free.", ["Berth No. 7 is free."]),
        ("Who? Me?! Well... yes.", ["Who?", "Me?!", "Well... yes."]),
        ('"Go!" he said. She went.', ['"Go!" he said.', "She went."]),
        ('"Go away." He shut the door.', ['"Go away."', "He shut the door."]),
        ("One line\n\nanother\nparagraph", ["One line", "another paragraph"]),
        ("no mark at all", ["no mark at all"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_short_entry_is_one_line_with_its_title() -> None:
    line = "The ferry: It leaves at dawn. Bring coins."
    assert chunks("It leaves at dawn.  Bring coins.", " The ferry ", chunk_tokens=384, overlap_tokens=64) == [line]
    assert chunks("It leaves at dawn.", chunk_tokens=384, overlap_tokens=64) == ["It leaves at dawn."]


def test_long_text_overlaps_by_whole_sentences_and_every_piece_has_the_title() -> None:
    text = " ".join(f"Fact number {n} is that pier {n} has {n} posts." for n in range(30))
    lines = chunks(text, "Piers", chunk_tokens=64, overlap_tokens=20)
    assert len(lines) > 3
    assert all(line.startswith("Piers: Fact number") and line.endswith("posts.") for line in lines)
    assert all(estimated_tokens(line) <= 64 for line in lines)
    for before, after in zip(lines, lines[1:], strict=False):
        last = sentences(before.removeprefix("Piers: "))[-1]
        assert after.startswith(f"Piers: {last}"), "the last sentence of a piece opens the next"


@given(
    st.lists(st.sampled_from(["ash", "harbour", "x" * 90, "a.", "b?", "St.", "3.5", "(", "\n\n", "ö"]), max_size=120),
    st.integers(16, 80),
    st.integers(0, 200),
)
def test_no_word_is_lost_and_nothing_is_longer_than_it_may_be(words: list[str], size: int, overlap: int) -> None:
    text = " ".join(words)
    lines = chunks(text, chunk_tokens=size, overlap_tokens=overlap)
    position = 0
    flat = text.split()
    for line in lines:  # each piece is a run of the text's words that begins where the last ended, or before
        piece = line.split()
        starts = [at for at in range(position, -1, -1) if flat[at : at + len(piece)] == piece]
        assert starts, f"{line!r} leaves words out"
        position = max(position, starts[0] + len(piece))
        assert estimated_tokens(line) <= size or len(piece) == 1
    assert position == len(flat)
