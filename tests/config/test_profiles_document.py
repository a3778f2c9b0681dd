"""docs/profiles.md is held to the settings and to the profiles."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mythicd.config import settings
from mythicd.config.settings import load_settings
from mythicd.provisioning.profile_choice import CANDIDATES, LAST_RESORT
from tests.document_tables import rows, table

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
TABLES: dict[str, type[msgspec.Struct]] = {
    "### The file": settings.Settings,
    "### gpu": settings.GpuSettings,
    "### llm": settings.LlmSettings,
    "### kv": settings.KvSettings,
    "### scheduler": settings.SchedulerSettings,
    "### asr": settings.AsrSettings,
    "### tts": settings.TtsSettings,
    "### tts.server": settings.SpeechServerSettings,
    "### rag": settings.RagSettings,
    "### rag.budgets": settings.BudgetSettings,
    "### safety": settings.SafetySettings,
    "### turn": settings.TurnSettings,
    "### server": settings.ServerSettings,
}


@pytest.mark.parametrize(("after", "struct"), TABLES.items(), ids=list(TABLES))
def test_every_setting_is_described(after: str, struct: type[msgspec.Struct]) -> None:
    described = table(DOCUMENT, after)
    assert [row[:3] for row in described] == rows(struct)
    assert all(len(row) == 4 and row[3] for row in described), "a setting without its meaning"


def test_every_profile_is_listed_and_loads() -> None:
    files = {file.stem: file for file in (ROOT / "profiles").glob("*.yaml") if file.stem != "models"}
    listed = {row[0].strip("`") for row in table(DOCUMENT, "## Which profile")}
    assert listed == set(files) and {*CANDIDATES, LAST_RESORT} <= listed
    for name, file in files.items():
        assert load_settings(file).profile == name
