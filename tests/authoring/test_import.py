"""`mythicd import`: every kind of card and lorebook into a world that loads, with a report of what was left out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mythicd.authoring.importer import Imported, ImportRequest, import_file
from mythicd.authoring.png_card import MAX_TEXT_BYTES
from mythicd.config.settings import BudgetSettings
from mythicd.config.world_files import PersonaCard, load_world, read_world
from mythicd.errors import ConfigError
from mythicd.memory.packing import within
from mythicd.text.token_estimate import estimate_tokens
from tests.authoring import samples
from tests.authoring.samples import encoded, entry, png, saved, text_chunk, v1, v2, v3, world_info


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return samples.empty_world(tmp_path / "world")


def take(world: Path, content: Any, name: str = "card.json", **more: Any) -> Imported:
    return import_file(ImportRequest(saved(world.parent, name, content), world, **more))


def card_of(world: Path, npc_id: str = "mira") -> PersonaCard:
    loaded = load_world(world)
    assert [notice for notice in loaded.notices if "no lore" not in notice] == []
    return loaded.characters[npc_id]


def lore_of(world: Path) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    return {p.entry.id: (p.entry.title, p.entry.text, p.entry.tags) for p in load_world(world).lore}


def places(result: Imported) -> set[str]:
    return {each.place for each in result.left_out}


# --- formats ---------------------------------------------------------------------------------------------------------

V3_CHUNK, V2_CHUNK = text_chunk("ccv3", encoded(v3())), text_chunk("chara", encoded(v2()))
OTHER = text_chunk("Software", b"an editor")


@pytest.mark.parametrize(
    ("content", "format_name"),
    [
        (v1(), "Character Card V1"),
        ({"char_name": "Mira", "char_persona": "A baker.", "world_scenario": ""}, "Character Card V1"),
        (v2(), "Character Card V2"),
        ({**v1(), **v2()}, "Character Card V2"),
        ({"data": v2()["data"]}, "Character Card V2"),
        (v3(), "Character Card V3"),
        ({**v3(), "spec_version": "3.1"}, "Character Card V3"),
        (json.dumps(v2()).encode("utf-8-sig"), "Character Card V2"),
        (json.dumps(v2()).encode("utf-16"), "Character Card V2"),
        (png(text_chunk("chara", encoded(v2()))), "Character Card V2"),
        (png(V3_CHUNK), "Character Card V3"),
        (png(V2_CHUNK, V3_CHUNK), "Character Card V3"),
        (png(OTHER, V2_CHUNK, after=True), "Character Card V2"),
        (png(text_chunk("chara", encoded(v2()), b"zTXt")), "Character Card V2"),
        (png(text_chunk("ccv3", encoded(v3()), b"iTXt")), "Character Card V3"),
        (png(text_chunk("Chara", encoded(v1()))), "Character Card V1"),
        (png(text_chunk("chara", json.dumps(v2()).encode())), "Character Card V2"),
        (png(text_chunk("chara", encoded(v2()).rstrip(b"="))), "Character Card V2"),
        (png(V2_CHUNK)[:-20], "Character Card V2"),
        (png(text_chunk("ccv3", b"@@@"), V2_CHUNK), "Character Card V2"),
        (png(text_chunk("ccv3", encoded("[]")), V2_CHUNK), "Character Card V2"),
        ({"name": "Mira", "bio": "Mira is a Bosmer thief.", "voice_model": "FemaleEvenToned"}, "Mantella character"),
        ([{"name": "Mira", "bio": "A thief.", "race": "Bosmer"}], "Mantella character"),
        (b"name,voice_model,bio\nMira,FemaleEvenToned,Mira is a thief.\n", "Mantella character"),
        (b"Name;Bio\r\nMira;A thief.\r\n", "Mantella character"),
        (b"sysid\tname\tbio\n1\tMira\tA thief.\n", "Mantella character"),
    ],
)
def test_format_is_known_by_its_content(world: Path, content: Any, format_name: str) -> None:
    result = take(world, content, "anything.bin")
    assert result.format == format_name and result.npc_ids == ["mira"]
    assert card_of(world).name == "Mira"


@pytest.mark.parametrize(
    "content",
    [
        {"entries": {"0": world_info()}},
        {"name": "Vale", "entries": [world_info()]},
        {"spec": "lorebook_v3", "data": {"name": "Vale", "entries": [entry()]}},
        {"name": "Vale", "extensions": {}, "entries": [entry()]},
        {
            "type": "risu",
            "ver": 1,
            "data": [{"key": "mill", "comment": "", "content": "The mill stands by the river."}],
        },
        {
            "kind": "memory",
            "name": "Vale",
            "entries": [{"keywords": ["mill"], "entry": "The mill stands by the river."}],
        },
        {"lorebookVersion": 5, "entries": [{"text": "The mill stands by the river.", "keys": ["mill"]}]},
    ],
)
def test_lorebook_formats(world: Path, content: Any) -> None:
    (world / "npcs").mkdir()
    (world / "npcs" / "ada.yaml").write_text("name: Ada\n")
    result = take(world, content, "vale.json", zone="dale")
    assert [file.name for file in result.files] == ["vale.yaml"]
    ((title, text, tags),) = lore_of(world).values()
    assert (title, text, tags) == ("mill", "The mill stands by the river.", ())
    assert load_world(world).lore[0].zone == "dale"


# --- what becomes of a card -------------------------------------------------------------------------------------------


def test_every_field_has_a_place_or_is_reported(world: Path) -> None:
    full = v3(
        nickname="Mi",
        description="Mira is a baker who lives above her shop. She sings. Never wakes before four.\n{{// secret}}",
        personality="Cheerful, loud",
        scenario="{{user}} enters the bakery. The bakery is on Salt Street.",
        mes_example="<START>\n{{user}}: Hi\n{{char}}: Hello!",
        alternate_greetings=["Hey", "Ho"],
        group_only_greetings=["Oi"],
        system_prompt="Write {{char}}'s reply. {{original}}",
        post_history_instructions="Stay in character.",
        creator_notes="Thanks!",
        tags=["fantasy"],
        creator="Ann",
        character_version="2",
        source=["https://example.org/mira"],
        assets=[{"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"}],
        extensions={"regex_scripts": [{"findRegex": "x"}], "depth_prompt": {"prompt": "Be kind."}, "fav": True},
        homepage="x",
    )  # fmt: skip
    result = take(world, full, zone="town")
    card = card_of(world)
    assert (card.name, card.aliases, card.zone) == ("Mira", ("Mi",), "town")
    assert (card.archetype, card.style) == ("a baker", "cheerful, loud")
    assert card.rules == ("Never wakes before four",)
    assert card.backstory == ("Is a baker who lives above her shop", "Sings", "The bakery is on Salt Street")
    assert places(result) == {
        "data.first_mes", "data.mes_example", "data.alternate_greetings (2)", "data.group_only_greetings",
        "data.system_prompt", "data.post_history_instructions", "data.creator_notes", "data.tags", "data.assets (1)",
        "data.extensions.regex_scripts", "data.extensions.depth_prompt", "data.homepage", "scenario",
    }  # fmt: skip
    assert all(each.why for each in result.left_out)
    head = (world / "npcs" / "mira.yaml").read_text().splitlines()[0]
    assert head.startswith("#") and "Ann" in head and "version 2" in head and "https://example.org/mira" in head


def test_card_of_the_field(world: Path) -> None:
    card = v2(scenario="{{user}} enters the bakery.", personality="cheerful", first_mes="*waves* Welcome, {{user}}!")
    result = take(world, card)
    mira = card_of(world)
    assert (mira.archetype, mira.style) == ("a baker in the old town", "cheerful")
    assert {"data.first_mes", "scenario"} <= places(result)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"description": None, "personality": None, "scenario": None, "alternate_greetings": None}, ()),
        ({"description": ["One line.", "Another."], "personality": ""}, ("One line", "Another")),
        ({"description": 7, "tags": "a,b", "character_book": None}, ("7",)),
        ({"description": "Bad \ud83d half.", "extensions": []}, ("Bad \ufffd half",)),
        ({"description": "She is 5'4\" <b>tall</b> {{char}} {{user}} | # ok"}, ("Is 5'4\" tall Mira the player, ok",)),
    ],
)
def test_bent_fields_are_read_with_patience(world: Path, fields: dict[str, Any], expected: tuple[str, ...]) -> None:
    take(world, v2(**fields))
    assert card_of(world).backstory == expected


@pytest.mark.parametrize(
    ("fields", "style"),
    [
        ({"personality": "Stubborn, brave and loyal."}, "stubborn, brave, loyal"),
        ({"personality": "kind; wary / calm"}, "kind, wary, calm"),
        ({"personality": "", "description": '[Mira\'s personality= "caring", "NASA fan"]'}, "caring, NASA fan"),
        ({"personality": "", "description": 'Mind("bold" + "dry")'}, "bold, dry"),
        ({"personality": "She hides her grief behind jokes and songs."}, ""),
    ],
)
def test_traits_become_the_style(world: Path, fields: dict[str, Any], style: str) -> None:
    take(world, v2(**fields))
    assert card_of(world).style == style


@pytest.mark.parametrize(
    ("name", "npc_id"),
    [
        ("Mira", "mira"),
        ("Sir Æthel of Würz", "sir_thel_of_wurz"),
        ("林黛玉", "card"),
        ("  A  B ", "a_b"),
        ("x" * 99, "x" * 40),
    ],
)
def test_npc_id_is_made_of_the_name(world: Path, name: str, npc_id: str) -> None:
    assert take(world, v2(name=name)).npc_ids == [npc_id]
    assert card_of(world, npc_id).name == " ".join(name.split())[:80]


def test_npc_id_and_zone_are_as_asked(world: Path) -> None:
    result = take(world, v2(), npc_id="Baker.01", zone="town")
    assert result.npc_ids == ["Baker.01"] and card_of(world, "Baker.01").zone == "town"
    with pytest.raises(ConfigError, match="--npc-id"):
        take(world, v2(), npc_id="no id")


@pytest.mark.parametrize(
    "description",
    [
        "{{char}} remembers the year of the flood and the old miller who saved the town. " * 120,
        "A long clause without an end, " * 300,
        "\n".join(f"- **Trait {number}:** value {number}" for number in range(400)),
    ],
)
def test_long_description_fits_the_budget_and_the_rest_becomes_lore(world: Path, description: str) -> None:
    result = take(world, v2(description=description))
    card = card_of(world)
    lines = card.persona_lines()
    assert lines and within(lines, BudgetSettings().persona, estimate_tokens) == list(lines)
    assert max(map(len, lines)) <= 170
    lore = lore_of(world)
    assert lore and all(title == "Mira" and len(text) <= 300 for title, text, _ in lore.values())
    assert any("lore" in note for note in result.notes)


def test_first_person_is_not_made_common_knowledge(world: Path) -> None:
    text = "Elle was born in a mill. " * 30 + "I lost my magic in the north. " * 10
    result = take(world, v2(description=text))
    assert not any("I lost" in text for _, text, _ in lore_of(world).values())
    assert any("first person" in each.why for each in result.left_out)


def test_instructions_and_examples_are_left_out(world: Path) -> None:
    text = (
        'Mira is tall.\n{{char}} will not speak for {{user}}.\nWrite in third person.\nMira: "Hello there!"\n'
        "Examples of how Mira speaks:\nFirst message: Welcome!"
    )
    result = take(world, v2(description=text))
    assert card_of(world).backstory == ("Is tall",)
    assert {"instructions (2 sentences)", "example lines (2 sentences)"} <= places(result)


# --- lore of a card --------------------------------------------------------------------------------------------------


def test_character_book_becomes_lore(world: Path) -> None:
    book = {
        "name": "Vale", "scan_depth": 4, "recursive_scanning": True,
        "entries": [
            entry(name="The old mill", keys=["mill", "the old mill", "/wheel(s)?/i"]),
            entry(comment="River", keys=["river", "water"], content="{{user}} cannot swim in it. {{char}} can.",
                  secondary_keys=["deep"], constant=True, position="after_char", priority=3,
                  extensions={"probability": 50, "depth": 2, "role": 1, "sticky": 3}),
            entry(enabled=False, name="off"),
            entry(content="", name="empty"),
            entry(content="@@depth 4\n@@role user\nThe bridge fell.", keys=["bridge"]),
            entry(content="@@dont_activate\nNever.", keys=["never"]),
            entry(content='{{user}}: "Tell me."\n{{char}}: *nods* "The lake is deep."', keys="lake, pond"),
            "not an entry",
            entry(content="x", keys=["red.*"], use_regex=True, name="pattern"),
        ],
    }  # fmt: skip
    result = take(world, v2(character_book=book), zone="dale")
    lore = lore_of(world)
    assert lore == {
        "mira_the_old_mill": ("The old mill", "The mill stands by the river.", ("mill",)),
        "mira_river": ("River", "The player cannot swim in it. Mira can.", ("water",)),
        "mira_bridge": ("bridge", "The bridge fell.", ()),
        "mira_lake": ("lake", "The lake is deep.", ("pond",)),
        "mira_pattern": ("pattern", "X", ()),
    }
    assert {placed.zone for placed in load_world(world).lore} == {"dale"}
    told = "\n".join(f"{each.place}: {each.why}" for each in result.left_out)
    for word in (
        "[2] (off)", "[3] (empty)", "[5] (never)", "[7]", "wheel", "red.*", "secondary_keys of River",
        "constant of River",
        "position of River", "priority of River", "probability of River", "depth of River", "role of River",
        "timing of River", "decorators of bridge", "scan_depth", "recursive_scanning", "dialogue",
    ):  # fmt: skip
        assert word in told, word
    assert any("private" in note for note in result.notes)


def test_default_settings_are_not_reported(world: Path) -> None:
    (world / "npcs").mkdir()
    (world / "npcs" / "ada.yaml").write_text("name: Ada\n")
    assert take(world, {"entries": {"0": world_info()}}).left_out == []
    assert places(take(world, v2(character_book={"entries": [entry()]}), "b.json")) == {"data.first_mes"}


def test_long_entries_are_split(world: Path) -> None:
    text = "The mill was built by the old miller in the year of the flood. " * 40
    take(world, v2(character_book={"entries": [entry(content=text, name="Mill")]}))
    lore = lore_of(world)
    assert len(lore) > 5 and {title for title, _, _ in lore.values()} == {"Mill"}
    assert max(len(text) for _, text, _ in lore.values()) <= 300


def test_lore_ids_do_not_collide(world: Path) -> None:
    (world / "lore").mkdir()
    (world / "lore" / "own.yaml").write_text("entries: [{id: mira_mill, text: mine}]\n")
    take(world, v2(character_book={"entries": [entry(), entry()]}))
    assert set(lore_of(world)) == {"mira_mill", "mira_mill_2", "mira_mill_3"}


def test_lorebook_names_a_character(world: Path) -> None:
    take(world, v2())
    book = {"entries": [entry(content="{{char}} owns the mill.")]}
    take(world, book, "vale.json", npc_id="mira")
    assert lore_of(world)["vale_mill"][1] == "Mira owns the mill."
    result = take(world, book, "hill.json")
    assert lore_of(world)["hill_mill"][1] == "The character owns the mill." and any(
        "{{char}}" in n for n in result.notes
    )
    with pytest.raises(ConfigError, match="no character 'nobody'"):
        take(world, book, "dale.json", npc_id="nobody")


# --- Mantella --------------------------------------------------------------------------------------------------------

ROWS = (
    "name,voice_model,skyrim_voice_folder,bio,race,gender,species,base_id\n"
    'Lydia,alto,FemaleEvenToned,"Lydia is a housecarl.\nShe is sworn to the Thane.",Nord,Female,Human,0A2C8E\n'
    "Lydia's evil twin,NoVoice,,Where does she come from?,Imperial,Male,Human,\n"
    "Lydia,alto,,Another one.,,,Elf,\n"
)


def test_mantella_rows(world: Path) -> None:
    (world / "voices.yaml").write_text("alto: {espeak: en-gb+f2}\n")
    result = take(world, ROWS.encode(), "list.csv")
    assert result.npc_ids == ["lydia", "lydia_s_evil_twin", "lydia_2"]
    world_now = load_world(world)
    lydia, twin = world_now.characters["lydia"], world_now.characters["lydia_s_evil_twin"]
    assert (lydia.archetype, lydia.voice_id, lydia.backstory) == ("a housecarl", "alto", ("Is sworn to the Thane",))
    assert (twin.archetype, twin.voice_id) == ("an Imperial man", "")
    assert any("NoVoice" in note for note in result.notes)
    assert {"Lydia: base_id, ref_id", "Lydia: voice folders"} <= places(result)


def test_mantella_one_of_several(world: Path) -> None:
    request = ImportRequest(
        saved(world.parent, "list.csv", ROWS.encode()), world, name="LYDIA'S EVIL TWIN", npc_id="twin"
    )
    assert import_file(request).npc_ids == ["twin"]
    with pytest.raises(ConfigError, match="--name"):
        take(world, ROWS.encode(), "list.csv", npc_id="lydia")
    with pytest.raises(ConfigError, match="Lydia's evil twin"):
        import_file(ImportRequest(request.source, world, name="Nobody"))


def test_mantella_windows_text_and_many_rows(world: Path) -> None:
    result = take(world, "name,bio\nZoë,Zoë is a thief.\n".encode("cp1252"), "list.csv")
    assert card_of(world, "zoe").name == "Zoë" and any("Windows-1252" in note for note in result.notes)
    many = "name,bio\n" + "".join(f"n{number},A thief.\n" for number in range(60))
    with pytest.raises(ConfigError, match="--name"):
        take(world, many.encode(), "many.csv")


# --- files that exist ------------------------------------------------------------------------------------------------


def test_nothing_is_overwritten_without_force(world: Path) -> None:
    take(world, v2(character_book={"entries": [entry()]}))
    before = {file: file.read_text() for file in world.rglob("*.yaml")}
    for name in ("Mira", "MIRA"):
        with pytest.raises(ConfigError, match="exists already") as caught:
            take(world, v2(name=name, description="Another."))
        assert "--force" in caught.value.remedy
    assert {file: file.read_text() for file in world.rglob("*.yaml")} == before
    take(world, v2(description="Mira is tall.", character_book={"entries": [entry()]}), force=True)
    assert card_of(world).backstory == ("Is tall",) and set(lore_of(world)) == {"mira_mill"}


def test_lore_of_others_is_not_overwritten(world: Path) -> None:
    (world / "lore").mkdir()
    (world / "lore" / "mira.yaml").write_text("entries: []\n")
    with pytest.raises(ConfigError, match=r"lore/mira\.yaml: this file exists already"):
        take(world, v2(character_book={"entries": [entry()]}))
    assert not (world / "npcs" / "mira.yaml").exists(), "half of an import was written"


def test_all_files_are_written_or_none(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mythicd.authoring.yaml_writer.os.fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        take(world, v2(character_book={"entries": [entry()]}))
    assert [file.name for file in world.rglob("*") if file.is_file()] == ["world.yaml"]


def test_no_world(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="mythicd world new"):
            take_to = saved(tmp_path, "card.json", v2())
            import_file(ImportRequest(take_to, folder))


def test_import_into_a_world_with_mistakes(world: Path) -> None:
    (world / "npcs").mkdir()
    (world / "npcs" / "bad.yaml").write_text("[")
    (world / "world.yaml").write_text("title: T\nzones: [pier]\n")
    result = take(world, v2(), zone="peer")
    assert "mira" in load_world(world).characters
    assert any("zone" in note and "peer" in note for note in result.notes)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "place", "says"),
    [
        (png(), "", "no character card"),
        (png(OTHER), "", "ccv3 or chara"),
        (png(V2_CHUNK)[:60], "", "truncated"),
        (samples.SIGNATURE, "", "no character card"),
        (png(text_chunk("chara", encoded(v2())[:325])), "chunk chara", "base64, or truncated"),
        (png(text_chunk("chara", encoded(v2())[:-100])), "chunk chara", "truncated"),
        (png(text_chunk("chara", b"not base64!")), "chunk chara", "base64"),
        (png(text_chunk("ccv3", encoded({"spec": "x"}))), "spec", "unknown card format"),
        (png(text_chunk("chara", b"x", b"zTXt")[:-3] + b"\0\0\0\0"), "", ""),
        (png(samples.chunk(b"zTXt", b"chara\0\0not zlib")), "chunk chara", "unpack"),
        (png(text_chunk("chara", b"\0" * (MAX_TEXT_BYTES + 2), b"zTXt")), "chunk chara", "larger than 32 MiB"),
        (b"", "", "empty"),
        (b"   \n", "", "empty"),
        (b'{"spec": "chara_card_v2", "data": {"name": "Mi', "", "truncated"),
        (b'{"name": "Mira",}', "", "not valid JSON"),
        (b"[" * 100_000, "", "nested too deeply"),
        (b'{"name": ' + b"9" * 5000 + b"}", "", "not valid JSON"),
        (b"PK\x03\x04 charx", "", "zip archive"),
        (b"\xff\xd8\xff\xe0 jpeg", "", "JPEG"),
        (b"RIFF....WEBP", "", "WebP"),
        (b"\x1f\x8b gzip", "", "gzip"),
        (b"\0\xff\0\1 binary \0", "", "neither text nor an image"),
        (b"Just a text about Mira.", "", "neither JSON nor CSV"),
        (b"one,two\n1,2\n", "", "first row"),
        (b"name,bio\n", "", "no character"),
        (b"name,bio\n,A thief.\n", "name", "no name"),
        ({}, "", "neither a character card nor a lorebook"),
        ([], "", "neither a character card nor a lorebook"),
        ([1, 2], "", "neither a character card nor a lorebook"),
        ({"hello": 1}, "", "'hello'"),
        ({"spec": "chara_card_v9", "data": {"name": "M"}}, "spec", "chara_card_v9"),
        ({"spec": 7, "data": {"name": "M"}}, "spec", "unknown card format"),
        ({"spec": "chara_card_v2"}, "data", "chara_card_v2"),
        ({"spec": "chara_card_v3", "data": []}, "data", "chara_card_v3"),
        (v2(name=""), "data.name", "no name"),
        (v2(name=None), "data.name", "no name"),
        (v1(name="  "), "name", "no name"),
        (v2(description="x" * 600_000), "data.description", "600000"),
        (v2(character_book=[1]), "data.character_book", "lorebook"),
        (v2(character_book={"entries": 3}), "data.character_book.entries", "list"),
        ({"entries": {}}, "", "no entry"),
        ({"entries": [entry(enabled=False)]}, "", "turned off"),
        ({"entries": [entry()] * 5001}, "entries", "5001"),
    ],
)
def test_bad_input_is_explained(world: Path, content: Any, place: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        take(world, content, "given.bin")
    error = caught.value
    assert str(error).startswith(str(world.parent / "given.bin"))
    assert place in error.what and says in str(error) and error.remedy
    assert [file.name for file in world.rglob("*") if file.is_file()] == ["world.yaml"]


def test_line_of_invalid_json_is_told(world: Path) -> None:
    with pytest.raises(ConfigError, match=r"given\.bin, line 3, column 1"):
        take(world, b'{"name": "Mira",\n"a": 1,\n}', "given.bin")


def test_missing_file_and_folder(world: Path) -> None:
    for source, says in ((world / "none.json", "does not exist"), (world, "folder")):
        with pytest.raises(ConfigError, match=says):
            import_file(ImportRequest(source, world))


def test_large_card_takes_seconds_at_most(world: Path) -> None:
    book = {"entries": [entry(content="The mill is old. " * 20, name=f"entry {n}") for n in range(1500)]}
    begun = time.perf_counter()
    with pytest.raises(ConfigError, match="1024 KiB"):
        take(world, v2(character_book={"entries": book["entries"] * 3}))
    take(world, v2(description="She is old. " * 3000, character_book={"entries": book["entries"][:800]}))
    assert time.perf_counter() - begun < 60


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    "name",
    "description",
    "personality",
    "scenario",
    "character_book",
    "extensions",
    "tags",
    "first_mes",
    "nickname",
)


def test_name_of_markup_alone_is_refused(world: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be a character's name") as caught:
        take(world, v2(name="{"))
    assert caught.value.remedy


@given(
    st.dictionaries(st.sampled_from(KEYS), anything | st.text(max_size=200)),
    st.lists(st.dictionaries(st.sampled_from(["keys", "key", "content", "name", "enabled", "extensions"]), anything)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_any_card_is_imported_or_explained(world: Path, fields: dict[str, Any], entries: list[Any]) -> None:
    for content in (v2(**fields), v2(**{**fields, "character_book": {"entries": entries}})):
        try:
            result = take(world, content, force=True)
        except ConfigError as error:
            assert error.remedy
            continue
        reading = read_world(world)
        assert reading.world is not None and result.npc_ids[0] in reading.world.characters
        assert not [each for each in reading.problems if not each.is_notice]
