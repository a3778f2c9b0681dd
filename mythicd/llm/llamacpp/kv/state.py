"""The state of one context's KV cache, and queries on it; allocator.py makes the changes.

Each character owns at most one sequence of llama.cpp's, whose exact tokens are recorded here. A prefix that several
characters share, such as the world's rules, may be held by a sequence of its own, a *root*.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from mythicd.errors import BusyError
from mythicd.llm.llamacpp.kv.cells import CellCount, SequenceTokens
from mythicd.llm.llamacpp.kv.host_memory import HostMemory, Parked

ROOTS = 4
"""Sequences for roots, in addition to those of the characters."""


class SeatingPlan(NamedTuple):
    """The allocation of a prompt, before anything is changed."""

    size: int
    """Most tokens the sequence may grow to."""
    most: int
    """Most tokens of the prompt that need not be evaluated."""
    own: SequenceTokens | None
    donor: SequenceTokens | None
    """The sequence whose prefix is shared; None if the owner has that prefix, or no sequence has."""
    shared: int
    """Length of that prefix."""
    parked: Parked | None
    """The tail that is restored after it."""


class KvState:
    """The tokens of each owner, in the KV cache and in host memory."""

    def __init__(self, cells: int, sequences: int, *, unified: bool, trims: bool, park_cells: int) -> None:
        """`sequences` is the number for characters, without roots; `park_cells` is the host memory, in cells."""
        self.longest = cells if unified else cells // sequences
        """Most tokens that one sequence can hold."""
        self.unified = unified
        self.trims = trims
        """Whether the end of a sequence can be removed, and its prefix be shared."""
        self.sequence_count = sequences
        self.cells = CellCount(cells)
        self.held: dict[str, SequenceTokens] = {}
        self.roots: list[SequenceTokens] = []
        self.parked = HostMemory(park_cells)
        self.away: set[str] = set()
        """Characters out of view."""

    def tokens(self, owner: str) -> tuple[int, ...]:
        """Return the owner's tokens, in its sequence or parked."""
        has = self.held.get(owner) or self.parked.get(owner)
        return () if has is None else tuple(has.tokens)

    def sequences(self) -> dict[str, tuple[int, int]]:
        """Return the sequence of each owner and root, with the number of its tokens. May be called by any thread."""
        return {held.owner: (held.sequence, len(held.tokens)) for held in (*self.held.values(), *self.roots)}

    def holds(self, owner: str, tokens: list[int], adapter: str | None = None, *, parked: bool = False) -> bool:
        """Tell whether the owner's sequence begins with all of these tokens; with `parked`, also once restored."""
        has = self.held.get(owner) or (self.parked.get(owner) if parked else None)
        if has is None:
            return not tokens
        if has.adapter != adapter or has.tokens[: len(tokens)] != tokens:
            return False
        return isinstance(has, SequenceTokens) or self._has_front(has)

    def is_busy(self, owner: str) -> bool:
        """Tell whether a prompt of this owner has been admitted and not released."""
        return owner in self.held and self.held[owner].promised is not None

    def plan(
        self, owner: str, prompt: list[int], growth: int, adapter: str | None, logits: bool, ended: Collection[str]
    ) -> SeatingPlan:
        """Return how a prompt would be allocated. Raises Busy when it cannot be."""
        size = len(prompt) + growth
        if not prompt or growth < 0 or size > self.longest:
            raise ValueError(f"{len(prompt)} + {growth} tokens do not fit a sequence of {self.longest}")
        own = self.held.get(owner)
        if own is not None and own.promised is not None and owner not in ended:
            raise BusyError(f"{owner} is writing a reply already.", remedy="Close that reply first.")
        most = len(prompt) - logits
        kept = self.usable(own.tokens, prompt, most) if own is not None and own.adapter == adapter else 0
        donor, shared = self._donor(owner, prompt, most, adapter, kept)
        busy = [held for held in self.held.values() if held.promised is not None and held.owner not in ended]
        parked = self._restorable(owner, prompt, most, adapter, shared)
        if parked is not None:
            front = donor if parked.start else None
            try:
                self._require_room(busy, own, front, parked.start, max(size, len(parked.tokens)))
            except BusyError:  # the parked tail is longer than the prompt: there may be room without it
                pass
            else:
                return SeatingPlan(size, most, own, front, parked.start, parked)
        self._require_room(busy, own, donor, shared, size)
        return SeatingPlan(size, most, own, donor, shared, None)

    def usable(self, tokens: list[int], prompt: list[int], most: int) -> int:
        """Return how many tokens at a sequence's beginning can stay, of the prompt's first `most`."""
        common = min(common_prefix(tokens, prompt), most)
        return common if self.trims or common == len(tokens) else 0

    def _donor(
        self, owner: str, prompt: list[int], most: int, adapter: str | None, kept: int
    ) -> tuple[SequenceTokens | None, int]:
        """Return the other sequence with the longest common prefix with the prompt, and that prefix's length.

        Only prefixes longer than the `kept` tokens count: the owner has those itself.
        """
        best: tuple[SequenceTokens | None, int] = (None, kept)
        if not (self.unified and self.trims) or kept >= most:
            return best
        for held in (*self.roots, *self.held.values()):  # roots first: they stay longest
            at = best[1]
            if held.owner != owner and held.adapter == adapter and held.tokens[at : at + 1] == prompt[at : at + 1]:
                common = min(common_prefix(held.tokens, prompt), most)
                if common > at:
                    best = held, common
        return best

    def _restorable(self, owner: str, prompt: list[int], most: int, adapter: str | None, shared: int) -> Parked | None:
        """Return the owner's parked tail, if restoring it gives more than the `shared` tokens."""
        parked = self.parked.get(owner)
        if parked is None or parked.adapter != adapter or parked.start > shared or len(parked.tokens) > self.longest:
            return None
        return parked if self.usable(parked.tokens, prompt, most) > shared else None

    def _require_room(
        self,
        busy: Sequence[SequenceTokens],
        own: SequenceTokens | None,
        donor: SequenceTokens | None,
        kept: int,
        size: int,
    ) -> None:
        """Raise Busy unless the busy sequences leave a sequence and enough cells."""
        if own is None and len(busy) == self.sequence_count:
            raise BusyError(
                f"All {self.sequence_count} sequences of the language model are busy.",
                remedy="Try again when a reply has ended, or raise gpu.sequences.",
            )
        if not self.unified:
            return
        source = donor or own
        fixed = {cell for held in busy for cell in held.cells}
        if source is not None:
            fixed.update(source.cells[:kept])
        left = self.cells.count - len(fixed) - sum(held.owed for held in busy)
        if left < size - kept:
            raise BusyError(
                f"The language model's context has room for {left} more tokens, and {size - kept} are needed.",
                remedy="Try again when a reply has ended, or raise gpu.ctx_tokens.",
            )

    def idle(self) -> list[SequenceTokens]:
        """Return the characters' sequences without work."""
        return [held for held in self.held.values() if held.promised is None]

    def worth(self, held: SequenceTokens) -> tuple[bool, int]:
        """Return the eviction key, least valuable first: out of view before in view, then least recently used."""
        return held.owner not in self.away, held.used

    def parked_by_worth(self) -> list[str]:
        """Return the parked owners: out of view before in view, and those parked longest ago first."""
        return sorted(self.parked, key=lambda owner: owner not in self.away)

    def shared_front(self, held: SequenceTokens) -> int:
        """Return the length of the longest prefix of the sequence that a root holds too."""
        fronts = (common_prefix(root.tokens, held.tokens) for root in self.roots if root.adapter == held.adapter)
        return max(fronts, default=0)

    def _has_front(self, parked: Parked) -> bool:
        """Tell whether some sequence has the prefix of a parked tail."""
        return not parked.start or any(map(parked.goes_on_from, (*self.roots, *self.held.values())))

    def claim(self, root: SequenceTokens) -> int:
        """Return how much a root is needed: 2 if a character's sequence begins with it, 1 if the tail of a parked
        character in view needs it, otherwise 0."""
        end = len(root.cells)
        if any(held.cells[end - 1 : end] == root.cells[-1:] for held in self.held.values()):
            return 2
        in_view = (parked for owner, parked in self.parked.items() if parked.start and owner not in self.away)
        return int(any(parked.goes_on_from(root) for parked in in_view))


def spare_sequences(unified: bool, trims: bool) -> int:
    """Return how many sequences a context must have in addition to those of the characters."""
    return ROOTS + 1 if unified and trims else 0


def common_prefix(one: list[int], other: list[int]) -> int:
    """Return the length of the longest common prefix; compares in blocks, which is fast for long prefixes."""
    most = min(len(one), len(other))
    place, block = 0, 64
    while place < most:
        end = min(place + block, most)
        if one[place:end] == other[place:end]:
            place = end
        elif block == 1:
            break
        else:
            block //= 8
    return place
