"""`mythicd world check`: every mistake in a world's folder at once, and what is valid but probably unintended."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mythicd.authoring.contradictions import contradictions
from mythicd.config.settings import BudgetSettings
from mythicd.config.world_files import World, WorldReading, read_world
from mythicd.config.yaml_reader import FileProblem, Key, did_you_mean, place_of
from mythicd.dialogue.tool_arguments import normalised
from mythicd.errors import EngineUnavailable
from mythicd.memory.packing import within
from mythicd.native.espeakng import EspeakNg
from mythicd.text.token_estimate import estimate_tokens
from mythicd.world.tool_checks import check_tools

PERSONA_BUDGET = BudgetSettings().persona
"""Tokens of the persona section, as profiles have it where they say nothing else (`rag.budgets.persona`)."""

LAST = 10**9
"""Where problems without a line stand among those of their file."""


@dataclass(frozen=True, slots=True)
class WorldCheck:
    """What a check found, in the order of files and lines."""

    path: Path
    mistakes: tuple[FileProblem, ...]
    notices: tuple[FileProblem, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the findings as a value that JSON can hold."""
        return {
            "world": str(self.path),
            "mistakes": [self._finding(each) for each in self.mistakes],
            "notices": [self._finding(each) for each in self.notices],
        }

    def _finding(self, problem: FileProblem) -> dict[str, Any]:
        return {
            "file": self.shown(problem.file),
            "line": problem.line,
            "column": problem.column,
            "place": problem.place,
            "what": problem.complaint,
            "remedy": problem.remedy,
        }

    def shown(self, file: Path) -> str:
        """Return a file's path from the world's folder."""
        shown = file.relative_to(self.path).as_posix() if file.is_relative_to(self.path) else str(file)
        return shown.encode(errors="replace").decode()


def check_world(path: Path) -> WorldCheck:
    """Read a world's folder, and return everything that is wrong in it. Nothing is raised for what is in the files."""
    reading = read_world(path)
    world, tool_problems = check_tools(reading, reading.draft)
    problems = list(dict.fromkeys([*reading.problems, *tool_problems]))
    for check in _CHECKS:
        problems += check(reading, world)
    order = {file: at for at, file in enumerate(reading.folder.read)}
    problems.sort(key=lambda each: (order.get(each.file, len(order)), str(each.file), each.line or LAST))
    return WorldCheck(
        path,
        tuple(each for each in problems if not each.is_notice),
        tuple(each for each in problems if each.is_notice),
    )


Check = Callable[[WorldReading, World], Iterator[FileProblem]]


def _found(
    reading: WorldReading, file: Path, path: tuple[Key, ...], complaint: str, remedy: str, *, is_notice: bool
) -> FileProblem:
    return FileProblem(
        file,
        complaint,
        remedy=remedy,
        place=place_of(path),
        line=reading.line(file, path) if path else None,
        is_notice=is_notice,
    )


def _card_file(world: World, npc_id: str) -> Path:
    return world.path / "npcs" / f"{npc_id}.yaml"


# --- mistakes --------------------------------------------------------------------------------------------------------


def _voices(reading: WorldReading, world: World) -> Iterator[FileProblem]:
    """Yield voices that espeak-ng does not have."""
    file = world.path / "voices.yaml"
    if not world.voices:
        return
    try:
        engine = EspeakNg.load()
    except EngineUnavailable as error:
        yield _found(
            reading, file, (), f"voices are not checked: {error.what.rstrip('.')}", error.remedy, is_notice=True
        )
        return
    for voice_id, voice in world.voices.items():
        if engine.has_voice(voice.espeak):
            continue
        language, plus, variant = voice.espeak.partition("+")
        if plus and engine.has_voice(language):
            complaint = f"espeak-ng has no variant {variant!r}"
            remedy = did_you_mean(variant, engine.variants()) or "Use m1 to m8 or f1 to f5."
        else:
            complaint = f"espeak-ng has no voice {voice.espeak!r}"
            remedy = did_you_mean(language, engine.voices()) or "Use a language such as en-us or en-gb, or en-us+f2."
        yield _found(reading, file, (voice_id, "espeak"), complaint, remedy, is_notice=False)


def _names(reading: WorldReading, world: World) -> Iterator[FileProblem]:
    """Yield names and aliases that two things of one list share: a tool cannot know which is meant."""
    file = world.path / "things.yaml"
    told: set[tuple[str, str, tuple[str, ...]]] = set()
    for kind, things in world.things.items():
        owners: dict[tuple[str, ...], str] = {}
        for thing_id, thing in things.items():
            own: set[tuple[str, ...]] = set()
            for at, name in enumerate((thing.name, *thing.aliases)):
                words = normalised(name)
                if not words or words in own:
                    continue
                own.add(words)
                other = owners.setdefault(words, thing_id)
                if other == thing_id or (other, thing_id, words) in told:
                    continue
                # A list that joins others (`<<`) has the collisions of those too.
                told.add((other, thing_id, words))
                path: tuple[Key, ...] = (kind, thing_id, "aliases", at - 1) if at else (kind, thing_id, "name")
                complaint = f"{name!r} names {other!r} in {kind!r}, too"
                remedy = "Give one of them another name: a call with this one is refused, or means the other."
                yield _found(reading, file, path, complaint, remedy, is_notice=False)


