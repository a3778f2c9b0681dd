"""The ledger of the KV cache: whose tokens lie where, and what must happen before a prompt can be evaluated.

llama.cpp keeps, for every token evaluated, one *cell* of keys and values, marked with the *sequences* it belongs to.
This file keeps the books: each character owns at most one sequence; the ledger holds the exact tokens of each, so a
new prompt is compared with what is there, the common front is kept, the rest is trimmed, and only what is new is
evaluated. A front that another sequence holds already (the world's rules, above all) is shared: its cells are marked
as belonging to both, which costs no memory and no computing.

Rules, held by `check`:
1. A cell belongs to as many sequences as list it, and is free when none does.
2. A busy sequence has a promise: it may grow to `promised` tokens. The free cells cover all that is promised, so that
   `append` cannot fail; whoever cannot be promised enough is refused with `Busy` and nothing changes.
3. Only idle sequences lose anything to make room, the least recently used first: at first their *tails* (what lies
   behind `stable`: the ephemeral turn and the reply to it, which no later prompt repeats), then all they have.

The ledger decides and the context obeys: `admit` returns the operations on llama.cpp's memory in the order in which
they must be done. Cells are numbered here only to be counted; llama.cpp places them as it likes.

Without a unified cache (`unified=False`) each sequence has its own `cells / sequences` cells and nothing is shared: a
partial copy between sequences would abort inside llama.cpp. Where a model's memory cannot be trimmed (`trims=False`:
recurrent models), a sequence is kept only if the prompt goes on from its very end, and is evaluated anew otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mythicd.errors import Busy


@dataclass(frozen=True, slots=True)
class Trim:
    """Remove from a sequence everything at position `start` and behind it."""

    sequence: int
    start: int


@dataclass(frozen=True, slots=True)
class Share:
    """Let `sequence`, which is empty, have the first `end` cells of `source`."""

    source: int
    sequence: int
    end: int


Operation = Trim | Share


@dataclass(frozen=True, slots=True)
class Admission:
    """Where a prompt goes."""

    sequence: int
    kept: int
    """Tokens at the prompt's front that need not be evaluated; always fewer than the prompt has."""
    operations: tuple[Operation, ...]
    """To be done on llama.cpp's memory, in this order, before anything is evaluated."""


@dataclass(slots=True)
class _Held:
    """What one character holds."""

    sequence: int
    owner: str
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    stable: int = 0
    promised: int | None = None
    """Tokens up to which it may grow; None when idle."""
    used: int = 0
    """When it was last used, on the ledger's own count."""

    @property
    def owed(self) -> int:
        return 0 if self.promised is None else self.promised - len(self.tokens)


