"""The cells of a KV cache: how many sequences use each, and which are free.

llama.cpp keeps one *cell* of keys and values for each evaluated token, marked with the *sequences* it belongs to. Cell
numbers here only serve the count: llama.cpp chooses places by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class SequenceTokens:
    """The tokens of one sequence, with a cell for each."""

    sequence: int
    owner: str
    adapter: str | None = None
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    stable: int = 0
    """Tokens that a later prompt is expected to begin with."""
    seed: int = 0
    """Those of them that are kept longest."""
    prepared: bool = False
    """Whether the tokens after `stable` belong to a turn that is still to come."""
    promised: int | None = None
    """Tokens up to which it may grow; None when idle."""
    used: int = 0
    """When it was last used, by the allocator's counter."""

    @property
    def owed(self) -> int:
        """Tokens by which it may still grow."""
        return 0 if self.promised is None else self.promised - len(self.tokens)


class CellCount:
    """The use count of each cell of one context."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(range(count))
        self._owners = [0] * count

    @property
    def free(self) -> int:
        """Number of free cells."""
        return len(self._free)

    def grow(self, held: SequenceTokens, tokens: Sequence[int]) -> None:
        """Append these tokens to a sequence, with a free cell for each. There must be enough free cells."""
        for token in tokens:
            cell = self._free.pop()
            self._owners[cell] = 1
            held.cells.append(cell)
            held.tokens.append(token)

    def cut(self, held: SequenceTokens, start: int) -> bool:
        """Remove a sequence's tokens from `start` on; tell whether there were any."""
        if len(held.cells) <= start:
            return False
        for cell in held.cells[start:]:
            self._owners[cell] -= 1
            if not self._owners[cell]:
                self._free.append(cell)
        del held.cells[start:], held.tokens[start:]
        held.stable, held.seed = min(held.stable, start), min(held.seed, start)
        return True

    def share(self, source: SequenceTokens, held: SequenceTokens, start: int, end: int) -> None:
        """Append the source's cells from `start` to `end` to a sequence that ends at `start`."""
        cells = source.cells[start:end]
        held.cells += cells
        held.tokens += source.tokens[start:end]
        for cell in cells:
            self._owners[cell] += 1

    def has_own(self, held: SequenceTokens) -> bool:
        """Tell whether removing this sequence would free any cell."""
        return any(self._owners[cell] == 1 for cell in held.cells)

    def check(self, everything: Iterable[SequenceTokens]) -> None:
        """Assert that the counts agree with these sequences. Takes time in proportion to the cells."""
        counted = [0] * self.count
        for held in everything:
            assert len(held.tokens) == len(held.cells)
            assert len(set(held.cells)) == len(held.cells)
            for cell in held.cells:
                counted[cell] += 1
        assert counted == self._owners
        assert sorted(self._free) == [cell for cell, owners in enumerate(counted) if not owners]
