"""The allocator of the KV cache: whose tokens lie where, and what must happen before a prompt can be evaluated.

Each character owns at most one sequence of llama.cpp's. The allocator holds the exact tokens of each, so a new prompt
is compared with what is there, the common front is kept, the rest is trimmed, and only what is new is evaluated. A
front that another sequence holds already is shared: its cells are marked as belonging to both, which costs no memory
and no computing. The front that all characters of a world have is *pinned*: a sequence of its own, a *root*, holds it,
so that it stays when everybody has left.

    root      [world rules]                                    one for each world and adapter
    marla     [world rules][persona][history][this turn...]    the front's cells are the root's
    parked    ............ [persona][history]                  in host memory: the tail only

Rules, held by `check`:
1. A cell belongs to as many sequences as list it, and is free when none does (cells.py).
2. A busy sequence has a promise: it may grow to `promised` tokens. The free cells cover all that is promised, so that
   `append` cannot fail; whoever cannot be promised enough is refused with `BusyError` and nothing changes.
3. Only idle sequences lose anything to make room, in this order: their ends behind `stable` (the ephemeral turn and the
   reply to it, which no later prompt repeats), but for a turn that was prepared and is still to come; then, those out
   of view and long unused before others, they are parked; where host memory is short, they are cut to what is stable,
   to their `seed` (the system message), then given up; roots go last.
4. What one LoRA adapter has evaluated is of no use to another: nothing is kept, shared or restored across adapters.

In a pause the idle may be parked without need (`tidy`): a step looks at every cell up to the last that is used, whoever
it belongs to, and it takes milliseconds to bring somebody back.

The allocator decides and the context obeys: operations are returned in the order in which they must be done (cache.py).
What the state are kept on lies beside it: the cells in cells.py, what is in host memory in host_memory.py.

Without a unified cache (`unified=False`) each sequence has its own `cells / sequences` cells and nothing is shared: a
partial copy between sequences would abort inside llama.cpp. Where a model's memory cannot be trimmed (`trims=False`:
recurrent models), a sequence is kept only if the prompt goes on from its very end, and is evaluated anew otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mythicd.errors import BusyError
from mythicd.llm.llamacpp.kv.cells import SequenceTokens
from mythicd.llm.llamacpp.kv.host_memory import Parked
from mythicd.llm.llamacpp.kv.operations import Discard, Load, Operation, Save, Share, Trim
from mythicd.llm.llamacpp.kv.state import ROOTS, KvState, spare_sequences

LEAST_ROOT = 16
"""Tokens from which a front is worth a sequence of its own."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Where a prompt goes."""

    sequence: int
    kept: int
    """Tokens at the prompt's front that need not be evaluated."""
    operations: tuple[Operation, ...]
    """To be done on llama.cpp's memory, in this order, before anything is evaluated."""


