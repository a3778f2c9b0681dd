"""The commands: arguments, output, exit codes; and a new world."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mythicd.authoring.commands import add_commands
from mythicd.authoring.new_world import NPC_ID, new_world
from mythicd.authoring.world_check import check_world
from mythicd.config.world_files import load_world
from mythicd.errors import ConfigError
from tests.authoring import samples

RUN = (
    "import argparse, sys; from mythicd.authoring.commands import add_commands; top = argparse.ArgumentParser();"
    " add_commands(top.add_subparsers(required=True)); chosen = top.parse_args(); sys.exit(chosen.handler(chosen))"
)


def run(*arguments: str | Path) -> int:
    top = argparse.ArgumentParser()
    add_commands(top.add_subparsers(required=True))
    chosen = top.parse_args([str(each) for each in arguments])
    code = chosen.handler(chosen)
    assert isinstance(code, int)
    return code


def test_new_world_is_free_of_mistakes_and_notices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("world", "new", "sunken-bay", "--dir", tmp_path) == 0
    path = tmp_path / "sunken-bay"
    output = capsys.readouterr().out
    assert f"mythicd talk {NPC_ID} --world {path}" in output and f"mythicd world check {path}" in output
    result = check_world(path)
    assert (result.mistakes, result.notices) == ((), ())
    world = load_world(path)
    assert world.title == "Sunken Bay" and world.notices == ()
    assert len(world.lore) >= 4 and world.tools and world.things and world.voices
    assert {card.voice_id for card in world.characters.values()} == set(world.voices)
    assert run("world", "check", path) == 0


def test_new_world_explains_each_key(tmp_path: Path) -> None:
    path = new_world("Bay", tmp_path)
    for file in path.rglob("*.yaml"):
        assert sum("#" in line for line in file.read_text().splitlines()) >= 1, file


@pytest.mark.parametrize(
    ("name", "folder", "title"),
    [
        ("Bay", "Bay", "Bay"),
        ("my_town", "my_town", "My Town"),
        ("Old Town", "old_town", "Old Town"),
        ("Zürich", "zurich", "Zürich"),
    ],
)
def test_name_of_a_new_world(tmp_path: Path, name: str, folder: str, title: str) -> None:
    path = new_world(name, tmp_path)
    assert path == tmp_path / folder and load_world(path).title == title


@pytest.mark.parametrize("name", ["", "  ", "../x", "a/b", "{x}", "a: b", "x" * 99, "日本", "\n"])
def test_unfit_name_of_a_world(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="name of a world"):
        new_world(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_new_world_refuses_a_folder_that_exists(tmp_path: Path) -> None:
    (tmp_path / "bay").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").write_text("x")
    for name in ("bay", "link", "file"):
        with pytest.raises(ConfigError, match="exists already"):
            run("world", "new", name, "--dir", tmp_path)
    assert list((tmp_path / "bay").iterdir()) == []


def test_new_world_goes_to_worlds_here_or_to_the_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("world", "new", "one", "--data", tmp_path / "data")
    assert (tmp_path / "data" / "worlds" / "one" / "world.yaml").exists()
    (tmp_path / "worlds").mkdir()
    run("world", "new", "two")
    assert (tmp_path / "worlds" / "two" / "world.yaml").exists()
    assert run("world", "check", "one", "--data", tmp_path / "data") == 0, "a world is found by its name"


def test_check_prints_file_line_place_and_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = new_world("bay", tmp_path)
    (path / "npcs" / "tom.yaml").write_text("name: Tom\nvoice_id: '[red]'\n")
    (path / "lore" / "notes.md").write_text("x")
    (path / "voices.yaml").write_text((path / "voices.yaml").read_text() + "bass: {espeak: en-us}\n")
    assert run("world", "check", path) == 1
    output = capsys.readouterr().out
    for words in (
        "Mistakes (2)",
        "npcs/tom.yaml",
        "line 2: voice_id:",
        "'[red]'",
        "voices.yaml",
        "lore/notes.md",
        "bass",
    ):
        assert words in output
    assert output.index("npcs/tom.yaml") < output.index("lore/notes.md") < output.index("Notices (1)")
    capsys.readouterr()
    assert run("world", "check", path, "--json") == 1
    findings = json.loads(capsys.readouterr().out)
    assert [each["file"] for each in findings["mistakes"]] == ["npcs/tom.yaml", "lore/notes.md"]
    (path / "npcs" / "tom.yaml").unlink()
    (path / "lore" / "notes.md").unlink()
    assert run("world", "check", path) == 0, "notices are not mistakes"


def test_check_of_no_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="no world 'nowhere'"):
        run("world", "check", "nowhere", "--data", tmp_path)
    assert run("world", "check", tmp_path) == 1
    assert "world.yaml" in capsys.readouterr().out


def test_import_prints_what_was_written_and_what_was_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = new_world("bay", tmp_path)
    card = samples.saved(tmp_path, "mira.json", samples.v2(tags=["[a]"], character_book={"entries": [samples.entry()]}))
    assert run("import", card, "--world", path, "--zone", "inn", "--npc-id", "mira_01") == 0
    output = capsys.readouterr().out
    for words in ("Character Card V2", "npcs/mira_01.yaml", "lore/mira_01.yaml", "data.tags: ", "mythicd talk mira_01"):
        assert words in output
    assert check_world(path).mistakes == ()
    with pytest.raises(ConfigError, match="exists already"):
        run("import", card, "--world", path, "--npc-id", "mira_01")
    assert run("import", card, "--world", path, "--npc-id", "mira_01", "--force") == 0
    monkeypatch.chdir(path)
    assert run("import", card) == 0 and "mira" in load_world(path).characters
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="--world"):
        run("import", card)


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {}])
def test_commands_in_a_process(tmp_path: Path, variables: dict[str, str]) -> None:
    """What the terminal cannot show is replaced, and heavy packages stay out of the parser."""
    path = new_world("bay", tmp_path)
    card = samples.saved(tmp_path, "card.json", samples.v2(name="Zoë 林", description="Ω \U0001f600"))
    root = Path(__file__).parents[2]
    for arguments in (["import", card, "--world", path], ["world", "check", path], ["--help"]):
        done = subprocess.run(
            [sys.executable, "-c", RUN, *map(str, arguments)],
            cwd=root, env={"PATH": "", "HOME": str(tmp_path), **variables}, capture_output=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
    names = "import sys, mythicd.authoring.commands; print('jsonschema' in sys.modules, 'yaml' in sys.modules)"
    light = subprocess.run([sys.executable, "-c", names], cwd=root, capture_output=True, text=True, check=True)
    assert light.stdout.split() == ["False", "False"]
