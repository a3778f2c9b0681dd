"""Settings and worlds: YAML in, frozen values out, checked whole and once.

    profile (profiles/NAME.yaml)  <  <data>/config.yaml  <  command line      ->  Settings
    a world's folder: world.yaml, things.yaml, tools.yaml, voices.yaml, npcs/*.yaml, lore/*.yaml  ->  World

Every complaint is a ConfigError that names the file, the path of the key in it, what was expected there, and the
nearest right spelling. Nothing here reads the environment by itself: paths come in as arguments (paths.py finds them).
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import yaml
from msgspec import Meta

from mythicd.engines import ToolSpec, Vocabulary, VoiceSpec
from mythicd.errors import ConfigError
from mythicd.messages import Id

Positive = Annotated[int, Meta(ge=1)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
T = TypeVar("T")

MAX_FILE_BYTES = 1024 * 1024
"""Largest YAML file that is read. A persona card has a few KiB, a zone's lore some dozens."""
MAX_VALUES = 200_000
"""Most values that one YAML file may unfold to; without aliases, a file of that size can hardly have as many."""


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything read from YAML: an unknown key is an error."""


# --- settings --------------------------------------------------------------------------------------------------------


class GpuSettings(_Strict, frozen=True, kw_only=True):
    """The language model and the memory it may use."""

    llm_model: str = "starter"
    """`starter`, or the path of a GGUF file."""
    ctx_tokens: Annotated[int, Meta(ge=256)] = 8192
    """KV cells that all characters share."""
    kv_precision: Literal["f16", "q8_0"] = "f16"
    sequences: Annotated[int, Meta(ge=1, le=64)] = 16
    """Characters whose conversation stays in the KV cache."""


class LlmSettings(_Strict, frozen=True, kw_only=True):
    """How replies are written."""

    max_tokens: Annotated[int, Meta(ge=1, le=4096)] = 128
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.7
    top_p: Annotated[float, Meta(gt=0, le=1)] = 0.9
    repeat_penalty: Annotated[float, Meta(ge=1, le=2)] = 1.1
    threads: Annotated[int, Meta(ge=0)] = 0
    """Threads of the model; 0 lets the engine choose."""
    grounded: bool = False
    """Whether a phrase with a number or name found nowhere in the prompt is replaced by an honest don't-know."""


class KvSettings(_Strict, frozen=True, kw_only=True):
    """How long one character's conversation may grow."""

    max_ctx_tokens: Annotated[int, Meta(ge=256)] = 2048


class SchedulerSettings(_Strict, frozen=True, kw_only=True):
    """Who runs next."""

    burst_tokens: Positive = 48
    """Most tokens a reply may run ahead of its voice before others go first."""
    max_speakers: Positive = 2


class AsrSettings(_Strict, frozen=True, kw_only=True):
    """How speech is understood."""

    engine: Literal["pocketsphinx", "faster-whisper"] = "pocketsphinx"
    model: str = ""
    """Directory of the model, for engines that need one."""
    lang: str = "en"
    vad: Literal["webrtc", "webrtc+silero"] = "webrtc+silero"
    min_confidence: Ratio = 0.0
    """Below this the character asks to hear it again instead of guessing."""


class TtsSettings(_Strict, frozen=True, kw_only=True):
    """How characters sound."""

    backend: Literal["espeak", "piper"] = "espeak"
    sample_rate: Literal[16000, 22050, 24000] = 24000


class BudgetSettings(_Strict, frozen=True, kw_only=True):
    """Most tokens in each section of a prompt."""

    persona: Positive = 200
    lore: Positive = 400
    recent: Positive = 200
    scene: Positive = 150


class RagSettings(_Strict, frozen=True, kw_only=True):
    """How memory is searched."""

    embedder: Literal["mini-embed-384", "none"] = "mini-embed-384"
    topk_bm25: Positive = 20
    topk_vec: Positive = 20
    topk_final: Positive = 6
    chunk_tokens: Annotated[int, Meta(ge=16)] = 384
    """Length at which a lore text is cut into pieces."""
    overlap_tokens: Annotated[int, Meta(ge=0)] = 64
    budgets: BudgetSettings = BudgetSettings()


class SafetySettings(_Strict, frozen=True, kw_only=True):
    """What no character may say."""

    blocklist: tuple[str, ...] = ()


class TurnSettings(_Strict, frozen=True, kw_only=True):
    """When a turn ends."""

    soft_ms: Annotated[int, Meta(ge=20, le=1000)] = 100
    """Silence after which the end is suspected."""
    wait_ms: Annotated[int, Meta(ge=60, le=5000)] = 500
    """Silence after which the turn is over, with an open microphone."""


