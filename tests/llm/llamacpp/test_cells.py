"""Cells are counted by the sequences that list them."""

from __future__ import annotations

import pytest

from mythicd.llm.llamacpp.kv.cells import CellCount, SequenceTokens


def test_what_grows_takes_free_cells_and_what_is_cut_gives_them_back() -> None:
    cells, held = CellCount(8), SequenceTokens(0, "marla")
    cells.grow(held, [5, 6, 7])
    assert (held.tokens, cells.free) == ([5, 6, 7], 5)
    held.stable, held.seed = 3, 2
    assert cells.cut(held, 1)
    assert (held.tokens, held.stable, held.seed, cells.free) == ([5], 1, 1, 7)
    assert not cells.cut(held, 1), "there is nothing behind it"
    cells.check([held])


def test_shared_cells_count_once_and_are_free_when_nobody_has_them() -> None:
    cells, root, held = CellCount(8), SequenceTokens(0, "(root)"), SequenceTokens(1, "marla")
    cells.grow(root, [1, 2, 3, 4])
    cells.share(root, held, 0, 2)
    cells.share(root, held, 2, 3)
    cells.grow(held, [9])
    assert held.tokens == [1, 2, 3, 9]
    assert held.cells[:3] == root.cells[:3]
    assert cells.free == 3
    assert cells.has_own(root), "its fourth"
    cells.check([root, held])
    cells.cut(root, 0)
    assert cells.free == 4, "the others are Marla's now"
    cells.check([root, held])
    cells.cut(held, 0)
    assert cells.free == 8


def test_a_sequence_that_is_not_in_the_books_is_found() -> None:
    cells, held = CellCount(4), SequenceTokens(0, "marla")
    cells.grow(held, [1])
    cells.check([held])
    with pytest.raises(AssertionError):
        cells.check([])


def test_what_a_sequence_is_owed_is_what_it_was_promised_and_has_not() -> None:
    cells, held = CellCount(4), SequenceTokens(0, "marla")
    assert held.owed == 0
    held.promised = 3
    cells.grow(held, [1])
    assert held.owed == 2
