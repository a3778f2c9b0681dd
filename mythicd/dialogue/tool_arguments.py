"""Tool arguments: from the names that a model writes to the ids and coordinates that the game needs.

    name, as said -> exact -> alias -> normalised -> contained -> close spelling -> one thing, or ToolRejected
    thing         -> the tool's `arguments` with `$place.x` filled in -> checked against the tool's JSON Schema

A model writes `set_waypoint {"place": "the market"}`, never an id, so it cannot invent a coordinate. The first rule
that finds anything decides; if it finds two things, the call is rejected as ambiguous. tool_calls.py tracks the call.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema

from mythicd.config.world_files import Thing, ToolDefinition
from mythicd.errors import ToolRejected
from mythicd.text.english.function_words import ARTICLES
from mythicd.text.english.plurals import singular
from mythicd.text.english.words import BARE_WORD, straight_apostrophes

MOST_CHARACTERS = 200
"""Longest string in a call, in characters; the rest is cut off."""

CLOSE = 0.84
"""Least difflib ratio of two spellings of one name: one wrong letter in a word of seven, not in one of five.
"south pier" and "north pier" have 0.78."""

_DETERMINERS = frozenset(("my", "your", "our", "his", "her", "their", "this", "that", "these", "those", "some"))

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResolvedCall:
    """A tool call as it is sent to the game."""

    name: str
    arguments: dict[str, Any]
    """Valid against the tool's JSON Schema."""
    purpose: str = ""
    """Its purpose, as a phrase: "show the player the way to the market"."""


def resolve(
    name: str,
    arguments: Mapping[str, Any],
    tools: Mapping[str, ToolDefinition],
    things: Mapping[str, Mapping[str, Thing]],
    player_id: str,
) -> ResolvedCall:
    """Turn a call that a model wrote into one for the game.

    `things` is by kind, then id. Raises ToolRejected, which gives the name that was asked for and the nearest ones.
    """
    tool = tools.get(clean(name))
    if tool is None:
        raise ToolRejected(f"Unknown tool {clean(name)!r}.", remedy=_nearest(clean(name), tools))
    surplus = [argument for argument in arguments if argument not in tool.words]
    if surplus:
        raise ToolRejected(
            f"{tool.name}: unknown argument {clean(surplus[0])!r}.",
            remedy=f"Use only: {', '.join(tool.words)}." if tool.words else "Call it without arguments.",
        )
    named: dict[str, tuple[str, Thing]] = {}
    for argument, word in tool.words.items():
        said = arguments.get(argument)
        if not isinstance(said, str) or not clean(said):
            raise ToolRejected(
                f"{tool.name}: argument {argument!r} must be {word.description or 'a name'}, not {said!r:.60}.",
                remedy="Write the name.",
            )
        known = things.get(word.kind, {})
        thing_id = find(said, known, kind=word.kind)
        named[argument] = (thing_id, known[thing_id])
    built = _fill(tool.arguments, named, player_id, tool.name)
    complaint = _first_complaint(tool, built)
    if complaint:
        raise ToolRejected(
            complaint, remedy="Correct the tool's `arguments` in tools.yaml, or the thing's `values` in things.yaml."
        )
    return ResolvedCall(
        tool.name, built, _purpose(tool, {argument: thing.name for argument, (_, thing) in named.items()})
    )


def find(said: str, things: Mapping[str, Thing], *, kind: str = "things") -> str:
    """Return the id of the thing that `said` names. Raises ToolRejected when there is none, or more than one."""
    said = clean(said)
    normal = normalised(said)
    spellings = {i: {normalised(n) for n in (thing.name, *thing.aliases, i)} - {()} for i, thing in things.items()}
    found = (
        [i for i, thing in things.items() if said in (thing.name, i)]
        or [i for i, thing in things.items() if said in thing.aliases]
        or [i for i, names in spellings.items() if normal in names]
        or _containing(normal, spellings)
        or _contained(normal, spellings)
        or _close(normal, spellings)
    )
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(repr(things[i].name) for i in found[:4])
        raise ToolRejected(f"{said!r} is ambiguous in {kind}: {names}.", remedy="Use the whole name.")
    raise ToolRejected(f"No {said!r} in {kind}.", remedy=_nearest(said, [thing.name for thing in things.values()]))


def clean(text: str) -> str:
    """Return text without control, format and unassigned characters, on one line, trimmed and cut to its cap."""
    visible = "".join(
        " " if c.isspace() else c for c in text if c.isspace() or not unicodedata.category(c).startswith("C")
    )
    return " ".join(visible.split())[:MOST_CHARACTERS].rstrip()