class ServerSettings(_Strict, frozen=True, kw_only=True):
    """Where the daemon listens, on 127.0.0.1."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 48140
    """Preferred port; 0 takes any."""


class Settings(_Strict, frozen=True, kw_only=True):
    """Everything that can be set, for the whole daemon."""

    schema_version: Literal["v1"] = "v1"
    profile: str = "starter"
    world: str = "lanternport"
    """Name of a folder under worlds/, or a path."""
    gpu: GpuSettings = GpuSettings()
    llm: LlmSettings = LlmSettings()
    kv: KvSettings = KvSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    asr: AsrSettings = AsrSettings()
    tts: TtsSettings = TtsSettings()
    rag: RagSettings = RagSettings()
    safety: SafetySettings = SafetySettings()
    turn: TurnSettings = TurnSettings()
    server: ServerSettings = ServerSettings()


def load_settings(profile: Path, user: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read a profile, lay the user's file (if it exists) and the overrides over it, and check the result.

    Raises ConfigError.
    """
    merged = _mapping(profile, _read_yaml(profile))
    _convert(merged, Settings, profile)
    if user is not None and user.exists():
        content = _read_yaml(user)
        own = _mapping(user, {} if content is None else content)
        _convert(own, Settings, user)
        merged = _merge(merged, own)
    if overrides:
        merged = _merge(merged, overrides)
    return _convert(merged, Settings, Path("the command line") if overrides else profile)


# --- worlds ----------------------------------------------------------------------------------------------------------


