"""The pieces of a sentence: they cover it, in bounded sizes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mythicd.tts.piper.pieces import (
    BLOCK_FRAMES,
    FIRST_FRAMES,
    MOST_FRAMES,
    WHOLE_FRAMES,
    Piece,
    block_end,
    pieces,
    widen,
)

COUNTS = st.integers(0, 3000)


@given(COUNTS)
def test_pieces_cover_the_sentence_without_a_gap(count: int) -> None:
    made = list(pieces(count))
    assert [piece.start for piece in made] == [0, *(piece.end for piece in made)][: len(made)]
    assert (made[-1].end if made else 0) == count
    assert all(piece.start < piece.end for piece in made)


@given(COUNTS)
def test_sizes_grow_within_their_bounds(count: int) -> None:
    sizes = [piece.end - piece.start for piece in pieces(count)]
    if count > WHOLE_FRAMES:
        assert sizes[0] == FIRST_FRAMES
        assert all(a <= b for a, b in pairwise(sizes[:-1]))
        assert sizes[-1] >= FIRST_FRAMES
    assert max(sizes, default=0) < MOST_FRAMES + FIRST_FRAMES


@given(st.integers(1, WHOLE_FRAMES))
def test_a_short_sentence_is_one_piece(count: int) -> None:
    assert list(pieces(count)) == [Piece(0, count)]


@given(st.integers(41, 3000), st.integers(0, 100))
def test_margins_stay_within_the_sentence(count: int, margin: int) -> None:
    for piece in pieces(count):
        seen = widen(piece, margin, count)
        assert 0 <= seen.start <= piece.start and piece.end <= seen.end <= count
        assert seen.start == 0 or piece.start - seen.start == margin
        assert seen.end == count or seen.end - piece.end == margin


@given(st.integers(41, 3000), st.integers(0, 100), st.integers(0, 100))
def test_blocks_of_the_flow_are_ready_in_time(count: int, margin: int, flow_margin: int) -> None:
    ready = 0
    for piece in pieces(count):
        needed = widen(piece, margin, count).end
        if needed > ready:
            end = block_end(ready, needed, count, flow_margin)
            assert needed <= end <= count
            assert end == count or end == needed or end == ready + BLOCK_FRAMES
            ready = end
    assert ready == count
