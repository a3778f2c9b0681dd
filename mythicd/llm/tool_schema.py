"""The schema of a tool's arguments: the part of JSON Schema that a grammar can enforce.

A tool's `parameters` are read once into a small tree, from which come the grammar (tool_grammar.py) and the check of
written calls. Known: object (with `properties` and `required`; other members are not admitted), string (`maxLength`),
number and integer (`minimum`, `maximum`), boolean, array of these (`maxItems`), `enum` and `const` of strings, numbers
and booleans. Descriptive keywords are ignored; an unknown keyword that restricts values is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mythicd.engines.llm import ToolSpec
from mythicd.errors import ConfigError

MAX_STRING = 120
"""Default of `maxLength`: without a limit, a model might never close a string."""

MAX_ITEMS = 8
"""Default of `maxItems`."""

_EXACT = 1 << 53
"""Largest magnitude up to which floats represent all integers."""

_DESCRIPTIVE = frozenset({"title", "description", "default", "examples", "$comment", "$schema", "deprecated", "format"})


@dataclass(frozen=True, slots=True)
class Text:
    """A string."""

    longest: int


@dataclass(frozen=True, slots=True)
class Number:
    """A number, whole or not."""

    whole: bool
    least: float | None
    most: float | None


@dataclass(frozen=True, slots=True)
class Boolean:
    """true or false."""


@dataclass(frozen=True, slots=True)
class EnumValue:
    """One of these values."""

    values: tuple[str | int | float | bool, ...]


@dataclass(frozen=True, slots=True)
class Array:
    """Several values of one kind."""

    item: Node
    most: int


@dataclass(frozen=True, slots=True)
class Field:
    """A named value in an object."""

    name: str
    node: Node
    required: bool


@dataclass(frozen=True, slots=True)
class Object:
    """Named values, in the order of the schema."""

    fields: tuple[Field, ...]


Node = Text | Number | Boolean | EnumValue | Array | Object


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool whose schema has been read."""

    name: str
    arguments: Object


class SchemaMismatch(Exception):
    """A value does not fit its schema; the message says how, and contains nothing of the value."""


def read_tool(spec: ToolSpec) -> Tool:
    """Read a tool's schema. Raises ConfigError naming the tool and the place in its schema."""
    place = f"tool {spec.name!r}: parameters"
    node = _read({"type": "object", **spec.parameters}, place)
    if not isinstance(node, Object):
        raise _refused(place, 'must have "type": "object"')
    return Tool(spec.name, node)


def fit(node: Node, value: Any, place: str = "arguments") -> Any:
    """Return `value`, decoded from JSON, as the schema requires it. Raises SchemaMismatch when it does not fit.

    Strings are stripped: a model copies a word with the space of its token. 5.0 is accepted as an integer.
    """
    match node:
        case Text(longest):
            return _fit_text(value, longest, place)
        case Number():
            return _fit_number(node, value, place)
        case Boolean():
            if not isinstance(value, bool):
                raise SchemaMismatch(f"{place} is not true or false")
            return value
        case EnumValue(values):
            stripped = value.strip() if isinstance(value, str) else value
            if not any(type(stripped) is type(one) and stripped == one for one in values):
                raise SchemaMismatch(f"{place} is not one of the allowed values")
            return stripped
        case Array(item, most_items):
            if not isinstance(value, list) or len(value) > most_items:
                raise SchemaMismatch(f"{place} is not a list of at most {most_items}")
            return [fit(item, one, f"{place}[{index}]") for index, one in enumerate(value)]
        case Object(fields):
            return _fit_object(fields, value, place)


def _fit_text(value: Any, longest: int, place: str) -> str:
    if not isinstance(value, str):
        raise SchemaMismatch(f"{place} is not a string")
    text: str = value.strip()
    if len(text) > longest:
        raise SchemaMismatch(f"{place} is longer than {longest} characters")
    if any("\ud800" <= letter <= "\udfff" for letter in text):  # valid in JSON, not in UTF-8
        raise SchemaMismatch(f"{place} has half of a surrogate pair")
    return text


