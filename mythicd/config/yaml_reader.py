"""The YAML reader: files to checked structs.

Every error is a FileProblem, a ConfigError that names the file, the line, the path of the key in it, what was expected
there, and the nearest known spelling.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import yaml

from mythicd.errors import ConfigError

T = TypeVar("T")

MAX_FILE_BYTES = 1024 * 1024
"""Largest YAML file that is read. A persona card has a few KiB, a zone's lore some dozens."""
MAX_VALUES = 200_000
"""Most values that one YAML file may expand to; a file of MAX_FILE_BYTES hardly reaches it without aliases."""


Key = str | int
"""A key of a mapping, or an index of a list."""


class FileProblem(ConfigError):
    """A problem in a file that the user wrote: a mistake, or a notice about what is valid but probably unintended."""

    def __init__(
        self,
        file: Path,
        complaint: str,
        *,
        remedy: str,
        place: str = "",
        line: int | None = None,
        column: int | None = None,
        sentence: str = "",
        is_notice: bool = False,
        is_unread: bool = False,
    ) -> None:
        """`sentence` is the whole message, where it does not have the form "file, line: place: complaint"."""
        at = (f", line {line}" if line else "") + (f", column {column}" if line and column else "")
        what = sentence or f"{file}{at}: {place}{': ' if place else ''}{complaint}."
        super().__init__(_shown(what), remedy=_shown(remedy))
        self.file = file
        self.complaint = _shown(complaint)
        """What is wrong, without the file and the place."""
        self.place = place
        """Path of the key, such as `llm.stop[0]`; empty for the whole file."""
        self.line = line
        """From 1; None where the whole file is meant."""
        self.column = column
        self.sentence = sentence
        self.is_notice = is_notice
        self.is_unread = is_unread
        """Whether the file could not be opened, and may be readable later without a change."""

    def extended(self, remedy: str) -> FileProblem:
        """Return this problem with a sentence appended to its remedy."""
        return FileProblem(
            self.file,
            self.complaint,
            remedy=f"{self.remedy} {remedy}".strip(),
            place=self.place,
            line=self.line,
            column=self.column,
            sentence=self.sentence,
            is_notice=self.is_notice,
            is_unread=self.is_unread,
        )