class Ledger:
    """The books of one context's KV cache."""

    def __init__(self, cells: int, sequences: int, *, unified: bool = True, trims: bool = True) -> None:
        self.cells = cells
        self.longest = cells if unified else cells // sequences
        """Most tokens that one sequence can hold."""
        self._unified = unified
        self._trims = trims
        self._free = list(range(cells))
        self._owners = [0] * cells
        self._spare = list(range(sequences - 1, -1, -1))
        self._held: dict[str, _Held] = {}
        self._clock = 0

    # --- looking -----------------------------------------------------------------------------------------------------

    @property
    def free_cells(self) -> int:
        """Cells that hold nothing."""
        return len(self._free)

    def tokens(self, owner: str) -> tuple[int, ...]:
        """Return the tokens that this owner's sequence holds."""
        held = self._held.get(owner)
        return () if held is None else tuple(held.tokens)

    def sequences(self) -> dict[str, tuple[int, int]]:
        """Return for each owner its sequence and how many tokens are in it."""
        return {owner: (held.sequence, len(held.tokens)) for owner, held in self._held.items()}

    def holds(self, owner: str, tokens: list[int]) -> bool:
        """Tell whether the owner's sequence begins with all of these tokens."""
        held = self._held.get(owner)
        return not tokens or (held is not None and held.tokens[: len(tokens)] == tokens)

    def is_busy(self, owner: str) -> bool:
        """Tell whether a prompt of this owner has been admitted and not been released."""
        return owner in self._held and self._held[owner].promised is not None

    # --- one prompt's life ---------------------------------------------------------------------------------------

    def admit(self, owner: str, prompt: list[int], growth: int) -> Admission:
        """Give `owner` a sequence that begins with as much of `prompt` as can be had, and room for `growth` more.

        The prompt has at least one token and, with `growth`, at most `longest`. Raises Busy, changing nothing, when
        the owner's sequence is busy, or other busy sequences hold what would be needed.
        """
        size = len(prompt) + growth
        if not prompt or growth < 0 or size > self.longest:
            raise ValueError(f"{len(prompt)} + {growth} tokens do not fit a sequence of {self.longest}")
        own = self._held.get(owner)
        if own is not None and own.promised is not None:
            raise Busy(f"{owner} is writing a reply already.", remedy="Close that reply first.")
        kept = self._usable(own.tokens, prompt) if own is not None else 0
        donor, shared = self._donor(owner, prompt)
        if shared <= kept:
            donor, shared = None, kept
        self._require_room(own, donor, shared, size)

        operations: list[Operation] = []
        self._clock += 1
        if own is None:
            own = self._seat(owner, donor, operations)
        if donor is None or donor is own:
            if len(own.tokens) > shared:
                self._cut(own, shared, operations)
        else:  # its own front goes too, where it has one: the donor's holds the same, and shared cells count once
            if own.tokens:
                self._cut(own, 0, operations)
            self._copy(donor, own, shared, operations)
        own.promised, own.stable, own.used = size, min(own.stable, shared), self._clock
        self._reclaim(operations)
        return Admission(own.sequence, len(own.tokens), tuple(operations))

    def append(self, owner: str, tokens: Sequence[int]) -> None:
        """Note that these tokens have been evaluated at the end of the owner's sequence."""
        held = self._held[owner]
        if len(tokens) > held.owed:
            raise ValueError(f"{owner} was promised {held.owed} more tokens, not {len(tokens)}")
        for token in tokens:
            cell = self._free.pop()
            self._owners[cell] = 1
            held.cells.append(cell)
            held.tokens.append(token)

    def release(self, owner: str, stable: int) -> None:
        """The owner's work is over: its sequence stays, idle. The first `stable` tokens are worth keeping longest."""
        held = self._held[owner]
        held.promised, held.stable = None, min(stable, len(held.tokens))

    def forget(self, owner: str) -> tuple[Operation, ...]:
        """Give the owner's sequence back, if it has one."""
        operations: list[Operation] = []
        if owner in self._held:
            self._evict(self._held[owner], operations)
        return tuple(operations)

    # --- the parts of `admit` ------------------------------------------------------------------------------------

    def _usable(self, tokens: list[int], prompt: list[int]) -> int:
        """Return how many tokens of a sequence's front can stay; the prompt's last is always evaluated anew."""
        common = min(common_prefix(tokens, prompt), len(prompt) - 1)
        return common if self._trims or common == len(tokens) else 0

    def _donor(self, owner: str, prompt: list[int]) -> tuple[_Held | None, int]:
        """Return the other sequence that shares the longest front with the prompt, and that front's length."""
        if not (self._unified and self._trims):
            return None, 0
        best: tuple[_Held | None, int] = (None, 0)
        for held in self._held.values():
            if held.owner != owner and len(held.tokens) > best[1]:
                common = min(common_prefix(held.tokens, prompt), len(prompt) - 1)
                if common > best[1]:
                    best = held, common
        return best

    def _require_room(self, own: _Held | None, donor: _Held | None, kept: int, size: int) -> None:
        """Raise Busy unless the busy sequences leave a sequence and enough cells."""
        busy = [held for held in self._held.values() if held.promised is not None]
        if own is None and not self._spare and len(busy) == len(self._held):
            raise Busy("Every sequence of the language model is speaking.", remedy="Try again when one has ended.")
        if not self._unified:
            return
        source = donor or own
        fixed = {cell for held in busy for cell in held.cells}
        if source is not None:
            fixed.update(source.cells[:kept])
        left = self.cells - len(fixed) - sum(held.owed for held in busy)
        if left < size - kept:
            raise Busy(
                f"The language model's context has room for {left} more tokens, and {size - kept} are needed.",
                remedy="Try again when another reply has ended, or raise n_ctx.",
            )

    def _seat(self, owner: str, donor: _Held | None, operations: list[Operation]) -> _Held:
        """Return a sequence for a newcomer: an empty one, or the donor's own if there is no other."""
        if not self._spare:
            oldest = min((held for held in self._held.values() if held.promised is None), key=lambda held: held.used)
            if oldest is donor:  # what it would be copied from is what must go: take it over instead
                del self._held[oldest.owner]
                oldest.owner, oldest.stable = owner, 0
                self._held[owner] = oldest
                return oldest
            self._evict(oldest, operations)
        held = self._held[owner] = _Held(self._spare.pop(), owner)
        return held

    def _reclaim(self, operations: list[Operation]) -> None:
        """Free cells until all promises are covered."""
        if not self._unified:
            return
        owed = sum(held.owed for held in self._held.values())
        idle = sorted((held for held in self._held.values() if held.promised is None), key=lambda held: held.used)
        for held in idle if self._trims else ():
            if len(self._free) >= owed:
                return
            if len(held.tokens) > held.stable:
                self._cut(held, held.stable, operations)
        for held in idle:
            if len(self._free) >= owed:
                return
            self._evict(held, operations)

    def _cut(self, held: _Held, start: int, operations: list[Operation]) -> None:
        for cell in held.cells[start:]:
            self._owners[cell] -= 1
            if not self._owners[cell]:
                self._free.append(cell)
        del held.cells[start:], held.tokens[start:]
        held.stable = min(held.stable, start)
        operations.append(Trim(held.sequence, start))

    def _copy(self, source: _Held, held: _Held, end: int, operations: list[Operation]) -> None:
        held.cells, held.tokens = source.cells[:end], source.tokens[:end]
        for cell in held.cells:
            self._owners[cell] += 1
        operations.append(Share(source.sequence, held.sequence, end))

    def _evict(self, held: _Held, operations: list[Operation]) -> None:
        self._cut(held, 0, operations)
        del self._held[held.owner]
        self._spare.append(held.sequence)

    # --- the rules -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Assert the rules above. Costs time in proportion to the cells held."""
        counted = [0] * self.cells
        for held in self._held.values():
            assert len(held.tokens) == len(held.cells) <= self.longest
            assert held.owed >= 0 and 0 <= held.stable <= len(held.tokens)
            assert len(set(held.cells)) == len(held.cells)
            for cell in held.cells:
                counted[cell] += 1
        assert counted == self._owners
        assert sorted(self._free) == [cell for cell, owners in enumerate(counted) if not owners]
        taken = [held.sequence for held in self._held.values()] + self._spare
        assert len(set(taken)) == len(taken)
        if self._unified:
            assert sum(held.owed for held in self._held.values()) <= len(self._free)


def common_prefix(one: list[int], other: list[int]) -> int:
    """Return the length of the longest common prefix; compares in blocks, so that equal fronts cost little."""
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
