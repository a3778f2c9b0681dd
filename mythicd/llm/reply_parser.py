"""What a model writes, taken apart while it is being written: words to speak, and tool calls where they stand.

    bytes of tokens -> characters (a letter may span tokens)
        -> words | <think>thoughts</think> | <tool_call>JSON</tool_call> | stop string

Words are passed on at once, except for an end that may yet turn out to be the beginning of a tag or of a stop string.
A call is passed on when its closing tag has come. What is between the tags and is no valid call is reported, not
spoken and not raised: the reply goes on. Thoughts are passed over, with the tags and stop strings in them; within a
call nothing is a thought. White space before the first word is dropped, and is no stop string.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mythicd.engines.llm import InlineCall, TextDelta
from mythicd.llm.reasoning import CLOSINGS, OPENINGS, ReasoningFilter, begun_mark
from mythicd.llm.tool_grammar import CLOSE, OPEN
from mythicd.llm.tool_schema import SchemaMismatch, Tool, fit

MAX_CALL = 16_384
"""Characters between the tags, beyond which a call is given up."""


@dataclass(frozen=True, slots=True)
class BadCall:
    """Something between the tags that is no call of these tools."""

    reason: str
    """Why not; holds nothing of what was written, so that it may be logged."""


ReplyPart = TextDelta | InlineCall | BadCall


class ReplyParser:
    """Takes apart one reply."""

    def __init__(self, tools: Sequence[Tool] = (), stop: Sequence[str] = (), *, thinking: bool = False) -> None:
        """With `thinking` the reply begins inside a thought."""
        self.thoughts = ReasoningFilter(thinking)
        self._tools = {tool.name: tool for tool in tools}
        self._marks = (OPEN, CLOSE, *OPENINGS, *CLOSINGS, *(text for text in stop if text))
        self._may_begin = re.compile("[" + "".join(sorted({re.escape(mark[0]) for mark in self._marks})) + "]")
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        """Outside a call: text that may begin a tag or stop string. Inside: the call so far, whatever it holds."""
        self._spoke = False
        self._after_space = False
        self._after_silence = False
        self.in_call = False
        """Whether an opening tag has come and its closing tag has not."""
        self.stopped = False
        """Whether a stop string has come; nothing more is passed on."""

    @property
    def written(self) -> str:
        """What has been written behind the opening tag, while in a call."""
        return self._held if self.in_call else ""

    def add(self, chunk: bytes) -> list[ReplyPart]:
        """Take the bytes of one or more tokens, cut anywhere; return what they completed."""
        return self._take(self._decoder.decode(chunk))

    def add_silence(self) -> None:
        """Take a token that stands for no text: where it stood between two spaces, one of them goes."""
        self._after_silence = True

    def restart_call(self) -> None:
        """Forget what was written behind the opening tag: the call begins afresh with the next bytes."""
        self._held = ""

    def disown_thought(self) -> list[ReplyPart]:
        """The thought that the reply began in was none: return what of it can be passed on now."""
        self._held = self.thoughts.disown() + self._held
        return self._take("")

    def finish(self) -> list[ReplyPart]:
        """No more comes: return what was held back."""
        if self.stopped:
            return []
        parts = self._take(self._decoder.decode(b"", final=True))
        if self.in_call:
            parts.append(BadCall("the reply ended before its closing tag"))
        elif not self.thoughts.inside:
            parts += self._say(self._held)
        self._held, self.in_call = "", False
        return parts

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
            if self._may_begin.search(self._held) is None:  # as with nearly all words
                parts += self._say(self._held)
                self._held = ""
                break
            place, mark = self._first_mark()
            if mark is None:
                keep = begun_mark(self._held, self._marks)
                parts += self._say(self._held[: len(self._held) - keep])
                self._held = self._held[len(self._held) - keep :]
                break
            parts += self._say(self._held[:place])
            self._held = self._held[place + len(mark) :]
            if mark in OPENINGS or mark in CLOSINGS:
                self.thoughts.tag(mark)
            elif mark == OPEN:
                self.in_call = True
            elif mark != CLOSE:  # a closing tag that closes nothing is left out
                self._held, self.stopped = "", True
        return parts

    def _first_mark(self) -> tuple[int, str | None]:
        blank = 0 if self._spoke else len(self._held) - len(self._held.lstrip())
        found = [
            (place, mark)
            for mark in self._marks
            if (place := self._held.find(mark, blank if mark.isspace() else 0)) >= 0
        ]
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
        return [TextDelta(text)]

    def _call(self, body: str) -> InlineCall | BadCall:
        try:
            call = decode(body)
        except ValueError:
            return BadCall("it is not JSON")
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            return BadCall("it is no object with a name")
        return read_call(self._tools, call["name"], call.get("arguments"))


def read_call(tools: Mapping[str, Tool], name: str, arguments: Any) -> InlineCall | BadCall:
    """Return the call of one of these tools, by its name, that was written with these arguments, decoded from JSON.

    Some models write the arguments' JSON into a string once more; where there are none, an empty object is meant.
    """
    tool = tools.get(name.strip())
    if tool is None:
        return BadCall("it names no tool of this turn")
    try:
        if isinstance(arguments, str):
            arguments = decode(arguments.strip() or "{}")
        return InlineCall(tool.name, fit(tool.arguments, {} if arguments is None else arguments))
    except SchemaMismatch as misfit:
        return BadCall(str(misfit))
    except ValueError:
        return BadCall("its arguments are not JSON")


def decode(text: str) -> Any:
    """Return what is written here in JSON. Raises ValueError where it is none, or nested too deep to be meant."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
