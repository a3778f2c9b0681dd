"""Pinned prefixes, and characters parked in host memory, by need or in a pause, and restored."""

from __future__ import annotations

import pytest
from kv_memory import MARLA, ODO, WORLD, Memory, parked, reply, rest, tidy_up

from mythicd.errors import BusyError
from mythicd.llm.llamacpp.kv.allocator import LEAST_ROOT, KvAllocator
from mythicd.llm.llamacpp.kv.state import ROOTS

# --- pinning and parking ----------------------------------------------------------------------------------------------


def test_a_pinned_front_stays_when_everybody_has_left() -> None:
    allocator, memory = KvAllocator(256, 4), Memory()
    reply(allocator, memory, "marla", MARLA, [])
    memory.apply(allocator.pin("marla", len(WORLD)))
    memory.apply(allocator.pin("marla", len(WORLD)))
    memory.apply(allocator.forget("marla"))
    memory.agree(allocator)
    assert allocator.free_cells == 256 - len(WORLD)
    assert reply(allocator, memory, "odo", ODO, []).kept == len(WORLD)


def test_a_front_that_is_hardly_one_is_not_pinned() -> None:
    allocator, memory = KvAllocator(256, 4), Memory()
    reply(allocator, memory, "marla", MARLA, [])
    assert allocator.pin("marla", LEAST_ROOT - 1) == ()
    assert allocator.pin("marla", len(MARLA) + 1) == (), "it is not evaluated yet"


def test_each_adapter_has_a_front_of_its_own() -> None:
    allocator, memory = KvAllocator(512, 4), Memory()
    for owner, adapter in (("marla", None), ("odo", "grim.gguf"), ("wren", "grim.gguf")):
        allocation = allocator.admit(owner, WORLD + [ord(owner[0])], 0, adapter=adapter)
        memory.apply(allocation.operations)
        assert allocation.kept == (len(WORLD) if owner == "wren" else 0)
        tokens = (WORLD + [ord(owner[0])])[allocation.kept :]
        allocator.append(owner, tokens)
        memory.extend(allocation.sequence, tokens)
        allocator.release(owner, len(WORLD))
        memory.apply(allocator.pin(owner, len(WORLD)))
        memory.agree(allocator)
    assert sum(owner.startswith("(root") for owner in allocator.state.sequences()) == 2
    allocation = allocator.admit(
        "marla", WORLD + [5], 0, adapter="grim.gguf"
    )  # her card has been given another adapter
    assert allocation.kept == len(WORLD) and not allocator.state.holds("marla", WORLD + [5], None)


def test_only_the_tail_is_parked_and_it_comes_back_whole() -> None:
    allocator, memory = KvAllocator(256, 4, park_cells=1000), Memory()
    parked(allocator, memory, "marla", MARLA)
    assert allocator.parked == {"marla": 3}
    assert allocator.free_cells == 256 - len(WORLD)
    assert reply(allocator, memory, "marla", MARLA + [50, 51], []).kept == len(MARLA)
    assert allocator.parked == {} and (allocator.parks, allocator.restores, allocator.evictions) == (1, 1, 0)


def test_what_is_parked_without_a_root_comes_back_whole() -> None:
    allocator, memory = KvAllocator(256, 4, park_cells=1000), Memory()
    reply(allocator, memory, "marla", MARLA + [90, 91], [])
    memory.apply(allocator.park("marla"))
    memory.agree(allocator)
    assert allocator.free_cells == 256 and allocator.parked == {"marla": len(MARLA)}
    assert reply(allocator, memory, "marla", MARLA + [50], []).kept == len(MARLA)


def test_another_conversation_than_the_parked_one_begins_anew() -> None:
    allocator, memory = KvAllocator(256, 4, park_cells=1000), Memory()
    parked(allocator, memory, "marla", MARLA)
    assert reply(allocator, memory, "marla", WORLD + [7, 8, 9], []).kept == len(WORLD)
    assert allocator.parked == {} == memory.saved


def test_what_is_parked_with_one_adapter_is_of_no_use_to_another() -> None:
    allocator, memory = KvAllocator(256, 4, park_cells=1000), Memory()
    parked(allocator, memory, "marla", MARLA)
    assert allocator.admit("marla", MARLA + [50], 0, adapter="grim.gguf").kept == 0


def test_when_host_memory_is_full_what_was_parked_first_goes() -> None:
    allocator, memory = KvAllocator(256, 4, park_cells=5), Memory()
    parked(allocator, memory, "marla", MARLA)
    allocator.note_view("marla", on_screen=False)
    parked(allocator, memory, "odo", ODO)
    assert allocator.parked == {"odo": 3} and allocator.evictions == 1
    assert reply(allocator, memory, "marla", MARLA + [50], []).kept == len(WORLD)


