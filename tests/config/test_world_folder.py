"""A world's folder with bad files in it: what is skipped, what costs itself only, and what is told of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mythicd.config.world_files import WorldReading, load_world, read_world
from mythicd.config.world_folder import is_ignored, world_folder
from mythicd.config.yaml_reader import FileProblem
from mythicd.errors import ConfigError

GOOD = {
    "world.yaml": "title: T\n",
    "npcs/ada.yaml": "name: Ada\nvoice_id: alto\nzone: dock\n",
    "npcs/ben.yaml": "name: Ben\n",
    "lore/dock.yaml": "zone: dock\nentries:\n- {id: crane, text: The crane is red.}\n",
    "lore/all.yaml": "entries:\n- {id: sea, text: The sea is salt.}\n",
    "voices.yaml": "alto: {espeak: en-gb}\n",
    "things.yaml": "places: {dock: {name: the dock, values: {x: 1}}}\n",
    "tools.yaml": (
        "- name: go\n  description: go\n  words: {place: {kind: places}}\n  arguments: {x: $place.x}\n"
        "  schema: {type: object}\n"
    ),
}


def make(folder: Path, **more: str | bytes | None) -> Path:
    """Write the good world with files changed, added, or left out (None); `/` in a name is given as `__`."""
    files: dict[str, str | bytes | None] = {**GOOD, **{name.replace("__", "/"): text for name, text in more.items()}}
    return write(folder, files)


def write(folder: Path, files: dict[str, str | bytes | None]) -> Path:
    for name, content in files.items():
        if content is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def told(reading: WorldReading) -> list[tuple[str, int | None, str]]:
    """Return file, line and place of each problem."""
    root = reading.folder.path
    return [(each.file.relative_to(root).as_posix(), each.line, each.place) for each in reading.problems]


def serves(reading: WorldReading) -> tuple[set[str], set[str]]:
    """Return the ids of the characters and the lore."""
    assert reading.world is not None
    return set(reading.world.characters), {placed.entry.id for placed in reading.world.lore}


ALL = ({"ada", "ben"}, {"crane", "sea"})


@pytest.mark.parametrize(
    "name",
    [
        "lore/._dock.yaml", "npcs/._ada.yaml", "._world.yaml", "lore/.#dock.yaml", "npcs/.DS_Store", ".DS_Store",
        "lore/Thumbs.db", "npcs/desktop.ini", "lore/dock.yaml~", "lore/#dock.yaml#", "lore/.dock.yaml.swp",
        "lore/dock.yaml.swp", "npcs/ada.yaml.bak", ".git/config.yaml", "lore/.hidden/x.yaml", "__MACOSX/npcs/x.yaml",
        "README.md", "readme.txt", "LICENSE",
    ],
)  # fmt: skip
def test_hidden_and_backup_files_are_skipped_silently(tmp_path: Path, name: str) -> None:
    world = write(make(tmp_path), {name: b"\0\5\x16\7 not YAML: ["})
    reading = read_world(world)
    assert (told(reading), serves(reading)) == ([], ALL)


@pytest.mark.parametrize(
    ("name", "is_skipped"),
    [
        ("a.yaml", False),
        ("a~b.yaml", False),
        ("a#b.yaml", False),
        ("swp.yaml", False),
        ("a.tmp", True),
        ("Icon\r", True),
    ],
)
def test_names_that_are_skipped(name: str, is_skipped: bool) -> None:
    assert is_ignored(name) == is_skipped


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("npcs/tom.yml", "tom.yaml"),
        ("npcs/tom.YAML", "tom.yaml"),
        ("lore/x.Yml", "x.yaml"),
        ("npcs/town/tom.yaml", "npcs/"),
        ("lore/town/old/x.yaml", "lore/"),
        ("lore/notes.md", "docs/worlds.md"),
        ("npcs/tom.txt", "docs/worlds.md"),
        ("npcs/tom.png", "mythicd import"),
        ("npcs/tom.json", "mythicd import"),
        ("lore/book.json", "mythicd import"),
        ("lores.yaml", "npcs/ or lore/"),
        ("thing.yaml", "'things.yaml'"),
        ("npc/tom.yaml", "'npcs'"),
        ("npcs/tom", "Move it"),
    ],
)
def test_file_that_is_not_read_is_told(tmp_path: Path, name: str, remedy: str) -> None:
    reading = read_world(write(make(tmp_path), {name: "name: Tom\n"}))
    (problem,) = reading.problems
    assert problem.file == tmp_path / name and not problem.is_notice
    assert f"{name} is not read" in str(problem) and remedy in problem.remedy
    assert serves(reading) == ALL
    assert reading.world is not None and reading.world.notices == (str(problem),)


def test_folder_of_many_other_files_is_told_once(tmp_path: Path) -> None:
    files: dict[str, str | bytes | None] = {f"art/{number}.tga": "x" for number in range(30)}
    (problem,) = read_world(write(make(tmp_path), files)).problems
    assert problem.file == tmp_path / "art" and "30" in problem.complaint


@pytest.mark.parametrize(
    ("name", "content", "line", "place", "remedy"),
    [
        ("lore/dock.yaml", b"zone: dock\nentries: \xff\n", 2, "", "UTF-8"),
        ("lore/dock.yaml", "zone: dock\n- this: is: no yaml\n", 2, "", ""),
        (
            "lore/dock.yaml",
            "zone: dock\nentries:\n- {id: crane, text: A., tgas: [x]}\n",
            3,
            "entries[0].tgas",
            "'tags'",
        ),
        ("lore/dock.yaml", "zone: dock\nentries:\n- id: crane\n  title: x\n", 3, "entries[0]", "`text"),
        ("lore/dock.yaml", "just text", None, "", ""),
        ("npcs/ada.yaml", "name: Ada\nstyl: wry\n", 2, "styl", "'style'"),
        ("npcs/ada.yaml", "name: Ada\n\nrules:\n  - a\n  - 3\n", 5, "rules[1]", "quotes"),
        ("npcs/ada.yaml", "\tname: Ada\n", 1, "", "tabs"),
        ("npcs/ada.yaml", "name: Ada\nllm:\n  lora: none.gguf\n", 3, "llm.lora", "loras/ada.gguf"),
    ],
)
def test_bad_file_costs_itself_only(
    tmp_path: Path, name: str, content: str | bytes, line: int | None, place: str, remedy: str
) -> None:
    reading = read_world(write(make(tmp_path), {name: content}))
    assert told(reading) == [(name, line, place)]
    assert remedy in reading.problems[0].remedy
    lost = {"lore/dock.yaml": (ALL[0], {"sea"}), "npcs/ada.yaml": ({"ben"}, ALL[1])}
    assert serves(reading) == lost[name]
    assert load_world(tmp_path).notices == tuple(map(str, reading.problems))


@pytest.mark.parametrize("name", ["ada - Copy.yaml", "ada (2).yaml", "Kopie von ada.yaml", "ADA.yaml", "ä.yaml"])
def test_copied_card_costs_itself_only(tmp_path: Path, name: str) -> None:
    reading = read_world(write(make(tmp_path), {f"npcs/{name}": GOOD["npcs/ada.yaml"]}))
    assert len(reading.problems) == 1 and "Rename" in reading.problems[0].remedy
    assert reading.problems[0].file.name == name and serves(reading)[0] == {"ada", "ben"}


def test_copied_lore_file_costs_itself_only(tmp_path: Path) -> None:
    two = "entries:\n- {id: a, text: one}\n- {id: b, text: two}\n"
    old = "entries:\n- {id: a, text: old}\n- {id: b, text: old}\n"
    reading = read_world(write(make(tmp_path), {"lore/town.yaml": two, "lore/town - Copy.yaml": old}))
    assert told(reading) == [("lore/town - Copy.yaml", None, "")]
    assert reading.world is not None
    texts = {placed.entry.id: placed.entry.text for placed in reading.world.lore}
    assert (texts["a"], texts["b"]) == ("one", "two"), "the copy hid the original"


def test_duplicate_lore_id_costs_one_entry(tmp_path: Path) -> None:
    text = "entries:\n- {id: sea, text: x}\n- {id: new, text: y}\n- {id: new, text: z}\n"
    reading = read_world(write(make(tmp_path), {"lore/more.yaml": text}))
    assert told(reading) == [("lore/more.yaml", 2, "entries[0].id"), ("lore/more.yaml", 4, "entries[2].id")]
    assert serves(reading) == (ALL[0], {"crane", "sea", "new"})


@pytest.mark.parametrize(
    ("name", "content", "line", "place"),
    [
        ("voices.yaml", "alto: {espeak: en-gb, rate: 9}\n", 1, "alto.rate"),
        ("things.yaml", "places:\n  dock: {nam: x}\n", 2, "places.dock.nam"),
        ("tools.yaml", "- 3\n", 1, "[0]"),
        ("tools.yaml", "name: go\n", None, ""),
    ],
)
def test_bad_optional_file_costs_itself_only(
    tmp_path: Path, name: str, content: str, line: int | None, place: str
) -> None:
    reading = read_world(write(make(tmp_path), {name: content}))
    assert told(reading)[0] == (name, line, place)
    assert serves(reading) == ALL
    assert {each[0] for each in told(reading)} == {name}, "a mistake was blamed on another file"


def test_bad_tool_costs_itself_only(tmp_path: Path) -> None:
    more = GOOD["tools.yaml"] + GOOD["tools.yaml"].replace("go", "run").replace("kind: places", "kind: place")
    reading = read_world(write(make(tmp_path), {"tools.yaml": more + "- {name: bad}\n"}))
    assert reading.world is not None and set(reading.world.tools) == {"go"}
    assert [each.line for each in reading.problems] == [8, 11, 11, 11, 11]
    assert reading.problems[0].remedy == "Did you mean 'places'?"


def test_unknown_voice_leaves_the_character(tmp_path: Path) -> None:
    reading = read_world(write(make(tmp_path), {"npcs/ada.yaml": "name: Ada\nvoice_id: alot\n"}))
    assert told(reading) == [("npcs/ada.yaml", 2, "voice_id")] and serves(reading) == ALL


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"npcs/ben.yaml": "name: Ben\nzone: dokc\n"}, [("npcs/ben.yaml", 2, "zone")]),
        ({"npcs/ben.yaml": "name: Ben\nzone: Dock\n"}, [("npcs/ben.yaml", 2, "zone")]),
        ({"npcs/ben.yaml": "name: Ben\nzone: pier\n"}, [("npcs/ben.yaml", 2, "zone", "notice")]),
        ({"lore/dock.yaml": "zone: docks\nentries: [{id: a, text: b}]\n"}, [("npcs/ada.yaml", 3, "zone", "notice")]),
        ({"lore/dock.yaml": "zone: harbor_1\n", "npcs/ada.yaml": "name: Ada\nzone: harbor_2\n"},
         [("npcs/ada.yaml", 2, "zone", "notice")]),
        ({"lore/dock.yaml": "zone: deck_a\n", "npcs/ada.yaml": "name: Ada\nzone: deck_b\n"},
         [("npcs/ada.yaml", 2, "zone", "notice")]),
        ({"lore/dock.yaml": "zone: harbour\n", "npcs/ada.yaml": "name: Ada\nzone: harbor\n"},
         [("npcs/ada.yaml", 2, "zone"), ("lore/dock.yaml", 1, "zone")]),
        ({"world.yaml": "title: T\nzones: [dock]\n"}, []),
        ({"world.yaml": "title: T\nzones: [pier]\n"}, [("npcs/ada.yaml", 3, "zone"), ("lore/dock.yaml", 1, "zone")]),
    ],
)  # fmt: skip
def test_unknown_zone_is_told(tmp_path: Path, changes: dict[str, str | bytes | None], expected: list[object]) -> None:
    reading = read_world(write(make(tmp_path), changes))
    notices = [("notice",) if each.is_notice else () for each in reading.problems]
    assert [(*each, *notice) for each, notice in zip(told(reading), notices, strict=True) if each[2]] == expected


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"world.yaml": "titel: T\n"}, "Did you mean 'title'"),
        ({"world.yaml": b"title: \xff"}, "UTF-8"),
        ({"npcs/ada.yaml": "x", "npcs/ben.yaml": "x"}, "npcs"),
    ],
)
def test_bad_needed_file_is_an_error(tmp_path: Path, changes: dict[str, str | bytes | None], says: str) -> None:
    world = write(make(tmp_path), changes)
    with pytest.raises(ConfigError) as caught:
        load_world(world)
    assert says in str(caught.value) and isinstance(caught.value, FileProblem)
    assert set(read_world(world).draft.lore), "the other files were not read"


def test_world_yaml_in_another_case_is_named(tmp_path: Path) -> None:
    make(tmp_path, **{"world.yaml": None})
    (tmp_path / "World.yaml").write_text("title: T\n")
    with pytest.raises(ConfigError, match=r"Rename World\.yaml to world\.yaml"):
        load_world(tmp_path)


def test_links_pipes_and_vanished_files(tmp_path: Path) -> None:
    world = make(tmp_path)
    (world / "lore" / "gone.yaml").symlink_to(tmp_path / "nowhere.yaml")
    (world / "lore" / "loop.yaml").symlink_to("loop.yaml")
    (world / "lore" / "good.yaml").symlink_to("all.yaml.real")
    (world / "lore" / "all.yaml.real").write_text("entries: [{id: linked, text: x}]\n")
    os.mkfifo(world / "npcs" / "pipe.yaml")
    (world / "npcs" / "folder.yaml").mkdir()
    reading = read_world(world)
    assert {name for name, *_ in told(reading)} == {
        "lore/gone.yaml", "lore/loop.yaml", "lore/all.yaml.real", "npcs/pipe.yaml",
    }  # fmt: skip
    assert serves(reading) == (ALL[0], ALL[1] | {"linked"})


def test_file_that_vanishes_while_it_is_read_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make(tmp_path)
    listed = world_folder(world)
    (world / "lore" / "dock.yaml").unlink()
    monkeypatch.setattr("mythicd.config.world_files.world_folder", lambda path: listed)
    before = read_world(world).good
    reading = read_world(world, {**before, world / "lore" / "dock.yaml": "its last content"})
    assert (told(reading), serves(reading)) == ([], (ALL[0], {"sea"}))


def test_name_that_is_not_text_can_be_told(tmp_path: Path) -> None:
    world = make(tmp_path)
    name = os.fsencode(world / "npcs") + b"/caf\xe9.yaml"
    try:
        with open(name, "w") as file:
            file.write("name: X\n")
    except OSError:
        pytest.skip("this file system refuses such a name")
    (notice,) = load_world(world).notices
    assert notice.encode()


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    card = "nmae: A\nstyle: [x]\nrules: y\nllm: {top_p: 3, sed: 1}\naliases: [1, a, 2]\n"
    reading = read_world(write(make(tmp_path), {"npcs/ada.yaml": card}))
    assert [(line, place) for _, line, place in told(reading)] == [
        (1, "nmae"), (2, "style"), (3, "rules"), (4, "llm.top_p"), (4, "llm.sed"), (5, "aliases[0]"), (5, "aliases[2]"),
        (None, ""),
    ]  # fmt: skip


def test_lines_of_keys_that_aliases_bring_in(tmp_path: Path) -> None:
    things = "places: &p\n  a: {name: A}\n  b:\n    name: 3\nall:\n  <<: *p\n"
    reading = read_world(write(make(tmp_path), {"things.yaml": things, "tools.yaml": ""}))
    assert told(reading) == [("things.yaml", 4, "places.b.name"), ("things.yaml", 4, "all.b.name")]


def test_escaped_emojis_are_whole(tmp_path: Path) -> None:
    text = 'entries: [{id: a, text: "\\ud83d\\ude00 and \\ud83d"}]\n'
    world = load_world(write(make(tmp_path), {"lore/dock.yaml": text}))
    assert "\U0001f600 and \ufffd" in {placed.entry.text for placed in world.lore}


def test_last_good_version_is_used(tmp_path: Path) -> None:
    world = make(tmp_path)
    first = read_world(world)
    bad: dict[str, str | bytes | None] = {name: "[" for name in GOOD}
    reading = read_world(write(world, bad), first.good)
    assert serves(reading) == ALL
    assert reading.world is not None and set(reading.world.tools) == {"go"} and set(reading.world.voices) == {"alto"}
    assert {name for name, *_ in told(reading)} == set(GOOD)
    assert all("last good version" in each.remedy for each in reading.problems)
    again = read_world(world, reading.good)
    assert serves(again) == ALL, "a second reading forgot the last good version"
    (world / "npcs" / "ada.yaml").unlink()
    assert serves(read_world(world, again.good))[0] == {"ben"}, "a deleted file was kept"
