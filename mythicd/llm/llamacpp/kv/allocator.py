"""The allocator of the KV cache: decides which sequence holds which tokens, and what is evicted or parked.

    root      [world rules]                                    one for each world and adapter
    marla     [world rules][persona][history][this turn...]    the prefix's cells are the root's
    parked    ............ [persona][history]                  in host memory: the tail only

It returns operations (operations.py) in the order in which cache.py carries them out. Cells are counted in cells.py,
parked tails in host_memory.py. The rules that `check` asserts are in docs/llm.md, "Rules of the KV cache".
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
"""Fewest tokens of a shared prefix that gets a root."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The sequence allocated for a prompt."""

    sequence: int
    kept: int
    """Tokens at the beginning of the prompt that need not be evaluated."""
    operations: tuple[Operation, ...]
    """To be done on llama.cpp's memory, in this order, before the evaluation."""


class KvAllocator:
    """Allocates one context's KV cache."""

    def __init__(
        self, cells: int, sequences: int, *, unified: bool = True, trims: bool = True, park_cells: int = 0
    ) -> None:
        """`sequences` is the number for characters, without roots; `park_cells` is the host memory, in cells."""
        self.state = KvState(cells, sequences, unified=unified, trims=trims, park_cells=park_cells)
        self.parks = self.restores = self.evictions = 0
        self._scratch = sequences + ROOTS if spare_sequences(unified, trims) else None
        """An empty sequence through which tails are saved and loaded."""
        self._spare = list(range(sequences + (ROOTS if self._scratch is not None else 0)))[::-1]
        self._clock = 0

    # --- figures -----------------------------------------------------------------------------------------------------

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.state.cells.count

    @property
    def free_cells(self) -> int:
        """Number of free cells."""
        return self.state.cells.free

    @property
    def parked(self) -> dict[str, int]:
        """Host memory of each parked character, in cells."""
        return {owner: parked.size for owner, parked in self.state.parked.items()}

    # --- one prompt's life ---------------------------------------------------------------------------------------

    def admit(
        self, owner: str, prompt: list[int], growth: int, *, adapter: str | None = None, logits: bool = True
    ) -> Allocation:
        """Allocate a sequence that begins with as much of `prompt` as is cached, and may grow by `growth` tokens.

        The prompt has at least one token and, with `growth`, at most `longest`. Its last token is always evaluated when
        its `logits` are needed. Raises Busy, changing nothing, when the owner's sequence is busy, or other busy
        sequences hold the sequences or cells that are needed.
        """
        size, most, own, donor, shared, parked = self.state.plan(owner, prompt, growth, adapter, logits, ())
        operations: list[Operation] = []
        self._clock += 1
        if self.state.parked.drop(owner) and parked is None:
            operations.append(Discard(owner))  # its prefix differs
        # Others may be parked from here on, and must not evict the tail that is restored.
        if own is None:
            own = self._take_sequence(owner, donor, shared, operations)
        if donor is None or donor is own:
            self._cut(own, shared, operations)
        else:  # its own prefix goes too: the donor holds the same tokens, and shared cells count once
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
        """Note that these tokens have been evaluated at the end of the owner's sequence. Raises ValueError."""
        held = self.state.held[owner]
        if len(tokens) > held.owed:
            raise ValueError(f"{owner} was promised {held.owed} more tokens, not {len(tokens)}")
        self.state.cells.grow(held, tokens)

    def release(self, owner: str, stable: int, seed: int = 0, *, prepared: bool = False) -> None:
        """Make the owner's sequence idle.

        The first `stable` tokens are kept longest, and of those the first `seed` when memory is short. Tokens after
        `stable` are evicted first, unless they are a turn that was `prepared`.
        """
        held = self.state.held[owner]
        held.promised, held.stable = None, min(stable, len(held.tokens))
        held.seed, held.prepared = min(seed, held.stable), prepared

    def rollback(self, owner: str) -> tuple[Operation, ...]:
        """Cut an idle sequence back to its stable tokens, dropping the turn that was begun."""
        operations: list[Operation] = []
        held = self.state.held.get(owner)
        if held is not None and held.promised is None and self.state.trims:
            self._cut(held, held.stable, operations)
        return tuple(operations)

    def pin(self, owner: str, end: int) -> tuple[Operation, ...]:
        """Keep the first `end` tokens of the owner's sequence as a root, unless there is one or no room for it."""
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

    # --- parking and forgetting ------------------------------------------------------------------------------------

    def note_view(self, owner: str, *, on_screen: bool) -> None:
        """Note whether a character is in view; `forget` does not change that."""
        (self.state.away.discard if on_screen else self.state.away.add)(owner)

    def park(self, owner: str) -> tuple[Operation, ...]:
        """Move an idle owner's tail to host memory; without room there, the sequence stays as it is.

        Only parked characters out of view are evicted for it, those parked longest ago first.
        """
        operations: list[Operation] = []
        held = self.state.held.get(owner)
        if held is not None and held.promised is None:
            self._park(held, operations, [other for other in self.state.parked if other in self.state.away])
        return tuple(operations)

    def tidy(self) -> tuple[Operation, ...]:
        """Park one idle character that holds only stable tokens, unless it is the only character.

        Nothing is evicted for it: without free host memory it stays. Returns no operations when there is none to park.
        """
        operations: list[Operation] = []
        if self._scratch is None or len(self.state.held) + len(self.state.parked) < 2:
            return ()
        for held in sorted(self.state.idle(), key=self.state.worth):
            if held.stable == len(held.tokens) and self._park(held, operations, []):
                break
        return tuple(operations)

    def lose(self, owner: str) -> None:
        """Note that the owner's tail could not be saved."""
        self.state.parked.drop(owner)

    def forget(self, owner: str) -> tuple[Operation, ...]:
        """Free everything the owner has, here and in host memory."""
        operations: list[Operation] = []
        if owner in self.state.held:
            self._give_up(self.state.held[owner], operations)
        if self.state.parked.drop(owner):
            operations.append(Discard(owner))
        return tuple(operations)

    # --- the parts of `admit` ------------------------------------------------------------------------------------

    def _take_sequence(
        self, owner: str, donor: SequenceTokens | None, shared: int, operations: list[Operation]
    ) -> SequenceTokens:
        """Return a sequence for an owner without one: an empty one, or the donor's if there is no other."""
        if len(self.state.held) == self.state.sequence_count:
            victim = min(self.state.idle(), key=self.state.worth)
            if victim is donor:  # the source of the copy would be evicted: take it over instead
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
        """Restore a parked tail after its prefix."""
        self.restores += 1
        self.state.cells.grow(own, parked.tokens[parked.start :])
        if self._scratch is None:
            operations.append(Load(own.owner, own.sequence))
            return
        # Loading empties the target sequence, so it goes through an empty one.
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
        """Move an idle sequence's stable tokens to host memory; tell whether there was room."""
        saved = self._save(held, operations, victims)
        if saved:
            self._give_up(held, operations)
        return saved

    def _save(self, held: SequenceTokens, operations: list[Operation], victims: list[str]) -> bool:
        """Copy an idle sequence's stable tokens to host memory, without the prefix that a root holds.

        As many of the parked `victims` as necessary are evicted for it, in order; none if all would not be enough.
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
        """Assert the rules of the KV cache (docs/llm.md). Takes time in proportion to the cells held."""
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
