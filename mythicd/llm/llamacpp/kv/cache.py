"""The KV cache: carries out the allocator's decisions on llama.cpp's memory and on host memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mythicd.errors import EngineError
from mythicd.llm.llamacpp.context import Context
from mythicd.llm.llamacpp.kv.allocator import Allocation, KvAllocator
from mythicd.llm.llamacpp.kv.operations import Discard, Load, Operation, Save, Share, Trim
from mythicd.telemetry.counters import LlmCounters


class KvCache:
    """One context's KV cache with its allocator. Belongs to the engine thread."""

    def __init__(self, context: Context, allocator: KvAllocator, counters: LlmCounters) -> None:
        self.allocator = allocator
        self._context = context
        self._counters = counters
        self._saved: dict[str, NDArray[np.uint8]] = {}
        counters.cells = allocator.cells
        self._before = counters.parks, counters.restores, counters.evictions
        """Counts of earlier allocators: an engine can be started again."""
        self._count()

    def admit(
        self, owner: str, prompt: list[int], growth: int, *, adapter: str | None = None, logits: bool = True
    ) -> Allocation:
        """Allocate a prompt (`KvAllocator.admit`). Raises Busy, changing nothing; other errors drop the sequence."""
        allocation = self.allocator.admit(owner, prompt, growth, adapter=adapter, logits=logits)
        try:
            try:
                self._apply(allocation.operations)
            except _NotLoaded:
                # The parked tail cannot be restored: evaluating it again is slower but correct.
                self._counters.out_of_memory += 1
                self.forget(owner)
                allocation = self.allocator.admit(owner, prompt, growth, adapter=adapter, logits=logits)
                self._apply(allocation.operations)
        except Exception:
            self.forget(owner)
            raise
        self._count()
        return allocation

    def append(self, owner: str, tokens: Sequence[int]) -> None:
        """Note that these tokens have been evaluated at the end of the owner's sequence."""
        self.allocator.append(owner, tokens)

    def release(self, owner: str, stable: int, seed: int, *, prepared: bool = False) -> None:
        """Make the owner's sequence idle (`KvAllocator.release`)."""
        self.allocator.release(owner, stable, seed, prepared=prepared)
        self._count()

    def rollback(self, owner: str) -> None:
        """Cut an idle owner's sequence back to its stable tokens."""
        self._apply(self.allocator.rollback(owner))
        self._count()

    def pin(self, owner: str, end: int) -> None:
        """Keep the first `end` tokens of the owner's sequence as a root (`KvAllocator.pin`)."""
        self._apply(self.allocator.pin(owner, end))

    def park(self, owner: str) -> None:
        """Move an idle owner's tail to host memory."""
        self._apply(self.allocator.park(owner))
        self._count()

    def tidy(self) -> bool:
        """Park one idle character without evicting another (`KvAllocator.tidy`); tell whether there was one."""
        operations = self.allocator.tidy()
        self._apply(operations)
        self._count()
        return bool(operations)

    def forget(self, owner: str) -> None:
        """Free everything the owner has."""
        self._apply(self.allocator.forget(owner))
        self._count()

    def _apply(self, operations: Sequence[Operation]) -> None:
        context = self._context
        for operation in operations:
            match operation:
                case Trim(sequence, start):
                    context.trim(sequence, start)
                case Share(source, sequence, start, end):
                    context.share(source, sequence, start, end)
                case Save(sequence, owner):
                    try:
                        self._saved[owner] = context.save(sequence)
                    except (EngineError, MemoryError):  # its prompt is evaluated again when it is needed
                        self._counters.out_of_memory += 1
                        self._saved.pop(owner, None)
                        self.allocator.lose(owner)
                case Load(owner, sequence):
                    if not context.load(sequence, self._saved.pop(owner)):
                        raise _NotLoaded
                case Discard(owner):
                    self._saved.pop(owner, None)

    def _count(self) -> None:
        counters, allocator = self._counters, self.allocator
        counters.cells_used = allocator.cells - allocator.free_cells
        parks, restores, evictions = self._before
        counters.parks, counters.restores = parks + allocator.parks, restores + allocator.restores
        counters.evictions = evictions + allocator.evictions
        counters.parked = len(self._saved)
        counters.parked_bytes = sum(saved.nbytes for saved in self._saved.values())


class _NotLoaded(Exception):
    """llama.cpp found no room for a saved state."""
