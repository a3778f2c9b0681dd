"""Settings and worlds: what is read, and what each mistake is answered with: file, place, and how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mythicd.config.settings import Settings, load_settings
from mythicd.config.world_files import World, load_world
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
    """Return what load_world says of a world, without the folder's own path."""
    with pytest.raises(ConfigError) as caught:
        load_world(make_world(folder, **changes))
    assert caught.value.remedy
    return str(caught.value).replace(f"{folder}/", "")


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

    def test_nothing_of_the_layers_is_changed_by_merging(self, profile: Path) -> None:
        overrides = {"gpu": {"sequences": 2}}
        load_settings(profile, None, overrides)
        assert overrides == {"gpu": {"sequences": 2}}

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("gpuu: {}", "config.yaml: gpuu: there is no such key. Did you mean 'gpu'?"),
            ("rag: {budgest: {}}", "config.yaml: rag.budgest: there is no such key. Did you mean 'budgets'?"),
            ("rag: {budgets: {lroe: 3}}", "config.yaml: rag.budgets.lroe: there is no such key. Did you mean 'lore'?"),
            ("rag: {budgets: {zzz: 3}}", "Known keys: persona, lore, recent, scene."),
            ("rag: {budgets: {lore: x}}", "rag.budgets.lore: expected a whole number, got text. Correct it there."),
            ("gpu: [1]", "config.yaml: gpu: expected keys with values, got a list."),
            ("gpu:", "gpu: expected keys with values, got nothing. Give it a value, or delete its line."),
            ("gpu: {sequences: 99}", "gpu.sequences: expected a whole number <= 64."),
            ("gpu: {sequences: 1.5}", "gpu.sequences: expected a whole number, got a number."),
            ("gpu: {kv_precision: q8}", "gpu.kv_precision: 'q8' is not one of f16, q8_0. Did you mean 'q8_0'?"),
            ("turn: {soft_ms: yes}", "turn.soft_ms: expected a whole number, got true or false."),
            ("turn: {soft_ms: 300}", "config.yaml: turn: soft_ms (300) may not be above wait_ms (200), nor"),
            ("turn: {max_wait_ms: 150}", "nor that above max_wait_ms (150). A pause is first suspected to be the end"),
            ("profile: 3", "profile: expected text, got a whole number. Put it in quotes."),
            (
                "safety: {blocklist: [a, 3]}",
                "safety.blocklist[1]: expected text, got a whole number. Put it in quotes.",
            ),
            ("safety: {blocklist: a}", "safety.blocklist: expected a list, got text. Write a list"),
            ("llm: {temperature: .nan}", "llm.temperature: expected a number >= 0.0."),
            ("1: 2", "config.yaml: the key 1 is not text. Put the key in quotes."),
            ("- a", "config.yaml: expected keys and values at the top."),
            ("[]", "config.yaml: expected keys and values at the top."),
            ("text", "config.yaml: expected keys and values at the top."),
            ("a:\n\tb: 1", "config.yaml, line 2, column 1: found character '\\t' that cannot start any token. "),
            ("a:\n\tb: 1", "YAML does not allow tabs: indent with spaces."),
            ("a: [", "config.yaml, line 1, column 5: expected the node content"),
            ("a: [\n", "config.yaml, line 2, column 1: expected the node content"),
            ("a: 'b", "config.yaml, line 1, column 6: found unexpected end of stream."),
            ("a: b: c", "config.yaml, line 1, column 5: mapping values are not allowed here."),
            ("gpu: {}\nllm: {}\ngpu: {}", "config.yaml, line 3, column 1: the key 'gpu' stands here a second time."),
            ("a: 1\n---\nb: 2", "config.yaml, line 2, column 1: but found another document."),
            ("a: !!python/object:os.system {}", "could not determine a constructor for the tag"),
            ("a: 2024-13-45", "config.yaml: month must be in 1..12. It must be YAML."),
            ("a: \x07", "config.yaml: unacceptable character #x0007"),
            ("[" * 5000, "config.yaml is nested too deeply."),
            ("a: &a [*a]", "config.yaml unfolds to more than 200000 values."),
        ],
    )
    def test_mistakes(self, profile: Path, tmp_path: Path, text: str, says: str) -> None:
        user = tmp_path / "config.yaml"
        user.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_settings(profile, user)
        assert str(caught.value).startswith(str(user))
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_mistake_in_the_profile_is_told_of_the_profile(self, profile: Path, tmp_path: Path) -> None:
        profile.write_text("gpu: {sequences: many}")
        with pytest.raises(ConfigError, match=r"starter\.yaml: gpu\.sequences"):
            load_settings(profile, tmp_path / "config.yaml", {"gpu": {"sequences": 3}})

    def test_a_mistake_on_the_command_line(self, profile: Path) -> None:
        with pytest.raises(ConfigError, match=r"^the command line: server\.prot: .* Did you mean 'port'\?"):
            load_settings(profile, None, {"server": {"prot": 1}})

    def test_a_missing_or_empty_profile(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none\.yaml does not exist"):
            load_settings(tmp_path / "none.yaml")
        (tmp_path / "empty.yaml").touch()
        with pytest.raises(ConfigError, match=r"empty\.yaml: expected keys and values at the top"):
            load_settings(tmp_path / "empty.yaml")

    def test_other_encodings(self, profile: Path, tmp_path: Path) -> None:
        user = tmp_path / "config.yaml"
        user.write_bytes("server: {port: 5}".encode("utf-16"))
        with pytest.raises(ConfigError, match=r"config\.yaml is not UTF-8 text: .* Save it as UTF-8\."):
            load_settings(profile, user)
        user.write_bytes("server: {port: 5}".encode("utf-8-sig"))  # as Windows' Notepad may
        assert load_settings(profile, user).server.port == 5

    def test_a_directory(self, profile: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="Cannot read .*: Is a directory"):
            load_settings(profile, tmp_path)

    def test_a_huge_file_is_refused_before_it_is_parsed(self, profile: Path, tmp_path: Path) -> None:
        user = tmp_path / "config.yaml"
        user.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
        with pytest.raises(ConfigError, match=r"config\.yaml is larger than 1024 KiB"):
            load_settings(profile, user)
        user.write_bytes(b"#" * MAX_FILE_BYTES)
        assert load_settings(profile, user) == load_settings(profile)

    def test_a_bomb_of_aliases_is_refused(self, profile: Path, tmp_path: Path) -> None:
        layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        layers += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
        user = tmp_path / "config.yaml"
        user.write_text("\n".join(layers))
        with pytest.raises(ConfigError, match="unfolds to more than 200000 values"):
            load_settings(profile, user)

    def test_honest_aliases_are_welcome(self, profile: Path, tmp_path: Path) -> None:
        user = tmp_path / "config.yaml"
        user.write_text("scheduler: {burst_tokens: &n 7, max_speakers: *n}")
        assert load_settings(profile, user).scheduler.max_speakers == 7

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError, match="immutable"):
            Settings().profile = "other"  # type: ignore[misc]


