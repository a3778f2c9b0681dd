"""What other programs' files say of a character or a world, before it is put into this program's form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mythicd.config.yaml_reader import FileProblem

MOST_ENTRIES = 5_000
"""Entries of one lorebook."""
MOST_LETTERS = 500_000
"""Characters of one text: a novel has as many, and no description."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was not taken, and why."""

    place: str
    """Its key in the source: `data.first_mes`, `entries[3] (wolves)`."""
    why: str


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One entry of a lorebook."""

    place: str
    title: str
    text: str
    keys: tuple[str, ...] = ()


@dataclass(slots=True)
class SourceBook:
    """A lorebook."""

    name: str = ""
    entries: list[SourceEntry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass(slots=True)
class SourceCharacter:
    """A character. Texts may still have placeholders."""

    format: str
    """Name of the file's format, as people know it."""
    name: str
    nickname: str = ""
    description: str = ""
    personality: str = ""
    scenario: str = ""
    kind: str = ""
    """What it is, in a few words: "a Nord woman"."""
    voice: str = ""
    """Name of its voice in the other program."""
    credit: str = ""
    """Who made it, and which version it is."""
    book: SourceBook | None = None
    left_out: list[LeftOut] = field(default_factory=list)


def text_of(value: Any) -> str:
    """Return a value of a JSON file as text: lists joined, nothing and objects as empty text."""
    if isinstance(value, str):
        # Halves of emojis, which JSON can write alone, cannot be stored.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\r\n", "\n")
    if isinstance(value, bool) or value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, int | float):
        return str(value) if math.isfinite(value) else ""
    if isinstance(value, Iterable):
        return "\n".join(text for item in value if (text := text_of(item)))
    return ""


def texts_of(value: Any) -> tuple[str, ...]:
    """Return a list of a JSON file as texts; a text with commas as its parts."""
    if isinstance(value, str):
        return tuple(part.strip() for part in text_of(value).split(",") if part.strip())
    if isinstance(value, list):
        return tuple(text.strip() for item in value if (text := text_of(item)).strip())
    return ()


def check_length(text: str, file: Path, place: str, line: int | None = None) -> None:
    """Raise FileProblem for a text that is too long to be what it should be."""
    if len(text) > MOST_LETTERS:
        complaint = f"the text has {len(text)} characters, more than {MOST_LETTERS}"
        raise FileProblem(file, complaint, place=place, line=line, remedy="Shorten it in the file.")


def shortened(text: str, longest: int = 40) -> str:
    """Return text on one line, cut for a message."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
