"""File locations: the data dir and what is in it, worlds and profiles.

protocol/vectors/paths.json holds cases on which the daemon and the plugins must agree. platformdirs is not used: on
macOS it follows XDG_DATA_HOME, which a game started from the Finder does not see.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from mythicd.errors import ConfigError


def data_dir_of(platform: str, environment: Mapping[str, str], home: str) -> str:
    """Return the data dir for a `sys.platform`, an environment and a home directory, as text. Pure.

    MYTHIC_HOME                                  if set
    Windows   %LOCALAPPDATA%\\Mythic             else %USERPROFILE%\\AppData\\Local\\Mythic
    macOS     ~/Library/Application Support/Mythic
    Linux     $XDG_DATA_HOME/Mythic (if absolute), else ~/.local/share/Mythic
    """
    if environment.get("MYTHIC_HOME"):
        return environment["MYTHIC_HOME"]
    if platform == "win32":
        local = environment.get("LOCALAPPDATA")
        profile = environment.get("USERPROFILE") or home
        base = PureWindowsPath(local) if local else PureWindowsPath(profile) / "AppData" / "Local"
        return str(base / "Mythic")
    if platform == "darwin":
        return str(PurePosixPath(home) / "Library" / "Application Support" / "Mythic")
    shared = environment.get("XDG_DATA_HOME", "")
    base_posix = PurePosixPath(shared) if shared.startswith("/") else PurePosixPath(home) / ".local" / "share"
    return str(base_posix / "Mythic")


def data_dir() -> Path:
    """Return this user's data dir."""
    return Path(data_dir_of(sys.platform, os.environ, str(Path.home())))


def discovery_file(data: Path) -> Path:
    """Return the discovery file of a data dir."""
    return data / "run" / "daemon.json"


def starter_model() -> Path:
    """Return the language model that comes with the package."""
    return Path(__file__).parent / "assets" / "starter.gguf"


def find(kind: str, name: str, data: Path) -> Path:
    """Find a world's folder (`worlds`, NAME) or a profile's file (`profiles`, NAME) by name or path.

    Searched in this order: the path itself, the data dir, the current directory, the folder that holds the package.
    Raises ConfigError that names every place searched.
    """
    leaf = f"{name}.yaml" if kind == "profiles" else name
    given = Path(name)
    if (given.is_absolute() or len(given.parts) > 1) and given.exists():
        return given
    places = [data / kind / leaf, Path.cwd() / kind / leaf, Path(__file__).parent.parent / kind / leaf]
    for place in places:
        if place.exists():
            return place
    tried = ", ".join(dict.fromkeys(str(place) for place in (given, *places)))
    raise ConfigError(
        f"There is no {kind[:-1]} {name!r}.", remedy=f"Check the name, or create it in one of these places: {tried}."
    )
