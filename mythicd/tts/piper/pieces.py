"""The pieces of a sentence: which of its frames are computed at a time. Pure.

The first piece is small, so that it sounds soon; later ones grow, because each costs its margins too, up to the time
for which another character or a barge-in may have to wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

FIRST_FRAMES: Final = 16
"""Frames of a first piece: 186 ms at 22,050 Hz and 256 samples a frame, of which about 50 ms are silence. With less, a
voice runs dry while others begin."""
MOST_FRAMES: Final = 64
"""Frames of the longest piece, unless the voice cannot be cut."""
GROWTH: Final = 1.7
"""How much longer each piece is than the one before."""
WHOLE_FRAMES: Final = 40
"""Longest sentence that is computed in one piece: its second piece would be margins for the most part."""
BLOCK_FRAMES: Final = 96
"""Least frames that go through the flow at a time, after the first piece: its margins are wide."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece; both positions are frames of the sentence."""

    start: int
    end: int


def pieces(count: int) -> Iterator[Piece]:
    """Yield the pieces of a sentence of `count` frames, in order and without a gap."""
    start, size = 0, float(count if count <= WHOLE_FRAMES else FIRST_FRAMES)
    while start < count:
        end = min(count, start + round(size))
        if count - end < FIRST_FRAMES:  # a last piece of a few frames would be margins alone
            end = count
        yield Piece(start, end)
        start, size = end, min(MOST_FRAMES, size * GROWTH)


def widen(piece: Piece, margin: int, count: int) -> Piece:
    """Return a piece with `margin` frames on each side, as far as the sentence of `count` frames has them."""
    return Piece(max(0, piece.start - margin), min(count, piece.end + margin))


def block_end(ready: int, needed: int, count: int, margin: int) -> int:
    """Return up to which frame the flow is computed next, where `ready` frames are there and `needed` are needed.

    What would be left is computed with it when it is no more than the margin, which is computed anyway.
    """
    end = needed if ready == 0 else max(needed, ready + BLOCK_FRAMES)
    return count if count - end <= margin else end