def _fit_number(number: Number, value: Any, place: str) -> int | float:
    if isinstance(value, float) and number.whole and value.is_integer() and abs(value) <= _EXACT:
        value = int(value)
    # Python's JSON decoder accepts NaN and Infinity, and turns 1e999 into the latter.
    known = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value) and not number.whole)
    if isinstance(value, bool) or not known:
        raise SchemaMismatch(f"{place} is not {'an integer' if number.whole else 'a number'}")
    if (number.least is not None and value < number.least) or (number.most is not None and value > number.most):
        raise SchemaMismatch(f"{place} is out of range")
    return cast("int | float", value)


def _fit_object(fields: Sequence[Field], value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SchemaMismatch(f"{place} is not an object")
    if value.keys() - {field.name for field in fields}:  # not named: the model made it up
        raise SchemaMismatch(f"{place} has a name that is not in the schema")
    for field in fields:
        if field.required and field.name not in value:
            raise SchemaMismatch(f"{place} lacks {field.name!r}")
    nodes = {field.name: field.node for field in fields}
    return {name: fit(nodes[name], one, f"{place}.{name}") for name, one in value.items()}


def _read(schema: Any, place: str) -> Node:
    if not isinstance(schema, Mapping):
        raise _refused(place, "must be a JSON object")
    if "const" in schema:
        return _choice([schema["const"]], schema, {"const", "type"}, place)
    if "enum" in schema:
        return _choice(schema["enum"], schema, {"enum", "type"}, place)
    match schema.get("type"):
        case "object":
            return _object(schema, place)
        case "string":
            _only(schema, {"type", "maxLength"}, place)
            return Text(_count(schema, "maxLength", MAX_STRING, place))
        case "number" | "integer" as kind:
            _only(schema, {"type", "minimum", "maximum"}, place)
            return Number(kind == "integer", _bound(schema, "minimum", place), _bound(schema, "maximum", place))
        case "boolean":
            _only(schema, {"type"}, place)
            return Boolean()
        case "array":
            _only(schema, {"type", "items", "maxItems"}, place)
            return Array(_read(schema.get("items"), f"{place}.items"), _count(schema, "maxItems", MAX_ITEMS, place))
        case other:
            raise _refused(place, f"has the type {other!r}")


def _object(schema: Mapping[str, Any], place: str) -> Object:
    _only(schema, {"type", "properties", "required", "additionalProperties"}, place)
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if not isinstance(properties, Mapping):
        raise _refused(f"{place}.properties", "must be a JSON object")
    if not isinstance(required, Sequence) or isinstance(required, str):
        raise _refused(f"{place}.required", "must be a list of names")
    unknown = [name for name in required if name not in properties]
    if unknown:
        raise _refused(f"{place}.required", f"names {unknown[0]!r}, which is not a property")
    return Object(
        tuple(
            Field(name, _read(inner, f"{place}.properties.{name}"), name in required)
            for name, inner in properties.items()
        )
    )


def _choice(values: Any, schema: Mapping[str, Any], known: set[str], place: str) -> EnumValue:
    _only(schema, known, place)
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise _refused(f"{place}.enum", "must be a list of at least one value")
    if not all(isinstance(value, str | int | float | bool) for value in values):
        raise _refused(f"{place}.enum", "may hold strings, numbers and booleans only")
    return EnumValue(tuple(value.strip() if isinstance(value, str) else value for value in values))


def _only(schema: Mapping[str, Any], known: set[str], place: str) -> None:
    for word in schema:
        if word not in known and word not in _DESCRIPTIVE:
            raise _refused(place, f"uses {word!r}")


def _count(schema: Mapping[str, Any], word: str, most: int, place: str) -> int:
    value = schema.get(word, most)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _refused(f"{place}.{word}", "must be a whole number above 0")
    return min(value, 1000)  # llama.cpp refuses rules whose repetitions multiply to more than 2000


def _bound(schema: Mapping[str, Any], word: str, place: str) -> float | None:
    value = schema.get(word)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _refused(f"{place}.{word}", "must be a number")
    return value


def _refused(place: str, what: str) -> ConfigError:
    return ConfigError(
        f"The JSON Schema of {place} {what}, which cannot be made into a grammar.",
        remedy="Use only object, string, number, integer, boolean, array, enum and required.",
    )
