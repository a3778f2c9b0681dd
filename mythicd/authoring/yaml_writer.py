"""Files of a world, written: YAML with comments, and several files at once or none."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from mythicd.config.world_files import LoreEntry, PersonaCard
from mythicd.config.yaml_reader import FileProblem

_WIDTH = 110


def card_text(card: PersonaCard, comments: Sequence[str] = ()) -> str:
    """Return a persona card as YAML, without the keys that have their default."""
    default = PersonaCard(name=card.name)
    keys = {
        name: list(value) if isinstance(value, tuple) else value
        for name in PersonaCard.__struct_fields__
        if (value := getattr(card, name)) != getattr(default, name) or name == "name"
    }
    keys.pop("llm", None)
    return _commented(comments) + _yaml(keys)


def lore_text(entries: Sequence[LoreEntry], zone: str, comments: Sequence[str] = ()) -> str:
    """Return lore as YAML."""
    head = {"zone": zone} if zone else {}
    listed = []
    for entry in entries:
        item: dict[str, Any] = {"id": entry.id, "text": entry.text}
        if entry.title:
            item["title"] = entry.title
        if entry.tags:
            item["tags"] = list(entry.tags)
        listed.append(item)
    return _commented(comments) + (_yaml(head) if head else "") + _yaml({"entries": listed})


def _yaml(keys: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(keys), allow_unicode=True, sort_keys=False, width=_WIDTH, default_flow_style=False)
    return text


def _commented(lines: Sequence[str]) -> str:
    return "".join(f"# {' '.join(line.split())}\n" for line in lines)


def write_files(files: Mapping[Path, str], *, force: bool) -> None:
    """Write files, all or none: each appears whole, and only after all could be written.

    Raises FileProblem if one exists and `force` is not given, or if one cannot be written.
    """
    if not force:
        for file in files:
            if taken := existing(file):
                raise FileProblem(
                    taken, "this file exists already", remedy="Use --force to overwrite it, or --npc-id for another id."
                )
    ready: list[tuple[Path, Path]] = []
    file = Path()
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            # A name with a dot in front is not read by a daemon that serves this world.
            descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=file.parent)
            ready.append((Path(name), file))
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as handle:
                handle.write(text)
                handle.flush()
                os.fsync(handle.fileno())
            os.chmod(name, 0o644)  # a temporary file is its owner's alone
        for temporary, file in ready:
            os.replace(temporary, existing(file) or file)
    except OSError as error:
        raise FileProblem(
            file, f"cannot write it: {error.strerror or error}", remedy="Check the folder's permissions and space."
        ) from error
    finally:
        for temporary, _ in ready:
            with contextlib.suppress(OSError):
                temporary.unlink()


def existing(file: Path) -> Path | None:
    """Return the file of this name, in any case: some systems cannot tell such names apart."""
    try:
        names = os.listdir(file.parent)
    except OSError:
        return None
    found = next((name for name in names if name.casefold() == file.name.casefold()), None)
    return file.parent / found if found else None


def checked(card: PersonaCard, entries: Sequence[LoreEntry]) -> None:
    """Check that a card and lore are valid, as they will be read. Raises msgspec.ValidationError."""
    msgspec.convert(msgspec.to_builtins(card), PersonaCard)
    msgspec.convert(msgspec.to_builtins(list(entries)), list[LoreEntry])
