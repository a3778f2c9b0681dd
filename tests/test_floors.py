"""The floors of the house: a file imports only from floors below, or from files listed before it on its own floor.

So every file can be read, tested and changed knowing only what lies below it, and no room knows another. The order of
the rooms is known in one place, npc.py; the way an engine is loaded in one file, its own.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mythicd"

FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "",
        "errors",
        "worker",
        "childprocess",
        "audio",
        "messages",
        "wire",
        "figures",
        "engines",
        "yamlfile",
        "config",
        "worldfile",
        "paths",
        "timeline",
    )
    + ("espeakng", "allocator", "llamacpp"),
    ("vad", "asr", "dialogue", "memory", "llm", "tts", "cluster"),
    (
        "mailbox",
        "intercom",
        "notebook",
        "sidework",
        "surroundings",
        "actions",
        "commitment",
        "continuity",
        "ear",
        "hearing",
        "voicestream",
        "ownvoice",
        "reply",
        "turn",
        "murmuring",
        "recollection",
        "thought",
        "ahead",
        "presence",
        "answers",
        "listening",
        "view",
        "diary",
        "npc",
        "library",
        "world",
    ),
    (
        "hardware",
        "models",
        "hosts",
        "serve",
        "discovery",
        "metrics",
        "gateway",
        "playback",
        "client",
        "devices",
        "tray",
    ),
    ("app", "talk", "cli", "__main__"),
)
"""From the ground up; `""` is the package itself, with nothing but its version."""

ROOMS = FLOORS[1]
PLACE = {name: (floor, index) for floor, names in enumerate(FLOORS) for index, name in enumerate(names)}

HEAVY = {
    "apsw": "memory/",
    "espeakng_loader": "espeakng.py",
    "faster_whisper": "asr/whisper.py",
    "llama_cpp": "llamacpp.py",
    "onnxruntime": "vad/silero.py",
    "piper": "tts/piper.py",
    "pocketsphinx": "asr/decoder.py",
    "pywebrtc_audio": "vad/canceller.py",
    "sounddevice": "devices.py",
    "soundfile": "audio.py",
    "soxr": "audio.py",
    "sqlite_vec": "memory/database.py",
    "webrtcvad": "vad/webrtc.py",
}
"""Packages that are large, native or optional, and the one file (or room) that may import each."""

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def name_of(file: str) -> str:
    """Return the name by which a file (or, in a room, its room) stands in FLOORS."""
    head = file.split("/")[0].removesuffix(".py")
    return "" if head == "__init__" else head


def imports(file: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything a file imports, wherever in it; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse((PACKAGE / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: write the whole name, as everywhere in this house"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def neighbours(file: str) -> Iterator[tuple[int, str]]:
    """Yield (line, name in FLOORS) of what a file imports of this package."""
    for line, dotted in imports(file):
        if dotted == "mythicd" or dotted.startswith("mythicd."):
            below = (dotted.split(".") + [""])[1]
            yield line, below if below in PLACE or (PACKAGE / below).exists() or module(below) else ""


def module(name: str) -> bool:
    return (PACKAGE / f"{name}.py").exists()


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down(file: str) -> None:
    name = name_of(file)
    assert name in PLACE, f"{file} stands on no floor. Put it into FLOORS, where it belongs (docs/architecture.md)."
    for line, other in neighbours(file):
        where = f"mythicd/{file}:{line}: imports mythicd.{other}"
        assert other in PLACE, f"{where}, which stands on no floor. Put it into FLOORS."
        if other == name:
            continue
        assert not (name in ROOMS and other in ROOMS), (
            f"{where}, another room. Rooms are joined only in npc.py; a type that both need belongs to floor 0."
        )
        assert PLACE[other] < PLACE[name], (
            f"{where}, which stands above it. What is below must not know what is above: pass it in, or move it down."
        )


@pytest.mark.parametrize("file", FILES)
def test_a_heavy_package_is_imported_in_one_place(file: str) -> None:
    for line, dotted in imports(file):
        package = dotted.split(".")[0]
        if package in HEAVY:
            home = HEAVY[package]
            assert file == home or (home.endswith("/") and file.startswith(home)), (
                f"mythicd/{file}:{line}: {package} may be imported only in {home}: "
                "one engine, one file, so that it can be missing, replaced or moved to another process."
            )


def test_the_command_line_starts_without_any_engine() -> None:
    """`mythicd --help` must not cost seconds, nor fail because an optional engine is missing."""
    script = f"import sys, mythicd.cli; print(*sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []
