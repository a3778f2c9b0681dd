"""Player phrases, read from player_phrases.txt: phrases by section, reactions, openings and endings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_HEADING = re.compile(r"\[(\w+)\](?: (\d+(?:\.\d+)?))?")


def _read() -> dict[str, tuple[float, tuple[str, ...]]]:
    """Return section -> (weight, lines). Raises ValueError for a line before the first section."""
    sections: dict[str, tuple[float, list[str]]] = {}
    lines: list[str] | None = None
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if heading := _HEADING.fullmatch(line):
            lines = []
            sections[heading[1]] = (float(heading[2] or 1), lines)
        elif lines is None:
            raise ValueError(f"player_phrases.txt: the line {line!r} is before the first section.")
        else:
            lines.append(line)
    return {name: (weight, tuple(lines)) for name, (weight, lines) in sections.items()}


_SECTIONS = _read()
REACTIONS: Final = _SECTIONS.pop("reactions")[1]
"""Backchannels, and phrases that interrupt."""
OPENINGS: Final = _SECTIONS.pop("openings")[1]
"""Phrases before a question or a request."""
ENDINGS: Final = _SECTIONS.pop("endings")[1]
"""Phrases after a question or a request."""
WORDINGS: Final = _SECTIONS
"""Section -> (weight, phrases)."""

CONTRACTIONS: Final[dict[tuple[str, str], str]] = {
    ("what", "is"): "what's",
    ("where", "is"): "where's",
    ("who", "is"): "who's",
    ("how", "is"): "how's",
    ("when", "is"): "when's",
    ("it", "is"): "it's",
    ("that", "is"): "that's",
    ("there", "is"): "there's",
    ("he", "is"): "he's",
    ("she", "is"): "she's",
    ("let", "us"): "let's",
    ("i", "am"): "i'm",
    ("i", "will"): "i'll",
    ("i", "have"): "i've",
    ("i", "would"): "i'd",
    ("you", "are"): "you're",
    ("you", "have"): "you've",
    ("we", "are"): "we're",
    ("they", "are"): "they're",
    ("do", "not"): "don't",
    ("does", "not"): "doesn't",
    ("did", "not"): "didn't",
    ("will", "not"): "won't",
    ("is", "not"): "isn't",
}
"""Pairs of words, and their contraction."""

CONTRACTED: Final[dict[str, str]] = {"cannot": "can't"}
"""Single words, and their contraction."""
