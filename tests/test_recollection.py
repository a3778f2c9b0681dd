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