class SamplingOverride(_Strict, frozen=True, kw_only=True):
    """What one character does differently when it writes."""

    max_tokens: Annotated[int, Meta(ge=1, le=4096)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None


class PersonaCard(_Strict, frozen=True, kw_only=True):
    """Who a character is."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    archetype: str = "a person of this place"
    """What the character is: "a barkeep"."""
    style: str = ""
    """How it speaks: "wry, concise"."""
    tone: str = ""
    """The same, by the design document's other name; both are joined."""
    backstory: tuple[str, ...] = ()
    """Facts about itself, a sentence each."""
    rules: tuple[str, ...] = ()
    """What it does and never does, a sentence each."""
    taboos: tuple[str, ...] = ()
    """What it will not do, as a phrase or an id: `reveal_secret_passage`."""
    catchphrases: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    """What else people call it."""
    voice_id: str = ""
    zone: str = ""
    """Where it is at first."""
    llm: SamplingOverride = SamplingOverride()

    @property
    def manner(self) -> str:
        """Style and tone as one phrase."""
        return ", ".join(part for part in (self.style, self.tone) if part) or "plain"

    def persona_lines(self) -> tuple[str, ...]:
        """The card as the lines of the prompt's persona section."""
        taboos = tuple(f"Never {taboo.replace('_', ' ')}" for taboo in self.taboos)
        says = (f"Often says {', '.join(self.catchphrases)}",) if self.catchphrases else ()
        return (*self.backstory, *self.rules, *taboos, *says)


class LoreEntry(_Strict, frozen=True, kw_only=True):
    """One thing to know about a world."""

    id: Id
    text: Annotated[str, Meta(min_length=1, max_length=20_000)]
    title: str = ""
    tags: tuple[str, ...] = ()


class _LoreFile(_Strict, frozen=True, kw_only=True):
    zone: str = ""
    """Which zone knows it; empty for the whole world."""
    entries: tuple[LoreEntry, ...] = ()


class Thing(_Strict, frozen=True, kw_only=True):
    """A place, item, person, dialog or emote that a tool can be pointed at."""

    name: Annotated[str, Meta(min_length=1)]
    aliases: tuple[str, ...] = ()
    values: dict[str, Any] = {}
    """What the game needs of it, such as coordinates."""


class WordArgument(_Strict, frozen=True, kw_only=True):
    """An argument as the model writes it: a name."""

    kind: str
    """Which list of things.yaml the name is looked up in."""
    description: str = ""


class ToolDefinition(_Strict, frozen=True, kw_only=True):
    """A tool, as the model sees it and as the game does."""

    name: Id
    description: str
    words: dict[str, WordArgument]
    """What the model fills in, by argument name."""
    arguments: dict[str, Any]
    """What the game gets: literals, or paths into the named things (`$place.x`, `$item.id`) and `$player.id`."""
    schema: dict[str, Any]
    """JSON Schema of what the game gets."""
    needs_result: bool = False
    """Whether the reply waits for the game's answer."""
    timeout_ms: Annotated[int, Meta(ge=50, le=60_000)] = 3000
    intents: tuple[str, ...] = ()
    """Intents with which the tool is offered; always when empty."""

    def spec(self) -> ToolSpec:
        """The tool as the model sees it."""
        return ToolSpec(
            self.name,
            self.description,
            {
                "type": "object",
                "properties": {
                    name: {"type": "string", "description": word.description} for name, word in self.words.items()
                },
                "required": list(self.words),
                "additionalProperties": False,
            },
        )


class _Voice(_Strict, frozen=True, kw_only=True):
    espeak: str
    rate: Annotated[int, Meta(ge=80, le=450)] = 165
    pitch: Annotated[int, Meta(ge=0, le=99)] = 50
    piper: str = ""


class _WorldFile(_Strict, frozen=True, kw_only=True):
    title: Annotated[str, Meta(min_length=1)]
    rules: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    """What players may ask about and no list names."""


class PlacedLore(msgspec.Struct, frozen=True, kw_only=True):
    """A lore entry with the zone that knows it."""

    zone: str
    entry: LoreEntry


class World(msgspec.Struct, frozen=True, kw_only=True):
    """A world, whole."""

    path: Path
    title: str
    rules: tuple[str, ...]
    topics: tuple[str, ...]
    characters: dict[str, PersonaCard]
    """By npc id, which is the card's file name."""
    lore: tuple[PlacedLore, ...]
    things: dict[str, dict[str, Thing]]
    """By kind, then id."""
    tools: dict[str, ToolDefinition]
    voices: dict[str, VoiceSpec]
    notices: tuple[str, ...] = ()
    """What is allowed but probably not meant."""

    def vocabulary(self) -> Vocabulary:
        """The words that may be heard in this world."""

        def names(kind: str) -> tuple[str, ...]:
            return tuple(
                dict.fromkeys(
                    name for thing in self.things.get(kind, {}).values() for name in (thing.name, *thing.aliases)
                )
            )

        people = tuple(name for card in self.characters.values() for name in (card.name, *card.aliases))
        titles = tuple(placed.entry.title for placed in self.lore if placed.entry.title)
        tags = tuple(tag.replace("_", " ") for placed in self.lore for tag in placed.entry.tags)
        return Vocabulary(
            people=tuple(dict.fromkeys((*people, *names("people")))),
            places=names("places"),
            items=names("items"),
            topics=tuple(dict.fromkeys((*self.topics, *titles, *tags, *names("dialogs"), *names("emotes")))),
            lines=tuple(placed.entry.text for placed in self.lore),
        )


def load_world(path: Path) -> World:
    """Read a world's folder. Raises ConfigError."""
    if not path.is_dir():
        raise ConfigError(f"There is no world at {path}.", remedy="Name a folder with a world.yaml in it.")
    head = _convert(_read_yaml(path / "world.yaml"), _WorldFile, path / "world.yaml")
    cards = _cards(path)
    if not cards:
        raise ConfigError(f"{path / 'npcs'} has no persona card.", remedy="Add npcs/NPC_ID.yaml with at least `name`.")
    things = _optional(path / "things.yaml", dict[str, dict[str, Thing]])
    tools = _tools(path / "tools.yaml", things)
    voices = {
        voice_id: VoiceSpec(voice_id, voice.espeak, voice.rate, voice.pitch)
        for voice_id, voice in _optional(path / "voices.yaml", dict[str, _Voice]).items()
    }
    for npc_id, card in cards.items():
        if card.voice_id and card.voice_id not in voices:
            raise ConfigError(
                f"{path / 'npcs' / npc_id}.yaml: voice_id: there is no voice {card.voice_id!r}.",
                remedy=_did_you_mean(card.voice_id, voices) or f"Add it to {path / 'voices.yaml'}.",
            )
    lore = _lore(path)
    notices = [f"{file} is not read: its name must end in .yaml." for file in sorted(path.rglob("*.yml"))]
    if not lore:
        notices.append(f"The world at {path} has no lore: characters know only their persona cards. Add lore/*.yaml.")
    return World(
        path=path,
        title=head.title,
        rules=head.rules,
        topics=head.topics,
        characters=cards,
        lore=lore,
        things=things,
        tools=tools,
        voices=voices,
        notices=tuple(notices),
    )


def _cards(path: Path) -> dict[str, PersonaCard]:
    cards: dict[str, PersonaCard] = {}
    folded: dict[str, Path] = {}
    for file in sorted((path / "npcs").glob("*.yaml")):
        npc_id = _npc_id(file)
        # Windows and macOS could not hold both files, and players' memories would follow the wrong one.
        if (other := folded.setdefault(npc_id.casefold(), file)) is not file:
            raise ConfigError(f"{file}: its id differs from {other.name} only in upper case.", remedy="Rename one.")
        cards[npc_id] = _convert(_read_yaml(file), PersonaCard, file)
    return cards


def _npc_id(file: Path) -> str:
    try:
        return msgspec.convert(file.stem, Id)
    except msgspec.ValidationError:
        raise ConfigError(
            f"{file}: a persona card's file name is the character's id, and {file.stem!r} is not one.",
            remedy="Use letters, digits and _ . - only.",
        ) from None


def _lore(path: Path) -> tuple[PlacedLore, ...]:
    placed: list[PlacedLore] = []
    seen: dict[str, Path] = {}
    for file in sorted((path / "lore").glob("*.yaml")):
        content = _optional(file, _LoreFile)
        for entry in content.entries:
            if entry.id in seen:
                raise ConfigError(
                    f"{file}: the lore id {entry.id!r} is used in {seen[entry.id]} already.", remedy="Rename one."
                )
            seen[entry.id] = file
            placed.append(PlacedLore(zone=content.zone, entry=entry))
    return tuple(placed)


def _tools(file: Path, things: Mapping[str, Mapping[str, Thing]]) -> dict[str, ToolDefinition]:
    tools: dict[str, ToolDefinition] = {}
    for index, tool in enumerate(_optional(file, list[ToolDefinition], [])):
        where = f"{file}: [{index}] {tool.name}"
        if tool.name in tools:
            raise ConfigError(f"{where}: a tool of this name stands above.", remedy="Rename one.")
        for argument, word in tool.words.items():
            if word.kind not in things:
                raise ConfigError(
                    f"{where}.words.{argument}.kind: things.yaml has no list {word.kind!r}.",
                    remedy=_did_you_mean(word.kind, things) or "Add it there.",
                )
        for argument, value in tool.arguments.items():
            root = value[1:].split(".")[0] if isinstance(value, str) and value.startswith("$") else None
            if root is not None and root != "player" and root not in tool.words:
                raise ConfigError(
                    f"{where}.arguments.{argument}: {value!r} begins with no argument of `words`.",
                    remedy=_did_you_mean(root, tool.words) or "Use a name from `words`, or $player.id.",
                )
        tools[tool.name] = tool
    return tools


# --- YAML with complaints that help ----------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML in which no key stands twice: the second would silently replace the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands here a second time", key.start_mark
                    )
                seen.add(key.value)
        return node


