"""Sections under their budgets, and what is dropped first without room."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mythicd.config.settings import BudgetSettings
from mythicd.memory.packing import Nearby, Scene, by_relevance, pack, within
from mythicd.memory.ranking import ScoredLine


def count(text: str) -> int:
    """A token is a word: enough to test arithmetic with."""
    return len(text.split())


def lines(*texts: str) -> list[ScoredLine]:
    return [ScoredLine(n, f"k{n}", text, 1.0 - n / 10, 1.0) for n, text in enumerate(texts)]


HERE = Scene("market", "21:10", (Nearby("stall", 9), Nearby("guard", 5), Nearby("blue lantern", 40)))


def test_everything_fits() -> None:
    packed = pack("hello", lines("a b", "c d"), lines("e"), HERE, BudgetSettings(), count)
    assert packed.lore == ("a b", "c d") and packed.recent == ("e",)
    assert packed.scene == {"zone": "market", "time": "21:10", "nearby": ["guard", "stall", "blue lantern"]}
    assert packed.left_out == ()
    assert packed.tokens == 3 + 3 + 2 + count(json.dumps(packed.scene))


def test_a_line_that_does_not_fit_is_passed_over_for_a_shorter_one() -> None:
    left_out: list[str] = []
    assert within(["a b", "c d e f", "g"], 6, count, left_out) == ["a b", "g"]
    assert left_out == ["c d e f"]


def test_a_first_line_that_is_too_long_keeps_its_first_sentences() -> None:
    assert within(["One two three. Four five six. Seven."], 7, count) == ["One two three. Four five six."]
    assert within(["One two three four five."], 3, count) == []


def test_things_spoken_of_come_first_then_what_is_near() -> None:
    assert by_relevance(HERE.nearby, "what is that lantern?") == ["blue lantern", "guard", "stall"]
    assert by_relevance([Nearby("stall", 3), Nearby("stall", 1)], "") == ["stall"]


def test_under_a_cap_scene_objects_go_first_then_lore_then_memories() -> None:
    lore, recent = lines("lore one", "lore two"), lines("memory one", "memory two")

    def left(total: int) -> tuple[int, int, int]:
        packed = pack("", lore, recent, HERE, BudgetSettings(), count, total)
        assert packed.tokens <= max(total, 4)
        return len(packed.scene.get("nearby", [])), len(packed.lore), len(packed.recent)

    seen = [left(total) for total in range(30, -1, -1)]
    assert seen[0] == (3, 2, 2)
    assert list(dict.fromkeys(seen)) == [
        (3, 2, 2),
        (2, 2, 2),
        (1, 2, 2),
        (0, 2, 2),
        (0, 1, 2),
        (0, 0, 2),
        (0, 0, 1),
        (0, 0, 0),
    ]
    packed = pack("", lore, recent, HERE, BudgetSettings(), count, 0)
    assert packed.left_out == ("blue lantern", "stall", "guard", "lore two", "lore one", "memory two", "memory one")


def test_nothing_at_all() -> None:
    packed = pack("", [], [], Scene(), BudgetSettings(), count)
    assert (packed.lore, packed.recent, dict(packed.scene), packed.tokens) == ((), (), {}, 0)


@given(
    st.lists(st.text("ab .", max_size=60), max_size=12),
    st.lists(st.text("xyz", min_size=1, max_size=9), max_size=12),
    st.integers(1, 40),
)
def test_no_section_is_over_its_budget(texts: list[str], names: list[str], budget: int) -> None:
    budgets = BudgetSettings(persona=budget, lore=budget, recent=budget, scene=budget)
    packed = pack("", lines(*texts), lines(*texts), Scene("", "", [Nearby(n) for n in names]), budgets, count)
    for section in (packed.lore, packed.recent):
        assert sum(count(f"- {line}") for line in section) <= budget
    assert not packed.scene or count(json.dumps(packed.scene)) <= budget