def test_who_comes_back_is_not_thrown_away_for_those_who_go_for_it() -> None:
    allocator, memory = KvAllocator(256, 2, park_cells=5), Memory()
    parked(allocator, memory, "marla", MARLA)
    reply(allocator, memory, "odo", [*ODO, 90, 91], [])
    reply(allocator, memory, "wren", [*WORLD, 7, 8, 9, 90, 91], [])
    assert reply(allocator, memory, "marla", MARLA + [50, 51], []).kept == len(MARLA)
    assert allocator.parked == {"odo": 3} and allocator.evictions == 0


def test_a_front_in_use_outlives_one_that_nobody_begins_with() -> None:
    allocator, memory = KvAllocator(2048, 2), Memory()
    for owner, mark in (("marla", 1), ("odo", 2), ("wren", 3), ("tide", 4)):
        reply(allocator, memory, owner, [mark] * 40 + [9], [])
        memory.apply(allocator.pin(owner, 40))
        memory.apply(allocator.forget(owner))
    reply(allocator, memory, "marla", [1] * 40 + [8], [])
    memory.apply(allocator.pin("marla", 40))
    memory.apply(allocator.forget("marla"))
    reply(allocator, memory, "rook", [5] * 40 + [9], [])
    memory.apply(allocator.pin("rook", 40))
    memory.agree(allocator)
    assert reply(allocator, memory, "marla", [1] * 40 + [7], []).kept == 40
    assert reply(allocator, memory, "odo", [2] * 40 + [7], []).kept == 0, "pinned later, but used longer ago"


def test_without_host_memory_nobody_is_parked() -> None:
    allocator, memory = KvAllocator(256, 4), Memory()
    reply(allocator, memory, "marla", MARLA + [90, 91], [])
    assert allocator.park("marla") == () and "marla" in allocator.state.sequences()


def test_who_speaks_is_not_parked() -> None:
    allocator = KvAllocator(256, 4, park_cells=1000)
    allocator.admit("marla", MARLA, 10)
    assert allocator.park("marla") == () and allocator.rollback("marla") == ()


def test_under_pressure_who_is_out_of_view_is_parked_first() -> None:
    allocator, memory = KvAllocator(120, 8, park_cells=1000), Memory()
    for owner, mark in (("marla", 1), ("odo", 2), ("wren", 3)):
        reply(allocator, memory, owner, [mark] * 32, [])
    allocator.note_view("odo", on_screen=False)
    reply(allocator, memory, "tide", [4] * 40, [])
    assert set(allocator.parked) == {"odo"} and set(allocator.state.sequences()) == {"marla", "wren", "tide"}
    allocator.note_view("odo", on_screen=True)
    reply(allocator, memory, "rook", [5] * 30, [])
    assert set(allocator.parked) == {"odo", "marla"}, "then whoever was used longest ago"


def test_without_host_memory_the_seed_stays_longest() -> None:
    allocator, memory = KvAllocator(160, 8), Memory()
    reply(allocator, memory, "marla", MARLA + [1] * 50, [])
    reply(allocator, memory, "odo", [2] * 100, [])
    assert len(allocator.state.tokens("marla")) == len(WORLD), "the system message, which her seed is here"
    reply(allocator, memory, "wren", [3] * 130, [])
    assert allocator.state.tokens("marla") == ()


def test_a_root_goes_when_nothing_else_is_left_to_go() -> None:
    allocator, memory = KvAllocator(64, 8, park_cells=1000), Memory()
    parked(allocator, memory, "marla", MARLA)
    reply(allocator, memory, "odo", [2] * 60, [])
    assert set(allocator.state.sequences()) == {"odo"}
    assert allocator.admit("marla", MARLA, 0).kept == 0, "what it went on from is gone"


# --- tidying up ------------------------------------------------------------------------------------------------------


