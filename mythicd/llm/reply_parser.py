"""The reply parser: a model's output, while it is written, to words and tool calls in their places.

    bytes of tokens -> characters (a letter may span tokens)
        -> words | <think>reasoning</think> | <tool_call>JSON</tool_call> | stop string

Words are passed on at once, except for an end that may become a tag or a stop string. A call is passed on with its
closing tag; an invalid one is reported as a BadCall, neither spoken nor raised. Calls in other forms are found in the
words (call_syntax.py). Reasoning is dropped, with tags and stop strings in it; inside a call there is none. White space
before the first word is dropped, and not a stop string.
"""

from __future__ import annotations

import codecs
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mythicd.engines.llm import InlineCall, TextDelta
from mythicd.llm.call_syntax import CallFinder, PlainCall, call_of
from mythicd.llm.reasoning import TAG_STARTS, ReasoningFilter, begun_mark, begun_tag, find_tag
from mythicd.llm.tool_grammar import CLOSE, OPEN
from mythicd.llm.tool_schema import SchemaMismatch, Tool, fit

log = logging.getLogger(__name__)

MAX_CALL = 16_384
"""Most characters between the tags; a longer call is dropped."""


@dataclass(frozen=True, slots=True)
class BadCall:
    """A text between the tags that is not a valid call of these tools."""

    reason: str
    """Why it is invalid; contains nothing that the model wrote, so that it may be logged."""


ReplyPart = TextDelta | InlineCall | BadCall


class ReplyParser:
    """Parses one reply."""

    def __init__(self, tools: Sequence[Tool] = (), stop: Sequence[str] = (), *, thinking: bool = False) -> None:
        """With `thinking` the reply begins inside reasoning."""
        self.thoughts = ReasoningFilter(thinking)
        self._tools = {tool.name: tool for tool in tools}
        self._marks = (OPEN, CLOSE, *(text for text in stop if text))
        starts = {*TAG_STARTS, *(mark[0] for mark in self._marks)}
        self._may_begin = re.compile("[" + "".join(sorted(map(re.escape, starts))) + "]")
        self._finder = CallFinder(self._tools)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        """Outside a call: text that may begin a tag or stop string. Inside: the call so far."""
        self._spoke = False
        self._after_space = False
        self._after_silence = False
        self.in_call = False
        """Whether an opening tag has come and its closing tag has not."""
        self.stopped = False
        """Whether a stop string has come; nothing more is passed on after it."""

    @property
    def written(self) -> str:
        """The text after the opening tag, while in a call."""
        return self._held if self.in_call else ""

    def add(self, chunk: bytes) -> list[ReplyPart]:
        """Add the bytes of one or more tokens, cut anywhere; return the parts that they complete."""
        return self._take(self._decoder.decode(chunk))

    def add_silence(self) -> None:
        """Note a token without text: if it is between two spaces, one of them is dropped."""
        self._after_silence = True

    def restart_call(self) -> None:
        """Drop the text after the opening tag: the call begins again with the next bytes."""
        self._held = ""

    def disown_thought(self) -> list[ReplyPart]:
        """Treat the reasoning that the reply began in as words; return those that can be passed on now."""
        self._held = self.thoughts.disown() + self._held
        return self._take("")

    def finish(self) -> list[ReplyPart]:
        """End the reply; return what was held back."""
        if self.stopped:
            return []
        parts = self._take(self._decoder.decode(b"", final=True))
        if self.in_call:
            parts.append(BadCall("the reply ended before its closing tag"))
        elif not self.thoughts.inside:
            parts += self._say(self._held)
        self._held, self.in_call = "", False
        return parts + self._read(self._finder.finish())

    def _take(self, text: str) -> list[ReplyPart]:
        parts: list[ReplyPart] = []
        self._held += text
        while not self.stopped:
            if self.thoughts.inside:
                self._held = self.thoughts.pass_over(self._held)
                if self.thoughts.inside:
                    break
            if self.in_call:
                body, tag, after = self._held.partition(CLOSE)
                if not tag:
                    if len(body) > MAX_CALL:
                        parts.append(BadCall(f"it is longer than {MAX_CALL} characters"))
                        self._held, self.in_call = "", False
                    break
                parts.append(self._call(body))
                self._held, self.in_call = after, False
                continue
            if self._may_begin.search(self._held) is None:  # the common case
                parts += self._say(self._held)
                self._held = ""
                break
            place, mark = self._first_mark()
            if mark is None:
                keep = max(begun_mark(self._held, self._marks), begun_tag(self._held))
                parts += self._say(self._held[: len(self._held) - keep])
                self._held = self._held[len(self._held) - keep :]
                break
            parts += self._say(self._held[:place]) + self._read(self._finder.finish())
            self._held = self._held[place + len(mark) :]
            if mark == OPEN:
                self.in_call = True
            elif mark in self._marks[2:]:
                self._held, self.stopped = "", True
            elif mark != CLOSE:  # an unmatched closing tag is dropped
                self.thoughts.tag(mark)
        return parts

    def _first_mark(self) -> tuple[int, str | None]:
        blank = 0 if self._spoke else len(self._held) - len(self._held.lstrip())
        found = [
            (place, mark)
            for mark in self._marks
            if (place := self._held.find(mark, blank if mark.isspace() else 0)) >= 0
        ]
        if (tag := find_tag(self._held)) is not None:
            found.append((tag.start, self._held[tag.start : tag.end]))
        return min(found, key=lambda each: (each[0], -len(each[1])), default=(0, None))

    def _say(self, text: str) -> list[ReplyPart]:
        if not self._spoke:
            text = text.lstrip()
        elif self._after_silence and self._after_space:
            text = text.removeprefix(" ")
        if not text:
            return []
        self._spoke, self._after_silence, self._after_space = True, False, text.endswith(" ")
        if self.thoughts.closed_nothing and not text.isspace():
            self.thoughts.words_behind = True
        return self._read(self._finder.add(text))

    def _read(self, found: Sequence[str | PlainCall]) -> list[ReplyPart]:
        """Return text and plain calls as parts."""
        parts: list[ReplyPart] = []
        for part in found:
            if isinstance(part, str):
                parts.append(TextDelta(part))
            else:
                log.info("a call of %s came as plain text: the server may lack a tool parser for this model", part.name)
                parts.append(read_call(self._tools, part.name, part.arguments))
        return parts

    def _call(self, body: str) -> InlineCall | BadCall:
        try:
            value = decode(body)
        except ValueError:
            plain = CallFinder(self._tools).within_tags(body)
            if len(plain) != 1:
                return BadCall("it is not JSON")
            return read_call(self._tools, plain[0].name, plain[0].arguments)
        call = call_of(value)
        if call is None:
            return BadCall("it is not an object with a name")
        return read_call(self._tools, call.name, call.arguments)


def read_call(tools: Mapping[str, Tool], name: str, arguments: Any) -> InlineCall | BadCall:
    """Return the call of the tool with this name, with these arguments, decoded from JSON.

    Some models encode the arguments twice, as JSON in a string. Missing arguments are an empty object.
    """
    tool = tools.get(name.strip())
    if tool is None:
        return BadCall("it names an unknown tool")
    try:
        if isinstance(arguments, str):
            arguments = decode(arguments.strip() or "{}")
        return InlineCall(tool.name, fit(tool.arguments, {} if arguments is None else arguments))
    except SchemaMismatch as misfit:
        return BadCall(str(misfit))
    except ValueError:
        return BadCall("its arguments are not JSON")


def decode(text: str) -> Any:
    """Decode JSON. Raises ValueError for invalid JSON, also when it is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