def _read_yaml(file: Path) -> Any:
    try:
        with file.open("rb") as handle:
            data = handle.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(
                f"{file} is larger than {MAX_FILE_BYTES // 1024} KiB.",
                remedy="Split it into several files, and keep what is no text out of it.",
            )
        text = data.decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist.", remedy="Create it, or name another.") from None
    except OSError as error:
        raise ConfigError(f"Cannot read {file}: {error.strerror or error}.", remedy="Check the path.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file} is not UTF-8 text: {error.reason} at byte {error.start}.", remedy="Save it as UTF-8."
        ) from error
    try:
        content = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        # A fault found at the end of the text has a mark behind the last line.
        line = "".join(text.split("\n")[mark.line : mark.line + 1]) if mark else ""
        remedy = (
            "YAML does not allow tabs: indent with spaces." if "\t" in line else "Check indentation, colons and quotes."
        )
        raise ConfigError(f"{file}{where}: {error.problem}.", remedy=remedy) from error
    except (yaml.YAMLError, ValueError) as error:
        complaint = " ".join(str(error).split())
        raise ConfigError(f"{file}: {complaint}.", remedy="It must be YAML.") from error
    except RecursionError:
        raise ConfigError(f"{file} is nested too deeply.", remedy="Check its brackets.") from None
    _bound(content, file)
    return content


def _bound(content: Any, file: Path) -> None:
    """Refuse aliases that make a small file endless, or huge, before anything walks through it."""
    ahead, values = [content], 0
    while ahead:
        value = ahead.pop()
        values += 1
        if values > MAX_VALUES:
            raise ConfigError(
                f"{file} unfolds to more than {MAX_VALUES} values.", remedy="Use fewer aliases (`*name`) in it."
            )
        if isinstance(value, dict):
            ahead.extend(value.values())
        elif isinstance(value, list):
            ahead.extend(value)


