"""The layers of the package: a folder imports only from the layers below its own, and engine packages never import one
another.

So every folder can be read, tested and changed knowing only what lies below it. The order of a turn's stages is known
in `character/` alone, and the way an engine is loaded in one file, its own.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mythicd"

LAYERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("", "errors"), "the version, and every error: what everything may name"),
    (("paths", "telemetry", "audio", "concurrency"), "values and mechanisms that know nothing of games or speech"),
    (("engines", "text"), "the interfaces of the engines, and knowledge of language"),
    (("wire", "native", "http_client"), "the protocol without sockets; C libraries and HTTP without policy"),
    (("config",), "what the user wrote"),
    (("vad", "aec", "asr", "dialogue", "memory", "llm", "tts"), "engines and policies, each alone"),
    (("character",), "one character: the only place that knows the order of a turn's stages"),
    (("world",), "many characters"),
    (("provisioning",), "engines are chosen and built"),
    (("authoring",), "tools for people who write worlds: they read files as the daemon does, and no daemon needs them"),
    (("client", "server"), "sockets, devices and processes"),
    (("cli",), "the command line"),
    (("__main__",), "the program"),
)
"""Folders (and the files of the top level) from the bottom up, with what each layer is; `""` is the package itself."""

ENGINES = LAYERS[5][0]
"""Folders that never import one another, although they share a layer."""
LAYER = {name: layer for layer, (names, _) in enumerate(LAYERS) for name in names}

MOST_FILES = 5
"""Files at the top level of the package, without `__init__.py`."""
MOST_MODULES = 16
"""Modules in one folder, without `__init__.py`."""
MOST_LINES = 450
"""Lines of a module whose docstring gives no reason (`Long because …`) for more."""

HEAVY = {
    "TTS": "tts/xtts.py",
    "apsw": "memory/",
    "espeakng_loader": "native/espeakng.py",
    "ctranslate2": "asr/whisper/model.py",
    "faster_whisper": "asr/whisper/model.py",
    "llama_cpp": "native/llamacpp.py",
    "onnxruntime": "vad/silero.py",
    "onnx": "tts/piper/loading.py",
    "piper": "tts/piper/loading.py",
    "pocketsphinx": "asr/pocketsphinx/decoder.py",
    "pywebrtc_audio": "aec/canceller.py",
    "sounddevice": "client/microphone.py",
    "sentence_transformers": "memory/sentence_transformer.py",
    "soundfile": "audio/wav.py",
    "soxr": "audio/pcm.py",
    "sqlite_vec": "memory/database.py",
    "webrtcvad": "vad/webrtc.py",
}
"""Packages that are large, native or optional, and the one file (or folder) that may import each."""

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def name_of(file: str) -> str:
    """Return the name under which a file (or the folder it lies in) stands in LAYERS."""
    head = file.split("/")[0].removesuffix(".py")
    return "" if head == "__init__" else head


def imports(file: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything a file imports, wherever in it; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse((PACKAGE / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: write the absolute name of what you import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def imported_folders(file: str) -> Iterator[tuple[int, str]]:
    """Yield (line, name in LAYERS) of what a file imports of this package."""
    for line, dotted in imports(file):
        if dotted == "mythicd" or dotted.startswith("mythicd."):
            name = (dotted.split(".") + [""])[1]
            is_there = (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()
            yield line, name if is_there else ""


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down(file: str) -> None:
    name = name_of(file)
    assert name in LAYER, f"{file} is in no layer. Put its folder into LAYERS (docs/architecture.md)."
    for line, other in imported_folders(file):
        where = f"mythicd/{file}:{line}: imports mythicd.{other}"
        assert other in LAYER, f"{where}, which is in no layer. Put it into LAYERS."
        if other == name:
            continue
        assert not (name in ENGINES and other in ENGINES), (
            f"{where}. Engine folders do not know one another: they are joined in character/ alone. "
            "A type that both need belongs into engines/, text/ or wire/."
        )
        assert LAYER[other] < LAYER[name], (
            f"{where}, which is not below it. {name}/ is: {LAYERS[LAYER[name]][1]}. "
            f"{other}/ is: {LAYERS[LAYER[other]][1]}. Pass the object in, or move the type down."
        )


def test_no_two_modules_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    modules = {"mythicd." + file.removesuffix(".py").replace("/", "."): file for file in FILES}
    for module, file in modules.items():
        found: set[str] = set()
        for _, dotted in imports(file):
            found |= {name for name in (dotted, dotted.rpartition(".")[0]) if name in modules}
        graph[module] = found - {module}
    done: set[str] = set()
    while ready := {module for module, needs in graph.items() if module not in done and needs <= done}:
        done |= ready
    assert set(graph) - done == set(), "these modules import one another in a circle"


def test_a_reader_finds_the_way() -> None:
    """Few files at the top, folders that can be read at once, and no long module without a reason."""
    top = [file for file in FILES if "/" not in file and file != "__init__.py"]
    assert len(top) <= MOST_FILES
    folders: dict[str, list[str]] = {}
    for file in FILES:
        if not file.endswith("__init__.py"):
            folders.setdefault(str(Path(file).parent), []).append(file)
    assert {folder: len(files) for folder, files in folders.items() if len(files) > MOST_MODULES} == {}
    long = {}
    for file in FILES:
        text = (PACKAGE / file).read_text(encoding="utf-8")
        if text.count("\n") > MOST_LINES and "Long because" not in (ast.get_docstring(ast.parse(text)) or ""):
            long[file] = text.count("\n")
    assert long == {}, "split it, or give the reason in its docstring"


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
