"""What the allocator asks of llama.cpp's memory, in the order in which it must be done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trim:
    """Remove from a sequence everything at position `start` and behind it."""

    sequence: int
    start: int


@dataclass(frozen=True, slots=True)
class Share:
    """Let `sequence` have the cells of `source` at positions `start` to `end`; it has none there yet."""

    source: int
    sequence: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Save:
    """Copy what a sequence holds to host memory, under the owner's name, in place of what was there."""

    sequence: int
    owner: str


@dataclass(frozen=True, slots=True)
class Load:
    """Copy what was saved for the owner into a sequence, which is empty; the saved copy is not needed any more."""

    owner: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Discard:
    """Throw away what was saved for the owner."""

    owner: str


Operation = Trim | Share | Save | Load | Discard
