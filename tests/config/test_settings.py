"""Settings and world files: what is read, and the error of each mistake: file, place and remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mythicd.config.settings import Settings, load_settings
from mythicd.config.world_files import World, load_world, read_world
from mythicd.config.yaml_reader import MAX_FILE_BYTES
from mythicd.errors import ConfigError

MARLA = "name: Marla\narchetype: a barkeep\nstyle: wry\ntone: warm\nvoice_id: alto\nzone: tavern\n"
TOOL = """
- name: set_waypoint
  description: Show the way.
  words: {place: {kind: places, description: a place}}
  arguments: {x: $place.x, player: $player.id, tries: 3}
  schema: {type: object}
"""
FILES = {
    "world.yaml": "title: Lanternport\nrules: [Be kind.]\ntopics: [guild dues]\n",
    "npcs/marla.yaml": MARLA,
    "voices.yaml": "alto: {espeak: en-gb+f2, rate: 150}\n",
    "things.yaml": "places: {market: {name: Fish Market, aliases: [market], values: {x: 3}}}\nitems: {}\n",
    "tools.yaml": TOOL,
    "lore/tavern.yaml": (
        "zone: tavern\nentries:\n- {id: hours, title: Hours, text: Open at noon., tags: [opening_hours]}\n"
    ),
    "lore/all.yaml": "entries:\n- {id: harbour, text: The harbour is old.}\n",
}


def make_world(folder: Path, **changes: str | bytes | None) -> Path:
    """Write a good world with some files changed (`npcs_marla="…"`), added, or, with None, left out."""
    paths = {name.removesuffix(".yaml").replace("/", "_"): name for name in FILES}
    files: dict[str, str | bytes | None] = dict(FILES)
    files |= {paths.get(key, key): content for key, content in changes.items()}
    for name, content in files.items():
        if content is not None:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def complaint(folder: Path, **changes: str | bytes | None) -> str:
    """Return the first problem of a world, without the folder's own path and the line of a key."""
    reading = read_world(make_world(folder, **changes))
    problem = reading.fatal or reading.problems[0]
    assert problem.remedy
    assert (reading.world is None) == (reading.fatal is not None)
    return re.sub(r", line \d+(?=: )", "", str(problem).replace(f"{folder}/", ""))


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    file = tmp_path / "starter.yaml"
    file.write_text("profile: starter\ngpu: {sequences: 4}\nrag: {budgets: {lore: 300, recent: 50}}\n")
    return file


