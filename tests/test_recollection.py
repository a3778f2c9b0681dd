"""When what was found for the words so far also serves the words that came later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mythicd.dialogue.prompt import Sections
from mythicd.recollection import Found

HERE = Found(Sections(("a", "b"), ("f", "c"), {"zone": "pier", "nearby": ["Pip"]}), {}, ("f",))


def with_(lore: tuple[str, ...] = ("a", "b"), recent: tuple[str, ...] = ("f", "c"), **scene: object) -> Found:
    return Found(Sections(lore, recent, scene or {"zone": "pier"}), {}, ("f",))


@pytest.mark.parametrize(
    ("later", "serves"),
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
def test_what_is_held(later: Found, serves: bool) -> None:
    assert HERE.holds(later) is serves


def test_nothing_holds_nothing() -> None:
    assert Found(Sections(), {}).holds(Found(Sections(), {}))
    assert not Found(Sections(), {}).holds(with_())


def lore(*lines: str) -> Found:
    return Found(Sections(lines), {})


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
        (("a", LONG, "b"), ("c", "b"), ("b", "c")),
        ((LONG,), (LONG, "b"), (LONG, "b")),
        ((LONG, "a"), (LONG,), (LONG, "a")),
    ],
)
def test_what_is_called_for_comes_behind_what_is_here(
    here: tuple[str, ...], later: tuple[str, ...], joined: tuple[str, ...]
) -> None:
    assert lore(*here).joined(lore(*later)).sections.lore == joined


def test_the_rest_is_what_was_found_last() -> None:
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
        {"sections": Sections(("d",), ("f", "c"), {"zone": "market"})},
    ],
)
def test_nothing_stays_of_another_place_or_another_world(change: dict[str, object]) -> None:
    later = replace(with_(lore=("d",)), **change)  # type: ignore[arg-type]
    assert HERE.joined(later) is later
