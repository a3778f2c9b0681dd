"""Turn contexts: which parts of an evaluated context stay when the player's words change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mythicd.character.think.context import SPARE_TOKENS, TurnContext
from mythicd.dialogue.prompt import Sections

HERE = TurnContext(Sections(("a", "b"), ("f", "c"), {"zone": "pier", "nearby": ["Pip"]}), {}, ("f",))


def with_(lore: tuple[str, ...] = ("a", "b"), recent: tuple[str, ...] = ("f", "c"), **scene: object) -> TurnContext:
    return TurnContext(Sections(lore, recent, scene or {"zone": "pier"}), {}, ("f",))


@pytest.mark.parametrize(
    ("later", "stays"),
    [
        (HERE, True),
        (with_(), True),
        (with_(lore=("b",)), True),
        (with_(lore=("b", "a")), True),
        (with_(lore=("b", "d")), False),
        (with_(lore=()), False),
        (with_(recent=("f",)), True),
        (with_(recent=("f", "d")), False),
        (with_(zone="pier", nearby=["Tom"]), True),
        (with_(zone="pier", time="noon"), False),
        (with_(zone="market"), False),
        (replace(HERE, failures=()), False),
        (replace(HERE, failures=("f", "g")), False),
        (replace(HERE, tools={}), True),
    ],
)
def test_context_stays_if_it_serves_the_later_words(later: TurnContext, stays: bool) -> None:
    found = HERE.joined(later)
    assert (found.sections is HERE.sections and found.failures == HERE.failures) is stays
    assert found.tools == later.tools


def test_empty_context_is_replaced() -> None:
    nothing = TurnContext(Sections(), {})
    assert nothing.joined(TurnContext(Sections(), {})).sections is nothing.sections
    assert nothing.joined(with_()).sections == with_().sections


def lore(*lines: str) -> TurnContext:
    return TurnContext(Sections(lines), {})


SENTENCE = "The tavern closes at two at night, and opens at noon again."
LONG = " ".join([SENTENCE] * 5)


@pytest.mark.parametrize(
    ("here", "later", "joined"),
    [
        (("a", "b"), ("b",), ("a", "b")),
        (("a", "b"), ("c", "b"), ("a", "b", "c")),
        (("a",), ("b",), ("a", "b")),
        (("a", "b"), (), ()),
        ((), ("a", "b"), ("a", "b")),
        ((), (), ()),
        ((LONG,), ("b",), ("b",)),
        (("a", LONG, "b"), ("c", "b"), ("a", "b", "c")),
        ((LONG,), (LONG, "b"), (LONG, "b")),
        ((LONG, "a"), (LONG,), (LONG, "a")),
        ((LONG, "a"), ("a",), (LONG, "a")),
    ],
)
def test_found_lines_follow_the_lines_that_stay(
    here: tuple[str, ...], later: tuple[str, ...], joined: tuple[str, ...]
) -> None:
    assert lore(*here).joined(lore(*later)).sections.lore == joined


@pytest.mark.parametrize(
    ("read", "later", "joined"),
    [
        (Sections(("a",)), ("b",), ("a", "b")),
        (Sections(("a",)), ("a",), ("a",)),
        (Sections(("a", "b")), ("d",), ("a", "b", "d")),
        (Sections(), ("c", "b"), ("b", "c")),
        (Sections(), ("d", "c"), ("c", "d")),
        (Sections(("a", "x", "b")), ("d",), ("a", "d")),
        (Sections(("x",)), (), ()),
    ],
)
def test_unwanted_lines_stay_only_if_evaluated(read: Sections, later: tuple[str, ...], joined: tuple[str, ...]) -> None:
    here = replace(lore("a", "b", "c"), read=read)
    assert here.joined(lore(*later)).sections.lore == joined


def test_memories_stay_only_after_the_same_lore() -> None:
    here = TurnContext(Sections(("a",), ("m", "n")), {}, read=Sections(("a",), ("m",)))
    assert here.joined(TurnContext(Sections(("a",), ("o",)), {})).sections == Sections(("a",), ("m", "o"))
    assert here.joined(TurnContext(Sections(("b",), ("o",)), {})).sections == Sections(("a", "b"), ("o",))


def test_evaluated_line_that_became_false_is_not_restored() -> None:
    told = TurnContext(Sections((), ("the gate is shut", "m")), {}, ("the gate is shut",))
    repaired = told.joined(TurnContext(Sections((), ("m",)), {}))
    assert repaired.sections.recent == ("m",)
    asked = replace(repaired, read=told.sections)  # the model has not started on the new prompt yet
    assert asked.joined(TurnContext(Sections((), ("m", "n")), {})).sections.recent == ("m", "n")


def test_larger_token_limit_keeps_more_lines() -> None:
    here = lore(SENTENCE, SENTENCE + " ", SENTENCE + "  ", SENTENCE + "   ")
    assert len(here.joined(lore("b")).sections.lore) == 3
    assert len(here.joined(lore("b"), 2 * SPARE_TOKENS).sections.lore) == 5


def test_scene_and_tools_come_from_the_later_context() -> None:
    later = replace(with_(lore=("d",), zone="pier", time="noon"), tools={"show": object()})  # type: ignore[dict-item]
    found = HERE.joined(later)
    assert found.sections == Sections(("a", "b", "d"), ("f", "c"), {"zone": "pier", "time": "noon"})
    assert found.tools == later.tools
    assert HERE.joined(with_()).sections is HERE.sections


@pytest.mark.parametrize(
    "change",
    [
        {"failures": ()},
        {"edition": object()},
        {"edition": object(), "sections": Sections(("a",), ("f", "c"), {"zone": "pier"})},
        {"sections": Sections(("d",), ("f", "c"), {"zone": "market"})},
    ],
)
def test_changed_zone_or_world_replaces_the_context(change: dict[str, object]) -> None:
    later = replace(with_(lore=("d",)), **change)  # type: ignore[arg-type]
    assert HERE.joined(later) is later
