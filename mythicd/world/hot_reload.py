"""Hot reload: a world's files, read again when they change."""

from __future__ import annotations

from pathlib import Path

from mythicd.config.world_files import World, load_world
from mythicd.dialogue.tool_arguments import check
from mythicd.errors import ConfigError


class WorldFiles:
    """A world's files. An edit is live on the next turn; a broken edit is reported and changes nothing."""

    def __init__(self, path: Path) -> None:
        """Read the world's folder. Raises ConfigError."""
        self.path = path
        self.world = _load(path)
        self._seen = self._file_states()

    def refresh(self) -> bool:
        """Read the files again if one changed; return whether the world has changed. Raises ConfigError once for each
        broken edit; the world stays as it was."""
        try:
            seen = self._file_states()
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be read: {error.strerror}.", remedy="Fix its permissions."
            ) from error
        if seen == self._seen:
            return False
        self._seen = seen
        self.world = _load(self.path)
        return True

    def _file_states(self) -> tuple[tuple[str, int, int], ...]:
        """Return name, time and size of every file: some tens of `stat` calls, well under a millisecond."""
        files = sorted(self.path.rglob("*.yaml"))
        states = [(file, file.stat()) for file in files if file.exists()]
        return tuple((str(file), state.st_mtime_ns, state.st_size) for file, state in states)


def _load(path: Path) -> World:
    """Read a world, and check that every tool accepts everything it can be pointed at. Raises ConfigError."""
    world = load_world(path)
    check(world.tools, world.things)
    return world
