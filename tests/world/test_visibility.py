"""Visibility: which characters enter and leave the player's view."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mythicd.world.visibility import Visibility


def test_attended_characters_are_in_view() -> None:
    view = Visibility("ann")
    assert view.attend("marla", True) == {"marla": True}
    assert view.attend("rook", True) == {"rook": True}
    assert (view.latest, list(view.attended)) == ("rook", ["marla", "rook"])
    assert view.attend("marla", True) == {"marla": True}, "a repeated Attend was not passed on"
    assert view.latest == "marla"
    assert view.attend("marla", False) == {"marla": False}
    assert view.latest == "rook"


def test_characters_near_one_in_view_are_in_view() -> None:
    view = Visibility("ann")
    assert view.scene("marla", ["rook", "lantern"]) == {}, "it is not in view itself"
    assert view.attend("marla", True) == {"marla": True, "rook": True, "lantern": True}
    assert view.scene("rook", ["pip"]) == {}, "nearness is not transitive"
    assert view.scene("marla", ["pip", "lantern"]) == {"rook": False, "pip": True}
    assert view.sees("pip") and view.sees("marla") and not view.sees("rook")
    assert view.attend("marla", False) == {"marla": False, "pip": False, "lantern": False}
    assert not view.sees("pip")
    assert list(view.attended) == []


def test_characters_near_the_player_are_in_view() -> None:
    view = Visibility("ann")
    assert view.scene("marla", ["ann", "rook"]) == {"marla": True, "rook": True}
    assert view.scene("marla", ["rook"]) == {"marla": False, "rook": False}
    assert list(view.attended) == [], "near is not attended"


def test_end_of_attention_overrides_nearness() -> None:
    view = Visibility("ann")
    view.scene("marla", ["ann", "rook"])
    assert view.attend("marla", False) == {"marla": False, "rook": False}
    view.attend("marla", True)
    assert view.attend("rook", False) == {"rook": False}
    assert view.scene("marla", ["rook"]) == {"rook": True}, "a new scene overrides the end of attention"


IDS = st.sampled_from(["a", "b", "c", "player"])


@given(st.lists(st.one_of(st.tuples(IDS, st.booleans()), st.tuples(IDS, st.lists(IDS)))))
def test_changes_add_up_to_the_attended_set(told: list[tuple[str, bool | list[str]]]) -> None:
    view, seen = Visibility("player"), set()
    for npc_id, what in told:
        changes = view.attend(npc_id, what) if isinstance(what, bool) else view.scene(npc_id, what)
        for other, in_view in changes.items():
            (seen.add if in_view else seen.discard)(other)
        assert set(view.attended) <= seen
