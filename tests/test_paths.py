"""File locations, compared with the vectors that the plugins use too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mythicd import paths
from mythicd.errors import ConfigError

CASES = json.loads((Path(__file__).parent.parent / "protocol/vectors/paths.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['platform']}-{case['data']}")
def test_data_dir(case: dict[str, Any]) -> None:
    assert paths.data_dir_of(case["platform"], case["environment"], case["home"]) == case["data"]


def test_a_world_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    own = tmp_path / "worlds" / "mine"
    own.mkdir(parents=True)
    assert paths.find("worlds", "mine", tmp_path) == own
    assert paths.find("worlds", str(own), tmp_path / "elsewhere") == own
    assert paths.find("worlds", "lanternport", tmp_path).name == "lanternport"


def test_a_missing_profile_names_every_place_searched(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="profile 'gpu-99gb'") as caught:
        paths.find("profiles", "gpu-99gb", tmp_path)
    assert str(tmp_path / "profiles" / "gpu-99gb.yaml") in caught.value.remedy
