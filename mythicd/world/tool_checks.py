"""Checks of a world's tools: intents, schemas, and whether every tool can be called with every thing that it takes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mythicd.config.tool_schema import schema_faults
from mythicd.config.world_files import Thing, ToolDefinition, World, WorldReading
from mythicd.config.yaml_reader import FileProblem, Key, did_you_mean, place_of
from mythicd.dialogue.intent import PRECEDENCE
from mythicd.dialogue.tool_arguments import resolve
from mythicd.errors import ToolRejected

MOST_TOLD = 5
"""Things that are named for one fault of a tool; the rest is counted."""


def check_tools(reading: WorldReading, world: World, before: World | None = None) -> tuple[World, list[FileProblem]]:
    """Return the world with the tools that can be called, and everything that is wrong with its tools.

    An unknown intent is taken out. A tool that no call could ever fit is replaced by that of `before`, or left out.
    """
    problems: list[FileProblem] = []
    tools: dict[str, ToolDefinition] = {}
    for tool in world.tools.values():
        check = _ToolCheck(reading, tool, world.things)
        found = list(check.problems())
        known = msgspec.structs.replace(tool, intents=tuple(each for each in tool.intents if each in PRECEDENCE))
        earlier = before.tools.get(tool.name) if before else None
        if not check.is_useless:
            tools[tool.name] = known
        elif earlier is not None and not _is_useless(_ToolCheck(reading, earlier, world.things)):
            tools[tool.name] = earlier
            found = [each.extended("Until then the last good version of this tool is used.") for each in found]
        problems += found
    return msgspec.structs.replace(world, tools=tools), problems


def _is_useless(check: _ToolCheck) -> bool:
    list(check.problems())
    return check.is_useless


class _ToolCheck:
    """The check of one tool."""

    def __init__(self, reading: WorldReading, tool: ToolDefinition, things: Mapping[str, Mapping[str, Thing]]) -> None:
        self._reading = reading
        self._tool = tool
        self._things = things
        self.is_useless = False
        """Whether no call of the tool could ever be valid; known after `problems`."""
        document = reading.documents.get(reading.folder.path / "tools.yaml")
        items = document.content if document and isinstance(document.content, list) else []
        self._index = next(
            (index for index, item in enumerate(items) if isinstance(item, dict) and item.get("name") == tool.name), 0
        )

    def problems(self) -> Iterator[FileProblem]:
        """Yield everything that is wrong with the tool."""
        yield from self._intents()
        faults = schema_faults(self._tool.schema)
        for fault in faults:
            yield self._in_tools(("schema", *fault.path), fault.complaint, fault.remedy, is_notice=fault.is_notice)
        self.is_useless = any(fault.is_fatal for fault in faults)
        empty = [argument for argument, word in self._tool.words.items() if not self._things.get(word.kind)]
        for argument in empty:
            kind = self._tool.words[argument].kind
            complaint = f"the list {kind!r} in things.yaml is empty: no call can name anything"
            yield self._in_tools(("words", argument, "kind"), complaint, f"Add things to {kind!r}, or delete the tool.")
        if not empty and not self.is_useless:
            missing = list(self._missing_values())
            yield from missing
            if not missing and not self.is_useless:
                yield from self._misfits()

    def _intents(self) -> Iterator[FileProblem]:
        unknown = [intent for intent in self._tool.intents if intent not in PRECEDENCE]
        left = "" if len(unknown) < len(self._tool.intents) else " Until then the tool is always offered."
        for index, intent in enumerate(self._tool.intents):
            if intent in unknown:
                remedy = did_you_mean(intent, PRECEDENCE) or f"Known intents: {', '.join(sorted(PRECEDENCE))}."
                yield self._in_tools(("intents", index), f"unknown intent {intent!r}", remedy + left)

    def _missing_values(self) -> Iterator[FileProblem]:
        """Yield the `$` paths of the arguments that lead to no value."""
        for path, value in _texts(self._tool.arguments, ("arguments",)):
            root, *keys = value[1:].split(".") if value.startswith("$") else [""]
            if root == "player" and root not in self._tool.words and keys != ["id"]:
                complaint = f"of the player only $player.id is known, not {value!r}"
                yield self._in_tools(path, complaint, "Write $player.id.")
                self.is_useless = True
                continue
            if root not in self._tool.words:
                if value.startswith("$") and root != "player":
                    remedy = did_you_mean(root, self._tool.words) or "Use a name from `words`, or $player.id."
                    yield self._in_tools(path, f"{value!r} does not begin with an argument of `words`", remedy)
                    self.is_useless = True
                continue
            kind = self._tool.words[root].kind
            things = self._things[kind]
            lacking = [each for each, thing in things.items() if not _has(thing, keys)]
            if len(lacking) == len(things) > 1:
                known = sorted({key for thing in things.values() for key in thing.values} | {"id", "name"})
                near = difflib.get_close_matches(keys[0] if keys else "", known, n=1)
                complaint = f"{value!r}: no thing of {kind!r} has this value"
                yield self._in_tools(
                    path, complaint, f"Did you mean '${root}.{near[0]}'?" if near else self._known(known)
                )
                self.is_useless = True
            elif lacking:
                for thing_id in lacking[:MOST_TOLD]:
                    complaint = f"{self._tool.name} needs {value!r}, and {things[thing_id].name!r} has no value for it"
                    more = len(lacking) - MOST_TOLD
                    rest = f" {more} more things lack it." if more > 0 and thing_id == lacking[MOST_TOLD - 1] else ""
                    yield self._in_things((kind, thing_id), complaint, f"Add it to its `values`.{rest}")

    def _known(self, known: Sequence[str]) -> str:
        return f"Values there: {', '.join(known[:12])}."

    def _misfits(self) -> Iterator[FileProblem]:
        """Yield the things with which the arguments do not fit the schema."""
        tool = self._tool
        words = {argument: self._things[word.kind] for argument, word in tool.words.items()}
        firsts = {argument: next(iter(things)) for argument, things in words.items()}
        if not words:
            if complaint := self._complaint({}):
                self.is_useless = True
                yield self._in_tools(self._guilty(complaint), complaint, "Correct the arguments or the schema.")
            return
        for argument, things in words.items():
            named = {thing_id: self._complaint({**firsts, argument: thing_id}) for thing_id in things}
            wrong = {thing_id: complaint for thing_id, complaint in named.items() if complaint}
            if not wrong:
                continue
            first = next(iter(wrong.values()))
            guilty = self._guilty(first)
            if len(wrong) == len(named) and (len(named) > 1 or not self._comes_from(guilty, argument)):
                self.is_useless = True
                yield self._in_tools(guilty, first, "Correct the arguments or the schema: no call fits.")
                return
            for thing_id, complaint in list(wrong.items())[:MOST_TOLD]:
                remedy = f"Correct its `values`: {tool.name} cannot be called with it."
                yield self._in_things((tool.words[argument].kind, thing_id), complaint, remedy)

    def _complaint(self, named: Mapping[str, str]) -> str:
        """Return why a call with these things is refused; empty if it is not."""
        tool = self._tool
        things: dict[str, dict[str, Thing]] = {}
        for argument, thing_id in named.items():
            kind = tool.words[argument].kind
            things.setdefault(kind, {})[thing_id] = self._things[kind][thing_id]
        try:
            resolve(tool.name, named, {tool.name: tool}, things, "player")
        except ToolRejected as error:
            return error.what.rstrip(".")
        except Exception as error:  # jsonschema raises several kinds, such as for a $ref that leads nowhere
            self.is_useless = True
            return f"{tool.name}: the schema cannot be used: {' '.join(str(error).split())[:200]}"
        return ""

    def _guilty(self, complaint: str) -> tuple[Key, ...]:
        """Return the path in the tool that a complaint (`TOOL: ARGUMENT: …`) speaks of."""
        argument = complaint.removeprefix(f"{self._tool.name}: ").split(":")[0].split(".")[0]
        return ("arguments", argument) if argument in self._tool.arguments else ("schema",)

    def _comes_from(self, path: tuple[Key, ...], argument: str) -> bool:
        """Return whether the value at a path is one of the thing that an argument names."""
        value = self._tool.arguments.get(str(path[1])) if len(path) > 1 else None
        return isinstance(value, str) and value.startswith(f"${argument}.")

    def _in_tools(self, path: tuple[Key, ...], complaint: str, remedy: str, is_notice: bool = False) -> FileProblem:
        place = f"[{self._index}] {self._tool.name}.{place_of(path)}"
        return self._problem("tools.yaml", (self._index, *path), place, complaint, remedy, is_notice)

    def _in_things(self, path: tuple[Key, ...], complaint: str, remedy: str) -> FileProblem:
        return self._problem("things.yaml", path, place_of(path), complaint, remedy, False)

    def _problem(
        self, name: str, path: tuple[Key, ...], place: str, complaint: str, remedy: str, is_notice: bool
    ) -> FileProblem:
        file = self._reading.folder.path / name
        line = self._reading.line(file, path)
        return FileProblem(file, complaint, remedy=remedy, place=place, line=line, is_notice=is_notice)


def _texts(value: Any, path: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], str]]:
    """Yield each text in a tree of arguments, with its path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))
    elif isinstance(value, str):
        yield path, value


def _has(thing: Thing, keys: Sequence[str]) -> bool:
    """Return whether a thing has the value at a path of keys; the empty path is the thing itself."""
    found: Any = {"id": "", "name": "", **thing.values}
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            return False
        found = found[key]
    return True
