"""World files: a world's folder, read and checked into one frozen `World`.

world.yaml  things.yaml  tools.yaml  voices.yaml  npcs/*.yaml  lore/*.yaml   ->   World

Long because a format and the checks of its references belong together. docs/worlds.md describes every key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mythicd.config.checked_files import CheckedFiles
from mythicd.config.voice_files import VoiceEntry
from mythicd.config.world_folder import WorldFolder, world_folder
from mythicd.config.yaml_reader import Document, FileProblem, Key, Strict, did_you_mean, mistakes
from mythicd.engines.asr import Vocabulary
from mythicd.engines.llm import ToolSpec
from mythicd.engines.tts import VoiceSpec
from mythicd.wire.messages import Id


class SamplingOverride(Strict, frozen=True, kw_only=True):
    """Sampling settings of one character; those not given come from the profile."""

    max_tokens: Annotated[int, Meta(ge=1, le=4096)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """0 always takes the likeliest token."""
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    repeat_penalty: Annotated[float, Meta(ge=1, le=2)] | None = None
    stop: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=8)] = ()
    """Texts before which a reply ends; they are not said."""
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None
    """A fixed seed gives the same reply to the same prompt; when not given, each turn has another."""
    lora: Annotated[str, Meta(min_length=1)] | None = None
    """A LoRA adapter: a GGUF file in the world's folder. `load_world` makes the path absolute."""


class PersonaCard(Strict, frozen=True, kw_only=True):
    """A persona card: one character's identity, manner, rules and voice."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    archetype: str = "a person of this place"
    """What the character is: "a barkeep"."""
    style: str = ""
    """How it speaks: "wry, concise"."""
    tone: str = ""
    """A synonym of `style`; both are joined."""
    backstory: tuple[str, ...] = ()
    """Facts about itself, a sentence each."""
    rules: tuple[str, ...] = ()
    """What it does and never does, a sentence each."""
    taboos: tuple[str, ...] = ()
    """What it will not do, as a phrase or an id: `reveal_secret_passage`."""
    catchphrases: tuple[str, ...] = ()
    backchannels: tuple[Annotated[str, Meta(min_length=1, max_length=40)], ...] = ()
    """What it says to show that it listens; the default ones when empty."""
    hesitations: tuple[Annotated[str, Meta(min_length=1, max_length=80)], ...] = ()
    """What it says before a late reply; the default ones when empty."""
    aliases: tuple[str, ...] = ()
    """Other names that players use for it."""
    voice_id: str = ""
    zone: str = ""
    """Where it is at the start."""
    llm: SamplingOverride = SamplingOverride()

    @property
    def manner(self) -> str:
        """Style and tone as one phrase."""
        return ", ".join(part for part in (self.style, self.tone) if part) or "plain"

    def persona_lines(self) -> tuple[str, ...]:
        """The lines of the prompt's persona section. Rules and taboos come first: a section over its budget loses its
        end."""
        taboos = tuple(f"Never {taboo.replace('_', ' ')}" for taboo in self.taboos)
        says = (f"Often says {', '.join(self.catchphrases)}",) if self.catchphrases else ()
        return (*self.rules, *taboos, *self.backstory, *says)


class LoreEntry(Strict, frozen=True, kw_only=True):
    """One lore text of a world."""

    id: Id
    text: Annotated[str, Meta(min_length=1, max_length=20_000)]
    title: str = ""
    tags: tuple[str, ...] = ()


class _LoreFile(Strict, frozen=True, kw_only=True):
    zone: str = ""
    """The zone whose characters know it; empty for all."""
    entries: tuple[LoreEntry, ...] = ()


class Thing(Strict, frozen=True, kw_only=True):
    """A place, item, person, dialog or emote that a tool can take as an argument."""

    name: Annotated[str, Meta(min_length=1)]
    aliases: tuple[str, ...] = ()
    values: dict[str, Any] = {}
    """Its data for the game, such as coordinates."""


class WordArgument(Strict, frozen=True, kw_only=True):
    """An argument as the model writes it: a name."""

    kind: str
    """Which list of things.yaml the name is looked up in."""
    description: str = ""


class ToolDefinition(Strict, frozen=True, kw_only=True):
    """A tool: its arguments as the model writes them and as the game gets them."""

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
    repeatable: bool = False
    """Whether one reply may call it twice with the same arguments."""
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


class _WorldFile(Strict, frozen=True, kw_only=True):
    title: Annotated[str, Meta(min_length=1)]
    rules: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    """Further words that players may ask about."""
    zones: tuple[str, ...] = ()
    """Every zone of the game. When given, a zone that is not in it is reported."""


class PlacedLore(msgspec.Struct, frozen=True, kw_only=True):
    """A lore entry with the zone that knows it."""

    zone: str
    entry: LoreEntry


class World(msgspec.Struct, frozen=True, kw_only=True):
    """A world, as read from its folder."""

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
    """Warnings: what is valid but probably unintended."""

    def vocabulary(self) -> Vocabulary:
        """The vocabulary of this world, for the recogniser."""

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


@dataclass(frozen=True, slots=True)
class WorldReading:
    """The result of reading a world's folder: the world, and everything that is wrong with its files."""

    folder: WorldFolder
    world: World | None
    """None if world.yaml, or every persona card, is missing or bad."""
    draft: World
    """What could be read, also where that is not a world."""
    fatal: FileProblem | None
    """Why there is no world."""
    problems: tuple[FileProblem, ...]
    """All mistakes and notices."""
    good: Mapping[Path, Any]
    """The last good content of each file."""
    documents: Mapping[Path, Document]
    """The files that could be parsed."""

    def line(self, file: Path, path: Sequence[Key]) -> int | None:
        """Return the line of a key in a file."""
        document = self.documents.get(file)
        return document.line(path) if document else None


