"""The books of the KV cache, checked against a model of llama.cpp's memory that does what it is told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mythicd.errors import Busy
from mythicd.llm.kv import LEAST_ROOT, ROOTS, Ledger, Seat, common_prefix
from mythicd.llm.operations import Discard, Load, Operation, Save, Share, Trim


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

    def agree(self, ledger: Ledger) -> None:
        """Assert that the ledger and the memory say the same of every sequence and of what is parked."""
        ledger.check()
        held = ledger.sequences()
        for owner, (sequence, size) in held.items():
            assert len(self.tokens(sequence)) == size
            if not owner.startswith("(root"):
                assert tuple(self.tokens(sequence)) == ledger.tokens(owner)
        taken = {sequence for sequence, _ in held.values()}
        assert all(not tokens for sequence, tokens in self.sequences.items() if sequence not in taken)
        assert {owner: len(saved) for owner, saved in self.saved.items()} == ledger.parked


def reply(ledger: Ledger, memory: Memory, owner: str, prompt: list[int], written: list[int]) -> Seat:
    """A whole reply: admit, evaluate, write, release."""
    seat = ledger.admit(owner, prompt, len(written))
    memory.apply(seat.operations)
    assert memory.tokens(seat.sequence) == prompt[: seat.kept]
    new = prompt[seat.kept :] + written
    ledger.append(owner, new)
    memory.extend(seat.sequence, new)
    ledger.release(owner, len(prompt) - 2, len(WORLD))
    memory.agree(ledger)
    return seat


WORLD = list(range(100, 140))
MARLA = WORLD + [1, 2, 3]
ODO = WORLD + [4, 5, 6]


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


# --- pinning and parking ----------------------------------------------------------------------------------------------


def test_a_pinned_front_stays_when_everybody_has_left() -> None:
    ledger, memory = Ledger(256, 4), Memory()
    reply(ledger, memory, "marla", MARLA, [])
    memory.apply(ledger.pin("marla", len(WORLD)))
    memory.apply(ledger.pin("marla", len(WORLD)))
    memory.apply(ledger.forget("marla"))
    memory.agree(ledger)
    assert ledger.free_cells == 256 - len(WORLD)
    assert reply(ledger, memory, "odo", ODO, []).kept == len(WORLD)


def test_a_front_that_is_hardly_one_is_not_pinned() -> None:
    ledger, memory = Ledger(256, 4), Memory()
    reply(ledger, memory, "marla", MARLA, [])
    assert ledger.pin("marla", LEAST_ROOT - 1) == ()
    assert ledger.pin("marla", len(MARLA) + 1) == (), "it is not evaluated yet"


def test_each_adapter_has_a_front_of_its_own() -> None:
    ledger, memory = Ledger(512, 4), Memory()
    for owner, adapter in (("marla", None), ("odo", "grim.gguf"), ("wren", "grim.gguf")):
        seat = ledger.admit(owner, WORLD + [ord(owner[0])], 0, adapter=adapter)
        memory.apply(seat.operations)
        assert seat.kept == (len(WORLD) if owner == "wren" else 0)
        tokens = (WORLD + [ord(owner[0])])[seat.kept :]
        ledger.append(owner, tokens)
        memory.extend(seat.sequence, tokens)
        ledger.release(owner, len(WORLD))
        memory.apply(ledger.pin(owner, len(WORLD)))
        memory.agree(ledger)
    assert sum(owner.startswith("(root") for owner in ledger.sequences()) == 2
    seat = ledger.admit("marla", WORLD + [5], 0, adapter="grim.gguf")  # her card has been given another adapter
    assert seat.kept == len(WORLD) and not ledger.holds("marla", WORLD + [5], None)


def parked(ledger: Ledger, memory: Memory, owner: str, prompt: list[int]) -> None:
    reply(ledger, memory, owner, [*prompt, 90, 91], [60])  # the last two are the turn
    memory.apply(ledger.pin(owner, len(WORLD)))
    memory.apply(ledger.park(owner))
    memory.agree(ledger)


def test_only_the_tail_is_parked_and_it_comes_back_whole() -> None:
    ledger, memory = Ledger(256, 4, park_cells=1000), Memory()
    parked(ledger, memory, "marla", MARLA)
    assert ledger.parked == {"marla": 3}
    assert ledger.free_cells == 256 - len(WORLD)
    assert reply(ledger, memory, "marla", MARLA + [50, 51], []).kept == len(MARLA)
    assert ledger.parked == {} and (ledger.parks, ledger.restores, ledger.evictions) == (1, 1, 0)


def test_what_is_parked_without_a_root_comes_back_whole() -> None:
    ledger, memory = Ledger(256, 4, park_cells=1000), Memory()
    reply(ledger, memory, "marla", MARLA + [90, 91], [])
    memory.apply(ledger.park("marla"))
    memory.agree(ledger)
    assert ledger.free_cells == 256 and ledger.parked == {"marla": len(MARLA)}
    assert reply(ledger, memory, "marla", MARLA + [50], []).kept == len(MARLA)


def test_another_conversation_than_the_parked_one_begins_anew() -> None:
    ledger, memory = Ledger(256, 4, park_cells=1000), Memory()
    parked(ledger, memory, "marla", MARLA)
    assert reply(ledger, memory, "marla", WORLD + [7, 8, 9], []).kept == len(WORLD)
    assert ledger.parked == {} == memory.saved


def test_what_is_parked_with_one_adapter_is_of_no_use_to_another() -> None:
    ledger, memory = Ledger(256, 4, park_cells=1000), Memory()
    parked(ledger, memory, "marla", MARLA)
    assert ledger.admit("marla", MARLA + [50], 0, adapter="grim.gguf").kept == 0


def test_when_host_memory_is_full_what_was_parked_first_goes() -> None:
    ledger, memory = Ledger(256, 4, park_cells=5), Memory()
    parked(ledger, memory, "marla", MARLA)
    ledger.look("marla", on_screen=False)
    parked(ledger, memory, "odo", ODO)
    assert ledger.parked == {"odo": 3} and ledger.evictions == 1
    assert reply(ledger, memory, "marla", MARLA + [50], []).kept == len(WORLD)


def test_who_comes_back_is_not_thrown_away_for_those_who_go_for_it() -> None:
    ledger, memory = Ledger(256, 2, park_cells=5), Memory()
    parked(ledger, memory, "marla", MARLA)
    reply(ledger, memory, "odo", [*ODO, 90, 91], [])
    reply(ledger, memory, "wren", [*WORLD, 7, 8, 9, 90, 91], [])
    assert reply(ledger, memory, "marla", MARLA + [50, 51], []).kept == len(MARLA)
    assert ledger.parked == {"odo": 3} and ledger.evictions == 0


def test_a_front_in_use_outlives_one_that_nobody_begins_with() -> None:
    ledger, memory = Ledger(2048, 2), Memory()
    for owner, mark in (("marla", 1), ("odo", 2), ("wren", 3), ("tide", 4)):
        reply(ledger, memory, owner, [mark] * 40 + [9], [])
        memory.apply(ledger.pin(owner, 40))
        memory.apply(ledger.forget(owner))
    reply(ledger, memory, "marla", [1] * 40 + [8], [])
    memory.apply(ledger.pin("marla", 40))
    memory.apply(ledger.forget("marla"))
    reply(ledger, memory, "rook", [5] * 40 + [9], [])
    memory.apply(ledger.pin("rook", 40))
    memory.agree(ledger)
    assert reply(ledger, memory, "marla", [1] * 40 + [7], []).kept == 40
    assert reply(ledger, memory, "odo", [2] * 40 + [7], []).kept == 0, "pinned later, but used longer ago"


def test_without_host_memory_nobody_is_parked() -> None:
    ledger, memory = Ledger(256, 4), Memory()
    reply(ledger, memory, "marla", MARLA + [90, 91], [])
    assert ledger.park("marla") == () and "marla" in ledger.sequences()


def test_who_speaks_is_not_parked() -> None:
    ledger = Ledger(256, 4, park_cells=1000)
    ledger.admit("marla", MARLA, 10)
    assert ledger.park("marla") == () and ledger.rollback("marla") == ()


def test_under_pressure_who_is_out_of_view_is_parked_first() -> None:
    ledger, memory = Ledger(120, 8, park_cells=1000), Memory()
    for owner, mark in (("marla", 1), ("odo", 2), ("wren", 3)):
        reply(ledger, memory, owner, [mark] * 32, [])
    ledger.look("odo", on_screen=False)
    reply(ledger, memory, "tide", [4] * 40, [])
    assert set(ledger.parked) == {"odo"} and set(ledger.sequences()) == {"marla", "wren", "tide"}
    ledger.look("odo", on_screen=True)
    reply(ledger, memory, "rook", [5] * 30, [])
    assert set(ledger.parked) == {"odo", "marla"}, "then whoever was used longest ago"


def test_without_host_memory_the_seed_stays_longest() -> None:
    ledger, memory = Ledger(160, 8), Memory()
    reply(ledger, memory, "marla", MARLA + [1] * 50, [])
    reply(ledger, memory, "odo", [2] * 100, [])
    assert len(ledger.tokens("marla")) == len(WORLD), "the system message, which her seed is here"
    reply(ledger, memory, "wren", [3] * 130, [])
    assert ledger.tokens("marla") == ()


def test_a_root_goes_when_nothing_else_is_left_to_go() -> None:
    ledger, memory = Ledger(64, 8, park_cells=1000), Memory()
    parked(ledger, memory, "marla", MARLA)
    reply(ledger, memory, "odo", [2] * 60, [])
    assert set(ledger.sequences()) == {"odo"}
    assert ledger.admit("marla", MARLA, 0).kept == 0, "what it went on from is gone"


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


# --- tidying up ------------------------------------------------------------------------------------------------------


def rest(ledger: Ledger, memory: Memory, owner: str, prompt: list[int], world: int = 0) -> None:
    """Somebody warmed up, who holds nothing but what is stable."""
    seat = ledger.admit(owner, prompt, 0, logits=False)
    memory.apply(seat.operations)
    ledger.append(owner, prompt[seat.kept :])
    memory.extend(seat.sequence, prompt[seat.kept :])
    memory.apply(ledger.pin(owner, world))
    ledger.release(owner, len(prompt), world)
    memory.agree(ledger)


def tidy_up(ledger: Ledger, memory: Memory) -> None:
    while operations := ledger.tidy():
        memory.apply(operations)
        memory.agree(ledger)


def test_in_a_pause_all_who_rest_are_parked_and_come_back_whole() -> None:
    ledger, memory = Ledger(256, 4, park_cells=1000), Memory()
    rest(ledger, memory, "marla", MARLA, len(WORLD))
    tidy_up(ledger, memory)
    assert not ledger.parked, "she is the only one there is"
    rest(ledger, memory, "odo", ODO, len(WORLD))
    tidy_up(ledger, memory)
    assert ledger.parked == {"marla": 3, "odo": 3} and ledger.free_cells == 256 - len(WORLD)
    assert ledger.holds("marla", MARLA, parked=True) and ledger.holds("marla", MARLA[:-1], parked=True)
    assert not ledger.holds("marla", ODO, parked=True) and not ledger.holds("marla", MARLA, "lora", parked=True)
    assert not ledger.holds("marla", MARLA) and ledger.tokens("marla") == tuple(MARLA)
    assert reply(ledger, memory, "marla", MARLA + [50, 51], [60]).kept == len(MARLA)
    assert ledger.evictions == 0


def test_a_turn_that_is_prepared_stays_and_so_does_who_is_busy() -> None:
    ledger, memory = Ledger(256, 4, park_cells=1000), Memory()
    reply(ledger, memory, "marla", MARLA, [60])
    seat = ledger.admit("odo", ODO, 0)
    memory.apply(seat.operations)
    tidy_up(ledger, memory)
    assert not ledger.parked


def test_nobody_is_given_up_for_tidiness() -> None:
    ledger, memory = Ledger(256, 4, park_cells=50), Memory()
    rest(ledger, memory, "marla", [1] * 30)
    rest(ledger, memory, "odo", [2] * 30)
    rest(ledger, memory, "wren", [3] * 20)
    tidy_up(ledger, memory)
    assert ledger.parked == {"marla": 30, "wren": 20} and ledger.evictions == 0


def test_what_is_parked_is_no_longer_there_when_its_front_is_gone() -> None:
    ledger, memory = Ledger(64, 8, park_cells=1000), Memory()
    rest(ledger, memory, "marla", MARLA, len(WORLD))
    rest(ledger, memory, "odo", ODO, len(WORLD))
    tidy_up(ledger, memory)
    rest(ledger, memory, "wren", [3] * 60)
    assert ledger.tokens("marla") == tuple(MARLA) and not ledger.holds("marla", MARLA, parked=True)


def test_a_front_that_somebody_in_view_goes_on_from_stays_pinned() -> None:
    ledger, memory = Ledger(1000, 8, park_cells=1000), Memory()
    worlds = [[number] * 30 for number in range(ROOTS + 1)]
    for number, world in enumerate(worlds):
        rest(ledger, memory, f"npc {number}", [*world, 77], len(world))
        tidy_up(ledger, memory)
    last = f"npc {ROOTS}"
    assert ledger.parked == {**dict.fromkeys((f"npc {number}" for number in range(ROOTS)), 1), last: 31}
    ledger.look("npc 2", on_screen=False)
    rest(ledger, memory, last, [*worlds[-1], 77], 30)
    tidy_up(ledger, memory)
    assert ledger.parked[last] == 1, "who is out of view has lost its world"
    assert [ledger.holds(f"npc {number}", worlds[number], parked=True) for number in range(ROOTS)] == [
        True,
        True,
        False,
        True,
    ]


def test_where_host_memory_is_short_who_is_out_of_view_is_given_up_first() -> None:
    ledger, memory = Ledger(256, 4, park_cells=60), Memory()
    for mark, owner in enumerate(("marla", "odo")):
        rest(ledger, memory, owner, [mark] * 30)
        memory.apply(ledger.park(owner))
    ledger.look("odo", on_screen=False)
    rest(ledger, memory, "wren", [3] * 30)
    memory.apply(ledger.park("wren"))
    memory.agree(ledger)
    assert set(ledger.parked) == {"marla", "wren"}


def test_who_leaves_view_is_parked_at_the_cost_of_nobody_in_view() -> None:
    ledger, memory = Ledger(256, 4, park_cells=60), Memory()
    for mark, owner in enumerate(("marla", "odo", "wren")):
        rest(ledger, memory, owner, [mark] * 30)
    tidy_up(ledger, memory)
    ledger.look("wren", on_screen=False)
    assert ledger.park("wren") == () and set(ledger.parked) == {"marla", "odo"} and ledger.evictions == 0
    assert reply(ledger, memory, "tide", [4] * 240, []).kept == 0, "unless the room is needed"
    assert set(ledger.parked) == {"odo", "wren"}


# --- whatever happens -------------------------------------------------------------------------------------------------

OWNERS = st.sampled_from("abcdef")
ADAPTERS = st.sampled_from([None, None, "lora"])
STEPS = st.one_of(
    st.tuples(st.just("admit"), OWNERS, st.integers(1, 30), st.integers(0, 12), st.integers(0, 3), ADAPTERS),
    st.tuples(st.just("append"), OWNERS, st.integers(1, 20)),
    st.tuples(st.just("release"), OWNERS, st.integers(0, 40), st.integers(0, 40)),
    st.tuples(st.just("forget"), OWNERS),
    st.tuples(st.just("park"), OWNERS),
    st.tuples(st.just("tidy")),
    st.tuples(st.just("rollback"), OWNERS),
    st.tuples(st.just("pin"), OWNERS, st.integers(0, 24)),
    st.tuples(st.just("look"), OWNERS, st.booleans()),
)


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
                before = ledger.sequences(), ledger.parked
                try:
                    seat = ledger.admit(owner, prompt, growth, adapter=adapter)  # type: ignore[arg-type]
                except Busy:
                    assert (ledger.sequences(), ledger.parked) == before
                    continue
                memory.apply(seat.operations)
                assert memory.tokens(seat.sequence) == prompt[: seat.kept]
                assert seat.kept < len(prompt)
                waiting[owner] = prompt[seat.kept :] + [50] * growth
            case ("append", str(owner), int(count)) if waiting.get(owner):
                tokens, waiting[owner] = waiting[owner][:count], waiting[owner][count:]
                ledger.append(owner, tokens)
                memory.extend(ledger.sequences()[owner][0], tokens)
            case ("release", str(owner), int(stable), int(seed)) if owner in waiting:
                del waiting[owner]
                ledger.release(owner, stable, seed)
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
