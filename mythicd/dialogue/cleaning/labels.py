"""Speaker labels: `Marla:`, `**Marla:**`, `User:` at the beginning of a line or a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

LabelKind = Literal["self", "other", "aside", ""]
"""Whose words follow: the character's own, another speaker's, narration's; empty where there is no label."""

MAX_LABEL: Final = 60
"""Longest label, in characters."""

_SELF: Final = "assistant npc character ai bot char me response answer reply model".split() + ["final answer"]
_OTHERS: Final = (
    "user player human traveller traveler adventurer stranger customer visitor guest hero you system "
    "tool question input "
    "person protagonist mc"
).split()
_ASIDES: Final = "narrator narration ooc note scene setting action thought thoughts observation".split() + [
    "action input",
    "tool call",
    "function call",
]
_WEAK: Final = frozenset(
    "you me question input person response answer reply character guest hero stranger customer".split()
)
"""Labels that count only at the beginning of a line: a character may well say "Question: who pays?"."""

_LABEL = re.compile(
    r"[*_\[\"'“<({]{0,4}(?P<name>[^\n:：*_\])>}\"”]{1,40}?)\s*(?:\([^)\n]{0,40}\))?[*_\]>)}\"”']{0,4}\s*"
    r"(?:\s(?:says?|said|replies|asks))?\s*[:：][*_]{0,3}[ \t]?"
)
_GOES_ON = re.compile(r"(?:['’*_\]>)}\s\"”]|\([^)\n]{0,40}\)?|says?|sai?|said|repli?e?s?|asks?){0,8}")


class SpeakerLabels:
    """The labels that may stand in one character's replies."""

    def __init__(self, name: str = "", others: Iterable[str] = ()) -> None:
        """`name` is the character's, `others` are the names of this world's people."""
        self.own = name_forms(name)
        """The character's name in lower case: whole, and its first word."""
        kinds: dict[str, LabelKind] = {}
        for other in others:
            kinds.update(dict.fromkeys(name_forms(other), "other"))
        kinds.update(dict.fromkeys(_OTHERS, "other"))
        kinds.update(dict.fromkeys(_ASIDES, "aside"))
        kinds.update(dict.fromkeys((*self.own, *_SELF), "self"))
        self._kinds = kinds
        self._within = {label: kind for label, kind in kinds.items() if kind != "aside" and label not in _WEAK}

    def match(self, text: str, *, final: bool, within_line: bool) -> tuple[LabelKind, int] | None:
        """Return the kind and length of the label that `text` begins with; ("", 0) for none, None while undecided.

        `within_line` says that a sentence begins here, and not a line; `final` that no more text comes.
        """
        kinds: Mapping[str, LabelKind] = self._within if within_line else self._kinds
        head = text[:MAX_LABEL].split("\n")[0]
        found = _LABEL.match(head)
        if found is not None:
            kind = kinds.get(" ".join(found["name"].lower().split()), "")
            return (kind, found.end()) if kind else ("", 0)
        if final or len(head) < len(text):
            return "", 0
        bare = head.lstrip("*_[\"'“<({ ").lower()
        undecided = not bare or any(
            label.startswith(bare) or (bare.startswith(label) and _GOES_ON.fullmatch(bare[len(label) :]))
            for label in kinds
        )
        return None if undecided else ("", 0)


def name_forms(name: str) -> tuple[str, ...]:
    """Return how a name may stand in a label: whole, and its first word unless that is an article or a title."""
    whole = " ".join(name.lower().split())
    first = whole.partition(" ")[0]
    if first in ("the", "a", "an", "old", "captain", "sir", "lady", "master", "doctor", "mister"):
        first = ""
    return tuple(dict.fromkeys(form for form in (whole, first) if form))