def _shown(text: str) -> str:
    """Return text without what cannot be encoded: a file's name may have bytes that are not valid text."""
    return text.encode(errors="replace").decode()


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything read from YAML: an unknown key is an error."""


class _Loader(yaml.SafeLoader):
    """A YAML loader that refuses duplicate keys (the second would silently replace the first), and whose texts can be
    encoded."""

    def construct_scalar(self, node: Any) -> Any:
        text = super().construct_scalar(node)
        if isinstance(text, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
            # Emojis escaped as in JSON (`\ud83d\ude00`) are two halves; a half alone is replaced.
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value!r}", key.start_mark)
                seen.add(key.value)
        return node


class Document:
    """A YAML file as it was read: its content, and the lines of its keys."""

    def __init__(self, file: Path, text: str, content: Any) -> None:
        self.file = file
        self.content = content
        self._text = text

    def line(self, path: Sequence[Key]) -> int | None:
        """Return the line, from 1, of a key or item; of the nearest one around it where it is not in the text."""
        node: Any = self._root
        if not path or node is None:
            return None
        line: int | None = None
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    @cached_property
    def _root(self) -> yaml.Node | None:
        try:
            root: yaml.Node | None = yaml.compose(self._text, Loader=_Loader)
        except (yaml.YAMLError, ValueError, RecursionError):
            return None
        return root


def _child(node: yaml.Node, part: Key) -> tuple[int, yaml.Node] | None:
    """Return line and node of one key or item, also of one that a merge key (`<<`) brings in; None if it is absent."""
    if isinstance(node, yaml.SequenceNode):
        if isinstance(part, int) and part < len(node.value):
            return node.value[part].start_mark.line + 1, node.value[part]
        return None
    if not isinstance(node, yaml.MappingNode):
        return None
    merged: list[yaml.Node] = []
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
        elif isinstance(key, yaml.ScalarNode) and key.value == str(part):
            return key.start_mark.line + 1, value
    # Of several merged mappings, the first that has the key counts.
    return next((found for each in merged if (found := _child(each, part))), None)


def read_yaml(file: Path) -> Any:
    """Read one YAML file. Raises FileProblem, with line and column where the YAML is invalid."""
    return read_document(file).content


def read_document(file: Path) -> Document:
    """Read one YAML file. Raises FileProblem, with line and column where the YAML is invalid."""
    try:
        with file.open("rb") as handle:
            data = handle.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            complaint = f"larger than {MAX_FILE_BYTES // 1024} KiB"
            raise FileProblem(
                file,
                complaint,
                sentence=f"{file} is {complaint}.",
                remedy="Split it into several files, with text only.",
            )
        text = data.decode("utf-8")
    except FileNotFoundError:
        raise FileProblem(
            file,
            "this file does not exist",
            sentence=f"{file} does not exist.",
            remedy="Create it, or name another file.",
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileProblem(
            file,
            f"cannot read it: {reason}",
            sentence=f"Cannot read {file}: {reason}.",
            remedy="Check the path.",
            is_unread=True,
        ) from error
    except UnicodeDecodeError as error:
        line_number = data.count(b"\n", 0, error.start) + 1
        complaint = f"not UTF-8 text: {error.reason} at byte {error.start}, line {line_number}"
        raise FileProblem(
            file,
            complaint,
            sentence=f"{file} is {complaint}.",
            remedy="Save it as UTF-8.",
            line=line_number,
        ) from error
    try:
        content = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # An error found at the end of the text has a mark after the last line.
        line = "".join(text.split("\n")[mark.line : mark.line + 1]) if mark else ""
        remedy = (
            "YAML does not allow tabs: indent with spaces." if "\t" in line else "Check indentation, colons and quotes."
        )
        raise FileProblem(
            file,
            str(error.problem),
            remedy=remedy,
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise FileProblem(file, " ".join(str(error).split()), remedy="Write valid YAML.") from error
    except RecursionError:
        raise FileProblem(
            file,
            "nested too deeply",
            sentence=f"{file} is nested too deeply.",
            remedy="Check for brackets that are never closed.",
        ) from None
    _bound(content, file)
    return Document(file, text, content)


def _bound(content: Any, file: Path) -> None:
    """Raise FileProblem for a file whose aliases make it endless or huge, before anything else walks through it."""
    ahead, values = [content], 0
    while ahead:
        value = ahead.pop()
        values += 1
        if values > MAX_VALUES:
            complaint = f"expands to more than {MAX_VALUES} values"
            raise FileProblem(
                file, complaint, sentence=f"{file} {complaint}.", remedy="Use fewer aliases (`*name`) in it."
            )
        if isinstance(value, dict):
            ahead.extend(value.values())
        elif isinstance(value, list):
            ahead.extend(value)


def as_mapping(file: Path, content: Any) -> dict[str, Any]:
    """Return what was read, if it is a mapping. Raises ConfigError."""
    if not isinstance(content, dict):
        raise FileProblem(file, "expected keys and values at the top", remedy="Write `key: value` lines.")
    return content


def convert(content: Any, kind: type[T], file: Path) -> T:
    """Return what was read as a checked value. Raises FileProblem with the path of the first key that is wrong."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError:
        raise mistakes(content, kind, file)[0] from None


def mistakes(
    content: Any, kind: Any, file: Path, document: Document | None = None, within: Sequence[Key] = ()
) -> list[FileProblem]:
    """Return everything that keeps what was read from being a value of a type; empty if it is one.

    With `document` each problem has its line. `within` is the path of `content` in the file.
    """
    return [
        FileProblem(
            file, complaint, remedy=remedy, place=place_of(path), line=document.line(path) if document else None
        )
        for path, complaint, remedy in _walk(content, kind, tuple(within))
    ]


