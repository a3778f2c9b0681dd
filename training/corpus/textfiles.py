"""The generator's data files: `[header]` sections, one entry a line, `#` comments."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def sections(name: str) -> dict[str, list[str]]:
    """Return section name -> its lines, in order; a section that appears twice is joined."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for raw in files(__package__).joinpath(name).read_text("utf-8").splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            current = found.setdefault(line[1:-1], [])
        else:
            current.append(line)
    return found
