"""The ledger of the KV cache: whose tokens lie where, and what must happen before a prompt can be evaluated.

Each character owns at most one sequence of llama.cpp's. The ledger holds the exact tokens of each, so a new prompt is
compared with what is there, the common front is kept, the rest is trimmed, and only what is new is evaluated. A front
that another sequence holds already is shared: its cells are marked as belonging to both, which costs no memory and no
computing. The front that all characters of a world have is *pinned*: a sequence of its own, a *root*, holds it, so that
it stays when everybody has left.

    root      [world rules]                                    one for each world and adapter
    marla     [world rules][persona][history][this turn...]    the front's cells are the root's
    parked    ............ [persona][history]                  in host memory: the tail only

Rules, held by `check`:
1. A cell belongs to as many sequences as list it, and is free when none does (cells.py).
2. A busy sequence has a promise: it may grow to `promised` tokens. The free cells cover all that is promised, so that
   `append` cannot fail; whoever cannot be promised enough is refused with `Busy` and nothing changes.
3. Only idle sequences lose anything to make room, in this order: their ends behind `stable` (the ephemeral turn and the
   reply to it, which no later prompt repeats), but for a turn that was prepared and is still to come; then, those out
   of view and long unused before others, they are parked; where host memory is short, they are cut to what is stable,
   to their `seed` (the system message), then given up; roots go last.
4. What one LoRA adapter has evaluated is of no use to another: nothing is kept, shared or restored across adapters.

In a pause the idle may be parked without need (`tidy`): a step looks at every cell up to the last that is used, whoever
it belongs to, and it takes milliseconds to bring somebody back.

The ledger decides and the context obeys: operations are returned in the order in which they must be done (cache.py).
What the books are kept on lies beside it: the cells in cells.py, what is in host memory in host_memory.py.

Without a unified cache (`unified=False`) each sequence has its own `cells / sequences` cells and nothing is shared: a
partial copy between sequences would abort inside llama.cpp. Where a model's memory cannot be trimmed (`trims=False`:
recurrent models), a sequence is kept only if the prompt goes on from its very end, and is evaluated anew otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mythicd.errors import Busy
from mythicd.llm.llamacpp.kv.cells import Cells, Held
from mythicd.llm.llamacpp.kv.host_memory import HostMemory, Parked
from mythicd.llm.llamacpp.kv.operations import Discard, Load, Operation, Save, Share, Trim

ROOTS = 4
"""Sequences kept for pinned fronts, beside those of the characters."""
LEAST_ROOT = 16
"""Tokens from which a front is worth a sequence of its own."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a prompt goes."""

    sequence: int
    kept: int
    """Tokens at the prompt's front that need not be evaluated."""
    operations: tuple[Operation, ...]
    """To be done on llama.cpp's memory, in this order, before anything is evaluated."""


class _Plan(NamedTuple):
    """How a prompt is to be seated."""

    size: int
    """Tokens it may have in the end."""
    most: int
    """Tokens of it that need not be evaluated, at most."""
    own: Held | None
    donor: Held | None
    """Whose front is shared; None where the owner has it itself, or nobody."""
    shared: int
    """Length of that front."""
    parked: Parked | None
    """What is brought back behind it."""


