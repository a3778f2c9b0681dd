"""Call syntax: tool calls that a model writes as plain text, found while the text streams.

    {"name": …, "arguments": …}   ```json {…}```   [TOOL_CALLS][{…}]   [give_item(item="ale")]   give_item(item="ale")
    <function=give_item>{…}</function>   <invoke name="give_item"><parameter name="item">ale</parameter></invoke>

Only what is plainly a call of a tool that was offered is one; everything else passes as text, and the reply cleaner
removes what is left of it (dialogue/cleaning/). The tagged form of our own prompt is read by reply_parser.py.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mythicd.text.bracket_matching import closing_bracket

ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "params", "kwargs")
"""Names under which models write a call's arguments."""
NAME_KEYS = ("name", "function", "tool", "tool_name", "function_name", "action")
MAX_PLAIN_CALL = 4_096
"""Characters of a call, beyond which it is text."""

_JSON_CALL = re.compile(r"\{\s*\"(?:" + "|".join((*NAME_KEYS, *ARGUMENT_KEYS, "type", "id")) + r")\"\s*:")
_JSON_BEGUN = re.compile(r"\{\s*(?:\"\w{0,16}(?:\"\s*)?)?$")
_FENCE = re.compile(r"`{3,}[ \t]*(?:json|tool_calls?|tool_code|python|xml)?\s*(?=[{\[<]|\w+\()")
_FENCE_BEGUN = re.compile(r"`{1,}[ \t]*\w{0,10}\s*\w*$")
_TOOL_CALLS = re.compile(r"\[(?:TOOL_CALLS?|TOOL_REQUEST)\]\s*")
_FUNCTION_TAG = re.compile(r"<function(?:=|\s+name=)[\"']?([\w.-]+)[\"']?\s*>(.*?)</function\s*>", re.DOTALL)
_CALL_TAG = re.compile(r"<(function_calls?|tool_calls?|tools?|tool_code)>(.*?)</\1>", re.DOTALL)
_INVOKE = re.compile(r"<invoke\s+name=[\"']([\w.-]+)[\"']\s*>(.*?)</invoke\s*>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter(?:=|\s+name=)[\"']?([\w.-]+)[\"']?\s*>\s*(.*?)\s*</parameter\s*>", re.DOTALL)
_ARGUMENT_PAIRS = re.compile(
    r"\s*([\w.-]+)\s*((?:<arg_key>[^<]*</arg_key>\s*<arg_value>.*?</arg_value>\s*)+)$", re.DOTALL
)
_ARGUMENT_PAIR = re.compile(r"<arg_key>\s*([^<]*?)\s*</arg_key>\s*<arg_value>\s*(.*?)\s*</arg_value>", re.DOTALL)
_XML_BEGUN = re.compile(r"<(?:function|invoke|tool_call|tools?\b|tool_code)[^>]*>?")


@dataclass(frozen=True, slots=True)
class PlainCall:
    """A call as it was written: its arguments are not checked."""

    name: str
    arguments: Any


