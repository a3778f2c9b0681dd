"""The files of a world's folder: which are read, and which are not and why.

world.yaml  things.yaml  tools.yaml  voices.yaml  npcs/*.yaml  lore/*.yaml

Hidden files, editors' backups and the files that operating systems leave behind are skipped without a word. Names are
compared exactly on every platform, so that a world that works on Windows works on Linux.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mythicd.config.yaml_reader import FileProblem, did_you_mean

TOP = ("world.yaml", "things.yaml", "tools.yaml", "voices.yaml")
"""Files at the top of a world's folder."""
FOLDERS = ("npcs", "lore")
"""Folders whose .yaml files are read."""

MOST_FILES = 20_000
"""Files that are looked at; a folder with more of them is hardly a world's."""
MOST_NAMED = 8
"""Files of one folder that is not read that get a notice each; more of them get one together."""

_SYSTEM = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "__pycache__"))
_BACKUP = re.compile(r"~$|^#.*#$|^\.|\.(?:sw[a-p]|bak|orig|tmp|temp|part|crdownload)$", re.IGNORECASE)
_FINE = re.compile(r"^(?:readme|licen[cs]e|copying|credits|changelog)(?:\.(?:md|txt|rst|html?))?$", re.IGNORECASE)
"""Files at the top of a world that are for people."""
_CARDS = frozenset((".png", ".apng", ".json", ".charx", ".csv"))
_TEXTS = frozenset((".md", ".markdown", ".txt", ".rst", ".doc", ".docx", ".odt", ".rtf", ".html"))
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")


@dataclass(slots=True)
class WorldFolder:
    """The files of a world's folder, each list in the order in which it is read."""

    path: Path
    top: dict[str, Path] = field(default_factory=dict)
    """By name: those of `TOP` that are there."""
    npcs: list[Path] = field(default_factory=list)
    lore: list[Path] = field(default_factory=list)
    adapters: list[Path] = field(default_factory=list)
    """GGUF files: LoRA adapters, if a persona card names them."""
    unread: list[FileProblem] = field(default_factory=list)
    """What is not read: mistakes, one for a file, or for a folder with many."""

    @property
    def read(self) -> list[Path]:
        """All files that are read."""
        return [*self.top.values(), *self.npcs, *self.lore]


def world_folder(path: Path) -> WorldFolder:
    """List a world's folder. Raises OSError where it cannot be listed."""
    folder = WorldFolder(path)
    others: dict[Path, list[Path]] = {}
    for file in _files(path):
        parts = file.relative_to(path).parts
        if len(parts) == 1 and file.name in TOP:
            folder.top[file.name] = file
        elif len(parts) == 2 and parts[0] in FOLDERS and file.suffix == ".yaml":
            (folder.npcs if parts[0] == "npcs" else folder.lore).append(file)
        elif file.suffix.lower() == ".gguf":
            folder.adapters.append(file)
        elif not (len(parts) == 1 and _FINE.match(file.name)):
            others.setdefault(path / parts[0] if len(parts) > 1 else path, []).append(file)
    for files in (folder.npcs, folder.lore):
        files.sort(key=_order)
    for below, files in sorted(others.items()):
        if below != path and below.name not in FOLDERS and len(files) > MOST_NAMED:
            folder.unread.append(_unread(below, f"none of its {len(files)} files is read", _folder_remedy(below)))
        else:
            folder.unread += [_unread(file, *_why(path, file)) for file in sorted(files)]
    return folder


def _files(path: Path) -> Iterator[Path]:
    """Yield every file below a folder, apart from those that are skipped; links to folders are not followed further
    than FOLDERS themselves."""
    ahead, seen = [path], 0
    while ahead:
        here = ahead.pop()
        try:
            with os.scandir(here) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            if here == path:
                raise
            continue  # it vanished, or may not be read
        for entry in found:
            seen += 1
            if seen > MOST_FILES:
                return
            if is_ignored(entry.name):
                continue
            follow = here == path and entry.name in FOLDERS
            try:
                is_folder = entry.is_dir(follow_symlinks=follow)
            except OSError:
                is_folder = False
            if is_folder:
                ahead.append(Path(entry.path))
            else:
                yield Path(entry.path)


def is_ignored(name: str) -> bool:
    """Return whether a file or folder of this name is skipped without a word."""
    return name.lower() in _SYSTEM or _BACKUP.search(name) is not None


def _order(file: Path) -> tuple[bool, str, str]:
    """Return the order in which files are read. The first of two equals counts: copies come after their originals
    ("harbor - Copy" sorts before "harbor"), and names in lower case, as ids usually are, before others."""
    return _PLAIN_ID.fullmatch(file.stem) is None, str(file).casefold(), str(file).swapcase()


def _unread(file: Path, why: str, remedy: str) -> FileProblem:
    return FileProblem(file, f"not read: {why}", sentence=f"{file} is not read: {why}.", remedy=remedy)


def _why(world: Path, file: Path) -> tuple[str, str]:
    """Return why a file is not read, and what to do about it."""
    parts = file.relative_to(world).parts
    suffix = file.suffix.lower()
    at_home = len(parts) == 2 and parts[0] in FOLDERS
    if suffix in (".yml", ".yaml") and file.suffix != ".yaml":
        return "its name must end in .yaml", f"Rename it to {file.stem}.yaml."
    if suffix == ".yaml" and len(parts) > 2 and parts[0] in FOLDERS:
        return f"it is in a sub-folder of {parts[0]}/", f"Move it to {parts[0]}/."
    if suffix == ".yaml":
        names = [name.removesuffix(".yaml") for name in TOP] if len(parts) == 1 else FOLDERS
        near = did_you_mean(file.stem if len(parts) == 1 else parts[0], names)
        if near and len(parts) == 1:
            near = near.replace("'?", ".yaml'?")
        return "a world has no file of this name", near or "Move it to npcs/ or lore/."
    if suffix in _CARDS:
        return "it is not YAML", f"If it is a character card or a lorebook, run: mythicd import {file}"
    if suffix in _TEXTS and at_home:
        return "it is not YAML", "Write its content into a .yaml file (docs/worlds.md), or move it out of the folder."
    return "it is not one of a world's files", "Move it out of the world's folder."


def _folder_remedy(folder: Path) -> str:
    return did_you_mean(folder.name, FOLDERS) or "Move it out of the world's folder."
