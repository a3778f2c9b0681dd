"""YAML in, checked values out, with complaints that help.

Every complaint is a ConfigError that names the file, the path of the key in it (or line and column), what was expected
there, and the nearest right spelling.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import yaml

from mythicd.errors import ConfigError

T = TypeVar("T")

MAX_FILE_BYTES = 1024 * 1024
"""Largest YAML file that is read. A persona card has a few KiB, a zone's lore some dozens."""
MAX_VALUES = 200_000
"""Most values that one YAML file may unfold to; without aliases, a file of that size can hardly have as many."""


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything read from YAML: an unknown key is an error."""


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


def read_yaml(file: Path) -> Any:
    """Read one YAML file. Raises ConfigError, with line and column where the YAML is broken."""
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


def read_optional(file: Path, kind: Any, empty: Any = None) -> Any:
    """Read a file that may be absent."""
    if not file.exists():
        return {} if empty is None else empty
    content = read_yaml(file)
    return convert(({} if empty is None else empty) if content is None else content, kind, file)


def as_mapping(file: Path, content: Any) -> dict[str, Any]:
    """Return what was read, if it is keys and values at its top. Raises ConfigError."""
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected keys and values at the top.", remedy="Write `key: value` lines.")
    return content


def convert(content: Any, kind: type[T], file: Path) -> T:
    """Return what was read as a checked value. Raises ConfigError with the path of the key that is wrong."""
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
        remedy = did_you_mean(unknown[1], known) or f"Known keys: {', '.join(known)}."
    elif missing := re.search(r"missing required field `([^`]*)`", complaint):
        complaint, remedy = f"the key `{missing[1]}` is missing", f"Add `{missing[1]}: …`."
    elif wrong := re.match(r"Invalid enum value (.*)", complaint):
        choices = [str(choice) for option in _options(expected) for choice in typing.get_args(option)]
        complaint = f"{wrong[1]} is not one of {', '.join(choices)}"
        remedy = did_you_mean(wrong[1].strip("'"), choices) or remedy
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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the nearest known spelling as a remedy; empty when none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree of keys over another; lists and scalars replace."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = merge(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged
