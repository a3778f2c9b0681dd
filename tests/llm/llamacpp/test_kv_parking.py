"""Fronts that are pinned, characters that are parked in host memory, by need or in a pause, and who comes back."""

from __future__ import annotations

import pytest
from kv_memory import MARLA, ODO, WORLD, Memory, parked, reply, rest, tidy_up

from mythicd.errors import Busy
from mythicd.llm.llamacpp.kv.allocator import LEAST_ROOT, ROOTS, Ledger

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


# --- tidying up ------------------------------------------------------------------------------------------------------


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


def test_a_turn_that_is_prepared_outlives_who_is_out_of_view() -> None:
    ledger, memory = Ledger(100, 4, park_cells=200), Memory()
    rest(ledger, memory, "odo", list(range(200, 240)))
    ledger.look("odo", on_screen=False)
    seat = ledger.admit("marla", list(range(300, 335)), 0, logits=False)  # her turn, as far as it is said
    memory.apply(seat.operations)
    ledger.append("marla", list(range(300, 335)))
    memory.extend(seat.sequence, list(range(300, 335)))
    ledger.release("marla", 20, prepared=True)
    rest(ledger, memory, "sera", list(range(400, 430)))
    assert len(ledger.tokens("marla")) == 35
    assert set(ledger.parked) == {"odo"}
    rest(ledger, memory, "mira", list(range(500, 560)))
    assert len(ledger.tokens("marla")) <= 20, "but it goes before somebody must go without room"
    memory.agree(ledger)


def test_the_end_of_a_reply_goes_first_also_where_its_turn_had_been_prepared() -> None:
    ledger, memory = Ledger(100, 4), Memory()
    rest(ledger, memory, "odo", list(range(200, 240)))
    seat = ledger.admit("marla", list(range(300, 330)), 0, logits=False)
    memory.apply(seat.operations)
    ledger.append("marla", list(range(300, 330)))
    memory.extend(seat.sequence, list(range(300, 330)))
    ledger.release("marla", 20, prepared=True)
    seat = ledger.admit("marla", list(range(300, 335)), 5)
    memory.apply(seat.operations)
    assert seat.kept == 30
    ledger.append("marla", list(range(330, 340)))
    memory.extend(seat.sequence, list(range(330, 340)))
    ledger.release("marla", 20)
    rest(ledger, memory, "sera", list(range(400, 435)))
    assert len(ledger.tokens("odo")) == 40 and len(ledger.tokens("marla")) == 20


def test_fronts_that_begin_alike_make_room_for_new_ones() -> None:
    ledger, memory = Ledger(2000, 4, park_cells=2000), Memory()
    for edition in range(2 * ROOTS):  # a world whose files are edited while the daemon runs
        front = [*range(20), *range(1000 + 100 * edition, 1040 + 100 * edition)]
        rest(ledger, memory, "marla", [*front, 7, 8], len(front))
        assert any(size == len(front) for owner, (_, size) in ledger.sequences().items() if owner.startswith("(root"))
        memory.apply(ledger.forget("marla"))
        probe = ledger.admit("odo", [*front, 9], 1)
        memory.apply(probe.operations)
        assert probe.kept == len(front), "the newest is there"
        ledger.release("odo", 0)
        memory.apply(ledger.forget("odo"))
        memory.agree(ledger)


def test_a_long_talk_that_is_parked_does_not_keep_a_short_prompt_out() -> None:
    ledger, memory = Ledger(100, 4, park_cells=200), Memory()
    rest(ledger, memory, "marla", list(range(200, 272)))
    memory.apply(ledger.park("marla"))
    busy = ledger.admit("odo", list(range(300, 310)), 40)
    memory.apply(busy.operations)
    seat = ledger.admit("marla", [*range(200, 203), *range(400, 410)], 5)
    memory.apply(seat.operations)
    assert seat.kept == 0 and not ledger.parked
    memory.agree(ledger)


def test_whether_a_prompt_would_fit_if_somebody_had_ended() -> None:
    ledger, memory = Ledger(100, 4), Memory()
    for owner, start in (("odo", 200), ("sera", 300)):
        memory.apply(ledger.admit(owner, list(range(start, start + 40)), 0).operations)
    wanted = list(range(400, 440))
    assert not ledger.fits("marla", wanted, 5)
    assert ledger.fits("marla", wanted, 5, ended={"odo"})
    assert not ledger.fits("marla", wanted, 30, ended={"odo"})
    assert not ledger.fits("odo", wanted, 5, ended={"sera"}), "it is busy itself"
    assert ledger.fits("odo", wanted, 5, ended={"odo"})
    with pytest.raises(Busy):
        ledger.admit("marla", wanted, 5)
    memory.agree(ledger)


def test_who_is_out_of_view_stays_so_when_what_it_holds_is_lost() -> None:
    ledger, memory = Ledger(100, 4, park_cells=200), Memory()
    ledger.look("odo", on_screen=False)
    rest(ledger, memory, "odo", list(range(200, 230)))
    memory.apply(ledger.forget("odo"))
    rest(ledger, memory, "marla", list(range(300, 330)))
    rest(ledger, memory, "odo", list(range(200, 230)))
    rest(ledger, memory, "sera", list(range(400, 450)))
    assert set(ledger.parked) == {"odo"}