class CallFinder:
    """Finds plain calls of these tools in a stream of text."""

    def __init__(self, tools: Collection[str]) -> None:
        self._tools = frozenset(tools)
        names = "|".join(re.escape(name) for name in sorted(tools, key=len, reverse=True))
        self._function = re.compile(rf"(?:\[\s*)?(?<![\w.])(?:functions?\.)?({names})\s*\(") if tools else None
        self._held = ""
        self.found = 0
        """Calls found so far."""

    def add(self, text: str) -> list[str | PlainCall]:
        """Take the next piece of text; return text and calls in order, as far as they are decided."""
        if not self._tools:
            return [text] if text else []
        self._held += text
        return self._run(final=False)

    def finish(self) -> list[str | PlainCall]:
        """No more text comes, or something else stands here: return what was held back."""
        return self._run(final=True)

    def within_tags(self, text: str) -> list[PlainCall]:
        """Return the calls of a text between tags that say that it is a call."""
        if calls := self._read_body(text.strip())[1]:
            return calls
        return [part for part in (*self.add(text), *self.finish()) if isinstance(part, PlainCall)]

    def _run(self, *, final: bool) -> list[str | PlainCall]:
        parts: list[str | PlainCall] = []
        while self._held:
            start = self._start(self._held)
            if start is None:
                keep = 0 if final else self._may_begin(self._held)
                text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
                if text:
                    parts.append(text)
                break
            if start:
                parts.append(self._held[:start])
                self._held = self._held[start:]
            end, calls = self._read(self._held)
            if end is None and not final and len(self._held) <= MAX_PLAIN_CALL:
                break
            if end is None or not calls:  # text, or syntax that is no call: the cleaner's concern
                end = end or 1
                parts.append(self._held[:end])
            self.found += len(calls)
            parts += calls
            self._held = self._held[end:]
        return parts

    def _start(self, text: str) -> int | None:
        """Return where the first thing that looks like a call begins."""
        patterns = [_JSON_CALL, _FENCE, _TOOL_CALLS, _XML_BEGUN]
        if self._function is not None:
            patterns.append(self._function)
        found = [match.start() for pattern in patterns if (match := pattern.search(text))]
        return min(found, default=None)

    def _may_begin(self, text: str) -> int:
        """Return how many characters at the end may begin a call."""
        longest = 0
        for pattern in (_JSON_BEGUN, _FENCE_BEGUN):
            if match := pattern.search(text):
                longest = max(longest, len(text) - match.start())
        for opening in ("[TOOL_CALLS]", "[TOOL_REQUEST]", "<function", "<invoke", "<tool_call", "<tool_code"):
            for length in range(min(len(opening) - 1, len(text)), 0, -1):
                if opening.startswith(text[-length:]):
                    longest = max(longest, length)
                    break
        word = re.search(r"\[?\s*[\w.]+\s*$|\[\s*$", text)
        if word is not None:
            name = word[0].strip(" \n\t[").removeprefix("functions.").removeprefix("function.")
            if any(tool.startswith(name) for tool in self._tools) or "functions.".startswith(name):
                longest = max(longest, len(word[0]))
        return longest

    def _read(self, text: str) -> tuple[int | None, list[PlainCall]]:
        """Read what `text` begins with; return where it ends (None while it is open) and its calls."""
        if text.startswith("`"):
            fence = _FENCE.match(text)
            last = text.find("```", fence.end()) if fence is not None else -1
            if fence is None or last < 0:
                return None, []
            return last + 3, self._read_body(text[fence.end() : last].strip())[1]
        if marker := _TOOL_CALLS.match(text):
            rest = text[marker.end() :]
            named = re.match(r"([\w.-]+)(?:\[ARGS\])?\s*(?=\{)", rest)
            if named is not None:
                end = closing_bracket(rest[named.end() :], single_quotes=True)
                if end is None:
                    return None, []
                body = rest[named.end() : named.end() + end]
                return marker.end() + named.end() + end, self._known([PlainCall(named[1], _json(body))])
            length, calls = self._read_body(rest)
            return (None, []) if length is None else (marker.end() + length, calls)
        if text.startswith("<"):
            return self._read_xml(text)
        return self._read_body(text)

    def _read_body(self, text: str) -> tuple[int | None, list[PlainCall]]:
        """Read JSON, a list of JSON, Python calls, or a name with pairs of tags."""
        if match := _ARGUMENT_PAIRS.match(text):
            return len(text), self._known([PlainCall(match[1], dict(_ARGUMENT_PAIR.findall(match[2])))])
        if self._function is not None and (match := self._function.match(text)):
            if match[0].lstrip().startswith("["):
                close = closing_bracket(text, single_quotes=True)
                return (None, []) if close is None else (close, self._python(text[:close]))
            close = closing_bracket(text[match.end() - 1 :], single_quotes=True)
            if close is None:
                return None, []
            end = match.end() - 1 + close
            return end, self._python(text[:end])
        if text[:1] in ("{", "["):
            close = closing_bracket(text, single_quotes=True)
            if close is None:
                return None, []
            value = _json(text[:close])
            values = value if isinstance(value, list) else [value]
            return close, self._known([call for each in values if (call := call_of(each)) is not None])
        return None, []

    def _read_xml(self, text: str) -> tuple[int | None, list[PlainCall]]:
        if match := _FUNCTION_TAG.match(text):
            body = match[2].strip()
            arguments = _json(body) if body.startswith("{") else dict(_PARAMETER.findall(body))
            return match.end(), self._known([PlainCall(match[1], arguments)])
        if match := _INVOKE.match(text):
            return match.end(), self._known([PlainCall(match[1], dict(_PARAMETER.findall(match[2])))])
        if match := _CALL_TAG.match(text):
            calls = [PlainCall(name, dict(_PARAMETER.findall(body))) for name, body in _INVOKE.findall(match[2])]
            return match.end(), self._known(calls) or self._read_body(match[2].strip())[1]
        opened = _XML_BEGUN.match(text)
        if opened is not None and not opened[0].endswith(">") and len(text) > 120:
            return opened.end(), []
        return None, []

    def _python(self, source: str) -> list[PlainCall]:
        """Return the calls in Python syntax: `give_item(item="ale")`, or a list of such."""
        try:
            tree = ast.parse(re.sub(r"\bfunctions?\.", "", source.strip()), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
        calls = []
        for node in tree.elts if isinstance(tree, ast.List) else [tree]:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
                try:
                    arguments = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
                except ValueError:
                    continue
                calls.append(PlainCall(node.func.id, arguments))
        return self._known(calls)

    def _known(self, calls: list[PlainCall]) -> list[PlainCall]:
        return [call for call in calls if call.name in self._tools]


def call_of(value: Any) -> PlainCall | None:
    """Return the call that a JSON value describes; None where it describes none."""
    if not isinstance(value, Mapping):
        return None
    inner = value.get("function")
    if isinstance(inner, Mapping):  # {"type": "function", "function": {"name": …, "arguments": …}}
        return call_of(inner)
    name = next((value[key] for key in NAME_KEYS if isinstance(value.get(key), str)), None)
    if name is None:
        return None
    arguments = next((value[key] for key in ARGUMENT_KEYS if key in value), None)
    return PlainCall(name.removeprefix("functions."), arguments)


def _json(text: str) -> Any:
    """Return what is written here in JSON; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
