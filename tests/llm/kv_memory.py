"""A simulation of llama.cpp's memory for the allocator's tests, with helpers that run replies on it."""

from __future__ import annotations

from mythicd.llm.llamacpp.kv.allocator import Allocation, KvAllocator
from mythicd.llm.llamacpp.kv.operations import Discard, Load, Operation, Save, Share, Trim

WORLD = list(range(100, 140))
MARLA = WORLD + [1, 2, 3]
ODO = WORLD + [4, 5, 6]


class Memory:
    """What llama.cpp would hold: for each sequence, its tokens by position; and what was saved."""

    def __init__(self) -> None:
        self.sequences: dict[int, dict[int, int]] = {}
        self.saved: dict[str, dict[int, int]] = {}

    def apply(self, operations: tuple[Operation, ...]) -> None:
        for operation in operations:
            match operation:
                case Trim(sequence, start):
                    held = self.sequences.get(sequence, {})
                    self.sequences[sequence] = {at: token for at, token in held.items() if at < start}
                case Share(source, sequence, start, end):
                    held = self.sequences.setdefault(sequence, {})
                    part = {at: token for at, token in self.sequences[source].items() if start <= at < end}
                    assert len(part) == end - start > 0, "what is shared must be there"
                    assert not held.keys() & part.keys(), "and must not be there twice"
                    held.update(part)
                case Save(sequence, owner):
                    assert self.sequences[sequence]
                    self.saved[owner] = dict(self.sequences[sequence])
                case Load(owner, sequence):
                    assert not self.sequences.get(sequence), "loading would empty it"
                    self.sequences[sequence] = self.saved.pop(owner)
                case Discard(owner):
                    del self.saved[owner]

    def extend(self, sequence: int, tokens: list[int]) -> None:
        held = self.sequences.setdefault(sequence, {})
        for token in tokens:
            assert set(held) == set(range(len(held))), "no holes"
            held[len(held)] = token

    def tokens(self, sequence: int) -> list[int]:
        held = self.sequences.get(sequence, {})
        assert set(held) == set(range(len(held))), "no holes"
        return [held[at] for at in range(len(held))]

    def agree(self, allocator: KvAllocator) -> None:
        """Assert that the allocator and the memory say the same of every sequence and of what is parked."""
        allocator.check()
        held = allocator.state.sequences()
        for owner, (sequence, size) in held.items():
            assert len(self.tokens(sequence)) == size
            if not owner.startswith("(root"):
                assert tuple(self.tokens(sequence)) == allocator.state.tokens(owner)
        taken = {sequence for sequence, _ in held.values()}
        assert all(not tokens for sequence, tokens in self.sequences.items() if sequence not in taken)
        assert {owner: len(saved) for owner, saved in self.saved.items()} == allocator.parked


def reply(allocator: KvAllocator, memory: Memory, owner: str, prompt: list[int], written: list[int]) -> Allocation:
    """A whole reply: admit, evaluate, write, release."""
    allocation = allocator.admit(owner, prompt, len(written))
    memory.apply(allocation.operations)
    assert memory.tokens(allocation.sequence) == prompt[: allocation.kept]
    new = prompt[allocation.kept :] + written
    allocator.append(owner, new)
    memory.extend(allocation.sequence, new)
    allocator.release(owner, len(prompt) - 2, len(WORLD))
    memory.agree(allocator)
    return allocation


def parked(allocator: KvAllocator, memory: Memory, owner: str, prompt: list[int]) -> None:
    reply(allocator, memory, owner, [*prompt, 90, 91], [60])  # the last two are the turn
    memory.apply(allocator.pin(owner, len(WORLD)))
    memory.apply(allocator.park(owner))
    memory.agree(allocator)


def rest(allocator: KvAllocator, memory: Memory, owner: str, prompt: list[int], world: int = 0) -> None:
    """Somebody warmed up, who holds nothing but what is stable."""
    allocation = allocator.admit(owner, prompt, 0, logits=False)
    memory.apply(allocation.operations)
    allocator.append(owner, prompt[allocation.kept :])
    memory.extend(allocation.sequence, prompt[allocation.kept :])
    memory.apply(allocator.pin(owner, world))
    allocator.release(owner, len(prompt), world)
    memory.agree(allocator)


def tidy_up(allocator: KvAllocator, memory: Memory) -> None:
    while operations := allocator.tidy():
        memory.apply(operations)
        memory.agree(allocator)