def normalised(name: str) -> Words:
    """Return a name as words without case, accents, articles, possessives and plural endings.

    >>> normalised("The Blacksmith's Shops")
    ('blacksmith', 'shop')
    """
    plain = unicodedata.normalize("NFKD", straight_apostrophes(name).casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    words = BARE_WORD.findall(re.sub(r"'s\b|s'(?=\s|$)", "", plain).replace("_", " "))
    kept = [word for word in words if word not in ARTICLES]
    while len(kept) > 1 and kept[0] in _DETERMINERS:
        kept = kept[1:]
    return tuple(singular(word) for word in kept)


def _within(part: Words, whole: Words) -> bool:
    """Tell whether `part` stands in `whole` as neighbouring words."""
    return any(whole[i : i + len(part)] == part for i in range(len(whole) - len(part) + 1))


def _containing(said: Words, spellings: Mapping[str, set[Words]]) -> list[str]:
    """Return the things whose name has these words in it: "gull" for the Gilded Gull."""
    return [i for i, names in spellings.items() if said and any(_within(said, name) for name in names)]


def _contained(said: Words, spellings: Mapping[str, set[Words]]) -> list[str]:
    """Return the things named within these words, by the longest name: "market over there" for the market."""
    longest = {i: max((len(n) for n in names if _within(n, said)), default=0) for i, names in spellings.items()}
    most = max(longest.values(), default=0)
    return [i for i, length in longest.items() if length == most] if most else []


def _close(said: Words, spellings: Mapping[str, set[Words]]) -> list[str]:
    """Return the things with the closest spelling, spaces ignored: "light house" is "lighthouse"."""
    text = "".join(said)
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(text)
    ratios: dict[str, float] = {}
    for i, names in spellings.items():
        for name in names:
            matcher.set_seq1("".join(name))
            if matcher.quick_ratio() >= CLOSE:
                ratios[i] = max(ratios.get(i, 0.0), matcher.ratio())
    best = max(ratios.values(), default=0.0)
    return [i for i, ratio in ratios.items() if ratio == best] if best >= CLOSE else []


def _nearest(said: str, known: Iterable[str]) -> str:
    """Return a remedy that gives the nearest names."""
    names = list(dict.fromkeys(known))
    by_words = {" ".join(normalised(name)): name for name in names}
    close = difflib.get_close_matches(" ".join(normalised(said)), list(by_words), n=3, cutoff=0.4)
    nearest = [by_words[spelling] for spelling in close] or names[:3]
    return f"Use one of: {', '.join(map(repr, nearest))}." if nearest else "Add one: none is defined."


def _fill(value: Any, named: Mapping[str, tuple[str, Thing]], player_id: str, tool: str) -> Any:
    """Return a tree of arguments with its `$` paths filled in and its strings cleaned."""
    if isinstance(value, Mapping):
        return {key: _fill(item, named, player_id, tool) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fill(item, named, player_id, tool) for item in value]
    if not isinstance(value, str):
        return value
    if not value.startswith("$"):
        return clean(value)
    root, *path = value[1:].split(".")
    if root == "player" and root not in named:
        if path != ["id"]:
            raise ToolRejected(f"{tool}: unknown path {value!r}: the player has only $player.id.")
        return clean(player_id)
    if root not in named:
        raise ToolRejected(f"{tool}: {value!r} does not begin with an argument of `words`.")
    thing_id, thing = named[root]
    found: Any = {"id": thing_id, "name": thing.name, **thing.values}
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            raise ToolRejected(
                f"{tool} needs {value!r}, but {thing.name!r} has no value {key!r}.", remedy="Add it in things.yaml."
            )
        found = found[key]
    return clean(found) if isinstance(found, str) else found


def _first_complaint(tool: ToolDefinition, arguments: Any) -> str:
    """Return the first error in the game's arguments; empty when they are valid."""
    validator = jsonschema.Draft202012Validator(tool.schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(arguments))
    if error is not None:
        where = ".".join(str(part) for part in error.absolute_path) or "arguments"
        return f"{tool.name}: {where}: {error.message}."
    if not _finite(arguments):
        return f"{tool.name}: an infinite number or NaN cannot be encoded as JSON."
    return ""


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def _purpose(tool: ToolDefinition, names: Mapping[str, str]) -> str:
    """Return the tool's description with the names in it: "a place" becomes "the market"."""
    phrase, left = clean(tool.description), []
    for argument, name in names.items():
        general = tool.words[argument].description.removeprefix("name of ")
        if general and general in phrase:
            phrase = phrase.replace(general, name, 1)
        else:
            left.append(name)
    return f"{phrase} ({', '.join(left)})" if left else phrase
