"""The allocator of the KV cache, checked against a model of llama.cpp's memory."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kv_memory import MARLA, ODO, WORLD, Memory, reply

from mythicd.errors import BusyError
from mythicd.llm.llamacpp.kv.allocator import KvAllocator
from mythicd.llm.llamacpp.kv.state import common_prefix


def test_a_second_turn_keeps_all_but_what_changed() -> None:
    allocator, memory = KvAllocator(256, 4), Memory()
    assert reply(allocator, memory, "marla", MARLA + [50, 51], [60, 61]).kept == 0
    assert reply(allocator, memory, "marla", MARLA + [50, 60, 61, 52], [62]).kept == len(MARLA) + 1


def test_the_same_prompt_again_evaluates_its_last_token_only() -> None:
    allocator, memory = KvAllocator(256, 4), Memory()
    reply(allocator, memory, "marla", MARLA, [60])
    assert reply(allocator, memory, "marla", MARLA, [60]).kept == len(MARLA) - 1


def test_without_logits_a_prompt_that_is_there_needs_nothing() -> None:
    allocator, memory = KvAllocator(256, 4, park_cells=1000), Memory()
    reply(allocator, memory, "marla", MARLA + [90, 91], [60])
    memory.apply(allocator.park("marla"))
    for _ in range(2):
        allocation = allocator.admit("marla", MARLA, 0, logits=False)
        memory.apply(allocation.operations)
        allocator.release("marla", len(MARLA))
        memory.agree(allocator)
        assert allocation.kept == len(MARLA)


def test_the_worlds_front_is_shared_and_counts_once() -> None:
    allocator, memory = KvAllocator(256, 4), Memory()
    reply(allocator, memory, "marla", MARLA, [])
    allocation = reply(allocator, memory, "odo", ODO, [])
    assert allocation.kept == len(WORLD)
    assert allocator.free_cells == 256 - len(WORLD) - 3 - 3


def test_a_shared_front_outlives_its_first_owner() -> None:
    allocator, memory = KvAllocator(256, 4), Memory()
    reply(allocator, memory, "marla", MARLA, [])
    reply(allocator, memory, "odo", ODO, [])
    memory.apply(allocator.forget("marla"))
    allocator.check()
    assert reply(allocator, memory, "marla", MARLA, []).kept == len(WORLD)


def test_when_sequences_run_out_the_least_recently_used_goes() -> None:
    allocator, memory = KvAllocator(1024, 2), Memory()
    reply(allocator, memory, "marla", [1, 2, 3], [])
    reply(allocator, memory, "odo", [4, 5, 6], [])
    reply(allocator, memory, "marla", [1, 2, 3, 4], [])
    reply(allocator, memory, "wren", [7, 8, 9], [])
    assert set(allocator.state.sequences()) == {"marla", "wren"}


def test_the_last_sequence_is_taken_over_with_the_front_it_holds() -> None:
    allocator, memory = KvAllocator(256, 1), Memory()
    reply(allocator, memory, "marla", MARLA, [60])
    allocation = reply(allocator, memory, "odo", ODO, [])
    assert allocation.kept == len(WORLD) and set(allocator.state.sequences()) == {"odo"}


def test_when_cells_run_out_tails_go_first_then_the_oldest() -> None:
    allocator, memory = KvAllocator(100, 8), Memory()
    reply(allocator, memory, "marla", [1] * 10, [2] * 20)  # keeps 8 for certain
    reply(allocator, memory, "odo", [3] * 10, [4] * 20)
    reply(allocator, memory, "wren", [5] * 30, [6] * 30)
    assert {owner: size for owner, (_, size) in allocator.state.sequences().items()} == {
        "marla": 8,
        "odo": 30,
        "wren": 60,
    }
    reply(allocator, memory, "tide", [7] * 40, [8] * 20)
    assert {owner: size for owner, (_, size) in allocator.state.sequences().items()} == {
        "odo": 8,
        "wren": 28,
        "tide": 60,
    }


def test_who_speaks_loses_nothing_and_is_promised_what_it_needs() -> None:
    allocator = KvAllocator(100, 4)
    allocator.admit("marla", [1] * 20, 40)
    with pytest.raises(BusyError, match=r"\b40\b.*\b50\b"):
        allocator.admit("odo", [2] * 20, 30)
    assert set(allocator.state.sequences()) == {"marla"}
    allocator.admit("odo", [2] * 20, 20)
    allocator.append("marla", [1] * 60)
    allocator.append("odo", [2] * 40)
    assert allocator.free_cells == 0
    allocator.check()


def test_two_replies_of_one_character_at_once_are_refused() -> None:
    allocator = KvAllocator(100, 4)
    allocator.admit("marla", [1, 2], 5)
    with pytest.raises(BusyError, match="marla"):
        allocator.admit("marla", [1, 2], 5)


def test_when_all_sequences_speak_there_is_none_left() -> None:
    allocator = KvAllocator(100, 1)
    allocator.admit("marla", [1, 2], 5)
    with pytest.raises(BusyError, match="sequence"):
        allocator.admit("odo", [1, 2], 5)


def test_more_than_was_promised_cannot_be_added() -> None:
    allocator = KvAllocator(100, 4)
    allocator.admit("marla", [1, 2], 1)
    with pytest.raises(ValueError, match="promised"):
        allocator.append("marla", [1, 2, 3, 4])
    with pytest.raises(ValueError, match="do not fit"):
        allocator.admit("odo", [1] * 90, 11)


def test_split_cache_shares_nothing_and_bounds_each() -> None:
    allocator, memory = KvAllocator(256, 4, unified=False), Memory()
    assert allocator.state.longest == 64
    reply(allocator, memory, "marla", MARLA, [60])
    assert reply(allocator, memory, "odo", ODO, []).kept == 0
    assert reply(allocator, memory, "marla", MARLA + [1], []).kept == len(MARLA)


def test_a_memory_that_cannot_be_trimmed_goes_on_from_its_end_or_begins_anew() -> None:
    allocator, memory = KvAllocator(256, 4, trims=False), Memory()
    reply(allocator, memory, "marla", MARLA, [60])
    assert reply(allocator, memory, "marla", MARLA + [60, 61], []).kept == len(MARLA) + 1
    assert reply(allocator, memory, "marla", MARLA + [70], []).kept == 0


@given(
    one=st.lists(st.integers(0, 1), max_size=200),
    other=st.lists(st.integers(0, 1), max_size=200),
    same=st.integers(0, 300),
)
def test_common_prefix(one: list[int], other: list[int], same: int) -> None:
    front = [7] * same
    expected = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    assert common_prefix(front + one, front + other) == same + expected


def test_a_rollback_leaves_what_was_there_before_the_turn() -> None:
    allocator, memory = KvAllocator(256, 4), Memory()
    reply(allocator, memory, "marla", MARLA + [90, 91], [])
    memory.apply(allocator.rollback("marla"))
    before = allocator.state.tokens("marla")
    assert list(before) == MARLA
    for words in ([50, 51, 52], [50, 53], [50, 53, 54]):  # what the player seems to say, ever again
        allocation = allocator.admit("marla", MARLA + words, 0)
        memory.apply(allocation.operations)
        new = (MARLA + words)[allocation.kept :]
        allocator.append("marla", new)
        memory.extend(allocation.sequence, new)
        allocator.release("marla", len(MARLA))
        memory.agree(allocator)
    memory.apply(allocator.rollback("marla"))
    memory.agree(allocator)
    assert allocator.state.tokens("marla") == before


# --- whatever happens -------------------------------------------------------------------------------------------------

OWNERS = st.sampled_from("abcdef")
ADAPTERS = st.sampled_from([None, None, "lora"])
STEPS = st.one_of(
    st.tuples(st.just("admit"), OWNERS, st.integers(1, 30), st.integers(0, 12), st.integers(0, 3), ADAPTERS),
    st.tuples(st.just("append"), OWNERS, st.integers(1, 20)),
    st.tuples(st.just("release"), OWNERS, st.integers(0, 40), st.integers(0, 40), st.booleans()),
    st.tuples(st.just("forget"), OWNERS),
    st.tuples(st.just("park"), OWNERS),
    st.tuples(st.just("tidy")),
    st.tuples(st.just("rollback"), OWNERS),
    st.tuples(st.just("pin"), OWNERS, st.integers(0, 24)),
    st.tuples(st.just("look"), OWNERS, st.booleans()),
)


def admitted_without(
    allocator: KvAllocator, ended: Iterable[str], owner: str, prompt: list[int], growth: int, adapter: str | None
) -> bool:
    """Try a prompt on a copy of the state in which the work of those owners has ended."""
    allocator = deepcopy(allocator)
    for other in ended:
        allocator.release(other, 0)
    try:
        allocator.admit(owner, prompt, growth, adapter=adapter)
    except BusyError:
        return False
    allocator.check()
    return True


@settings(max_examples=500, deadline=None)
@given(
    steps=st.lists(STEPS, max_size=80),
    sequences=st.integers(1, 5),
    unified=st.booleans(),
    trims=st.booleans(),
    park_cells=st.sampled_from([0, 30, 1000]),
)
def test_whatever_happens_the_books_agree_with_the_memory(
    steps: list[tuple[object, ...]], sequences: int, unified: bool, trims: bool, park_cells: int
) -> None:
    allocator = KvAllocator(100, sequences, unified=unified, trims=trims, park_cells=park_cells)
    memory = Memory()
    waiting: dict[str, list[int]] = {}
    for step in steps:
        match step:
            case ("admit", str(owner), int(length), int(growth), int(kind), adapter):
                # A world's front of 20, and behind it what makes two prompts of one owner alike or not.
                prompt = ([9] * 20 + [ord(owner)] * 4 + [kind] * length)[: 12 + length]
                if len(prompt) + growth > allocator.state.longest:
                    continue
                assert adapter is None or isinstance(adapter, str)
                before = allocator.state.sequences(), allocator.parked
                fits = allocator.fits(owner, prompt, growth, adapter=adapter)
                try:
                    allocation = allocator.admit(owner, prompt, growth, adapter=adapter)
                except BusyError:
                    assert not fits and (allocator.state.sequences(), allocator.parked) == before
                    would = allocator.fits(owner, prompt, growth, adapter=adapter, ended=waiting)
                    assert would == admitted_without(allocator, waiting, owner, prompt, growth, adapter)
                    continue
                assert fits
                memory.apply(allocation.operations)
                assert memory.tokens(allocation.sequence) == prompt[: allocation.kept]
                assert allocation.kept < len(prompt)
                waiting[owner] = prompt[allocation.kept :] + [50] * growth
            case ("append", str(owner), int(count)) if waiting.get(owner):
                tokens, waiting[owner] = waiting[owner][:count], waiting[owner][count:]
                allocator.append(owner, tokens)
                memory.extend(allocator.state.sequences()[owner][0], tokens)
            case ("release", str(owner), int(stable), int(seed), bool(prepared)) if owner in waiting:
                del waiting[owner]
                allocator.release(owner, stable, seed, prepared=prepared)
            case ("forget", str(owner)):
                waiting.pop(owner, None)
                memory.apply(allocator.forget(owner))
            case ("park", str(owner)):
                memory.apply(allocator.park(owner))
            case ("tidy",):
                lost = allocator.evictions
                memory.apply(allocator.tidy())
                assert allocator.evictions == lost
            case ("rollback", str(owner)):
                memory.apply(allocator.rollback(owner))
            case ("pin", str(owner), int(end)) if owner in waiting:
                memory.apply(allocator.pin(owner, end))
            case ("look", str(owner), bool(on_screen)):
                allocator.note_view(owner, on_screen=on_screen)
        memory.agree(allocator)
    for owner, tokens in waiting.items():  # what was promised is there
        allocator.append(owner, tokens)
        memory.extend(allocator.state.sequences()[owner][0], tokens)
        memory.agree(allocator)
