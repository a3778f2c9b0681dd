"""Visibility: which characters are in the player's view, from `Attend` messages and scenes. Pure.

A scene lists the ids near one character; an id may be that of another character or of the player. A character is in
view when the player attends to it, when its scene lists the player, or when the scene of a character in view lists it.
`Attend` is stronger than scenes: a character that left attention is out of view until the game says otherwise of it.
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

    def sees(self, npc_id: str) -> bool:
        """Return whether a character is in view."""
        return npc_id in self._seen

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