# --- notices ---------------------------------------------------------------------------------------------------------


def _contradictions(reading: WorldReading, world: World) -> Iterator[FileProblem]:
    places = _lore_places(reading)
    for one, other, first, second in contradictions(world.lore):
        ids = world.lore[one].entry.id, world.lore[other].entry.id
        file, path = places.get(ids[1], (world.path / "lore", ()))
        home = places.get(ids[0], (world.path / "lore", ()))[0]
        complaint = f"{second!r} contradicts {first!r} ({ids[0]} in {home.name})"
        yield _found(reading, file, path, complaint, "Correct or delete one of them.", is_notice=True)


def _lore_places(reading: WorldReading) -> dict[str, tuple[Path, tuple[Key, ...]]]:
    """Return file and path of each lore entry, by id."""
    places: dict[str, tuple[Path, tuple[Key, ...]]] = {}
    for file in reading.folder.lore:
        for index, entry in enumerate(getattr(reading.good.get(file), "entries", ())):
            places.setdefault(entry.id, (file, ("entries", index)))
    return places


def _tags(reading: WorldReading, world: World) -> Iterator[FileProblem]:
    """Yield the tags that group nothing."""
    count = Counter(tag for placed in world.lore for tag in dict.fromkeys(placed.entry.tags))
    places = _lore_places(reading)
    lone: dict[Path, list[str]] = defaultdict(list)
    for placed in world.lore:
        for tag in placed.entry.tags:
            if count[tag] == 1 and placed.entry.id in places:
                lone[places[placed.entry.id][0]].append(tag)
    for file, tags in lone.items():
        complaint = f"tags that only one entry has: {', '.join(sorted(tags))}"
        yield _found(reading, file, (), complaint, "Use one tag for entries that belong together.", is_notice=True)


def _unused_voices(reading: WorldReading, world: World) -> Iterator[FileProblem]:
    used = {card.voice_id for card in world.characters.values()}
    if any(file not in reading.good for file in reading.folder.npcs):
        return  # a character that could not be read may have it
    for voice_id in world.voices:
        if voice_id not in used:
            remedy = "Name it in a card's `voice_id`, or delete it."
            file = world.path / "voices.yaml"
            yield _found(reading, file, (voice_id,), "no character has this voice", remedy, is_notice=True)


def _characters(reading: WorldReading, world: World) -> Iterator[FileProblem]:
    zones = {placed.zone for placed in world.lore}
    declared = getattr(reading.good.get(world.path / "world.yaml"), "zones", ())
    owners: dict[str, str] = {}
    for npc_id, card in world.characters.items():
        file = _card_file(world, npc_id)
        if card.zone in declared and card.zone not in zones and any(zones):
            complaint = f"no lore has the zone {card.zone!r}"
            remedy = did_you_mean(card.zone, zones - {""}) or f"Add a file to lore/ with `zone: {card.zone}`."
            yield _found(reading, file, ("zone",), complaint, remedy, is_notice=True)
        other = owners.setdefault(card.name.casefold(), npc_id)
        if other != npc_id:
            complaint = f"the character {other!r} has the same name"
            remedy = "Give one of them another name, or players cannot say whom they mean."
            yield _found(reading, file, ("name",), complaint, remedy, is_notice=True)
        left_out: list[str] = []
        within(card.persona_lines(), PERSONA_BUDGET, estimate_tokens, left_out)
        if left_out:
            complaint = f"the persona is over its budget of {PERSONA_BUDGET} tokens: {len(left_out)} lines are left out"
            remedy = f"Shorten it, or move facts to lore. The first line left out: {left_out[0][:60]!r}."
            yield _found(reading, file, ("backstory",), complaint, remedy, is_notice=True)


def _placeholders(reading: WorldReading, world: World) -> Iterator[FileProblem]:
    """Yield placeholders of other programs, which would be spoken."""
    texts: list[tuple[Path, tuple[Key, ...], str]] = []
    places = _lore_places(reading)
    for placed in world.lore:
        if placed.entry.id in places:
            file, path = places[placed.entry.id]
            texts.append((file, (*path, "text"), placed.entry.text))
    for npc_id, card in world.characters.items():
        lines = {"backstory": card.backstory, "rules": card.rules, "catchphrases": card.catchphrases}
        for key, values in lines.items():
            texts += [(_card_file(world, npc_id), (key, index), line) for index, line in enumerate(values)]
    for file, path, text in texts:
        if found := re.search(r"\{\{[^{}]{1,60}\}\}|<(?:USER|BOT|CHAR)>", text):
            remedy = "Write the name, or import the card with `mythicd import`."
            yield _found(reading, file, path, f"the placeholder {found[0]} has no meaning here", remedy, is_notice=True)


def _empty_lore(reading: WorldReading, world: World) -> Iterator[FileProblem]:
    for file in reading.folder.lore:
        content = reading.good.get(file)
        if content is not None and not content.entries:
            yield _found(reading, file, (), "no entries", "Add entries, or delete the file.", is_notice=True)


_CHECKS: tuple[Check, ...] = (
    _voices,
    _names,
    _contradictions,
    _tags,
    _unused_voices,
    _characters,
    _placeholders,
    _empty_lore,
)
