"""Host memory holds tails up to its size, and drops none without need."""

from __future__ import annotations

import pytest

from mythicd.llm.llamacpp.kv.cells import SequenceTokens
from mythicd.llm.llamacpp.kv.host_memory import HostMemory, Parked


def tail(size: int) -> Parked:
    return Parked(None, list(range(10 + size)), 10)


def test_who_must_go_goes_in_order_and_no_more_than_must() -> None:
    memory = HostMemory(12)
    for owner in ("bram", "marla", "odo"):
        memory.put(owner, tail(4))
    assert memory.make_room(5, ["marla", "bram", "odo"]) == ["marla", "bram"]
    memory.put("rook", tail(5))
    assert list(memory) == ["odo", "rook"]
    memory.check()


def test_nobody_is_dropped_where_it_would_not_do() -> None:
    memory = HostMemory(8)
    memory.put("bram", tail(4))
    memory.put("marla", tail(4))
    assert memory.make_room(9, ["bram", "marla"]) is None
    assert memory.make_room(5, ["bram"]) is None
    assert list(memory) == ["bram", "marla"]


def test_where_there_is_room_nobody_goes() -> None:
    memory = HostMemory(8)
    memory.put("bram", tail(4))
    assert memory.make_room(4, ["bram"]) == []
    assert len(memory) == 1


def test_tail_without_room_refused() -> None:
    memory = HostMemory(8)
    memory.put("bram", tail(4))
    with pytest.raises(ValueError, match=r"\b5\b.*\b4\b"):
        memory.put("marla", tail(5))


def test_what_is_dropped_makes_room() -> None:
    memory = HostMemory(4)
    memory.put("bram", tail(4))
    assert memory.drop("bram")
    assert not memory.drop("bram")
    assert memory.get("bram") is None
    memory.put("marla", tail(4))
    assert dict(memory.items())["marla"].size == 4


def test_a_tail_goes_on_from_a_sequence_with_the_same_front_and_adapter() -> None:
    parked = Parked("red", [1, 2, 3, 4], 2)
    assert parked.goes_on_from(SequenceTokens(0, "(root)", "red", [1, 2, 9]))
    assert not parked.goes_on_from(SequenceTokens(0, "(root)", "red", [1, 9]))
    assert not parked.goes_on_from(SequenceTokens(0, "(root)", "red", [1]))
    assert not parked.goes_on_from(SequenceTokens(0, "(root)", None, [1, 2, 9]))
