"""The JSON Schema of a tool, checked: misspelt keywords and types, which JSON Schema itself ignores, and invalid ones.

The keywords are those of draft 2020-12 (json-schema.org), with `definitions` and `dependencies` of earlier drafts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema

from mythicd.config.yaml_reader import Key, did_you_mean


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """One fault of a schema."""

    path: tuple[Key, ...]
    """Within the schema."""
    complaint: str
    remedy: str
    is_fatal: bool = True
    """Whether nothing can be checked with the schema."""
    is_notice: bool = False
    """Whether it is valid but probably unintended."""


TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")

_OTHER_NAMES = {
    "text": "string",
    "str": "string",
    "id": "string",
    "enum": "string",
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "decimal": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    "map": "object",
    "none": "null",
}
"""What other languages call the types."""

_NAMED = frozenset("properties patternProperties $defs definitions dependentSchemas dependencies".split())
"""Keywords whose value is schemas by name."""
_LISTED = frozenset("allOf anyOf oneOf prefixItems".split())
_NESTED = frozenset(
    "items contains additionalProperties propertyNames if then else not unevaluatedItems unevaluatedProperties"
    " contentSchema additionalItems".split()
)
_PLAIN = frozenset(
    "type enum const required minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern"
    " format minItems maxItems uniqueItems minContains maxContains minProperties maxProperties dependentRequired"
    " title description default examples deprecated readOnly writeOnly contentEncoding contentMediaType"
    " $schema $id $ref $anchor $dynamicRef $dynamicAnchor $vocabulary $comment".split()
)
_KEYWORDS = _NAMED | _LISTED | _NESTED | _PLAIN


def schema_faults(schema: Mapping[str, Any]) -> list[SchemaFault]:
    """Return everything that is wrong with a JSON Schema; empty if nothing is."""
    faults = list(_walk(schema, ()))
    told = {fault.path[:length] for fault in faults for length in range(1, len(fault.path) + 1)}
    validator = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    for error in validator.iter_errors(schema):
        path = tuple(error.absolute_path)
        if path not in told:
            told.add(path)
            faults.append(SchemaFault(path, error.message, "Correct it: it is not valid JSON Schema."))
    return faults


def _walk(schema: Any, path: tuple[Key, ...]) -> Iterator[SchemaFault]:
    """Yield what is wrong in a schema and those within it. A schema may also be true or false."""
    if not isinstance(schema, Mapping):
        return
    for keyword, value in schema.items():
        here = (*path, keyword)
        if keyword not in _KEYWORDS and not str(keyword).startswith("x-"):
            near = did_you_mean(str(keyword), _KEYWORDS)
            complaint = f"there is no keyword {keyword!r} in JSON Schema"
            remedy = near or "It is ignored: delete it."
            yield SchemaFault(here, complaint, remedy, is_fatal=False, is_notice=not near)
            keyword = near.split("'")[1] if near else keyword
        if keyword == "type":
            yield from _types(value, here)
        elif keyword == "pattern" and isinstance(value, str):
            yield from _pattern(value, here)
        elif keyword in _NAMED and isinstance(value, Mapping):
            for name, inner in value.items():
                if keyword == "patternProperties":
                    yield from _pattern(str(name), (*here, name))
                yield from _walk(inner, (*here, name))
        elif keyword in _LISTED and isinstance(value, list):
            for index, inner in enumerate(value):
                yield from _walk(inner, (*here, index))
        elif keyword in _NESTED:
            yield from _walk(value, here)


def _types(value: Any, path: tuple[Key, ...]) -> Iterator[SchemaFault]:
    for index, name in enumerate(value if isinstance(value, list) else [value]):
        if name not in TYPES:
            here = (*path, index) if isinstance(value, list) else path
            right = _OTHER_NAMES.get(str(name).lower(), "")
            remedy = f"Did you mean {right!r}?" if right else did_you_mean(str(name), TYPES)
            complaint = f"there is no type {name!r} in JSON Schema"
            yield SchemaFault(here, complaint, remedy or f"Use one of {', '.join(TYPES)}.")


def _pattern(pattern: str, path: tuple[Key, ...]) -> Iterator[SchemaFault]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield SchemaFault(path, f"invalid regular expression {pattern!r}: {error}", "Correct it.")
