"""Hot reload: an edit that breaks one file keeps that file's last good version, and is told."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mythicd.errors import ConfigError
from mythicd.world import hot_reload
from mythicd.world.hot_reload import MOST_NOTICES, WorldFiles

LANTERNPORT = Path(__file__).parents[2] / "worlds" / "lanternport"
PRICE = "A mug of ale costs two copper coins."


@pytest.fixture
def world(tmp_path: Path) -> Path:
    shutil.copytree(LANTERNPORT, tmp_path / "world")
    return tmp_path / "world"


def texts(files: WorldFiles) -> set[str]:
    return {placed.entry.text for placed in files.world.lore}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lore/harbor.yaml", "- this: is: no yaml"),
        ("lore/harbor.yaml", ""),
        ("npcs/barkeep_01.yaml", "nmae: Marla"),
        ("world.yaml", "title: ["),
        ("things.yaml", "places: 3"),
        ("tools.yaml", "- {name: set_waypoint}"),
        ("voices.yaml", "marla_alto: {espeak: 3}"),
    ],
)
def test_broken_file_keeps_its_last_good_version(world: Path, name: str, content: str) -> None:
    files = WorldFiles(world)
    before = files.world
    whole = (world / name).read_text()
    edit(world / "lore" / "market.yaml", "A healing potion costs six", "A healing potion costs seven")
    (world / name).write_text(content)
    assert files.refresh()
    assert any("seven" in text for text in texts(files)), "the edit of another file was not taken"
    if content:
        assert any(name in notice for notice in files.notices)
        assert files.world.characters == before.characters and files.world.title == before.title
        assert files.world.things == before.things and files.world.voices == before.voices
        assert PRICE in texts(files)
        assert "set_waypoint" in files.world.tools
    told = files.notices
    assert not files.refresh() and files.notices == told
    (world / name).write_text(whole)
    files.refresh()
    assert files.notices == () and files.world.characters == before.characters and PRICE in texts(files)


def test_world_is_the_same_object_until_its_content_changes(world: Path) -> None:
    files = WorldFiles(world)
    before = files.world
    (world / "lore" / "market.yaml").touch()
    assert not files.refresh()
    (world / "lore" / "market.yaml").write_text("[")
    (world / "lore" / "notes.md").write_text("x")
    assert not files.refresh()
    assert files.world is before and len(files.notices) == 2


def test_locks_links_and_other_programs_files_do_not_stop_edits(world: Path) -> None:
    lore = world / "lore"
    (lore / ".#harbor.yaml").symlink_to("user@host.1234:5678")
    files = WorldFiles(world)
    assert files.notices == ()
    (lore / ".#market.yaml").symlink_to("user@host.1234:5678")
    (lore / "._harbor.yaml").write_bytes(b"\0\5\x16\7")
    edit(lore / "harbor.yaml", PRICE, "A mug of ale costs nine copper coins.")
    assert files.refresh() and files.notices == ()
    assert "A mug of ale costs nine copper coins." in texts(files)
    (lore / "gone.yaml").symlink_to(world / "nowhere.yaml")
    files.refresh()
    assert "gone.yaml" in files.notices[0]
    (world / "nowhere.yaml").write_text("entries: [{id: late, text: It came late.}]\n")
    assert files.refresh() and "It came late." in texts(files)


def test_file_is_read_again_until_it_could_be_opened(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = WorldFiles(world)
    file = world / "lore" / "harbor.yaml"
    edit(file, PRICE, "A mug of ale costs nine copper coins.")
    opened = Path.open

    def locked(path: Path, *arguments: object, **more: object) -> object:
        if path == file:
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", locked)
    assert not files.refresh()
    assert "harbor.yaml" in files.notices[0] and PRICE in texts(files)
    monkeypatch.setattr(Path, "open", opened)
    assert files.refresh() and files.notices == ()
    assert "A mug of ale costs nine copper coins." in texts(files)


def test_error_while_reading_is_not_remembered_as_read(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = WorldFiles(world)
    edit(world / "lore" / "harbor.yaml", PRICE, "A mug of ale costs nine copper coins.")
    read = hot_reload.read_world

    def failing(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(hot_reload, "read_world", failing)
    with pytest.raises(MemoryError):
        files.refresh()
    monkeypatch.setattr(hot_reload, "read_world", read)
    assert files.refresh() and "A mug of ale costs nine copper coins." in texts(files)


def test_world_that_vanishes_stays_served(world: Path) -> None:
    files = WorldFiles(world)
    before = files.world
    world.rename(world.with_name("away"))
    assert not files.refresh() and files.world is before and files.notices
    assert not files.refresh()
    world.with_name("away").rename(world)
    files.refresh()
    assert files.notices == () and files.world.lore == before.lore
    shutil.rmtree(world / "npcs")
    assert not files.refresh() and files.world.characters == before.characters
    assert "persona card" in files.notices[-1]


def test_deleted_files_are_gone(world: Path) -> None:
    files = WorldFiles(world)
    (world / "lore" / "harbor.yaml").unlink()
    (world / "npcs" / "guard_01.yaml").unlink()
    assert files.refresh()
    assert PRICE not in texts(files) and "guard_01" not in files.world.characters


def test_many_notices_are_counted(world: Path) -> None:
    for number in range(MOST_NOTICES + 5):
        (world / "lore" / f"{number}.md").write_text("x")
    files = WorldFiles(world)
    assert len(files.notices) == MOST_NOTICES + 1 and files.notices[-1].startswith("5 ")


def test_no_world_is_an_error(world: Path) -> None:
    os.remove(world / "world.yaml")
    with pytest.raises(ConfigError):
        WorldFiles(world)
    with pytest.raises(ConfigError):
        WorldFiles(world / "nowhere")


TOOL = "  schema:\n    type: object\n    properties: {x: {type: number}, y: {type: number}, z: {type: number}}\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "keeps"),
    [
        ("tools.yaml", "{x: {type: number}, y", "{x: {type: strng}, y", True),
        ("tools.yaml", "x: $place.x, y: $place.y, z: $place.z}\n  schema", "x: $place.q}\n  schema", True),
        ("tools.yaml", "intents: [navigation, quest, hint]", "intents: [navigaton, quest, hint]", True),
        ("things.yaml", "{x: 12.5, y", "{x: far, y", True),
    ],
)
def test_broken_tool_keeps_its_last_good_version(world: Path, file: str, old: str, new: str, keeps: bool) -> None:
    files = WorldFiles(world)
    before = files.world.tools
    edit(world / file, old, new)
    files.refresh()
    assert any(file in notice for notice in files.notices)
    assert set(files.world.tools) == set(before)
    unchanged = {"set_waypoint"} if "intents" in new else set()
    for name, tool in files.world.tools.items():
        if name in unchanged or name == "set_marker" and unchanged:
            assert tool.intents == ("quest", "hint")
        else:
            assert tool == before[name]
