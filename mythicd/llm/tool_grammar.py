"""The grammar of a tool call: what may follow `<tool_call>`, in llama.cpp's GBNF.

    <tool_call> {"name": "give_item", "arguments": {"item": " a mug of ale"}} </tool_call>

JSON's optional spaces are limited: a grammar with endless space lets a confused model write nothing else. Strings hold
no `<`, so that the closing tag is unambiguous. A value of an `enum` may begin with a space, as models copy words with
theirs. Where the grammar begins, and why llama.cpp's lazy grammars are not used: docs/llm.md, "Tool calls".
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from mythicd.llm.tool_schema import Array, Boolean, EnumValue, Field, Node, Number, Object, Text, Tool

OPEN = "<tool_call>"
CLOSE = "</tool_call>"

_OPENING = ("{", '"name"', ":", '"')
"""The beginning of every call, in parts between which spaces are optional."""

_BASE = r"""ws ::= [ \n]{0,2}
char ::= [^"\\<\x00-\x1f\x7f] | "\\" ["\\/bfnrt]
digits ::= [0-9]{1,9}
int ::= "-"? ([1-9] [0-9]{0,8} | "0")
num ::= int ("." digits)? ([eE] [-+]? [0-9]{1,2})?
bool ::= "true" | "false"
"""


def rest_of_opening(written: str) -> str | None:
    """Return as GBNF the rest of `{"name": "` after `written`; None if it does not begin with that."""
    place = 0
    for index, part in enumerate(_OPENING):
        while place < len(written) and written[place] in " \n":
            place += 1
        have = written[place : place + len(part)]
        if not part.startswith(have):
            return None
        place += len(have)
        if len(have) < len(part):
            later = (f"ws {_literal(other)}" for other in _OPENING[index + 1 :])
            gap = "ws " if not have else ""
            return " ".join([gap + _literal(part[len(have) :]), *later])
    return None if place < len(written) else '""'


def call_grammar(tools: Sequence[Tool], written: str = "") -> str | None:
    """Return the grammar, with the rule `root`, of what follows `<tool_call>` and `written`.

    None when `written` cannot be the beginning of a call, or there are no tools.
    """
    opening = rest_of_opening(written)
    if opening is None or not tools:
        return None
    rules: list[str] = []
    calls: list[str] = []
    for number, tool in enumerate(tools):
        arguments = _rule(tool.arguments, f"t{number}", rules)
        calls.append(f'{_literal(json.dumps(tool.name)[1:])} ws "," ws "\\"arguments\\"" ws ":" ws {arguments}')
    root = f'root ::= {opening} call ws "}}" ws {_literal(CLOSE)}'
    return "\n".join([root, f"call ::= {' | '.join(calls)}", *rules, _BASE])


def _rule(node: Node, name: str, rules: list[str]) -> str:
    """Return an expression for the node; the rules it needs are added, with names that begin with `name`."""
    match node:
        case Text(longest):
            # A separate rule: llama.cpp multiplies repetitions within one rule, and refuses more than 2000.
            rules.append(f'{name} ::= "\\"" char{{0,{longest}}} "\\""')
            return name
        case Number(whole, _, _):
            return "int" if whole else "num"
        case Boolean():
            return "bool"
        case EnumValue(values):
            rules.append(f"{name} ::= {' | '.join(_choice(value) for value in values)}")
            return name
        case Array(item, most):
            inner = _rule(item, f"{name}-i", rules)
            more = f' (ws "," ws {inner}){{0,{most - 1}}}' if most > 1 else ""
            rules.append(f'{name} ::= "[" ws ({inner}{more})? ws "]"')
            return name
        case Object(fields):
            return _object(fields, name, rules)


def _object(fields: Sequence[Field], name: str, rules: list[str]) -> str:
    """Return the rule of an object: two rules a field, `-f` for the first one written, `-m` for later ones."""
    first, more = '""', '""'
    for index in reversed(range(len(fields))):
        field = fields[index]
        value = _rule(field.node, f"{name}-{index}", rules)
        pair = f'{_literal(json.dumps(field.name, ensure_ascii=False))} ws ":" ws {value}'
        skip_first, skip_more = ("", "") if field.required else (f" | {first}", f" | {more}")
        rules.append(f"{name}-{index}-f ::= {pair} {more}{skip_first}")
        rules.append(f'{name}-{index}-m ::= ws "," ws {pair} {more}{skip_more}')
        first, more = f"{name}-{index}-f", f"{name}-{index}-m"
    rules.append(f'{name} ::= "{{" ws {first} ws "}}"')
    return name


def _choice(value: str | int | float | bool) -> str:
    if not isinstance(value, str):
        return _literal(json.dumps(value))
    return f'"\\"" " "? {_literal(json.dumps(value, ensure_ascii=False)[1:])}'


def _literal(text: str) -> str:
    """Return `text` as a GBNF literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