class TestSettings:
    """profile < user's file < command line."""

    def test_defaults_and_profile(self, profile: Path) -> None:
        loaded = load_settings(profile)
        assert (loaded.gpu.sequences, loaded.gpu.ctx_tokens) == (4, 8192)
        assert loaded.rag.budgets.lore == 300

    def test_layers(self, profile: Path, tmp_path: Path) -> None:
        user = tmp_path / "config.yaml"
        user.write_text("rag: {budgets: {recent: 60}}\nserver: {port: 1}\nsafety: {blocklist: [a, b]}\n")
        loaded = load_settings(profile, user, {"server": {"port": 0}, "rag": {"topk_final": 3}})
        assert loaded.rag.budgets == msgspec.structs.replace(loaded.rag.budgets, lore=300, recent=60)
        assert loaded.rag.topk_final == 3
        assert loaded.server.port == 0
        assert loaded.safety.blocklist == ("a", "b")

    def test_a_list_replaces_a_list(self, profile: Path, tmp_path: Path) -> None:
        user = tmp_path / "config.yaml"
        user.write_text("safety: {blocklist: [a]}\n")
        assert load_settings(profile, user, {"safety": {"blocklist": ["b"]}}).safety.blocklist == ("b",)

    @pytest.mark.parametrize("content", ["", "\n", "# nothing yet\n", "---\n", "{}\n"])
    def test_a_users_file_may_be_absent_or_empty(self, profile: Path, tmp_path: Path, content: str) -> None:
        assert load_settings(profile, tmp_path / "none.yaml") == load_settings(profile)
        user = tmp_path / "config.yaml"
        user.write_text(content)
        assert load_settings(profile, user) == load_settings(profile)

    def test_merging_changes_no_layer(self, profile: Path) -> None:
        overrides = {"gpu": {"sequences": 2}}
        load_settings(profile, None, overrides)
        assert overrides == {"gpu": {"sequences": 2}}

    @pytest.mark.parametrize(
        ("text", "place", "says"),
        [
            ("gpuu: {}", ": gpuu: ", "'gpu'"),
            ("rag: {budgest: {}}", ": rag.budgest: ", "'budgets'"),
            ("rag: {budgets: {lroe: 3}}", ": rag.budgets.lroe: ", "'lore'"),
            ("rag: {budgets: {zzz: 3}}", ": rag.budgets.zzz: ", "persona, lore, recent, scene"),
            ("rag: {budgets: {lore: x}}", ": rag.budgets.lore: ", "a whole number, got text"),
            ("gpu: [1]", ": gpu: ", "keys with values, got a list"),
            ("gpu:", ": gpu: ", "keys with values, got nothing. Give it a value"),
            ("gpu: {sequences: 99}", ": gpu.sequences: ", "a whole number <= 64"),
            ("gpu: {sequences: 1.5}", ": gpu.sequences: ", "a whole number, got a number"),
            ("gpu: {kv_precision: q8}", ": gpu.kv_precision: ", "'q8' is not one of f16, q8_0. Did you mean 'q8_0'"),
            ("turn: {soft_ms: yes}", ": turn.soft_ms: ", "a whole number, got true or false"),
            ("turn: {soft_ms: 300}", ": turn: ", "soft_ms (300), wait_ms (200)"),
            ("turn: {max_wait_ms: 150}", ": turn: ", "max_wait_ms (150)"),
            ("turn: {max_wait_ms: 150}", ": turn: ", "soft_ms <= wait_ms <= max_wait_ms"),
            ("profile: 3", ": profile: ", "text, got a whole number. Put it in quotes"),
            ("safety: {blocklist: [a, 3]}", ": safety.blocklist[1]: ", "text, got a whole number. Put it in quotes"),
            ("safety: {blocklist: a}", ": safety.blocklist: ", "a list, got text. Write a list"),
            ("llm: {temperature: .nan}", ": llm.temperature: ", "a number >= 0.0"),
            ("1: 2", ": the key 1 ", "Put the key in quotes"),
            ("- a", ": ", "keys and values at the top"),
            ("[]", ": ", "keys and values at the top"),
            ("text", ": ", "keys and values at the top"),
            ("a:\n\tb: 1", ", line 2, column 1: ", "'\\t'"),
            ("a:\n\tb: 1", ", line 2, column 1: ", "indent with spaces"),
            ("a: [", ", line 1, column 5: ", "expected the node content"),
            ("a: [\n", ", line 2, column 1: ", "expected the node content"),
            ("a: 'b", ", line 1, column 6: ", "unexpected end of stream"),
            ("a: b: c", ", line 1, column 5: ", "mapping values are not allowed"),
            ("gpu: {}\nllm: {}\ngpu: {}", ", line 3, column 1: ", "duplicate key 'gpu'"),
            ("a: 1\n---\nb: 2", ", line 2, column 1: ", "another document"),
            (
                "a: !!python/object:os.system {}",
                ", line 1, column 4: ",
                "could not determine a constructor for the tag",
            ),
            ("a: 2024-13-45", ": ", "month must be in 1..12"),
            ("a: \x07", ": ", "unacceptable character #x0007"),
            ("[" * 5000, " ", "nested"),
            ("a: &a [*a]", " ", "200000 values"),
        ],
    )
    def test_mistakes(self, profile: Path, tmp_path: Path, text: str, place: str, says: str) -> None:
        user = tmp_path / "config.yaml"
        user.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_settings(profile, user)
        assert caught.value.what.startswith(f"{user}{place}")
        assert caught.value.remedy
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_mistake_in_the_profile_names_the_profile(self, profile: Path, tmp_path: Path) -> None:
        profile.write_text("gpu: {sequences: many}")
        with pytest.raises(ConfigError, match=r"starter\.yaml: gpu\.sequences"):
            load_settings(profile, tmp_path / "config.yaml", {"gpu": {"sequences": 3}})

    def test_a_mistake_on_the_command_line(self, profile: Path) -> None:
        with pytest.raises(ConfigError, match=r"^the command line: server\.prot: .*'port'"):
            load_settings(profile, None, {"server": {"prot": 1}})

    def test_a_missing_or_empty_profile(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none\.yaml does not exist"):
            load_settings(tmp_path / "none.yaml")
        (tmp_path / "empty.yaml").touch()
        with pytest.raises(ConfigError, match=r"empty\.yaml: .*keys and values"):
            load_settings(tmp_path / "empty.yaml")

    def test_other_encodings(self, profile: Path, tmp_path: Path) -> None:
        user = tmp_path / "config.yaml"
        user.write_bytes("server: {port: 5}".encode("utf-16"))
        with pytest.raises(ConfigError, match=r"config\.yaml is not UTF-8"):
            load_settings(profile, user)
        user.write_bytes("server: {port: 5}".encode("utf-8-sig"))  # as Windows' Notepad may
        assert load_settings(profile, user).server.port == 5

    def test_a_directory(self, profile: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=f"{tmp_path}: Is a directory"):
            load_settings(profile, tmp_path)

    def test_a_huge_file_is_refused_before_it_is_parsed(self, profile: Path, tmp_path: Path) -> None:
        user = tmp_path / "config.yaml"
        user.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
        with pytest.raises(ConfigError, match=r"config\.yaml .*1024 KiB"):
            load_settings(profile, user)
        user.write_bytes(b"#" * MAX_FILE_BYTES)
        assert load_settings(profile, user) == load_settings(profile)

    def test_aliases_that_expand_to_too_many_values_are_refused(self, profile: Path, tmp_path: Path) -> None:
        layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        layers += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
        user = tmp_path / "config.yaml"
        user.write_text("\n".join(layers))
        with pytest.raises(ConfigError, match="200000 values"):
            load_settings(profile, user)

    def test_other_aliases_are_accepted(self, profile: Path, tmp_path: Path) -> None:
        user = tmp_path / "config.yaml"
        user.write_text("scheduler: {burst_tokens: &n 7, max_speakers: *n}")
        assert load_settings(profile, user).scheduler.max_speakers == 7

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError, match="immutable"):
            Settings().profile = "other"  # type: ignore[misc]


