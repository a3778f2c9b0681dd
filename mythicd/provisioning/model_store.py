"""The model store: where a model's files are on this machine, held to the checksums of the catalogue.

A model is looked for in the data dir, then in the installed package that carries it. A file is hashed once; the result
is kept in `<data>/models/verified.json` with the file's size and time, so that a start does not read every model.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mythicd.config.model_catalogue import Kind, ModelCatalogue, ModelEntry, PackageSource, load_catalogue
from mythicd.errors import ModelError
from mythicd.paths import find

log = logging.getLogger(__name__)

_SUFFIX: Mapping[Kind, str] = {"tts": ".onnx", "llm": ".gguf"}


class ModelStore:
    """The models on this machine. Its methods block, and may be called from any thread."""

    def __init__(self, catalogue: ModelCatalogue, data: Path) -> None:
        self.catalogue = catalogue
        self._folder = data / "models"
        self._verified_file = self._folder / "verified.json"
        self._lock = threading.Lock()

    def find(self, name: str, kind: Kind) -> Path:
        """Return a model's path: of the folder for speech recognition, of the .onnx or .gguf file for the others.

        `name` is a name of the catalogue, a name of your own in `<data>/models/<kind>/`, or a path, which is returned
        as it is. Raises ModelError when the model is unknown, missing, incomplete, or differs from the catalogue.
        """
        if is_path(name):
            return Path(name)
        if name not in self.catalogue.models and (own := self._own(name, kind)) is not None:
            return own
        entry = self.catalogue.entry(name, kind)
        folder = self._located(name, entry)
        for file, expected in entry.files.items():
            self._verify(name, folder / file, expected.bytes, expected.sha256, entry)
        return folder if kind == "asr" else folder / _main_file(entry)

    def missing(self, name: str, kind: Kind) -> str:
        """Return why a model cannot be used, with what to do about it; empty if it can. Nothing is hashed."""
        if is_path(name):
            return "" if Path(name).exists() else f"{name} does not exist."
        try:
            if name not in self.catalogue.models and self._own(name, kind) is not None:
                return ""
            self._located(name, self.catalogue.entry(name, kind))
        except ModelError as error:
            return str(error)
        return ""

    def _own(self, name: str, kind: Kind) -> Path | None:
        """Return a model that the user put into the data dir without an entry in the catalogue."""
        folder = self._folder / kind
        suffix = _SUFFIX.get(kind, "")
        places = [folder / f"{name}{suffix}", folder / name / f"{name}{suffix}"] if suffix else [folder / name]
        return next((place for place in places if place.exists()), None)

    def _located(self, name: str, entry: ModelEntry) -> Path:
        """Return the folder that has all files of a model. Raises ModelError that says how to get them."""
        own = self._folder / entry.kind / name
        packaged = None if entry.package is None else package_folder(entry.package)
        for folder in (own, packaged):
            if folder is None or not folder.is_dir():
                continue
            absent = [file for file in entry.files if not (folder / file).is_file()]
            if not absent:
                return folder
            raise ModelError(
                f"The model {name} in {folder} lacks {', '.join(absent)}.", remedy=_remedy(entry, own, again=True)
            )
        raise ModelError(f"The model {name} is not installed.", remedy=_remedy(entry, own))

    def _verify(self, name: str, file: Path, size: int, sha256: str, entry: ModelEntry) -> None:
        remedy = _remedy(entry, self._folder / entry.kind / name, again=True)
        try:
            status = file.stat()
            if status.st_size != size:
                raise ModelError(
                    f"The model {name}: {file} has {status.st_size} bytes; the catalogue says {size}.", remedy=remedy
                )
            mark = [size, status.st_mtime_ns, sha256]
            with self._lock:
                verified = self._read_verified()
                if verified.get(str(file)) == mark:
                    return
                found = _sha256(file)
                if found != sha256:
                    raise ModelError(
                        f"The model {name}: {file} has the sha256 {found}; the catalogue says {sha256}.", remedy=remedy
                    )
                self._write_verified({**verified, str(file): mark})
        except OSError as error:
            raise ModelError(
                f"The model {name}: cannot read {file}: {error.strerror}.", remedy="Correct its permissions."
            ) from error

    def _read_verified(self) -> dict[str, Any]:
        try:
            found = json.loads(self._verified_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write_verified(self, verified: dict[str, Any]) -> None:
        """Replace the file at once: several daemons may share a model folder. A failure costs only time."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self._folder, prefix="verified", suffix=".tmp", delete=False, encoding="utf-8"
            ) as file:
                json.dump(verified, file, indent=1)
            os.replace(file.name, self._verified_file)
        except OSError as error:
            log.warning("cannot note that a model was verified: %s", error)


def model_store(data: Path) -> ModelStore:
    """Return the store of a data dir, with the catalogue of this installation. Raises ConfigError."""
    return ModelStore(load_catalogue(find("profiles", "models", data)), data)


def is_path(name: str) -> bool:
    """Return whether a model is given by its path and not by a name of the catalogue."""
    given = Path(name)
    return given.is_absolute() or len(given.parts) > 1 or given.suffix in (".onnx", ".gguf")


def package_folder(package: PackageSource) -> Path | None:
    """Return the folder of an installed package's model, without importing it; None when it is not installed."""
    top, _, inner = package.folder.partition("/")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / inner


def _main_file(entry: ModelEntry) -> str:
    return next(file for file in entry.files if file.endswith(_SUFFIX[entry.kind]))


def _remedy(entry: ModelEntry, own: Path, *, again: bool = False) -> str:
    """Return how to get a model, or, with `again`, how to replace one that is damaged."""
    ways = []
    if entry.package is not None:
        ways.append(f"run: {entry.package.command}{' --force-reinstall' if again else ''}")
    if entry.hub is not None:
        inside = f" (folder {entry.hub.folder})" if entry.hub.folder else ""
        ways.append(f"put the files of {entry.hub.repo}{inside} into {own}")
    sentence = ", or ".join(ways)
    return sentence[:1].upper() + sentence[1:] + "."


def _sha256(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
