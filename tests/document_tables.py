"""Tables of the documentation, and the rows that a struct of the code should have in them."""

from __future__ import annotations

import itertools
import types
import typing
from typing import Any

import msgspec

from mythicd.wire.messages import Id

_ID = typing.get_args(Id)[1].pattern


def table(document: str, after: str) -> list[list[str]]:
    """Return the cells of the first table after a line, without its head."""
    assert document.count(f"\n{after}\n") == 1, after
    lines = itertools.dropwhile(lambda line: not line.startswith("|"), document.split(f"\n{after}\n")[1].splitlines())
    found = list(itertools.takewhile(lambda line: line.startswith("|"), lines))
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in found[2:]]


def rows(struct: type[msgspec.Struct]) -> list[list[str]]:
    """Return the first three cells (key, type, default) of each row that describes a struct."""
    hints = typing.get_type_hints(struct, include_extras=True)
    expected = []
    for field in msgspec.structs.fields(struct):
        default = "required" if field.required else "none"
        if field.default not in (msgspec.NODEFAULT, None, "", ()) and not isinstance(field.default, msgspec.Struct):
            default = f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
        expected.append([f"`{field.name}`", in_words(hints[field.name]), default])
    return expected


def in_words(kind: Any) -> str:
    """Say a type as a document must."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return "id" if arguments[1].pattern == _ID else in_words(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin in (typing.Union, types.UnionType):
        return in_words(next(each for each in arguments if each is not type(None)))
    if origin is tuple:
        return f"list of {in_words(arguments[0])}"
    if origin is dict or isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "keys"
    plain: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return plain[kind]