class KvAllocator:
    """Allocates one context's KV cache."""

    def __init__(
        self, cells: int, sequences: int, *, unified: bool = True, trims: bool = True, park_cells: int = 0
    ) -> None:
        """`sequences` are the characters' own; `park_cells` is how many cells' worth of host memory there is."""
        self.state = KvState(cells, sequences, unified=unified, trims=trims, park_cells=park_cells)
        self.parks = self.restores = self.evictions = 0
        self._scratch = sequences + ROOTS if spare_sequences(unified, trims) else None
        """An empty sequence to save and load by."""
        self._spare = list(range(sequences + (ROOTS if self._scratch is not None else 0)))[::-1]
        self._clock = 0

    # --- questions ---------------------------------------------------------------------------------------------------

    @property
    def cells(self) -> int:
        """Cells there are."""
        return self.state.cells.count

    @property
    def free_cells(self) -> int:
        """Cells that hold nothing."""
        return self.state.cells.free

    @property
    def parked(self) -> dict[str, int]:
        """Cells' worth of host memory that each parked character takes."""
        return {owner: parked.size for owner, parked in self.state.parked.items()}

    # --- one prompt's life ---------------------------------------------------------------------------------------

    def admit(
        self, owner: str, prompt: list[int], growth: int, *, adapter: str | None = None, logits: bool = True
    ) -> Allocation:
        """Give `owner` a sequence that begins with as much of `prompt` as can be had, and room for `growth` more.

        The prompt has at least one token and, with `growth`, at most `longest`. Its last token is evaluated in any case
        when its `logits` are wanted. Raises Busy, changing nothing, when the owner's sequence is busy, or other busy
        sequences hold what would be needed.
        """
        size, most, own, donor, shared, parked = self.state.plan(owner, prompt, growth, adapter, logits, ())
        operations: list[Operation] = []
        self._clock += 1
        if self.state.parked.drop(owner) and parked is None:
            operations.append(Discard(owner))  # the conversation has gone another way
        # From here on others may be parked: what comes back must not be thrown away for them.
        if own is None:
            own = self._seat(owner, donor, shared, operations)
        if donor is None or donor is own:
            self._cut(own, shared, operations)
        else:  # its own front goes too, where it has one: the donor's holds the same, and shared cells count once
            self._cut(own, 0, operations)
            self._copy(donor, own, 0, shared, operations)
        own.adapter, own.promised, own.used, own.prepared = adapter, size, self._clock, False
        own.stable, own.seed = min(own.stable, shared), min(own.seed, shared)
        if parked is not None:
            own.promised = max(size, len(parked.tokens))
            self._reclaim(operations)
            self._restore(own, parked, operations)
            self._cut(own, self.state.usable(own.tokens, prompt, most), operations)
            own.promised = size
        self._reclaim(operations)
        return Allocation(own.sequence, len(own.tokens), tuple(operations))

    def fits(
        self,
        owner: str,
        prompt: list[int],
        growth: int,
        *,
        adapter: str | None = None,
        ended: Collection[str] = (),
    ) -> bool:
        """Tell whether a prompt would be admitted if the work of those owners had `ended`."""
        try:
            self.state.plan(owner, prompt, growth, adapter, True, ended)
        except BusyError:
            return False
        return True

    def append(self, owner: str, tokens: Sequence[int]) -> None:
        """Note that these tokens have been evaluated at the end of the owner's sequence."""
        held = self.state.held[owner]
        if len(tokens) > held.owed:
            raise ValueError(f"{owner} was promised {held.owed} more tokens, not {len(tokens)}")
        self.state.cells.grow(held, tokens)

    def release(self, owner: str, stable: int, seed: int = 0, *, prepared: bool = False) -> None:
        """The owner's work is over: its sequence stays, idle.

        The first `stable` tokens are worth keeping longest, and of those the first `seed` when memory is short. What is
        behind them goes first, unless it is a turn that was `prepared`.
        """
        held = self.state.held[owner]
        held.promised, held.stable = None, min(stable, len(held.tokens))
        held.seed, held.prepared = min(seed, held.stable), prepared

    def rollback(self, owner: str) -> tuple[Operation, ...]:
        """Cut an idle sequence back to what is stable: the turn that was begun there is gone."""
        operations: list[Operation] = []
        held = self.state.held.get(owner)
        if held is not None and held.promised is None and self.state.trims:
            self._cut(held, held.stable, operations)
        return tuple(operations)

    def pin(self, owner: str, end: int) -> tuple[Operation, ...]:
        """Keep the first `end` tokens of the owner's sequence as a root, if there is none with them and room for it."""
        held = self.state.held[owner]
        if not (self.state.unified and self.state.trims) or not LEAST_ROOT <= end <= len(held.tokens):
            return ()
        front = held.tokens[:end]
        for root in self.state.roots:
            if root.adapter == held.adapter and root.tokens[:end] == front:
                root.used = held.used
                return ()
        operations: list[Operation] = []
        if len(self.state.roots) == ROOTS:
            unused = [root for root in self.state.roots if not self.state.claim(root)]
            if not unused:
                return ()
            self._drop_root(min(unused, key=lambda root: root.used), operations)
        self._clock += 1
        root = SequenceTokens(self._spare.pop(), f"(root {self._clock})", held.adapter, used=self._clock)
        self._copy(held, root, 0, end, operations)
        root.stable = root.seed = end
        self.state.roots.append(root)
        return tuple(operations)

    # --- leaving and being forgotten -------------------------------------------------------------------------------

    def look(self, owner: str, *, on_screen: bool) -> None:
        """Take note of whether a character is in view; `forget` leaves that as it is."""
        (self.state.away.discard if on_screen else self.state.away.add)(owner)

    def park(self, owner: str) -> tuple[Operation, ...]:
        """Move what an idle owner holds to host memory; where there is none of it, the sequence stays as it is.

        Only who is out of view is given up for it, those parked longest ago first.
        """
        operations: list[Operation] = []
        held = self.state.held.get(owner)
        if held is not None and held.promised is None:
            self._park(held, operations, [other for other in self.state.parked if other in self.state.away])
        return tuple(operations)

    def tidy(self) -> tuple[Operation, ...]:
        """Park an idle character that holds nothing but what is stable, if there is more than this one.

        Nobody is given up for it: without host memory to spare it stays. Empty when there is nothing to tidy up.
        """
        operations: list[Operation] = []
        if self._scratch is None or len(self.state.held) + len(self.state.parked) < 2:
            return ()
        for held in sorted(self.state.idle(), key=self.state.worth):
            if held.stable == len(held.tokens) and self._park(held, operations, []):
                break
        return tuple(operations)

    def lose(self, owner: str) -> None:
        """Take note that what was to be parked for an owner could not be saved."""
        self.state.parked.drop(owner)

    def forget(self, owner: str) -> tuple[Operation, ...]:
        """Give back everything the owner has, here and in host memory."""
        operations: list[Operation] = []
        if owner in self.state.held:
            self._give_up(self.state.held[owner], operations)
        if self.state.parked.drop(owner):
            operations.append(Discard(owner))
        return tuple(operations)

    # --- the parts of `admit` ------------------------------------------------------------------------------------

    def _seat(
        self, owner: str, donor: SequenceTokens | None, shared: int, operations: list[Operation]
    ) -> SequenceTokens:
        """Return a sequence for a newcomer: an empty one, or the donor's own if there is no other."""
        if len(self.state.held) == self.state.sequence_count:
            victim = min(self.state.idle(), key=self.state.worth)
            if victim is donor:  # what it would be copied from is what must go: take it over instead
                if victim.stable < shared or not self._save(victim, operations, self.state.parked_by_worth()):
                    self.evictions += 1
                del self.state.held[victim.owner]
                victim.owner, victim.stable, victim.seed = owner, 0, 0
                self.state.held[owner] = victim
                return victim
            if not self._park(victim, operations, self.state.parked_by_worth()):
                self._evict(victim, operations)
        held = self.state.held[owner] = SequenceTokens(self._spare.pop(), owner)
        return held

    def _restore(self, own: SequenceTokens, parked: Parked, operations: list[Operation]) -> None:
        """Bring a parked tail back, behind the front that it goes on from."""
        self.restores += 1
        self.state.cells.grow(own, parked.tokens[parked.start :])
        if self._scratch is None:
            operations.append(Load(own.owner, own.sequence))
            return
        # By way of an empty sequence: loading empties the sequence it goes to.
        operations.append(Load(own.owner, self._scratch))
        operations.append(Share(self._scratch, own.sequence, parked.start, len(parked.tokens)))
        operations.append(Trim(self._scratch, 0))

    # --- making room -----------------------------------------------------------------------------------------------

    def _reclaim(self, operations: list[Operation]) -> None:
        """Free cells until all promises are covered."""
        if not self.state.unified:
            return
        owed = sum(held.owed for held in self.state.held.values())
        idle = sorted(self.state.idle(), key=self.state.worth)
        if self.state.trims:
            for held in idle:
                if self.state.cells.free >= owed:
                    return
                if not held.prepared:
                    self._cut(held, held.stable, operations)
        for held in idle:
            if self.state.cells.free >= owed:
                return
            self._park(held, operations, self.state.parked_by_worth())
        left = [held for held in idle if held.owner in self.state.held]
        for held in left if self.state.trims else ():
            if self.state.cells.free >= owed:
                return
            self._cut(held, held.stable, operations)
        for held in left if self.state.trims else ():
            if self.state.cells.free >= owed:
                return
            if held.seed < len(held.tokens):
                self._cut(held, held.seed, operations)
                self.evictions += 1
        for held in left:
            if self.state.cells.free >= owed:
                return
            self._evict(held, operations)
        for root in sorted(self.state.roots, key=lambda root: (self.state.claim(root), root.used)):
            if self.state.cells.free >= owed:
                return
            if self.state.cells.has_own(root):
                self._drop_root(root, operations)

    def _park(self, held: SequenceTokens, operations: list[Operation], victims: list[str]) -> bool:
        """Move an idle sequence's stable part to host memory, if there is room; tell whether that was done."""
        saved = self._save(held, operations, victims)
        if saved:
            self._give_up(held, operations)
        return saved

    def _save(self, held: SequenceTokens, operations: list[Operation], victims: list[str]) -> bool:
        """Copy an idle sequence's stable part to host memory, without the front that a root holds.

        As many of the parked `victims` are given up for it as must be, the first first; where that is not enough, none.
        """
        end = held.stable if self.state.trims else len(held.tokens)
        start = self.state.shared_front(held)
        dropped = self.state.parked.make_room(end - start, victims) if end > start else None
        if dropped is None:
            return False
        self._cut(held, end, operations)
        operations += map(Discard, dropped)
        self.evictions += len(dropped)
        self.state.parked.put(held.owner, Parked(held.adapter, list(held.tokens), start))
        self.parks += 1
        if self._scratch is None:
            operations.append(Save(held.sequence, held.owner))
            return True
        operations.append(Share(held.sequence, self._scratch, start, end))
        operations.append(Save(self._scratch, held.owner))
        operations.append(Trim(self._scratch, 0))
        return True

    def _cut(self, held: SequenceTokens, start: int, operations: list[Operation]) -> None:
        if self.state.cells.cut(held, start):
            operations.append(Trim(held.sequence, start))

    def _copy(
        self, source: SequenceTokens, held: SequenceTokens, start: int, end: int, operations: list[Operation]
    ) -> None:
        self.state.cells.share(source, held, start, end)
        operations.append(Share(source.sequence, held.sequence, start, end))

    def _evict(self, held: SequenceTokens, operations: list[Operation]) -> None:
        self._give_up(held, operations)
        self.evictions += 1

    def _give_up(self, held: SequenceTokens, operations: list[Operation]) -> None:
        self._cut(held, 0, operations)
        del self.state.held[held.owner]
        self._spare.append(held.sequence)

    def _drop_root(self, root: SequenceTokens, operations: list[Operation]) -> None:
        self._cut(root, 0, operations)
        self.state.roots.remove(root)
        self._spare.append(root.sequence)

    # --- the rules -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Assert the rules above. Costs time in proportion to the cells held."""
        everything = [*self.state.held.values(), *self.state.roots]
        self.state.cells.check(everything)
        for held in everything:
            assert held.owed >= 0 and 0 <= held.seed <= held.stable <= len(held.tokens) <= self.state.longest
        assert len(self.state.held) <= self.state.sequence_count and len(self.state.roots) <= ROOTS
        taken = [held.sequence for held in everything] + self._spare
        assert len(set(taken)) == len(taken) and self._scratch not in taken
        self.state.parked.check()
        assert not set(self.state.parked) & self.state.held.keys()
        if self.state.unified:
            assert sum(held.owed for held in self.state.held.values()) <= self.state.cells.free