def load_world(path: Path) -> World:
    """Read a world's folder. A bad file costs itself only, and gives a notice.

    Raises FileProblem, a ConfigError, if world.yaml or every persona card is missing or bad.
    """
    reading = read_world(path)
    if reading.world is None:
        assert reading.fatal is not None
        raise reading.fatal
    return reading.world


def read_world(path: Path, before: Mapping[Path, Any] | None = None) -> WorldReading:
    """Read a world's folder with everything that is wrong in it.

    `before` is `good` of an earlier reading: of a file that is bad now, the last good content is used.
    """
    try:
        folder = world_folder(path)
    except OSError as error:
        absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        what = f"There is no world at {path}" if absent else f"Cannot read {path}: {error.strerror}"
        remedy = "Name a folder with a world.yaml in it." if absent else "Fix its permissions."
        fatal = FileProblem(path, what, sentence=f"{what}.", remedy=remedy, is_unread=True)
        draft = World(path=path, title="", rules=(), topics=(), characters={}, lore=(), things={}, tools={}, voices={})
        return WorldReading(WorldFolder(path), None, draft, fatal, (fatal,), before or {}, {})
    return _Reader(folder, CheckedFiles(before or {})).read()


class _Reader:
    """One reading of a world's folder."""

    def __init__(self, folder: WorldFolder, files: CheckedFiles) -> None:
        self._folder = folder
        self._files = files
        self._world_yaml, self._things_yaml, self._tools_yaml, self._voices_yaml = (
            folder.path / name for name in ("world.yaml", "things.yaml", "tools.yaml", "voices.yaml")
        )

    def read(self) -> WorldReading:
        path, files = self._folder.path, self._files
        head = self._value("world.yaml", _WorldFile)
        cards = self._cards()
        things = self._value("things.yaml", dict[str, dict[str, Thing]], {}) or {}
        tools = self._tools(things)
        voices = {
            voice_id: voice.spec(voice_id, path)
            for voice_id, voice in (self._value("voices.yaml", dict[str, VoiceEntry], {}) or {}).items()
        }
        self._check_voices(cards, voices)
        lore, zones = self._lore()
        if head is not None:
            self._check_zones(head.zones, cards, zones)
        self._check_adapters(cards)
        files.problems += self._folder.unread
        if not lore:
            files.add(
                path,
                "no lore",
                sentence=f"The world at {path} has no lore: characters know only their persona cards.",
                remedy="Add lore/*.yaml.",
                is_notice=True,
            )
        fatal = self._fatal(head, cards)
        head = head or _WorldFile(title="untitled")
        draft = World(
            path=path,
            title=head.title,
            rules=head.rules,
            topics=head.topics,
            characters=cards,
            lore=lore,
            things=things,
            tools=tools,
            voices=voices,
            notices=tuple(map(str, files.problems)),
        )
        world = None if fatal else draft
        return WorldReading(self._folder, world, draft, fatal, tuple(files.problems), files.good, files.documents)

    def _value(self, name: str, kind: Any, empty: Any = None) -> Any:
        return self._files.value(self._folder.path / name, kind, empty) if name in self._folder.top else None

    def _fatal(self, head: _WorldFile | None, cards: Mapping[str, PersonaCard]) -> FileProblem | None:
        """Return what keeps the folder from being a world."""
        files, npcs = self._files, self._folder.path / "npcs"
        if head is None:
            file = self._world_yaml
            if found := next((problem for problem in files.problems if problem.file == file), None):
                return found
            near = next((each.file.name for each in self._folder.unread if each.file.name.lower() == file.name), "")
            return files.add(
                file,
                "this file does not exist",
                sentence=f"{file} does not exist.",
                remedy=f"Rename {near} to {file.name}." if near else "Create it, or name another folder.",
            )
        if not cards:
            return next(
                (problem for problem in files.problems if problem.file in self._folder.npcs), None
            ) or files.add(
                npcs,
                "no persona card",
                sentence=f"{npcs} has no persona card.",
                remedy="Add npcs/NPC_ID.yaml with at least `name`.",
            )
        return None

    # --- characters --------------------------------------------------------------------------------------------------

    def _cards(self) -> dict[str, PersonaCard]:
        cards: dict[str, PersonaCard] = {}
        folded: dict[str, Path] = {}
        for file in self._folder.npcs:
            try:
                npc_id = msgspec.convert(file.stem, Id)
            except msgspec.ValidationError:
                complaint = f"invalid id {file.stem!r} (the file name of a persona card is the character's id)"
                self._files.add(file, complaint, remedy="Rename it: use letters, digits and _ . - only.")
                continue
            # Windows and macOS cannot store both files, and memories would belong to the wrong character.
            if (other := folded.setdefault(npc_id.casefold(), file)) is not file:
                complaint = f"its id differs from that of {other.name} only in case"
                self._files.add(file, complaint, remedy="Rename one.")
                continue
            card = self._files.value(file, PersonaCard, finish=partial(self._with_adapter, file))
            if card is not None:
                cards[npc_id] = card
        return cards

    def _with_adapter(self, file: Path, card: PersonaCard) -> PersonaCard:
        """Return the card with the absolute path of its LoRA adapter. Raises FileProblem if it is not a GGUF file."""
        if card.llm.lora is None:
            return card
        world, line = self._folder.path, self._files.line(file, ("llm", "lora"))

        def problem(complaint: str, remedy: str) -> FileProblem:
            return FileProblem(file, complaint, place="llm.lora", line=line, remedy=remedy)

        try:
            adapter = (world / card.llm.lora).resolve()
            if not adapter.is_relative_to(world.resolve()):
                complaint = f"{card.llm.lora!r} is outside of the world's folder {world}"
                raise problem(complaint, "Copy it into that folder.")
            with adapter.open("rb") as content:
                magic = content.read(4)
        except (OSError, RuntimeError, ValueError) as error:  # the last two: a symlink loop, a zero byte
            raise problem(
                f"cannot read {card.llm.lora!r}: {getattr(error, 'strerror', None) or error}",
                f"Give the path of a GGUF file relative to {world}, such as loras/{file.stem}.gguf.",
            ) from error
        if magic != b"GGUF":
            raise problem(f"{adapter} is not a GGUF file", "Convert it with llama.cpp's convert_lora_to_gguf.py.")
        llm = msgspec.structs.replace(card.llm, lora=str(adapter))
        return msgspec.structs.replace(card, llm=llm)

    def _card_file(self, npc_id: str) -> Path:
        return self._folder.path / "npcs" / f"{npc_id}.yaml"

    def _check_voices(self, cards: Mapping[str, PersonaCard], voices: Mapping[str, VoiceSpec]) -> None:
        """Add voices that do not exist; the characters keep the default voice."""
        if self._files.is_lost(self._voices_yaml):
            return
        for npc_id, card in cards.items():
            if card.voice_id and card.voice_id not in voices:
                remedy = did_you_mean(card.voice_id, voices) or f"Add it to {self._voices_yaml}."
                complaint = f"unknown voice {card.voice_id!r}"
                place = "voice_id"
                self._files.add(self._card_file(npc_id), complaint, remedy=remedy, path=(place,), place=place)

    def _check_adapters(self, cards: Mapping[str, PersonaCard]) -> None:
        used = {card.llm.lora for card in cards.values()}
        for file in self._folder.adapters:
            if str(file.resolve()) not in used:
                complaint = "not used: no persona card names it in llm.lora"
                self._files.add(file, complaint, remedy="Name it in a card, or move it elsewhere.", is_notice=True)

    # --- lore, zones and tools ---------------------------------------------------------------------------------------

    def _lore(self) -> tuple[tuple[PlacedLore, ...], dict[str, Path]]:
        """Return all lore, and each zone that has some, with a file that names it."""
        placed: list[PlacedLore] = []
        homes: dict[str, Path] = {}
        zones: dict[str, Path] = {}
        for file in self._folder.lore:
            content = self._files.value(file, _LoreFile, {})
            if content is None:
                continue
            zones.setdefault(content.zone, file)
            if len(content.entries) > 1 and all(homes.get(entry.id, file) != file for entry in content.entries):
                complaint = f"all of its lore ids are used in {homes[content.entries[0].id]} already"
                self._files.add(file, complaint, remedy="If this file is a copy, delete it; otherwise rename its ids.")
                continue
            for index, entry in enumerate(content.entries):
                if entry.id in homes:
                    complaint = f"the lore id {entry.id!r} is used in {homes[entry.id]} already"
                    at = ("entries", index, "id")
                    self._files.add(file, complaint, remedy="Rename one.", path=at, place=f"entries[{index}].id")
                    continue
                homes[entry.id] = file
                placed.append(PlacedLore(zone=content.zone, entry=entry))
        return tuple(placed), zones

    def _check_zones(self, declared: Sequence[str], cards: Mapping[str, PersonaCard], lore: Mapping[str, Path]) -> None:
        """Add zones that world.yaml does not list. Where it lists none: those that look like another one misspelt, and
        those of characters that no lore has."""
        npcs = {card.zone: self._card_file(npc_id) for npc_id, card in reversed(list(cards.items()))}
        homes: tuple[tuple[Mapping[str, Path], Mapping[str, Path]], ...] = ((npcs, lore), (lore, npcs))
        for own, others in homes:
            for zone, file in own.items():
                if not zone or zone in (declared or others):
                    continue
                near = next((other for other in declared or others if _is_misspelt(zone, other)), "")
                if declared or near:
                    remedy = f"Did you mean {near!r}? " if near else ""
                    remedy += f"If this zone exists, list it in zones in {self._world_yaml}."
                    complaint = f"unknown zone {zone!r}"
                    self._files.add(file, complaint, remedy=remedy, path=("zone",), place="zone")
                elif own is npcs and any(others):
                    complaint = f"no lore has the zone {zone!r}"
                    remedy = did_you_mean(zone, filter(None, others)) or f"Add a file to lore/ with `zone: {zone}`."
                    self._files.add(file, complaint, remedy=remedy, path=("zone",), place="zone", is_notice=True)

    def _tools(self, things: Mapping[str, Mapping[str, Thing]]) -> dict[str, ToolDefinition]:
        """Return the tools by name. A bad one costs itself only."""
        files, file = self._files, self._tools_yaml
        document = files.document(file) if file.name in self._folder.top else None
        content = [] if document is None or document.content is None else document.content
        if document is not None and not isinstance(content, list):
            files.add_bad(file, mistakes(content, list[ToolDefinition], file, document))
        if document is None or not isinstance(content, list):
            return dict(files.good.setdefault(file, {}))
        before: Mapping[str, ToolDefinition] = files.before(file) or {}
        tools: dict[str, ToolDefinition] = {}
        for index, item in enumerate(content):
            found = mistakes(item, ToolDefinition, file, document, (index,))
            name = item.get("name") if isinstance(item, dict) else None
            if not found:
                tool = msgspec.convert(item, ToolDefinition)
                found = [
                    FileProblem(file, complaint, remedy=remedy, place=place, line=document.line((index, *path)))
                    for place, path, complaint, remedy in _references(index, tool, tools, things)
                ]
                if not found:
                    tools[tool.name] = tool
                elif tool.words and files.is_lost(self._things_yaml):
                    continue  # what it refers to may be there: the mistake is that of things.yaml
            elif isinstance(name, str) and name in before and name not in tools:
                found = [each.extended("Until then the last good version of this tool is used.") for each in found]
                tools[name] = before[name]
            files.problems += found
        files.good[file] = tools
        return tools


