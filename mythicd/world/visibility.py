"""Who is in the player's view, from what the game says: `Attend`, and scenes with characters in them. Pure.

A scene tells what is near one character, by id, and an id may be that of another character or of the player. Who is
near somebody in view is in view; so is who has the player nearby. `Attend` is the stronger word: who left attention is
out of view, until the game says otherwise of that character.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable


class Visibility:
    """The characters near one player."""

    def __init__(self, player: str) -> None:
        """`player` is the id by which scenes name the player."""
        self._player = player
        self._attended: dict[str, None] = {}
        self._near: dict[str, frozenset[str]] = {}
        """What each character's last scene has near it."""
        self._seen: frozenset[str] = frozenset()

    @property
    def attended(self) -> Collection[str]:
        """Those whom the player attends to, the latest last."""
        return self._attended.keys()

    @property
    def latest(self) -> str | None:
        """Whom the player attended to last, and still does."""
        return next(reversed(self._attended), None)

    def attend(self, npc_id: str, attending: bool) -> dict[str, bool]:
        """Take note of a character that enters or leaves attention. Return who enters view (True) or leaves it."""
        self._attended.pop(npc_id, None)
        if attending:
            self._attended[npc_id] = None
        else:
            for other, near in self._near.items():
                self._near[other] = near - {self._player if other == npc_id else npc_id}
        return self._changes({npc_id: attending})

    def scene(self, npc_id: str, near: Iterable[str]) -> dict[str, bool]:
        """Take note of who and what is near a character. Return who enters view (True) or leaves it (False)."""
        self._near[npc_id] = frozenset(near) - {npc_id}
        return self._changes({})

    def _changes(self, told: dict[str, bool]) -> dict[str, bool]:
        before = self._seen
        first = {*self._attended, *(npc_id for npc_id, near in self._near.items() if self._player in near)}
        self._seen = frozenset(first.union(*(self._near.get(npc_id, ()) for npc_id in first)) - {self._player})
        changed = {npc_id: npc_id in self._seen for npc_id in before ^ self._seen}
        return {**changed, **told}
