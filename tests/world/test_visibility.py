"""Who enters the player's view, and who leaves it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mythicd.world.visibility import Visibility


def test_attention_is_view() -> None:
    view = Visibility("ann")
    assert view.attend("marla", True) == {"marla": True}
    assert view.attend("rook", True) == {"rook": True}
    assert (view.latest, list(view.attended)) == ("rook", ["marla", "rook"])
    assert view.attend("marla", True) == {"marla": True}, "told again, it is passed on again"
    assert view.latest == "marla"
    assert view.attend("marla", False) == {"marla": False}
    assert view.latest == "rook"


def test_who_is_near_somebody_in_view_is_in_view() -> None:
    view = Visibility("ann")
    assert view.scene("marla", ["rook", "lantern"]) == {}, "nobody has seen her yet"
    assert view.attend("marla", True) == {"marla": True, "rook": True, "lantern": True}
    assert view.scene("rook", ["pip"]) == {}, "that is not near her, but near somebody near her"
    assert view.scene("marla", ["pip", "lantern"]) == {"rook": False, "pip": True}
    assert view.attend("marla", False) == {"marla": False, "pip": False, "lantern": False}
    assert list(view.attended) == []


def test_who_has_the_player_near_is_in_view() -> None:
    view = Visibility("ann")
    assert view.scene("marla", ["ann", "rook"]) == {"marla": True, "rook": True}
    assert view.scene("marla", ["rook"]) == {"marla": False, "rook": False}
    assert list(view.attended) == [], "near is not yet attended to"


def test_leaving_attention_is_the_stronger_word() -> None:
    view = Visibility("ann")
    view.scene("marla", ["ann", "rook"])
    assert view.attend("marla", False) == {"marla": False, "rook": False}
    view.attend("marla", True)
    assert view.attend("rook", False) == {"rook": False}
    assert view.scene("marla", ["rook"]) == {"rook": True}, "until the game says otherwise"


IDS = st.sampled_from(["a", "b", "c", "player"])


@given(st.lists(st.one_of(st.tuples(IDS, st.booleans()), st.tuples(IDS, st.lists(IDS)))))
def test_changes_add_up(told: list[tuple[str, bool | list[str]]]) -> None:
    view, seen = Visibility("player"), set()
    for npc_id, what in told:
        changes = view.attend(npc_id, what) if isinstance(what, bool) else view.scene(npc_id, what)
        for other, in_view in changes.items():
            (seen.add if in_view else seen.discard)(other)
        assert set(view.attended) <= seen