def _references(
    index: int, tool: ToolDefinition, tools: Mapping[str, ToolDefinition], things: Mapping[str, Mapping[str, Thing]]
) -> Iterator[tuple[str, tuple[Key, ...], str, str]]:
    """Yield (place, path in the tool, complaint, remedy) of each name in a tool that refers to nothing."""
    where = f"[{index}] {tool.name}"
    if tool.name in tools:
        yield where, ("name",), "duplicate tool name", "Rename one."
    for argument, word in tool.words.items():
        if word.kind not in things:
            remedy = did_you_mean(word.kind, things) or "Add it there."
            place = f"{where}.words.{argument}.kind"
            yield place, ("words", argument, "kind"), f"things.yaml has no list {word.kind!r}", remedy
    for argument, value in tool.arguments.items():
        root = value[1:].split(".")[0] if isinstance(value, str) and value.startswith("$") else None
        if root is not None and root != "player" and root not in tool.words:
            remedy = did_you_mean(root, tool.words) or "Use a name from `words`, or $player.id."
            complaint = f"{value!r} does not begin with an argument of `words`"
            yield f"{where}.arguments.{argument}", ("arguments", argument), complaint, remedy


def _is_misspelt(word: str, other: str) -> bool:
    """Return whether two zones are one but for case, separators, or one letter that is wrong, missing or swapped.

    "level_1" and "level_2", "deck_a" and "deck_b" are two.
    """
    one, two = (re.sub(r"[\W_]+", "", each).casefold() for each in (word, other))
    if one == two:
        return word != other
    start = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    one, two = one[start:], two[start:]
    while one and two and one[-1] == two[-1]:
        one, two = one[:-1], two[:-1]
    is_near = len(one) <= 1 and len(two) <= 1 or (len(one) == 2 and one == two[::-1])
    is_number = any(part.isdigit() or len(part) <= 2 for part in re.split(r"[\W_]+", word) if part not in other)
    least = 4 if len(one) == 2 else 5  # "cave" and "cove" are two
    return is_near and not is_number and min(len(word), len(other)) >= least and not re.search(r"\d", one + two)