class Ledger:
    """The books of one context's KV cache."""

    def __init__(
        self, cells: int, sequences: int, *, unified: bool = True, trims: bool = True, park_cells: int = 0
    ) -> None:
        """`sequences` are the characters' own; `park_cells` is how many cells' worth of host memory there is."""
        self.longest = cells if unified else cells // sequences
        """Most tokens that one sequence can hold."""
        self.parks = self.restores = self.evictions = 0
        self._unified = unified
        self.trims = trims
        """Whether the end of what a sequence holds can be taken back, and a front be shared."""
        self._sequences = sequences
        self._cells = Cells(cells)
        self._scratch = sequences + ROOTS if spare_sequences(unified, trims) else None
        """An empty sequence to save and load by."""
        self._spare = list(range(sequences + (ROOTS if self._scratch is not None else 0)))[::-1]
        self._held: dict[str, Held] = {}
        self._roots: list[Held] = []
        self._parked = HostMemory(park_cells)
        self._away: set[str] = set()
        """Characters out of view."""
        self._clock = 0

    # --- looking -----------------------------------------------------------------------------------------------------

    @property
    def cells(self) -> int:
        """Cells there are."""
        return self._cells.count

    @property
    def free_cells(self) -> int:
        """Cells that hold nothing."""
        return self._cells.free

    @property
    def parked(self) -> dict[str, int]:
        """Cells' worth of host memory that each parked character takes."""
        return {owner: parked.size for owner, parked in self._parked.items()}

    def tokens(self, owner: str) -> tuple[int, ...]:
        """Return the tokens that are there for this owner: in its sequence, or parked."""
        has = self._held.get(owner) or self._parked.get(owner)
        return () if has is None else tuple(has.tokens)

    def sequences(self) -> dict[str, tuple[int, int]]:
        """Return for each owner, and each root, its sequence and how many tokens are in it."""
        return {held.owner: (held.sequence, len(held.tokens)) for held in (*self._held.values(), *self._roots)}

    def holds(self, owner: str, tokens: list[int], adapter: str | None = None, *, parked: bool = False) -> bool:
        """Tell whether the owner's sequence begins with all of these tokens; or, if what is `parked` counts, will when
        it has been brought back."""
        has = self._held.get(owner) or (self._parked.get(owner) if parked else None)
        if has is None:
            return not tokens
        if has.adapter != adapter or has.tokens[: len(tokens)] != tokens:
            return False
        return isinstance(has, Held) or self._has_front(has)

    def is_busy(self, owner: str) -> bool:
        """Tell whether a prompt of this owner has been admitted and not been released."""
        return owner in self._held and self._held[owner].promised is not None

    # --- one prompt's life ---------------------------------------------------------------------------------------

    def admit(
        self, owner: str, prompt: list[int], growth: int, *, adapter: str | None = None, logits: bool = True
    ) -> Seat:
        """Give `owner` a sequence that begins with as much of `prompt` as can be had, and room for `growth` more.

        The prompt has at least one token and, with `growth`, at most `longest`. Its last token is evaluated in any case
        when its `logits` are wanted. Raises Busy, changing nothing, when the owner's sequence is busy, or other busy
        sequences hold what would be needed.
        """
        size, most, own, donor, shared, parked = self._plan(owner, prompt, growth, adapter, logits, ())
        operations: list[Operation] = []
        self._clock += 1
        if self._parked.drop(owner) and parked is None:
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
            self._cut(own, self._usable(own.tokens, prompt, most), operations)
            own.promised = size
        self._reclaim(operations)
        return Seat(own.sequence, len(own.tokens), tuple(operations))

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
            self._plan(owner, prompt, growth, adapter, True, ended)
        except Busy:
            return False
        return True

    def append(self, owner: str, tokens: Sequence[int]) -> None:
        """Note that these tokens have been evaluated at the end of the owner's sequence."""
        held = self._held[owner]
        if len(tokens) > held.owed:
            raise ValueError(f"{owner} was promised {held.owed} more tokens, not {len(tokens)}")
        self._cells.grow(held, tokens)

    def release(self, owner: str, stable: int, seed: int = 0, *, prepared: bool = False) -> None:
        """The owner's work is over: its sequence stays, idle.

        The first `stable` tokens are worth keeping longest, and of those the first `seed` when memory is short. What is
        behind them goes first, unless it is a turn that was `prepared`.
        """
        held = self._held[owner]
        held.promised, held.stable = None, min(stable, len(held.tokens))
        held.seed, held.prepared = min(seed, held.stable), prepared

    def rollback(self, owner: str) -> tuple[Operation, ...]:
        """Cut an idle sequence back to what is stable: the turn that was begun there is gone."""
        operations: list[Operation] = []
        held = self._held.get(owner)
        if held is not None and held.promised is None and self.trims:
            self._cut(held, held.stable, operations)
        return tuple(operations)

    def pin(self, owner: str, end: int) -> tuple[Operation, ...]:
        """Keep the first `end` tokens of the owner's sequence as a root, if there is none with them and room for it."""
        held = self._held[owner]
        if not (self._unified and self.trims) or not LEAST_ROOT <= end <= len(held.tokens):
            return ()
        front = held.tokens[:end]
        for root in self._roots:
            if root.adapter == held.adapter and root.tokens[:end] == front:
                root.used = held.used
                return ()
        operations: list[Operation] = []
        if len(self._roots) == ROOTS:
            unused = [root for root in self._roots if not self._claim(root)]
            if not unused:
                return ()
            self._drop_root(min(unused, key=lambda root: root.used), operations)
        self._clock += 1
        root = Held(self._spare.pop(), f"(root {self._clock})", held.adapter, used=self._clock)
        self._copy(held, root, 0, end, operations)
        root.stable = root.seed = end
        self._roots.append(root)
        return tuple(operations)

    # --- leaving and being forgotten -------------------------------------------------------------------------------

    def look(self, owner: str, *, on_screen: bool) -> None:
        """Take note of whether a character is in view; `forget` leaves that as it is."""
        (self._away.discard if on_screen else self._away.add)(owner)

    def park(self, owner: str) -> tuple[Operation, ...]:
        """Move what an idle owner holds to host memory; where there is none of it, the sequence stays as it is.

        Only who is out of view is given up for it, those parked longest ago first.
        """
        operations: list[Operation] = []
        held = self._held.get(owner)
        if held is not None and held.promised is None:
            self._park(held, operations, [other for other in self._parked if other in self._away])
        return tuple(operations)

    def tidy(self) -> tuple[Operation, ...]:
        """Park an idle character that holds nothing but what is stable, if there is more than this one.

        Nobody is given up for it: without host memory to spare it stays. Empty when there is nothing to tidy up.
        """
        operations: list[Operation] = []
        if self._scratch is None or len(self._held) + len(self._parked) < 2:
            return ()
        for held in sorted(self._idle(), key=self._worth):
            if held.stable == len(held.tokens) and self._park(held, operations, []):
                break
        return tuple(operations)

    def lose(self, owner: str) -> None:
        """Take note that what was to be parked for an owner could not be saved."""
        self._parked.drop(owner)

    def forget(self, owner: str) -> tuple[Operation, ...]:
        """Give back everything the owner has, here and in host memory."""
        operations: list[Operation] = []
        if owner in self._held:
            self._give_up(self._held[owner], operations)
        if self._parked.drop(owner):
            operations.append(Discard(owner))
        return tuple(operations)

    # --- the parts of `admit` ------------------------------------------------------------------------------------

    def _plan(
        self, owner: str, prompt: list[int], growth: int, adapter: str | None, logits: bool, ended: Collection[str]
    ) -> _Plan:
        """Return how a prompt would be seated. Raises Busy when it cannot be."""
        size = len(prompt) + growth
        if not prompt or growth < 0 or size > self.longest:
            raise ValueError(f"{len(prompt)} + {growth} tokens do not fit a sequence of {self.longest}")
        own = self._held.get(owner)
        if own is not None and own.promised is not None and owner not in ended:
            raise Busy(f"{owner} is writing a reply already.", remedy="Close that reply first.")
        most = len(prompt) - logits
        kept = self._usable(own.tokens, prompt, most) if own is not None and own.adapter == adapter else 0
        donor, shared = self._donor(owner, prompt, most, adapter, kept)
        busy = [held for held in self._held.values() if held.promised is not None and held.owner not in ended]
        parked = self._restorable(owner, prompt, most, adapter, shared)
        if parked is not None:
            front = donor if parked.start else None
            try:
                self._require_room(busy, own, front, parked.start, max(size, len(parked.tokens)))
            except Busy:  # what is parked is longer than the prompt: there may be room without it
                pass
            else:
                return _Plan(size, most, own, front, parked.start, parked)
        self._require_room(busy, own, donor, shared, size)
        return _Plan(size, most, own, donor, shared, None)

    def _usable(self, tokens: list[int], prompt: list[int], most: int) -> int:
        """Return how many tokens of a sequence's front can stay, of the prompt's first `most`."""
        common = min(common_prefix(tokens, prompt), most)
        return common if self.trims or common == len(tokens) else 0

    def _donor(
        self, owner: str, prompt: list[int], most: int, adapter: str | None, kept: int
    ) -> tuple[Held | None, int]:
        """Return the other sequence that shares the longest front with the prompt, and that front's length.

        One that shares no more than the `kept` tokens is none: the owner has those.
        """
        best: tuple[Held | None, int] = (None, kept)
        if not (self._unified and self.trims) or kept >= most:
            return best
        for held in (*self._roots, *self._held.values()):  # among equals the root: it stays
            at = best[1]
            if held.owner != owner and held.adapter == adapter and held.tokens[at : at + 1] == prompt[at : at + 1]:
                common = min(common_prefix(held.tokens, prompt), most)
                if common > at:
                    best = held, common
        return best

    def _restorable(self, owner: str, prompt: list[int], most: int, adapter: str | None, shared: int) -> Parked | None:
        """Return what is parked for the owner, if it brings more than the `shared` tokens that are there without it."""
        parked = self._parked.get(owner)
        if parked is None or parked.adapter != adapter or parked.start > shared or len(parked.tokens) > self.longest:
            return None
        return parked if self._usable(parked.tokens, prompt, most) > shared else None

    def _require_room(self, busy: Sequence[Held], own: Held | None, donor: Held | None, kept: int, size: int) -> None:
        """Raise Busy unless the busy sequences leave a sequence and enough cells."""
        if own is None and len(busy) == self._sequences:
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

    def _seat(self, owner: str, donor: Held | None, shared: int, operations: list[Operation]) -> Held:
        """Return a sequence for a newcomer: an empty one, or the donor's own if there is no other."""
        if len(self._held) == self._sequences:
            victim = min(self._idle(), key=self._worth)
            if victim is donor:  # what it would be copied from is what must go: take it over instead
                if victim.stable < shared or not self._save(victim, operations, self._parked_by_worth()):
                    self.evictions += 1
                del self._held[victim.owner]
                victim.owner, victim.stable, victim.seed = owner, 0, 0
                self._held[owner] = victim
                return victim
            if not self._park(victim, operations, self._parked_by_worth()):
                self._evict(victim, operations)
        held = self._held[owner] = Held(self._spare.pop(), owner)
        return held

    def _restore(self, own: Held, parked: Parked, operations: list[Operation]) -> None:
        """Bring a parked tail back, behind the front that it goes on from."""
        self.restores += 1
        self._cells.grow(own, parked.tokens[parked.start :])
        if self._scratch is None:
            operations.append(Load(own.owner, own.sequence))
            return
        # By way of an empty sequence: loading empties the sequence it goes to.
        operations.append(Load(own.owner, self._scratch))
        operations.append(Share(self._scratch, own.sequence, parked.start, len(parked.tokens)))
        operations.append(Trim(self._scratch, 0))

    # --- making room -----------------------------------------------------------------------------------------------

    def _idle(self) -> list[Held]:
        return [held for held in self._held.values() if held.promised is None]

    def _worth(self, held: Held) -> tuple[bool, int]:
        """Return by what the least valuable sequence is found: out of view before in view, long unused before new."""
        return held.owner not in self._away, held.used

    def _reclaim(self, operations: list[Operation]) -> None:
        """Free cells until all promises are covered."""
        if not self._unified:
            return
        owed = sum(held.owed for held in self._held.values())
        idle = sorted(self._idle(), key=self._worth)
        if self.trims:
            for held in idle:
                if self._cells.free >= owed:
                    return
                if not held.prepared:
                    self._cut(held, held.stable, operations)
        for held in idle:
            if self._cells.free >= owed:
                return
            self._park(held, operations, self._parked_by_worth())
        left = [held for held in idle if held.owner in self._held]
        for held in left if self.trims else ():
            if self._cells.free >= owed:
                return
            self._cut(held, held.stable, operations)
        for held in left if self.trims else ():
            if self._cells.free >= owed:
                return
            if held.seed < len(held.tokens):
                self._cut(held, held.seed, operations)
                self.evictions += 1
        for held in left:
            if self._cells.free >= owed:
                return
            self._evict(held, operations)
        for root in sorted(self._roots, key=lambda root: (self._claim(root), root.used)):
            if self._cells.free >= owed:
                return
            if self._cells.has_own(root):
                self._drop_root(root, operations)

    def _parked_by_worth(self) -> list[str]:
        """Return who is parked: out of view before in view, and those parked longest ago first."""
        return sorted(self._parked, key=lambda owner: owner not in self._away)

    def _park(self, held: Held, operations: list[Operation], victims: list[str]) -> bool:
        """Move an idle sequence's stable part to host memory, if there is room; tell whether that was done."""
        saved = self._save(held, operations, victims)
        if saved:
            self._give_up(held, operations)
        return saved

    def _save(self, held: Held, operations: list[Operation], victims: list[str]) -> bool:
        """Copy an idle sequence's stable part to host memory, without the front that a root holds.

        As many of the parked `victims` are given up for it as must be, the first first; where that is not enough, none.
        """
        end = held.stable if self.trims else len(held.tokens)
        start = self._shared_front(held)
        dropped = self._parked.make_room(end - start, victims) if end > start else None
        if dropped is None:
            return False
        self._cut(held, end, operations)
        operations += map(Discard, dropped)
        self.evictions += len(dropped)
        self._parked.put(held.owner, Parked(held.adapter, list(held.tokens), start))
        self.parks += 1
        if self._scratch is None:
            operations.append(Save(held.sequence, held.owner))
            return True
        operations.append(Share(held.sequence, self._scratch, start, end))
        operations.append(Save(self._scratch, held.owner))
        operations.append(Trim(self._scratch, 0))
        return True

    def _shared_front(self, held: Held) -> int:
        """Return how much of the sequence's front is some root's, too."""
        fronts = (common_prefix(root.tokens, held.tokens) for root in self._roots if root.adapter == held.adapter)
        return max(fronts, default=0)

    def _has_front(self, parked: Parked) -> bool:
        """Tell whether some sequence has what a parked tail goes on from."""
        return not parked.start or any(map(parked.goes_on_from, (*self._roots, *self._held.values())))

    def _claim(self, root: Held) -> int:
        """Return how much a root is needed: 2 where a character's sequence begins with all of it, 1 where somebody in
        view will when it is brought back, else 0."""
        end = len(root.cells)
        if any(held.cells[end - 1 : end] == root.cells[-1:] for held in self._held.values()):
            return 2
        in_view = (parked for owner, parked in self._parked.items() if parked.start and owner not in self._away)
        return int(any(parked.goes_on_from(root) for parked in in_view))

    def _cut(self, held: Held, start: int, operations: list[Operation]) -> None:
        if self._cells.cut(held, start):
            operations.append(Trim(held.sequence, start))

    def _copy(self, source: Held, held: Held, start: int, end: int, operations: list[Operation]) -> None:
        self._cells.share(source, held, start, end)
        operations.append(Share(source.sequence, held.sequence, start, end))

    def _evict(self, held: Held, operations: list[Operation]) -> None:
        self._give_up(held, operations)
        self.evictions += 1

    def _give_up(self, held: Held, operations: list[Operation]) -> None:
        self._cut(held, 0, operations)
        del self._held[held.owner]
        self._spare.append(held.sequence)

    def _drop_root(self, root: Held, operations: list[Operation]) -> None:
        self._cut(root, 0, operations)
        self._roots.remove(root)
        self._spare.append(root.sequence)

    # --- the rules -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Assert the rules above. Costs time in proportion to the cells held."""
        everything = [*self._held.values(), *self._roots]
        self._cells.check(everything)
        for held in everything:
            assert held.owed >= 0 and 0 <= held.seed <= held.stable <= len(held.tokens) <= self.longest
        assert len(self._held) <= self._sequences and len(self._roots) <= ROOTS
        taken = [held.sequence for held in everything] + self._spare
        assert len(set(taken)) == len(taken) and self._scratch not in taken
        self._parked.check()
        assert not set(self._parked) & self._held.keys()
        if self._unified:
            assert sum(held.owed for held in self._held.values()) <= self._cells.free


def spare_sequences(unified: bool, trims: bool) -> int:
    """Return how many sequences a context must have beside those of the characters."""
    return ROOTS + 1 if unified and trims else 0


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