def test_in_a_pause_all_who_rest_are_parked_and_come_back_whole() -> None:
    allocator, memory = KvAllocator(256, 4, park_cells=1000), Memory()
    rest(allocator, memory, "marla", MARLA, len(WORLD))
    tidy_up(allocator, memory)
    assert not allocator.parked, "she is the only one there is"
    rest(allocator, memory, "odo", ODO, len(WORLD))
    tidy_up(allocator, memory)
    assert allocator.parked == {"marla": 3, "odo": 3} and allocator.free_cells == 256 - len(WORLD)
    assert allocator.state.holds("marla", MARLA, parked=True) and allocator.state.holds(
        "marla", MARLA[:-1], parked=True
    )
    assert not allocator.state.holds("marla", ODO, parked=True) and not allocator.state.holds(
        "marla", MARLA, "lora", parked=True
    )
    assert not allocator.state.holds("marla", MARLA) and allocator.state.tokens("marla") == tuple(MARLA)
    assert reply(allocator, memory, "marla", MARLA + [50, 51], [60]).kept == len(MARLA)
    assert allocator.evictions == 0


def test_a_turn_that_is_prepared_stays_and_so_does_who_is_busy() -> None:
    allocator, memory = KvAllocator(256, 4, park_cells=1000), Memory()
    reply(allocator, memory, "marla", MARLA, [60])
    allocation = allocator.admit("odo", ODO, 0)
    memory.apply(allocation.operations)
    tidy_up(allocator, memory)
    assert not allocator.parked


def test_nobody_is_given_up_for_tidiness() -> None:
    allocator, memory = KvAllocator(256, 4, park_cells=50), Memory()
    rest(allocator, memory, "marla", [1] * 30)
    rest(allocator, memory, "odo", [2] * 30)
    rest(allocator, memory, "wren", [3] * 20)
    tidy_up(allocator, memory)
    assert allocator.parked == {"marla": 30, "wren": 20} and allocator.evictions == 0


def test_what_is_parked_is_no_longer_there_when_its_front_is_gone() -> None:
    allocator, memory = KvAllocator(64, 8, park_cells=1000), Memory()
    rest(allocator, memory, "marla", MARLA, len(WORLD))
    rest(allocator, memory, "odo", ODO, len(WORLD))
    tidy_up(allocator, memory)
    rest(allocator, memory, "wren", [3] * 60)
    assert allocator.state.tokens("marla") == tuple(MARLA) and not allocator.state.holds("marla", MARLA, parked=True)


def test_a_front_that_somebody_in_view_goes_on_from_stays_pinned() -> None:
    allocator, memory = KvAllocator(1000, 8, park_cells=1000), Memory()
    worlds = [[number] * 30 for number in range(ROOTS + 1)]
    for number, world in enumerate(worlds):
        rest(allocator, memory, f"npc {number}", [*world, 77], len(world))
        tidy_up(allocator, memory)
    last = f"npc {ROOTS}"
    assert allocator.parked == {**dict.fromkeys((f"npc {number}" for number in range(ROOTS)), 1), last: 31}
    allocator.note_view("npc 2", on_screen=False)
    rest(allocator, memory, last, [*worlds[-1], 77], 30)
    tidy_up(allocator, memory)
    assert allocator.parked[last] == 1, "who is out of view has lost its world"
    assert [allocator.state.holds(f"npc {number}", worlds[number], parked=True) for number in range(ROOTS)] == [
        True,
        True,
        False,
        True,
    ]


def test_where_host_memory_is_short_who_is_out_of_view_is_given_up_first() -> None:
    allocator, memory = KvAllocator(256, 4, park_cells=60), Memory()
    for mark, owner in enumerate(("marla", "odo")):
        rest(allocator, memory, owner, [mark] * 30)
        memory.apply(allocator.park(owner))
    allocator.note_view("odo", on_screen=False)
    rest(allocator, memory, "wren", [3] * 30)
    memory.apply(allocator.park("wren"))
    memory.agree(allocator)
    assert set(allocator.parked) == {"marla", "wren"}


def test_who_leaves_view_is_parked_at_the_cost_of_nobody_in_view() -> None:
    allocator, memory = KvAllocator(256, 4, park_cells=60), Memory()
    for mark, owner in enumerate(("marla", "odo", "wren")):
        rest(allocator, memory, owner, [mark] * 30)
    tidy_up(allocator, memory)
    allocator.note_view("wren", on_screen=False)
    assert allocator.park("wren") == () and set(allocator.parked) == {"marla", "odo"} and allocator.evictions == 0
    assert reply(allocator, memory, "tide", [4] * 240, []).kept == 0, "unless the room is needed"
    assert set(allocator.parked) == {"odo", "wren"}


