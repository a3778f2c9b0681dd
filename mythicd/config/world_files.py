"""A world's folder as one frozen value: who lives there, what is known, what can be done.

world.yaml  things.yaml  tools.yaml  voices.yaml  npcs/*.yaml  lore/*.yaml   ->   World
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mythicd.config.yaml_reader import Strict, convert, did_you_mean, read_optional, read_yaml
from mythicd.engines.asr import Vocabulary
from mythicd.engines.llm import ToolSpec
from mythicd.engines.tts import VoiceSpec
from mythicd.errors import ConfigError
from mythicd.wire.messages import Id


class SamplingOverride(Strict, frozen=True, kw_only=True):
    """What one character does differently when it writes; what is not given is the profile's."""

    max_tokens: Annotated[int, Meta(ge=1, le=4096)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """0 always takes the likeliest word."""
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    repeat_penalty: Annotated[float, Meta(ge=1, le=2)] | None = None
    stop: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=8)] = ()
    """Texts before which a reply ends; they are not said."""
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None
    """Fixed, so that the same words in the same place always get the same answer; new for each turn when not given."""
    lora: Annotated[str, Meta(min_length=1)] | None = None
    """A LoRA adapter for the language model: a GGUF file in the world's folder. `load_world` makes the path whole."""


class PersonaCard(Strict, frozen=True, kw_only=True):
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
    backchannels: tuple[Annotated[str, Meta(min_length=1, max_length=40)], ...] = ()
    """What it says to show that it listens; usual sounds when empty."""
    hesitations: tuple[Annotated[str, Meta(min_length=1, max_length=80)], ...] = ()
    """What it says when its answer takes long; usual ones when empty."""
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
        """The card as the lines of the prompt's persona section: what it must and must not do first, since a section
        that is over its budget loses its end."""
        taboos = tuple(f"Never {taboo.replace('_', ' ')}" for taboo in self.taboos)
        says = (f"Often says {', '.join(self.catchphrases)}",) if self.catchphrases else ()
        return (*self.rules, *taboos, *self.backstory, *says)


class LoreEntry(Strict, frozen=True, kw_only=True):
    """One thing to know about a world."""

    id: Id
    text: Annotated[str, Meta(min_length=1, max_length=20_000)]
    title: str = ""
    tags: tuple[str, ...] = ()


class _LoreFile(Strict, frozen=True, kw_only=True):
    zone: str = ""
    """Which zone knows it; empty for the whole world."""
    entries: tuple[LoreEntry, ...] = ()


class Thing(Strict, frozen=True, kw_only=True):
    """A place, item, person, dialog or emote that a tool can be pointed at."""

    name: Annotated[str, Meta(min_length=1)]
    aliases: tuple[str, ...] = ()
    values: dict[str, Any] = {}
    """What the game needs of it, such as coordinates."""


class WordArgument(Strict, frozen=True, kw_only=True):
    """An argument as the model writes it: a name."""

    kind: str
    """Which list of things.yaml the name is looked up in."""
    description: str = ""


class ToolDefinition(Strict, frozen=True, kw_only=True):
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


class _Voice(Strict, frozen=True, kw_only=True):
    espeak: str
    rate: Annotated[int, Meta(ge=80, le=450)] = 165
    pitch: Annotated[int, Meta(ge=0, le=99)] = 50
    piper: str = ""


class _WorldFile(Strict, frozen=True, kw_only=True):
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
    head = convert(read_yaml(path / "world.yaml"), _WorldFile, path / "world.yaml")
    cards = _cards(path)
    if not cards:
        raise ConfigError(f"{path / 'npcs'} has no persona card.", remedy="Add npcs/NPC_ID.yaml with at least `name`.")
    things = read_optional(path / "things.yaml", dict[str, dict[str, Thing]])
    tools = _tools(path / "tools.yaml", things)
    voices = {
        voice_id: VoiceSpec(voice_id, voice.espeak, voice.rate, voice.pitch)
        for voice_id, voice in read_optional(path / "voices.yaml", dict[str, _Voice]).items()
    }
    for npc_id, card in cards.items():
        if card.voice_id and card.voice_id not in voices:
            raise ConfigError(
                f"{path / 'npcs' / npc_id}.yaml: voice_id: there is no voice {card.voice_id!r}.",
                remedy=did_you_mean(card.voice_id, voices) or f"Add it to {path / 'voices.yaml'}.",
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
        cards[npc_id] = _with_adapter(convert(read_yaml(file), PersonaCard, file), file, path)
    return cards


def _with_adapter(card: PersonaCard, file: Path, world: Path) -> PersonaCard:
    """Return the card with the whole path of its LoRA adapter, which must be there."""
    if card.llm.lora is None:
        return card
    where = f"{file}: llm.lora"
    try:
        adapter = (world / card.llm.lora).resolve()
        if not adapter.is_relative_to(world.resolve()):
            raise ConfigError(
                f"{where}: {card.llm.lora!r} lies outside of the world's folder {world}.", remedy="Copy it in there."
            )
        with adapter.open("rb") as content:
            magic = content.read(4)
    except (OSError, RuntimeError, ValueError) as error:  # the last two: links in a circle, a zero byte
        raise ConfigError(
            f"{where}: cannot read {card.llm.lora!r}: {getattr(error, 'strerror', None) or error}.",
            remedy=f"Give the path of a GGUF file from {world}, such as loras/{file.stem}.gguf.",
        ) from error
    if magic != b"GGUF":
        raise ConfigError(
            f"{where}: {adapter} is no GGUF file.", remedy="Convert it with llama.cpp's convert_lora_to_gguf.py."
        )
    llm = msgspec.structs.replace(card.llm, lora=str(adapter))
    return msgspec.structs.replace(card, llm=llm)


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
        content = read_optional(file, _LoreFile)
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
    for index, tool in enumerate(read_optional(file, list[ToolDefinition], [])):
        where = f"{file}: [{index}] {tool.name}"
        if tool.name in tools:
            raise ConfigError(f"{where}: a tool of this name stands above.", remedy="Rename one.")
        for argument, word in tool.words.items():
            if word.kind not in things:
                raise ConfigError(
                    f"{where}.words.{argument}.kind: things.yaml has no list {word.kind!r}.",
                    remedy=did_you_mean(word.kind, things) or "Add it there.",
                )
        for argument, value in tool.arguments.items():
            root = value[1:].split(".")[0] if isinstance(value, str) and value.startswith("$") else None
            if root is not None and root != "player" and root not in tool.words:
                raise ConfigError(
                    f"{where}.arguments.{argument}: {value!r} begins with no argument of `words`.",
                    remedy=did_you_mean(root, tool.words) or "Use a name from `words`, or $player.id.",
                )
        tools[tool.name] = tool
    return tools