class TestWorld:
    """A world's folder."""

    def test_a_good_world(self, tmp_path: Path) -> None:
        world = load_world(make_world(tmp_path))
        assert (world.title, world.rules, world.notices) == ("Lanternport", ("Be kind.",), ())
        marla = world.characters["marla"]
        assert (marla.name, marla.manner, marla.zone) == ("Marla", "wry, warm", "tavern")
        assert world.voices["alto"].espeak == "en-gb+f2"
        assert world.things["places"]["market"].values == {"x": 3}
        assert [(placed.zone, placed.entry.id) for placed in world.lore] == [("", "harbour"), ("tavern", "hours")]
        assert world.tools["set_waypoint"].spec().parameters == {
            "type": "object",
            "properties": {"place": {"type": "string", "description": "a place"}},
            "required": ["place"],
            "additionalProperties": False,
        }

    def test_its_vocabulary(self, tmp_path: Path) -> None:
        words = load_world(make_world(tmp_path)).vocabulary()
        assert words.people == ("Marla",)
        assert words.places == ("Fish Market", "market")
        assert words.topics == ("guild dues", "Hours", "opening hours")
        assert words.lines == ("The harbour is old.", "Open at noon.")

    def test_persona_lines(self, tmp_path: Path) -> None:
        card = MARLA + "backstory: [B]\nrules: [R]\ntaboos: [reveal_secret_passage]\ncatchphrases: [Aye, Well]\n"
        lines = load_world(make_world(tmp_path, npcs_marla=card)).characters["marla"].persona_lines()
        assert lines == ("R", "Never reveal secret passage", "B", "Often says Aye, Well")

    def test_sampling_of_a_character(self, tmp_path: Path) -> None:
        (tmp_path / "loras").mkdir()
        adapter = tmp_path / "loras" / "gruff.gguf"
        adapter.write_bytes(b"GGUF\3\0\0\0")
        how = "temperature: 0, top_p: 0.5, repeat_penalty: 1.2, max_tokens: 40, stop: [STOP], seed: 7"
        card = f"name: Marla\nllm: {{{how}, lora: loras/gruff.gguf}}"
        own = load_world(make_world(tmp_path, npcs_marla=card)).characters["marla"].llm
        assert (own.temperature, own.top_p, own.repeat_penalty, own.max_tokens) == (0.0, 0.5, 1.2, 40)
        assert (own.stop, own.seed, own.lora) == (("STOP",), 7, str(adapter.resolve()))
        adapter.unlink()
        with pytest.raises(ConfigError, match=r"npcs/marla\.yaml, line 2: llm\.lora: .*'loras/gruff\.gguf': No such"):
            load_world(tmp_path)

    def test_a_minimal_world(self, tmp_path: Path) -> None:
        none = dict.fromkeys(("voices", "things", "tools", "lore_tavern", "lore_all"))
        world = load_world(make_world(tmp_path, world="title: T", npcs_marla="name: M", **none))
        (notice,) = world.notices
        assert f"{tmp_path} has no lore" in notice and "lore/*.yaml" in notice

    @pytest.mark.parametrize("name", ["voices", "things", "tools", "lore_all"])
    def test_optional_files_may_be_empty(self, tmp_path: Path, name: str) -> None:
        changes = {"tools": "", name: "# later\n"}
        world = load_world(make_world(tmp_path, npcs_marla="name: M", **changes))
        assert len(world.lore) == (1 if name == "lore_all" else 2)

    def test_a_file_with_another_suffix_is_reported(self, tmp_path: Path) -> None:
        world = load_world(make_world(tmp_path, **{"npcs/tom.yml": "name: Tom"}))
        (notice,) = world.notices
        assert f"{tmp_path / 'npcs/tom.yml'} is not read" in notice and ".yaml" in notice

    def test_no_world(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"no world at .*nowhere"):
            load_world(tmp_path / "nowhere")
        with pytest.raises(ConfigError, match=r"world\.yaml does not exist"):
            load_world(tmp_path)

    @pytest.mark.parametrize(
        ("file", "content", "place", "says"),
        [
            ("world", "", "world.yaml: ", "keys with values, got nothing"),
            ("world", "rules: []", "world.yaml: ", "`title` is missing. Add `title: …`"),
            ("world", "title: ''", "world.yaml: title: ", "text of length >= 1"),
            ("world", "titel: T", "world.yaml: titel: ", "'title'"),
            ("npcs_marla", None, "npcs has no persona card", "npcs/NPC_ID.yaml"),
            ("npcs_marla", "", "npcs/marla.yaml: ", "keys with values, got nothing"),
            ("npcs_marla", "- a", "npcs/marla.yaml: ", "keys with values, got a list"),
            ("npcs_marla", "nmae: M", "npcs/marla.yaml: nmae: ", "'name'"),
            ("npcs_marla", "name: M\nllm: {max_tokns: 3}", "npcs/marla.yaml: llm.max_tokns: ", "'max_tokens'"),
            (
                "npcs_marla",
                "name: M\nllm: {max_tokens: x}",
                "npcs/marla.yaml: llm.max_tokens: ",
                "whole number or nothing",
            ),
            ("npcs_marla", "name: M\nllm: {top_p: 0}", "npcs/marla.yaml: llm.top_p: ", "a number > 0.0"),
            (
                "npcs_marla",
                "name: M\nllm: {repeat_penalty: 3}",
                "npcs/marla.yaml: llm.repeat_penalty: ",
                "a number <= 2.0",
            ),
            ("npcs_marla", "name: M\nllm: {stop: 'x'}", "npcs/marla.yaml: llm.stop: ", "a list, got text"),
            ("npcs_marla", "name: M\nllm: {stop: ['']}", "npcs/marla.yaml: llm.stop[0]: ", "text of length >= 1"),
            ("npcs_marla", "name: M\nllm: {seed: -1}", "npcs/marla.yaml: llm.seed: ", "a whole number >= 0"),
            ("npcs_marla", "name: M\nllm: {lora: a.gguf}", "npcs/marla.yaml: llm.lora: ", "'a.gguf': No such"),
            ("npcs_marla", "name: M\nllm: {lora: npcs}", "npcs/marla.yaml: llm.lora: ", "'npcs': Is a directory"),
            ("npcs_marla", "name: M\nllm: {lora: ../a.gguf}", "npcs/marla.yaml: llm.lora: '../a.gguf' ", "outside"),
            (
                "npcs_marla",
                "name: M\nllm: {lora: world.yaml}",
                "npcs/marla.yaml: llm.lora: world.yaml ",
                "convert_lora_to",
            ),
            ("npcs_marla", 'name: M\nllm: {lora: "a\\0"}', "npcs/marla.yaml: llm.lora: ", r"'a\x00'"),
            ("npcs_marla", "name: M\nrules: [a, b, 3]", "npcs/marla.yaml: rules[2]: ", "text, got a whole number"),
            ("npcs_marla", "name: M\nrules: 'be kind'", "npcs/marla.yaml: rules: ", "a list, got text"),
            ("npcs_marla", "name: M\nrules:\n\t- a", "npcs/marla.yaml, line 3, column 1: ", "'\\t'"),
            ("npcs_marla", "name: 21:10", "npcs/marla.yaml: name: ", "text, got a whole number. Put it in quotes"),
            ("npcs_marla", "name: M\nvoice_id: alot", "npcs/marla.yaml: voice_id: ", "'alot'. Did you mean 'alto'"),
            ("npcs_marla", "name: M\nvoice_id: zzz", "npcs/marla.yaml: voice_id: ", "'zzz'. Add it to voices.yaml"),
            ("npcs/ma rla.yaml", "name: M", "npcs/ma rla.yaml: invalid id ", "'ma rla'"),
            ("npcs/MARLA.yaml", "name: M", "npcs/MARLA.yaml: ", "marla.yaml"),
            ("voices", "alto: {espeka: x}", "voices.yaml: alto.espeka: ", "'espeak'"),
            ("voices", "alto: {espeak: x, pitch: 100}", "voices.yaml: alto.pitch: ", "a whole number <= 99"),
            (
                "voices",
                "alto: {espeak: x}\nalto: {espeak: y}",
                "voices.yaml, line 2, column 1: ",
                "duplicate key 'alto'",
            ),
            ("things", "places: {a: {name: 3}}", "things.yaml: places.a.name: ", "text, got a whole number"),
            ("things", "places: {a: {name: b}, c: {nam: d}}", "things.yaml: places.c.nam: ", "'name'"),
            (
                "things",
                "places: {a: {name: b, aliases: [c, 1]}}",
                "things.yaml: places.a.aliases[1]: ",
                "expected text",
            ),
            ("things", "places: {7: {name: b}}", "things.yaml: places: the key 7 ", "Put the key in quotes"),
            ("things", "places: [1]", "things.yaml: places: ", "keys with values, got a list"),
            ("tools", "a: b", "tools.yaml: ", "a list, got keys with values"),
            ("tools", "- {name: a}", "tools.yaml: [0]: ", "`description` is missing"),
            ("tools", TOOL.replace("kind:", "knid:"), "tools.yaml: [0].words.place.knid: ", "'kind'"),
            ("tools", TOOL.replace("set_way", "set way"), "tools.yaml: [0].name: invalid id", "1 to 64 letters"),
            (
                "tools",
                TOOL.replace("kind: places", "kind: place"),
                "tools.yaml: [0] set_waypoint.words.place.kind: ",
                "'place'. Did you mean 'places'",
            ),
            (
                "tools",
                TOOL.replace("$place.x", "$plaec.x"),
                "tools.yaml: [0] set_waypoint.arguments.x: '$plaec.x' ",
                "Did you mean 'place'",
            ),
            ("tools", TOOL + TOOL, "tools.yaml: [1] set_waypoint: ", "duplicate"),
            ("lore_all", "[]", "lore/all.yaml: ", "keys with values, got a list"),
            ("lore_all", "entries: [{id: a}]", "lore/all.yaml: entries[0]: ", "`text` is missing"),
            ("lore_all", "entries: [{id: a b, text: c}]", "lore/all.yaml: entries[0].id: ", "invalid id"),
            ("lore_all", "entries: [{id: a, text: c, tgas: []}]", "lore/all.yaml: entries[0].tgas: ", "'tags'"),
            ("lore_all", "entries:\n- {id: hours, text: x}", "lore/tavern.yaml: ", "'hours' is used in lore/all.yaml"),
            ("lore_all", b"entries: [\xff]", "lore/all.yaml is not UTF-8", "byte 10"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, file: str, content: str | bytes | None, place: str, says: str) -> None:
        told = complaint(tmp_path, **{file: content})
        assert told.startswith(place)
        assert says in told


yamlish: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "rules", "llm", "max_tokens", "places", "entries", "id", "text", "words", "kind"])
            | st.integers(0, 3)
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@example("tools", [{"name": []}])
@given(st.sampled_from(["world", "npcs_marla", "voices", "things", "tools", "lore_all"]), yamlish)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_yaml_is_read_or_explained(tmp_path: Path, file: str, content: Any) -> None:
    changes: dict[str, Any] = {file: yaml.safe_dump(content, allow_unicode=True)}
    try:
        assert isinstance(load_world(make_world(tmp_path, **changes)), World)
    except ConfigError as error:
        assert str(tmp_path) in error.what
        assert error.remedy


@given(st.text(max_size=60) | st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_read_or_explained(tmp_path: Path, content: str | bytes) -> None:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    try:
        load_world(make_world(tmp_path, npcs_marla=data))
    except ConfigError as error:
        assert str(tmp_path) in error.what
        assert error.remedy
