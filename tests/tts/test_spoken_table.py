"""The table of written and spoken text: every line of `spoken_table.yaml`, by class."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mythicd.tts.speakable_text import spoken

TABLE: dict[str, dict[str, str]] = yaml.safe_load(
    Path(__file__).with_name("spoken_table.yaml").read_text(encoding="utf-8")
)
LINES = [(kind, written, voice) for kind, lines in TABLE.items() for written, voice in lines.items()]


def test_each_class_has_four_samples() -> None:
    assert len(LINES) >= 150
    assert {kind: len(lines) for kind, lines in TABLE.items() if len(lines) < 4} == {}


@pytest.mark.parametrize(("kind", "written", "voice"), LINES, ids=[f"{kind}: {written}" for kind, written, _ in LINES])
def test_written_text_is_spoken_as_words(kind: str, written: str, voice: str) -> None:
    assert " ".join(spoken(written).text.split()) == voice