def place_of(path: Sequence[Key]) -> str:
    """Return a path of keys and indexes as text: `llm.stop[0]`."""
    shown = ""
    for part in path:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else str(part)
    return shown


KeyPath = tuple[Key, ...]
Mistake = tuple[KeyPath, str, str]
"""Path, complaint and remedy."""


def _walk(value: Any, kind: Any, path: KeyPath) -> list[Mistake]:
    """Return the mistakes in a value and all that is in it. msgspec itself stops at the first."""
    found: list[Mistake] = []
    for option in _options(kind):
        of = typing.get_origin(option)
        inner = next((arg for arg in reversed(typing.get_args(option)) if arg is not Ellipsis), Any)
        if isinstance(value, dict) and isinstance(option, type) and issubclass(option, msgspec.Struct):
            found += _walk_struct(value, option, path)
        elif isinstance(value, dict) and of is dict:
            for key, item in value.items():
                found += _walk(item, inner, (*path, key)) if isinstance(key, str) else [_not_text(key, path)]
        elif isinstance(value, list) and of in (tuple, list):
            for index, item in enumerate(value):
                found += _walk(item, inner, (*path, index))
    if not found:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            found.append((path, *_explain(str(error).partition(" - at ")[0], kind, bool(path))))
    return found


def _walk_struct(value: Mapping[Any, Any], struct: type[msgspec.Struct], path: KeyPath) -> Iterator[Mistake]:
    hints = typing.get_type_hints(struct, include_extras=True)
    for key, item in value.items():
        if not isinstance(key, str):
            yield _not_text(key, path)
        elif key not in struct.__struct_fields__:
            known = struct.__struct_fields__
            yield (*path, key), "there is no such key", did_you_mean(key, known) or f"Known keys: {', '.join(known)}."
        else:
            yield from _walk(item, hints[key], (*path, key))
    for field in msgspec.structs.fields(struct):
        if field.required and field.name not in value:
            yield path, f"the key `{field.name}` is missing", f"Add `{field.name}: …`."


def _not_text(key: Any, path: KeyPath) -> Mistake:
    return path, f"the key {key} is not text", "Put the key in quotes."


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
"""Names of msgspec's JSON types for people who write YAML."""


def _explain(complaint: str, kind: Any, is_key: bool) -> tuple[str, str]:
    """Return msgspec's error about one value (`Expected X, got Y`) as complaint and remedy."""
    remedy = "Correct the value."
    if wrong := re.match(r"Invalid enum value (.*)", complaint):
        choices = [str(choice) for option in _options(kind) for choice in typing.get_args(option)]
        complaint = f"{wrong[1]} is not one of {', '.join(choices)}"
        remedy = did_you_mean(wrong[1].strip("'"), choices) or remedy
    elif "matching regex" in complaint:
        complaint, remedy = "invalid id", "Use 1 to 64 letters, digits and _ . : - (a letter or digit first)."
    elif wrong := re.match(r"Expected `([^`]*)`(.*)", complaint):
        wanted = " or ".join(_TYPES.get(name, name) for name in wrong[1].split(" | "))
        got = re.sub(r"`(\w+)`", lambda match: _TYPES.get(match[1], match[1]), wrong[2])
        complaint = f"expected {wanted}{got}"
        if got == ", got nothing" and is_key:
            remedy = "Give it a value, or delete its line."
        elif wanted == "text" and got.startswith(", got") and "list" not in got and "keys" not in got:
            remedy = "Put it in quotes."
        elif wanted == "a list":
            remedy = "Write a list: one `- item` in each line."
    return complaint, remedy


def _options(kind: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union, or the type itself, without their constraints."""
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    is_union = typing.get_origin(kind) in (types.UnionType, typing.Union)
    return tuple(each for option in typing.get_args(kind) for each in _options(option)) if is_union else (kind,)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the nearest known spelling as a remedy; empty if there is none."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two trees of keys; lists and scalars of `above` replace those of `below`."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = merge(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return merged
