"""What an OpenAI-compatible server writes, taken apart while it comes: words, and tool calls behind them.

    bytes -> events -> chunks (sse.py) -> words | thoughts | pieces of calls | why it ended | figures

- Words are passed on at once. Thoughts among them (llm/reasoning.py), and whatever a server tells apart as reasoning,
are
  not spoken. A server that does not know how its model thinks may leave `thoughts</think>words`, if its chat template
  has opened the thought: whoever has seen that says so of the next reply (`thinking`).
- A call comes in pieces: its name first, then its arguments' JSON a few letters at a time. Pieces belong together by
  `index`; Ollama gives every call the index 0 (ollama/ollama#15457), so a new `id` begins a new call too, and where
  there are no ids, a name behind a call that is whole. A server that does not know its model's way of calling leaves
  `<tool_call>` in the words: those are understood as well.
- All calls are passed on behind the words. One that is no JSON, or does not fit its tool, is reported and dropped.

A reply is whole when the server has told why it ended; a stream that ends before that was cut. Behind that come only
figures, and whatever goes wrong with them is the end, and no error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from mythicd.engines.llm import InlineCall, PrefillDone, TextDelta
from mythicd.errors import EngineError, MythicError
from mythicd.llm.openai_api.http_errors import broken_off
from mythicd.llm.openai_api.sse import CallDelta, Delta, EventStreamParser, Usage, read_chunk
from mythicd.llm.reply_parser import MAX_CALL, BadCall, ReplyParser, decode, read_call
from mythicd.llm.tool_schema import Tool

MAX_CALLS = 16
"""Calls in one reply; more are dropped."""


class _Draft:
    """A call that is being written."""

    def __init__(self, piece: CallDelta) -> None:
        self.index = piece.index
        self.call_id = piece.id
        self.name = ""
        self.arguments = ""

    def goes_on_with(self, piece: CallDelta) -> bool:
        """Tell whether a piece of the same index belongs to this call."""
        if piece.id and self.call_id:
            return piece.id == self.call_id
        name = piece.function.name if piece.function else None
        if not (name and self.name):
            return True
        # Some servers repeat the name with each piece, so that alone begins no call.
        return name == self.name and not (_text(piece).strip() and self._is_whole())

    def _is_whole(self) -> bool:
        try:
            decode(self.arguments)
        except ValueError:
            return False
        return True

    def add(self, piece: CallDelta) -> None:
        if piece.function is None:
            return
        self.name = self.name or piece.function.name or ""
        if len(self.arguments) <= MAX_CALL:  # one that has grown beyond is dropped in the end
            self.arguments += _text(piece)


def _text(piece: CallDelta) -> str:
    """Return a piece of arguments as JSON text."""
    arguments = piece.function.arguments if piece.function else None
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    try:
        return json.dumps(arguments)
    except RecursionError:
        return "[["  # which is no JSON: nobody means anything nested so deep


class ResponseParser:
    """Takes apart one reply."""

    def __init__(self, tools: Sequence[Tool] = (), stop: Sequence[str] = (), *, thinking: bool = False) -> None:
        """`stop` is kept here too, for servers that do not heed it.

        With `thinking` it is taken to begin inside a thought. If it is whole and that has not ended, it was none.
        """
        self._tools = {tool.name: tool for tool in tools}
        self._events = EventStreamParser()
        self._parser = ReplyParser(tools, stop, thinking=thinking)
        self._behind: list[InlineCall | BadCall] = []
        """Calls that stood among the words."""
        self._drafts: list[_Draft] = []
        self.chunks = 0
        """Events that have come, other than such as only show that the server is there."""
        self._deltas = 0
        self._usage: Usage | None = None
        self._told_prefill = False
        self._reasoned = False
        self._spoke = False
        self.reason: Literal["stop", "length"] | None = None
        """Why it ended, as soon as that is known: then only figures are to come."""
        self.done = False
        """Whether nothing more is to come."""
        self.spoke_at_once = False
        """Whether it was taken to begin inside a thought and did not."""

    @property
    def answering(self) -> bool:
        """Whether it has come to words or calls."""
        return self._spoke or bool(self._drafts or self._behind)

    @property
    def reasoned(self) -> bool:
        """Whether there were thoughts."""
        return self._reasoned or self._parser.thoughts.any

    @property
    def began_in_thought(self) -> bool:
        """Whether it began inside a thought of which nobody had told: what stood before its end has been spoken."""
        return self._parser.thoughts.words_behind and not self._reasoned

    @property
    def thought_aloud(self) -> bool:
        """Whether there were thoughts among what the server takes for words."""
        return self._parser.thoughts.any

    @property
    def usage(self) -> Usage:
        """What the server counted."""
        return self._usage or Usage()

    @property
    def written(self) -> int:
        """Tokens written: as the server counts them, or else the pieces that came."""
        told = self.usage.completion_tokens
        return self._deltas if told is None else told

    def add(self, chunk: bytes) -> list[PrefillDone | TextDelta]:
        """Take bytes as they came; return the words they completed, and before the first of all, PrefillDone.

        PrefillDone comes with the first thing written and knows no figure (0), unless the server tells of its progress.
        Raises EngineError when they are not what such a server sends, and what `broken_off` makes of an error in them;
        nothing once it is known why the reply ended.
        """
        parts: list[PrefillDone | TextDelta] = []
        try:
            for event in self._events.add(chunk):
                parts += self._take(event)
        except MythicError:
            if self.reason is None:
                raise
            self.done = True
        return parts

    def end(self) -> list[PrefillDone | TextDelta]:
        """No more comes: return the words that were held back. Raises EngineError when the stream was cut."""
        parts = self._last_event()
        if self.reason is None:
            raise EngineError(
                "The language model's server broke the reply off.", remedy="Try again; its own log tells why."
            )
        parts += self._prefilled(0)
        if self.reason == "stop":
            parts += self._disown_thought()
        return parts + self._sift(self._parser.finish())

    def _disown_thought(self) -> list[TextDelta]:
        """The thought that it was taken to begin in was none, if it has not ended: return its words."""
        if not self._parser.thoughts.in_first:
            return []
        self.spoke_at_once = True
        return self._sift(self._parser.disown_thought())

    def calls(self) -> list[InlineCall | BadCall]:
        """Return the calls behind the words, once these have ended."""
        calls = [*self._behind, *map(self._call, self._drafts)]
        return calls if len(calls) <= MAX_CALLS else [*calls[:MAX_CALLS], BadCall(f"there are more than {MAX_CALLS}")]

    def _last_event(self) -> list[PrefillDone | TextDelta]:
        """Take the event that was not closed, if there is one."""
        try:
            return [part for event in self._events.finish() for part in self._take(event)]
        except MythicError:
            if self.reason is None:
                raise
            return []

    def _take(self, event: bytes) -> list[PrefillDone | TextDelta]:
        if self.done:
            return []
        chunk = read_chunk(event)
        self.chunks += 1
        if chunk is None:
            self.done = True
            self.reason = self.reason or "stop"
            return []
        if chunk.error is not None:
            raise broken_off(chunk.error, answering=self.answering)
        self._usage = chunk.usage or self._usage
        parts: list[PrefillDone | TextDelta] = []
        progress = chunk.prompt_progress
        if progress is not None and progress.processed >= progress.total:
            parts += self._prefilled(progress.total - progress.cache)
        for choice in (chunk.choices or ())[:1]:
            if choice.delta is not None and self.reason is None:
                parts += self._delta(choice.delta)
            if choice.finish_reason and self.reason is None:
                self.reason = "length" if choice.finish_reason == "length" else "stop"
        return parts

    def _delta(self, delta: Delta) -> list[PrefillDone | TextDelta]:
        if not (delta.thinks or delta.words or delta.tool_calls):
            return []
        parts: list[PrefillDone | TextDelta] = self._prefilled(0)
        self._deltas += 1
        if delta.thinks and not self._reasoned:
            self._reasoned = True
            parts += self._disown_thought()  # the server tells thoughts apart: what it takes for words are words
        for piece in delta.tool_calls or ():
            self._draft(piece)
        if delta.words:
            parts += self._words(delta.words)
        if self._parser.stopped:
            self.reason, self.done = "stop", True
        return parts

    def _prefilled(self, tokens: int) -> list[PrefillDone | TextDelta]:
        """Tell once that the prompt is evaluated."""
        told, self._told_prefill = self._told_prefill, True
        return [] if told else [PrefillDone(tokens)]

    def _words(self, text: str) -> Sequence[TextDelta]:
        return [] if self._parser.stopped else self._sift(self._parser.add(text.encode()))

    def _sift(self, parts: Sequence[TextDelta | InlineCall | BadCall]) -> list[TextDelta]:
        """Keep back what is no words."""
        self._behind += [part for part in parts if not isinstance(part, TextDelta)]
        words = [part for part in parts if isinstance(part, TextDelta)]
        self._spoke = self._spoke or bool(words)
        return words

    def _draft(self, piece: CallDelta) -> None:
        """Add a piece to the call it belongs to."""
        known = [draft for draft in self._drafts if draft.index == piece.index]
        draft = known[-1] if known else None
        if draft is None or not draft.goes_on_with(piece):
            draft = _Draft(piece)
            if len(self._drafts) <= MAX_CALLS:
                self._drafts.append(draft)
        draft.add(piece)

    def _call(self, draft: _Draft) -> InlineCall | BadCall:
        if len(draft.arguments) > MAX_CALL:
            return BadCall(f"it is longer than {MAX_CALL} characters")
        try:
            arguments = decode(draft.arguments.strip() or "{}")
        except ValueError:
            return BadCall("its arguments are not JSON")
        return read_call(self._tools, draft.name, arguments)
