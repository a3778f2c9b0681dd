"""Operations on llama.cpp's memory that the allocator orders, to be done in order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trim:
    """Remove a sequence's tokens from position `start` on."""

    sequence: int
    start: int


@dataclass(frozen=True, slots=True)
class Share:
    """Add the cells of `source` at positions `start` to `end` to `sequence`, which has none there yet."""

    source: int
    sequence: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Save:
    """Copy a sequence to host memory, replacing the owner's saved copy."""

    sequence: int
    owner: str


@dataclass(frozen=True, slots=True)
class Load:
    """Move the owner's saved copy into a sequence, which is empty."""

    owner: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Discard:
    """Delete the owner's saved copy."""

    owner: str


Operation = Trim | Share | Save | Load | Discard