def _optional(file: Path, kind: Any, empty: Any = None) -> Any:
    """Read a file that may be absent."""
    if not file.exists():
        return {} if empty is None else empty
    content = _read_yaml(file)
    return _convert(({} if empty is None else empty) if content is None else content, kind, file)


def _mapping(file: Path, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected keys and values at the top.", remedy="Write `key: value` lines.")
    return content


def _convert(content: Any, kind: type[T], file: Path) -> T:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise _explain(str(error), content, kind, file) from None


_TYPES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "array": "a list",
    "object": "keys with values",
    "date": "a date",
    "datetime": "a date",
}
"""msgspec speaks of JSON; who writes a persona card thinks in these words."""


def _explain(message: str, content: Any, kind: Any, file: Path) -> ConfigError:
    """Turn msgspec's complaint (`Expected X, got Y - at $.a[2].b`) into where, what and how to mend it."""
    complaint, _, at = message.partition(" - at ")
    path, there, expected = _locate(at.rpartition("$")[2].rstrip("`"), content, kind)
    remedy = "Correct it there."
    if unknown := re.search(r"unknown field `([^`]*)`", complaint):
        known = _fields(expected)
        path = f"{path}.{unknown[1]}" if path else unknown[1]
        complaint = "there is no such key"
        remedy = _did_you_mean(unknown[1], known) or f"Known keys: {', '.join(known)}."
    elif missing := re.search(r"missing required field `([^`]*)`", complaint):
        complaint, remedy = f"the key `{missing[1]}` is missing", f"Add `{missing[1]}: …`."
    elif wrong := re.match(r"Invalid enum value (.*)", complaint):
        choices = [str(choice) for option in _options(expected) for choice in typing.get_args(option)]
        complaint = f"{wrong[1]} is not one of {', '.join(choices)}"
        remedy = _did_you_mean(wrong[1].strip("'"), choices) or remedy
    elif "matching regex" in complaint:
        complaint, remedy = "this is no id", "Use 1 to 64 letters, digits and _ . : - (a letter or digit first)."
    elif "`key`" in at and isinstance(there, dict):
        key = next((key for key in there if not isinstance(key, str)), "?")
        complaint, remedy = f"the key {key} is not text", "Put the key in quotes."
    elif wrong := re.match(r"Expected `([^`]*)`(.*)", complaint):
        wanted = " or ".join(_TYPES.get(name, name) for name in wrong[1].split(" | "))
        got = re.sub(r"`(\w+)`", lambda match: _TYPES.get(match[1], match[1]), wrong[2])
        complaint = f"expected {wanted}{got}"
        if got == ", got nothing" and path:
            remedy = "Give it a value, or delete its line."
        elif wanted == "text" and got.startswith(", got") and "list" not in got and "keys" not in got:
            remedy = "Put it in quotes."
        elif wanted == "a list":
            remedy = "Write a list: one `- item` in each line."
    return ConfigError(f"{file}: {path}{': ' if path else ''}{complaint}.", remedy=remedy)


def _locate(path: str, content: Any, kind: Any) -> tuple[str, Any, Any]:
    """Follow msgspec's path (`.rag.budgets`, `[...].aliases[1]`); return it for people, and content and type there.

    For a mapping msgspec says only `[...]`. The key is found again: the first whose value does not fit.
    """
    shown = ""
    for part in re.findall(r"\[[^]]*\]|[^.\[]+", path):
        inner: Any = Any
        for option in _options(kind):
            if part.startswith("["):
                inner = next((a for a in reversed(typing.get_args(option)) if a is not Ellipsis), inner)
            elif isinstance(option, type) and issubclass(option, msgspec.Struct):
                inner = typing.get_type_hints(option, include_extras=True).get(part, inner)
        key: Any = int(part[1:-1]) if re.fullmatch(r"\[\d+\]", part) else part
        if part == "[...]" and isinstance(content, dict):
            key = next((key for key, value in content.items() if not _fits(value, inner)), part)
            part = str(key)
        shown += part if part.startswith("[") or not shown else f".{part}"
        content, kind = content[key], inner
    return shown, content, kind


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _fields(kind: Any) -> list[str]:
    """Return the keys of a type, or of the one struct among a union's alternatives."""
    structs = (option for option in _options(kind) if isinstance(option, type) and issubclass(option, msgspec.Struct))
    return [field for struct in structs for field in struct.__struct_fields__]


def _options(kind: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union, or the type itself, without their constraints."""
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    is_union = typing.get_origin(kind) in (types.UnionType, typing.Union)
    return tuple(each for option in typing.get_args(kind) for each in _options(option)) if is_union else (kind,)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree of keys over another; lists and scalars replace."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merge(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged
