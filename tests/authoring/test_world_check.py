"""`mythicd world check`: every mistake in one go, with file, line, place and remedy; and notices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mythicd.authoring.world_check import WorldCheck, check_world
from mythicd.config.yaml_reader import FileProblem

LANTERNPORT = Path(__file__).parents[2] / "worlds" / "lanternport"

GOOD = {
    "world.yaml": "title: T\n",
    "npcs/ada.yaml": "name: Ada\nvoice_id: alto\nzone: dock\n",
    "lore/dock.yaml": (
        "zone: dock\nentries:\n- {id: a, text: The crane is red., tags: [dock]}\n"
        "- {id: b, text: The sea is salt., tags: [dock]}\n"
    ),
    "voices.yaml": "alto: {espeak: en-gb+f2}\n",
    "things.yaml": "places:\n  dock: {name: the dock, aliases: [quay], values: {x: 1}}\n",
    "tools.yaml": (
        "- name: go\n  description: go\n  words: {place: {kind: places}}\n  arguments: {x: $place.x}\n"
        "  schema:\n    type: object\n    properties: {x: {type: number}}\n  intents: [navigation]\n"
    ),
}


def check(folder: Path, **changes: str | bytes | None) -> WorldCheck:
    """Check the good world with files changed (`npcs__ada`), added, or left out."""
    names = {name.removesuffix(".yaml").replace("/", "__"): name for name in GOOD}
    files: dict[str, str | bytes | None] = dict(GOOD)
    files |= {names.get(key, key): content for key, content in changes.items()}
    for name, content in files.items():
        if content is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return check_world(folder)


def told(result: WorldCheck, problems: tuple[FileProblem, ...]) -> list[tuple[str, int | None, str]]:
    return [(result.shown(each.file), each.line, each.place) for each in problems]


def test_good_worlds_have_no_mistakes(tmp_path: Path) -> None:
    result = check(tmp_path)
    assert (result.mistakes, result.notices) == ((), ())
    assert check_world(LANTERNPORT).mistakes == ()


@pytest.mark.parametrize(
    ("changes", "expected", "remedy"),
    [
        ({"npcs__ada": "nmae: Ada\n"}, ("npcs/ada.yaml", 1, "nmae"), "'name'"),
        ({"npcs__ada": "name: Ada\nrules: x\n"}, ("npcs/ada.yaml", 2, "rules"), "list"),
        ({"npcs__ada": "name: Ada\nvoice_id: alot\n"}, ("npcs/ada.yaml", 2, "voice_id"), "'alto'"),
        ({"npcs/bea.yaml": "name: Bea\nzone: dokc\n"}, ("npcs/bea.yaml", 2, "zone"), "'dock'"),
        ({"lore/x.yaml": b"entries: \xff"}, ("lore/x.yaml", 1, ""), "UTF-8"),
        ({"lore/x.yaml": "a: b: c"}, ("lore/x.yaml", 1, ""), ""),
        ({"voices": "alto: {espeak: en-gb+zz}\n"}, ("voices.yaml", 1, "alto.espeak"), ""),
        ({"voices": "alto: {espeak: en-bg}\n"}, ("voices.yaml", 1, "alto.espeak"), "'en-gb'"),
        ({"voices": "alto:\n  espeak: nobodys voice\n"}, ("voices.yaml", 2, "alto.espeak"), "en-us"),
        ({"tools": GOOD["tools.yaml"].replace("navigation", "navigaton")},
         ("tools.yaml", 8, "[0] go.intents[0]"), "'navigation'"),
        ({"tools": GOOD["tools.yaml"].replace("properties", "porperties")},
         ("tools.yaml", 7, "[0] go.schema.porperties"), "'properties'"),
        ({"tools": GOOD["tools.yaml"].replace("type: number", "type: strng")},
         ("tools.yaml", 7, "[0] go.schema.properties.x.type"), "'string'"),
        ({"tools": GOOD["tools.yaml"].replace("kind: places", "kind: palces")},
         ("tools.yaml", 3, "[0] go.words.place.kind"), "'places'"),
        ({"things": "places: {}\n"}, ("tools.yaml", 3, "[0] go.words.place.kind"), "Add things"),
        ({"things": GOOD["things.yaml"] + "  pier:\n    name: the pier\n    aliases: [x, Quays]\n    values: {x: 2}\n"},
         ("things.yaml", 5, "places.pier.aliases[1]"), "another name"),
        ({"things": GOOD["things.yaml"] + "  pier: {name: A dock, values: {x: 2}}\n"},
         ("things.yaml", 3, "places.pier.name"), "another name"),
        ({"lore/notes.md": "x"}, ("lore/notes.md", None, ""), "worlds.md"),
        ({"npcs/tom.txt": "x"}, ("npcs/tom.txt", None, ""), "worlds.md"),
        ({"npcs/tom.YAML": "name: T"}, ("npcs/tom.YAML", None, ""), "Rename"),
        ({"npcs/town/tom.yaml": "name: T"}, ("npcs/town/tom.yaml", None, ""), "Move"),
        ({"world": "titel: T\n"}, ("world.yaml", 1, "titel"), "'title'"),
        ({"world": None}, ("world.yaml", None, ""), "Create"),
        ({"npcs__ada": None}, ("npcs", None, ""), "NPC_ID"),
    ],
)  # fmt: skip
def test_mistake(
    tmp_path: Path, changes: dict[str, str | bytes | None], expected: tuple[str, int | None, str], remedy: str
) -> None:
    result = check(tmp_path, **changes)
    assert told(result, result.mistakes)[0] == expected
    assert remedy in result.mistakes[0].remedy and result.mistakes[0].remedy


def test_every_mistake_is_told_in_one_go(tmp_path: Path) -> None:
    result = check(
        tmp_path,
        world="titel: T\nrules: 3\n",
        npcs__ada="name: Ada\nvoice_id: alot\nzone: dokc\nstyl: x\nrules: 7\n",
        lore__dock="zone: dock\nentries:\n- {id: a, txt: x}\n- {id: a b, text: y}\n",
        voices="alto: {espeak: klingon, rate: 3}\nbass: {espeak: klingon}\n",
        things="places:\n  dock: {nam: x}\n",
        tools=GOOD["tools.yaml"].replace("navigation", "nav") + "- {name: x}\n",
        **{"npcs/b b.yaml": "name: B", "lore/a.md": "x", "npcs/deep/c.yaml": "name: C"},
    )
    assert set(told(result, result.mistakes)) >= {
        ("world.yaml", 1, "titel"), ("world.yaml", 2, "rules"), ("world.yaml", None, ""),
        ("npcs/ada.yaml", 4, "styl"), ("npcs/ada.yaml", 5, "rules"),
        ("lore/dock.yaml", 3, "entries[0].txt"), ("lore/dock.yaml", 3, "entries[0]"),
        ("lore/dock.yaml", 4, "entries[1].id"),
        ("voices.yaml", 1, "alto.rate"), ("things.yaml", 2, "places.dock.nam"), ("things.yaml", 2, "places.dock"),
        ("tools.yaml", 9, "[1]"), ("npcs/b b.yaml", None, ""), ("lore/a.md", None, ""), ("npcs/deep/c.yaml", None, ""),
    }  # fmt: skip
    files = [result.shown(each.file) for each in result.mistakes]
    assert len(set(files)) == len([name for at, name in enumerate(files) if at == 0 or files[at - 1] != name])


@pytest.mark.parametrize(
    ("changes", "expected", "says"),
    [
        ({"lore/b.yaml": "entries:\n- {id: c, text: The crane is nine feet tall.}\n"
          "- {id: d, text: The crane is ten feet tall.}"}, ("lore/b.yaml", 3, "entries[1]"), "contradicts"),
        ({"lore/b.yaml": "entries: [{id: c, text: x, tags: [lonely]}]"}, ("lore/b.yaml", None, ""), "lonely"),
        ({"voices": GOOD["voices.yaml"] + "bass: {espeak: en-us}\n"}, ("voices.yaml", 2, "bass"), "no character"),
        ({"npcs/bea.yaml": "name: Bea\nzone: cellar\n"}, ("npcs/bea.yaml", 2, "zone"), "cellar"),
        ({"world": "title: T\nzones: [dock, cellar]\n", "npcs/bea.yaml": "name: Bea\nzone: cellar\n"},
         ("npcs/bea.yaml", 2, "zone"), "cellar"),
        ({"npcs/bea.yaml": "zone: dock\nname: ADA\n"}, ("npcs/bea.yaml", 2, "name"), "same name"),
        ({"npcs/bea.yaml": "name: Bea\nbackstory:\n" + "- Remembers the long winter of the great flood\n" * 40},
         ("npcs/bea.yaml", 2, "backstory"), "200 tokens"),
        ({"npcs/bea.yaml": "name: Bea\nbackstory:\n- x\n- '{{char}} is tall'\n"},
         ("npcs/bea.yaml", 4, "backstory[1]"), "{{char}}"),
        ({"lore/b.yaml": "entries: []\n"}, ("lore/b.yaml", None, ""), "no entries"),
        ({"lore__dock": None}, (".", None, ""), "no lore"),
        ({"loras/x.gguf": b"GGUF"}, ("loras/x.gguf", None, ""), "no persona card"),
    ],
)  # fmt: skip
def test_notice(
    tmp_path: Path, changes: dict[str, str | bytes | None], expected: tuple[str, int | None, str], says: str
) -> None:
    result = check(tmp_path, **changes)
    assert result.mistakes == ()
    assert expected in told(result, result.notices)
    assert any(says in each.complaint and each.remedy for each in result.notices)


def test_names_joined_from_other_lists_are_told_once(tmp_path: Path) -> None:
    things = (
        "a: &a\n  one: {name: the lamp}\nb: &b\n  two: {name: the desk, aliases: [lamp]}\n  three: {name: desk}\n"
        "all:\n  <<: [*a, *b]\n"
    )
    result = check(tmp_path, things=things, tools="")
    assert told(result, result.mistakes) == [
        ("things.yaml", 4, "all.two.aliases[0]"),
        ("things.yaml", 5, "b.three.name"),
    ]


def test_json_has_every_field(tmp_path: Path) -> None:
    result = check(tmp_path, npcs__ada="name: Ada\nvoice_id: alot\n")
    value = json.loads(json.dumps(result.as_json()))
    assert value["world"] == str(tmp_path)
    first = value["mistakes"][0]
    assert first.pop("what") and first.pop("remedy") == "Did you mean 'alto'?"
    assert first == {"file": "npcs/ada.yaml", "line": 2, "column": None, "place": "voice_id"}
    assert {each["file"] for each in value["notices"]} == {"voices.yaml"}
