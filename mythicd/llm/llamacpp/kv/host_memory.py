"""The host memory: tokens of parked characters, whose keys and values are in RAM.

A tail is parked, not a whole conversation: the prefix that a root holds is not copied, and must be found in some
sequence when the tail is restored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mythicd.llm.llamacpp.kv.cells import SequenceTokens


@dataclass(frozen=True, slots=True)
class Parked:
    """One character's tokens, of which the tail from `start` on is in host memory."""

    adapter: str | None
    tokens: list[int]
    start: int
    """Length of the prefix that must be found in some sequence when the tail is restored."""

    @property
    def size(self) -> int:
        """Host memory of the tail, in cells."""
        return len(self.tokens) - self.start

    def goes_on_from(self, held: SequenceTokens) -> bool:
        """Tell whether that sequence has the prefix."""
        return self.adapter == held.adapter and self.tokens[: self.start] == held.tokens[: self.start]


class HostMemory:
    """The parked tails, those parked longest ago first, in a host memory of so many cells."""

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._parked: dict[str, Parked] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parked)

    def items(self) -> Iterator[tuple[str, Parked]]:
        """Yield each parked owner and its tail."""
        yield from self._parked.items()

    def tokens(self) -> dict[str, int]:
        """Return how many tokens each parked owner has, prefix included. May be called by any thread."""
        return {owner: len(parked.tokens) for owner, parked in self._parked.copy().items()}

    def get(self, owner: str) -> Parked | None:
        """Return the owner's parked tail, if there is one."""
        return self._parked.get(owner)

    def drop(self, owner: str) -> bool:
        """Remove an owner's tail; tell whether there was one."""
        return self._parked.pop(owner, None) is not None

    def put(self, owner: str, parked: Parked) -> None:
        """Add a tail. Raises ValueError without room for it: call `make_room` first."""
        if parked.size > self._room:
            raise ValueError(f"a tail of {parked.size} cells does not fit into {self._room} free ones")
        self._parked[owner] = parked

    def make_room(self, size: int, victims: Sequence[str]) -> list[str] | None:
        """Drop as many victims as a tail of so many cells needs, in order, and return them.

        Returns None, dropping none, if all of them together would not be enough.
        """
        if self._room + sum(self._parked[owner].size for owner in victims) < size:
            return None
        dropped: list[str] = []
        for owner in victims:
            if self._room >= size:
                break
            del self._parked[owner]
            dropped.append(owner)
        return dropped

    @property
    def _room(self) -> int:
        return self._cells - sum(parked.size for parked in self._parked.values())

    def check(self) -> None:
        """Assert that no tail is empty, and that all fit."""
        assert all(parked.size > 0 for parked in self._parked.values())
        assert self._room >= 0
