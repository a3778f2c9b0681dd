"""What is parked: the tokens whose keys and values lie in host memory, and how much of it there is.

A tail is parked, not a whole conversation: what a pinned front has already is not copied, and must be found in some
sequence when the tail comes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mythicd.llm.llamacpp.kv.cells import SequenceTokens


@dataclass(frozen=True, slots=True)
class Parked:
    """One character's tokens, of which those from `start` on are in host memory."""

    adapter: str | None
    tokens: list[int]
    start: int
    """The tokens before it must be found in some sequence when it comes back."""

    @property
    def size(self) -> int:
        """Cells' worth of host memory that it takes."""
        return len(self.tokens) - self.start

    def goes_on_from(self, held: SequenceTokens) -> bool:
        """Tell whether that sequence has the tokens before `start`."""
        return self.adapter == held.adapter and self.tokens[: self.start] == held.tokens[: self.start]


class HostMemory:
    """Who is parked, those parked longest ago first, in so many cells' worth of host memory."""

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._parked: dict[str, Parked] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parked)

    def items(self) -> Iterator[tuple[str, Parked]]:
        """Yield who is parked, and what."""
        yield from self._parked.items()

    def get(self, owner: str) -> Parked | None:
        """Return what is parked for an owner."""
        return self._parked.get(owner)

    def drop(self, owner: str) -> bool:
        """Take an owner's tail out; tell whether there was one."""
        return self._parked.pop(owner, None) is not None

    def put(self, owner: str, parked: Parked) -> None:
        """Take a tail in, behind those that are there. Raises ValueError without room for it: `make_room` first."""
        if parked.size > self._room:
            raise ValueError(f"{parked.size} cells do not fit where {self._room} are left")
        self._parked[owner] = parked

    def make_room(self, size: int, victims: Sequence[str]) -> list[str] | None:
        """Drop as many of the victims as must go for a tail of so many cells, the first first, and return them.

        None, with nobody dropped, where all of them together would not do.
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
        """Assert that all that is parked is something, and fits."""
        assert all(parked.size > 0 for parked in self._parked.values())
        assert self._room >= 0
