"""The cells of a KV cache: which sequence has which, how many have each, and which are free.

llama.cpp keeps, for every token evaluated, one *cell* of keys and values, marked with the *sequences* it belongs to. A
cell belongs to as many sequences as list it, and is free when none does. They are numbered here only to be counted:
llama.cpp places them as it likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class SequenceTokens:
    """What one sequence holds: a cell for each token."""

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
    """Whether what is behind `stable` was read for a turn that is still to come."""
    promised: int | None = None
    """Tokens up to which it may grow; None when idle."""
    used: int = 0
    """When it was last used, on the allocator's own count."""

    @property
    def owed(self) -> int:
        """Tokens by which it may still grow."""
        return 0 if self.promised is None else self.promised - len(self.tokens)


class CellCount:
    """Counts the cells of one context."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(range(count))
        self._owners = [0] * count

    @property
    def free(self) -> int:
        """Cells that hold nothing."""
        return len(self._free)

    def grow(self, held: SequenceTokens, tokens: Sequence[int]) -> None:
        """Give a free cell to each of these tokens, at the sequence's end. There must be as many."""
        for token in tokens:
            cell = self._free.pop()
            self._owners[cell] = 1
            held.cells.append(cell)
            held.tokens.append(token)

    def cut(self, held: SequenceTokens, start: int) -> bool:
        """Take all behind the first `start` tokens from a sequence; tell whether there was anything."""
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
        """Let a sequence that ends at `start` have the source's cells from there to `end`, too."""
        cells = source.cells[start:end]
        held.cells += cells
        held.tokens += source.tokens[start:end]
        for cell in cells:
            self._owners[cell] += 1

    def has_own(self, held: SequenceTokens) -> bool:
        """Tell whether cells would be free without this sequence."""
        return any(self._owners[cell] == 1 for cell in held.cells)

    def check(self, everything: Iterable[SequenceTokens]) -> None:
        """Assert that what is counted is what these sequences list. Costs time in proportion to the cells."""
        counted = [0] * self.count
        for held in everything:
            assert len(held.tokens) == len(held.cells)
            assert len(set(held.cells)) == len(held.cells)
            for cell in held.cells:
                counted[cell] += 1
        assert counted == self._owners
        assert sorted(self._free) == [cell for cell, owners in enumerate(counted) if not owners]
