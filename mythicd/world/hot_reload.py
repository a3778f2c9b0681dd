"""Hot reload: a world's files, read again when they change."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mythicd.config.world_files import World, WorldReading, read_world
from mythicd.config.world_folder import world_folder
from mythicd.config.yaml_reader import FileProblem
from mythicd.world.tool_checks import check_tools

MOST_NOTICES = 40
"""Notices about files that a client is sent; the rest is counted."""

State = tuple[int, int, int] | None
"""Time, size and inode of a file; None for a link that leads nowhere."""


class WorldFiles:
    """A world's files. An edit is live on the next turn; a broken file keeps its last good version."""

    def __init__(self, path: Path) -> None:
        """Read the world's folder. Raises FileProblem, a ConfigError, if it is not a world."""
        self.path = path
        self._good: Mapping[Path, Any] = {}
        self._seen: dict[Path, State] = {}
        seen = self._file_states()
        reading = read_world(path)
        if reading.world is None:
            assert reading.fatal is not None
            raise reading.fatal
        self.world: World
        self.notices: tuple[str, ...]
        """What is wrong with the files, or probably unintended."""
        self.world, self.notices = self._checked(reading, reading.world, None)
        self._remember(seen, reading)

    def refresh(self) -> bool:
        """Read the files again if one changed; return whether the world has changed. `notices` is always up to date."""
        seen = self._file_states()
        if seen == self._seen:
            return False
        reading = read_world(self.path, self._good)
        self._remember(seen, reading)
        if reading.world is None:
            self.notices = _told(reading.problems)
            return False
        world, self.notices = self._checked(reading, reading.world, self.world)
        if _without_notices(world) == _without_notices(self.world):
            return False
        self.world = world
        return True

    def _checked(self, reading: WorldReading, world: World, before: World | None) -> tuple[World, tuple[str, ...]]:
        """Return the world with the tools that can be called, and all notices."""
        world, problems = check_tools(reading, world, before)
        notices = _told([*reading.problems, *problems])
        return msgspec.structs.replace(world, notices=notices), notices

    def _remember(self, seen: Mapping[Path, State], reading: WorldReading) -> None:
        """Keep what was read. A file that could not be opened is tried again at the next refresh."""
        unread = {problem.file for problem in reading.problems if problem.is_unread}
        self._seen = {file: state for file, state in seen.items() if file not in unread}
        self._good = reading.good

    def _file_states(self) -> dict[Path, State]:
        """Return the state of every file that is read, and the names of the others: some tens of `stat` calls, well
        under a millisecond."""
        try:
            folder = world_folder(self.path)
        except OSError:
            return {}
        states = {file: _state(file) for file in (*folder.read, *folder.adapters)}
        return {**states, **{problem.file: (0, 0, 0) for problem in folder.unread}}


def _state(file: Path) -> State:
    try:
        state = os.stat(file)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def _told(problems: Iterable[FileProblem]) -> tuple[str, ...]:
    told = tuple(dict.fromkeys(map(str, problems)))
    if len(told) <= MOST_NOTICES:
        return told
    return (*told[:MOST_NOTICES], f"{len(told) - MOST_NOTICES} more notices: run `mythicd world check`.")


def _without_notices(world: World) -> World:
    return msgspec.structs.replace(world, notices=())