class TestWorld:
    """A world's folder, read whole."""

    def test_a_good_world(self, tmp_path: Path) -> None:
        world = load_world(make_world(tmp_path))
        assert (world.title, world.rules, world.notices) == ("Lanternport", ("Be kind.",), ())
        marla = world.characters["marla"]
        assert (marla.name, marla.manner, marla.zone) == ("Marla", "wry, warm", "tavern")
        assert world.voices["alto"].model == "en-gb+f2"
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

    def test_how_a_character_writes(self, tmp_path: Path) -> None:
        (tmp_path / "loras").mkdir()
        adapter = tmp_path / "loras" / "gruff.gguf"
        adapter.write_bytes(b"GGUF\3\0\0\0")
        how = "temperature: 0, top_p: 0.5, repeat_penalty: 1.2, max_tokens: 40, stop: [STOP], seed: 7"
        card = f"name: Marla\nllm: {{{how}, lora: loras/gruff.gguf}}"
        own = load_world(make_world(tmp_path, npcs_marla=card)).characters["marla"].llm
        assert (own.temperature, own.top_p, own.repeat_penalty, own.max_tokens) == (0.0, 0.5, 1.2, 40)
        assert (own.stop, own.seed, own.lora) == (("STOP",), 7, str(adapter.resolve()))
        adapter.unlink()
        with pytest.raises(ConfigError, match=r"npcs/marla\.yaml: llm\.lora: cannot read 'loras/gruff\.gguf': No such"):
            load_world(tmp_path)

    def test_the_least_world(self, tmp_path: Path) -> None:
        none = dict.fromkeys(("voices", "things", "tools", "lore_tavern", "lore_all"))
        world = load_world(make_world(tmp_path, world="title: T", npcs_marla="name: M", **none))
        assert world.notices == (
            f"The world at {tmp_path} has no lore: characters know only their persona cards. Add lore/*.yaml.",
        )

    @pytest.mark.parametrize("name", ["voices", "things", "tools", "lore_all"])
    def test_optional_files_may_be_empty(self, tmp_path: Path, name: str) -> None:
        changes = {"tools": "", name: "# later\n"}
        world = load_world(make_world(tmp_path, npcs_marla="name: M", **changes))
        assert len(world.lore) == (1 if name == "lore_all" else 2)

    def test_a_file_that_nobody_would_read_is_told_of(self, tmp_path: Path) -> None:
        world = load_world(make_world(tmp_path, **{"npcs/tom.yml": "name: Tom"}))
        assert world.notices == (f"{tmp_path / 'npcs/tom.yml'} is not read: its name must end in .yaml.",)

    def test_no_world(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"There is no world at .*nowhere"):
            load_world(tmp_path / "nowhere")
        with pytest.raises(ConfigError, match=r"world\.yaml does not exist"):
            load_world(tmp_path)

    @pytest.mark.parametrize(
        ("file", "content", "says"),
        [
            ("world", "", "world.yaml: expected keys with values, got nothing."),
            ("world", "rules: []", "world.yaml: the key `title` is missing. Add `title: …`."),
            ("world", "title: ''", "world.yaml: title: expected text of length >= 1."),
            ("world", "titel: T", "world.yaml: titel: there is no such key. Did you mean 'title'?"),
            ("npcs_marla", None, "npcs has no persona card. Add npcs/NPC_ID.yaml with at least `name`."),
            ("npcs_marla", "", "npcs/marla.yaml: expected keys with values, got nothing."),
            ("npcs_marla", "- a", "npcs/marla.yaml: expected keys with values, got a list."),
            ("npcs_marla", "nmae: M", "npcs/marla.yaml: nmae: there is no such key. Did you mean 'name'?"),
            ("npcs_marla", "name: M\nllm: {max_tokns: 3}", "npcs/marla.yaml: llm.max_tokns: there is no such key."),
            ("npcs_marla", "name: M\nllm: {max_tokens: x}", "llm.max_tokens: expected a whole number or nothing, got"),
            ("npcs_marla", "name: M\nllm: {top_p: 0}", "npcs/marla.yaml: llm.top_p: expected a number > 0.0"),
            ("npcs_marla", "name: M\nllm: {repeat_penalty: 3}", "llm.repeat_penalty: expected a number <= 2.0"),
            ("npcs_marla", "name: M\nllm: {stop: 'x'}", "npcs/marla.yaml: llm.stop: expected a list, got text."),
            ("npcs_marla", "name: M\nllm: {stop: ['']}", "llm.stop[0]: expected text of length >= 1"),
            ("npcs_marla", "name: M\nllm: {seed: -1}", "npcs/marla.yaml: llm.seed: expected a whole number >= 0"),
            ("npcs_marla", "name: M\nllm: {lora: a.gguf}", "npcs/marla.yaml: llm.lora: cannot read 'a.gguf': No such"),
            ("npcs_marla", "name: M\nllm: {lora: npcs}", "llm.lora: cannot read 'npcs': Is a directory."),
            ("npcs_marla", "name: M\nllm: {lora: ../a.gguf}", "llm.lora: '../a.gguf' lies outside of the"),
            ("npcs_marla", "name: M\nllm: {lora: world.yaml}", "world.yaml is no GGUF file. Convert it"),
            ("npcs_marla", 'name: M\nllm: {lora: "a\\0"}', "npcs/marla.yaml: llm.lora: cannot read"),
            ("npcs_marla", "name: M\nrules: [a, b, 3]", "npcs/marla.yaml: rules[2]: expected text, got a whole number"),
            ("npcs_marla", "name: M\nrules: 'be kind'", "npcs/marla.yaml: rules: expected a list, got text."),
            ("npcs_marla", "name: M\nrules:\n\t- a", "npcs/marla.yaml, line 3, column 1: found character '\\t'"),
            ("npcs_marla", "name: 21:10", "npcs/marla.yaml: name: expected text, got a whole number. Put it in quotes"),
            ("npcs_marla", "name: M\nvoice_id: alot", "npcs/marla.yaml: voice_id: there is no voice 'alot'. Did you"),
            ("npcs_marla", "name: M\nvoice_id: zzz", "there is no voice 'zzz'. Add it to voices.yaml."),
            ("npcs/ma rla.yaml", "name: M", "file name is the character's id, and 'ma rla' is not one."),
            ("npcs/MARLA.yaml", "name: M", "npcs/marla.yaml: its id differs from MARLA.yaml only in upper case."),
            ("voices", "alto: {espeka: x}", "voices.yaml: alto.espeka: there is no such key. Did you mean 'espeak'?"),
            ("voices", "alto: {espeak: x, pitch: 100}", "voices.yaml: alto.pitch: expected a whole number <= 99."),
            ("voices", "alto: {espeak: x}\nalto: {espeak: y}", "line 2, column 1: the key 'alto' stands here a second"),
            ("things", "places: {a: {name: 3}}", "things.yaml: places.a.name: expected text, got a whole number."),
            ("things", "places: {a: {name: b}, c: {nam: d}}", "things.yaml: places.c.nam: there is no such key."),
            ("things", "places: {a: {name: b, aliases: [c, 1]}}", "things.yaml: places.a.aliases[1]: expected text"),
            ("things", "places: {7: {name: b}}", "things.yaml: places: the key 7 is not text. Put the key in quotes."),
            ("things", "places: [1]", "things.yaml: places: expected keys with values, got a list."),
            ("tools", "a: b", "tools.yaml: expected a list, got keys with values."),
            ("tools", "- {name: a}", "tools.yaml: [0]: the key `description` is missing."),
            (
                "tools",
                TOOL.replace("kind:", "knid:"),
                "[0].words.place.knid: there is no such key. Did you mean 'kind'?",
            ),
            ("tools", TOOL.replace("set_way", "set way"), "tools.yaml: [0].name: this is no id. Use 1 to 64 letters"),
            (
                "tools",
                TOOL.replace("kind: places", "kind: place"),
                "things.yaml has no list 'place'. Did you mean 'pla",
            ),
            ("tools", TOOL.replace("$place.x", "$plaec.x"), "[0] set_waypoint.arguments.x: '$plaec.x' begins with no"),
            ("tools", TOOL + TOOL, "tools.yaml: [1] set_waypoint: a tool of this name stands above."),
            ("lore_all", "[]", "lore/all.yaml: expected keys with values, got a list."),
            ("lore_all", "entries: [{id: a}]", "lore/all.yaml: entries[0]: the key `text` is missing."),
            ("lore_all", "entries: [{id: a b, text: c}]", "lore/all.yaml: entries[0].id: this is no id."),
            (
                "lore_all",
                "entries: [{id: a, text: c, tgas: []}]",
                "entries[0].tgas: there is no such key. Did you mean",
            ),
            ("lore_all", "entries:\n- {id: hours, text: x}", "lore id 'hours' is used in lore/all.yaml already."),
            ("lore_all", b"entries: [\xff]", "lore/all.yaml is not UTF-8 text"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, file: str, content: str | bytes | None, says: str) -> None:
        assert says in complaint(tmp_path, **{file: content})


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


@given(st.sampled_from(["world", "npcs_marla", "voices", "things", "tools", "lore_all"]), yamlish)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_stands_in_a_file_it_is_read_or_explained(tmp_path: Path, file: str, content: Any) -> None:
    changes: dict[str, Any] = {file: yaml.safe_dump(content, allow_unicode=True)}
    try:
        assert isinstance(load_world(make_world(tmp_path, **changes)), World)
    except ConfigError as error:
        assert str(tmp_path) in error.what
        assert error.remedy


@given(st.text(max_size=60) | st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_bytes_stand_in_a_file_they_are_read_or_explained(tmp_path: Path, content: str | bytes) -> None:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    try:
        load_world(make_world(tmp_path, npcs_marla=data))
    except ConfigError as error:
        assert str(tmp_path) in error.what
        assert error.remedy