def test_a_turn_that_is_prepared_outlives_who_is_out_of_view() -> None:
    allocator, memory = KvAllocator(100, 4, park_cells=200), Memory()
    rest(allocator, memory, "odo", list(range(200, 240)))
    allocator.note_view("odo", on_screen=False)
    allocation = allocator.admit("marla", list(range(300, 335)), 0, logits=False)  # her turn, as far as it is said
    memory.apply(allocation.operations)
    allocator.append("marla", list(range(300, 335)))
    memory.extend(allocation.sequence, list(range(300, 335)))
    allocator.release("marla", 20, prepared=True)
    rest(allocator, memory, "sera", list(range(400, 430)))
    assert len(allocator.state.tokens("marla")) == 35
    assert set(allocator.parked) == {"odo"}
    rest(allocator, memory, "mira", list(range(500, 560)))
    assert len(allocator.state.tokens("marla")) <= 20, "but it goes before somebody must go without room"
    memory.agree(allocator)


def test_the_end_of_a_reply_goes_first_also_where_its_turn_had_been_prepared() -> None:
    allocator, memory = KvAllocator(100, 4), Memory()
    rest(allocator, memory, "odo", list(range(200, 240)))
    allocation = allocator.admit("marla", list(range(300, 330)), 0, logits=False)
    memory.apply(allocation.operations)
    allocator.append("marla", list(range(300, 330)))
    memory.extend(allocation.sequence, list(range(300, 330)))
    allocator.release("marla", 20, prepared=True)
    allocation = allocator.admit("marla", list(range(300, 335)), 5)
    memory.apply(allocation.operations)
    assert allocation.kept == 30
    allocator.append("marla", list(range(330, 340)))
    memory.extend(allocation.sequence, list(range(330, 340)))
    allocator.release("marla", 20)
    rest(allocator, memory, "sera", list(range(400, 435)))
    assert len(allocator.state.tokens("odo")) == 40 and len(allocator.state.tokens("marla")) == 20


def test_fronts_that_begin_alike_make_room_for_new_ones() -> None:
    allocator, memory = KvAllocator(2000, 4, park_cells=2000), Memory()
    for edition in range(2 * ROOTS):  # a world whose files are edited while the daemon runs
        front = [*range(20), *range(1000 + 100 * edition, 1040 + 100 * edition)]
        rest(allocator, memory, "marla", [*front, 7, 8], len(front))
        assert any(
            size == len(front) for owner, (_, size) in allocator.state.sequences().items() if owner.startswith("(root")
        )
        memory.apply(allocator.forget("marla"))
        probe = allocator.admit("odo", [*front, 9], 1)
        memory.apply(probe.operations)
        assert probe.kept == len(front), "the newest is there"
        allocator.release("odo", 0)
        memory.apply(allocator.forget("odo"))
        memory.agree(allocator)


def test_a_long_talk_that_is_parked_does_not_keep_a_short_prompt_out() -> None:
    allocator, memory = KvAllocator(100, 4, park_cells=200), Memory()
    rest(allocator, memory, "marla", list(range(200, 272)))
    memory.apply(allocator.park("marla"))
    busy = allocator.admit("odo", list(range(300, 310)), 40)
    memory.apply(busy.operations)
    allocation = allocator.admit("marla", [*range(200, 203), *range(400, 410)], 5)
    memory.apply(allocation.operations)
    assert allocation.kept == 0 and not allocator.parked
    memory.agree(allocator)


def test_whether_a_prompt_would_fit_if_somebody_had_ended() -> None:
    allocator, memory = KvAllocator(100, 4), Memory()
    for owner, start in (("odo", 200), ("sera", 300)):
        memory.apply(allocator.admit(owner, list(range(start, start + 40)), 0).operations)
    wanted = list(range(400, 440))
    assert not allocator.fits("marla", wanted, 5)
    assert allocator.fits("marla", wanted, 5, ended={"odo"})
    assert not allocator.fits("marla", wanted, 30, ended={"odo"})
    assert not allocator.fits("odo", wanted, 5, ended={"sera"}), "it is busy itself"
    assert allocator.fits("odo", wanted, 5, ended={"odo"})
    with pytest.raises(BusyError):
        allocator.admit("marla", wanted, 5)
    memory.agree(allocator)


def test_who_is_out_of_view_stays_so_when_what_it_holds_is_lost() -> None:
    allocator, memory = KvAllocator(100, 4, park_cells=200), Memory()
    allocator.note_view("odo", on_screen=False)
    rest(allocator, memory, "odo", list(range(200, 230)))
    memory.apply(allocator.forget("odo"))
    rest(allocator, memory, "marla", list(range(300, 330)))
    rest(allocator, memory, "odo", list(range(200, 230)))
    rest(allocator, memory, "sera", list(range(400, 450)))
    assert set(allocator.parked) == {"odo"}
