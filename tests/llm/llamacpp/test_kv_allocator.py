"""The books of the KV cache, checked against a model of llama.cpp's memory that does what it is told."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kv_memory import MARLA, ODO, WORLD, Memory, reply

from mythicd.errors import Busy
from mythicd.llm.llamacpp.kv.allocator import Ledger, common_prefix


def test_a_second_turn_keeps_all_but_what_changed() -> None:
    ledger, memory = Ledger(256, 4), Memory()
    assert reply(ledger, memory, "marla", MARLA + [50, 51], [60, 61]).kept == 0
    assert reply(ledger, memory, "marla", MARLA + [50, 60, 61, 52], [62]).kept == len(MARLA) + 1


def test_the_same_prompt_again_evaluates_its_last_token_only() -> None:
    ledger, memory = Ledger(256, 4), Memory()
    reply(ledger, memory, "marla", MARLA, [60])
    assert reply(ledger, memory, "marla", MARLA, [60]).kept == len(MARLA) - 1


def test_without_logits_a_prompt_that_is_there_needs_nothing() -> None:
    ledger, memory = Ledger(256, 4, park_cells=1000), Memory()
    reply(ledger, memory, "marla", MARLA + [90, 91], [60])
    memory.apply(ledger.park("marla"))
    for _ in range(2):
        seat = ledger.admit("marla", MARLA, 0, logits=False)
        memory.apply(seat.operations)
        ledger.release("marla", len(MARLA))
        memory.agree(ledger)
        assert seat.kept == len(MARLA)


def test_the_worlds_front_is_shared_and_counts_once() -> None:
    ledger, memory = Ledger(256, 4), Memory()
    reply(ledger, memory, "marla", MARLA, [])
    seat = reply(ledger, memory, "odo", ODO, [])
    assert seat.kept == len(WORLD)
    assert ledger.free_cells == 256 - len(WORLD) - 3 - 3


def test_a_shared_front_outlives_its_first_owner() -> None:
    ledger, memory = Ledger(256, 4), Memory()
    reply(ledger, memory, "marla", MARLA, [])
    reply(ledger, memory, "odo", ODO, [])
    memory.apply(ledger.forget("marla"))
    ledger.check()
    assert reply(ledger, memory, "marla", MARLA, []).kept == len(WORLD)


def test_when_sequences_run_out_the_least_recently_used_goes() -> None:
    ledger, memory = Ledger(1024, 2), Memory()
    reply(ledger, memory, "marla", [1, 2, 3], [])
    reply(ledger, memory, "odo", [4, 5, 6], [])
    reply(ledger, memory, "marla", [1, 2, 3, 4], [])
    reply(ledger, memory, "wren", [7, 8, 9], [])
    assert set(ledger.sequences()) == {"marla", "wren"}


def test_the_last_sequence_is_taken_over_with_the_front_it_holds() -> None:
    ledger, memory = Ledger(256, 1), Memory()
    reply(ledger, memory, "marla", MARLA, [60])
    seat = reply(ledger, memory, "odo", ODO, [])
    assert seat.kept == len(WORLD) and set(ledger.sequences()) == {"odo"}


def test_when_cells_run_out_tails_go_first_then_the_oldest() -> None:
    ledger, memory = Ledger(100, 8), Memory()
    reply(ledger, memory, "marla", [1] * 10, [2] * 20)  # keeps 8 for certain
    reply(ledger, memory, "odo", [3] * 10, [4] * 20)
    reply(ledger, memory, "wren", [5] * 30, [6] * 30)
    assert {owner: size for owner, (_, size) in ledger.sequences().items()} == {"marla": 8, "odo": 30, "wren": 60}
    reply(ledger, memory, "tide", [7] * 40, [8] * 20)
    assert {owner: size for owner, (_, size) in ledger.sequences().items()} == {"odo": 8, "wren": 28, "tide": 60}


def test_who_speaks_loses_nothing_and_is_promised_what_it_needs() -> None:
    ledger = Ledger(100, 4)
    ledger.admit("marla", [1] * 20, 40)
    with pytest.raises(Busy, match="room for 40 more tokens, and 50"):
        ledger.admit("odo", [2] * 20, 30)
    assert set(ledger.sequences()) == {"marla"}
    ledger.admit("odo", [2] * 20, 20)
    ledger.append("marla", [1] * 60)
    ledger.append("odo", [2] * 40)
    assert ledger.free_cells == 0
    ledger.check()


def test_two_replies_of_one_character_at_once_are_refused() -> None:
    ledger = Ledger(100, 4)
    ledger.admit("marla", [1, 2], 5)
    with pytest.raises(Busy, match="marla"):
        ledger.admit("marla", [1, 2], 5)


def test_when_all_sequences_speak_there_is_none_left() -> None:
    ledger = Ledger(100, 1)
    ledger.admit("marla", [1, 2], 5)
    with pytest.raises(Busy, match="sequence"):
        ledger.admit("odo", [1, 2], 5)


def test_more_than_was_promised_cannot_be_added() -> None:
    ledger = Ledger(100, 4)
    ledger.admit("marla", [1, 2], 1)
    with pytest.raises(ValueError, match="promised"):
        ledger.append("marla", [1, 2, 3, 4])
    with pytest.raises(ValueError, match="do not fit"):
        ledger.admit("odo", [1] * 90, 11)


def test_split_cache_shares_nothing_and_bounds_each() -> None:
    ledger, memory = Ledger(256, 4, unified=False), Memory()
    assert ledger.longest == 64
    reply(ledger, memory, "marla", MARLA, [60])
    assert reply(ledger, memory, "odo", ODO, []).kept == 0
    assert reply(ledger, memory, "marla", MARLA + [1], []).kept == len(MARLA)


def test_a_memory_that_cannot_be_trimmed_goes_on_from_its_end_or_begins_anew() -> None:
    ledger, memory = Ledger(256, 4, trims=False), Memory()
    reply(ledger, memory, "marla", MARLA, [60])
    assert reply(ledger, memory, "marla", MARLA + [60, 61], []).kept == len(MARLA) + 1
    assert reply(ledger, memory, "marla", MARLA + [70], []).kept == 0


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
    ledger, memory = Ledger(256, 4), Memory()
    reply(ledger, memory, "marla", MARLA + [90, 91], [])
    memory.apply(ledger.rollback("marla"))
    before = ledger.tokens("marla")
    assert list(before) == MARLA
    for words in ([50, 51, 52], [50, 53], [50, 53, 54]):  # what the player seems to say, ever again
        seat = ledger.admit("marla", MARLA + words, 0)
        memory.apply(seat.operations)
        new = (MARLA + words)[seat.kept :]
        ledger.append("marla", new)
        memory.extend(seat.sequence, new)
        ledger.release("marla", len(MARLA))
        memory.agree(ledger)
    memory.apply(ledger.rollback("marla"))
    memory.agree(ledger)
    assert ledger.tokens("marla") == before


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
    ledger: Ledger, ended: Iterable[str], owner: str, prompt: list[int], growth: int, adapter: str | None
) -> bool:
    """Try a prompt on a copy of the books in which the work of those owners has ended."""
    ledger = deepcopy(ledger)
    for other in ended:
        ledger.release(other, 0)
    try:
        ledger.admit(owner, prompt, growth, adapter=adapter)
    except Busy:
        return False
    ledger.check()
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
    ledger = Ledger(100, sequences, unified=unified, trims=trims, park_cells=park_cells)
    memory = Memory()
    waiting: dict[str, list[int]] = {}
    for step in steps:
        match step:
            case ("admit", str(owner), int(length), int(growth), int(kind), adapter):
                # A world's front of 20, and behind it what makes two prompts of one owner alike or not.
                prompt = ([9] * 20 + [ord(owner)] * 4 + [kind] * length)[: 12 + length]
                if len(prompt) + growth > ledger.longest:
                    continue
                assert adapter is None or isinstance(adapter, str)
                before = ledger.sequences(), ledger.parked
                fits = ledger.fits(owner, prompt, growth, adapter=adapter)
                try:
                    seat = ledger.admit(owner, prompt, growth, adapter=adapter)
                except Busy:
                    assert not fits and (ledger.sequences(), ledger.parked) == before
                    would = ledger.fits(owner, prompt, growth, adapter=adapter, ended=waiting)
                    assert would == admitted_without(ledger, waiting, owner, prompt, growth, adapter)
                    continue
                assert fits
                memory.apply(seat.operations)
                assert memory.tokens(seat.sequence) == prompt[: seat.kept]
                assert seat.kept < len(prompt)
                waiting[owner] = prompt[seat.kept :] + [50] * growth
            case ("append", str(owner), int(count)) if waiting.get(owner):
                tokens, waiting[owner] = waiting[owner][:count], waiting[owner][count:]
                ledger.append(owner, tokens)
                memory.extend(ledger.sequences()[owner][0], tokens)
            case ("release", str(owner), int(stable), int(seed), bool(prepared)) if owner in waiting:
                del waiting[owner]
                ledger.release(owner, stable, seed, prepared=prepared)
            case ("forget", str(owner)):
                waiting.pop(owner, None)
                memory.apply(ledger.forget(owner))
            case ("park", str(owner)):
                memory.apply(ledger.park(owner))
            case ("tidy",):
                lost = ledger.evictions
                memory.apply(ledger.tidy())
                assert ledger.evictions == lost
            case ("rollback", str(owner)):
                memory.apply(ledger.rollback(owner))
            case ("pin", str(owner), int(end)) if owner in waiting:
                memory.apply(ledger.pin(owner, end))
            case ("look", str(owner), bool(on_screen)):
                ledger.look(owner, on_screen=on_screen)
        memory.agree(ledger)
    for owner, tokens in waiting.items():  # what was promised is there
        ledger.append(owner, tokens)
        memory.extend(ledger.sequences()[owner][0], tokens)
        memory.agree(ledger)
