"""The response of an OpenAI-compatible server, parsed while it comes: words, then tool calls.

    bytes -> events (body.py) -> chunks (chunks.py) -> words | reasoning | pieces of calls | finish reason | usage

Words are passed on at once, reasoning is dropped, calls are passed on after the words; an invalid call is reported and
dropped. A reply is complete when the server has sent its finish reason: errors after that are ignored, and a stream
that ends before it was cut. How servers differ in calls and reasoning: docs/servers.md, "What a reply holds".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mythicd.engines.llm import InlineCall, PrefillDone, TextDelta
from mythicd.errors import EngineError, MythicError
from mythicd.llm.openai_api.body import BodyParser
from mythicd.llm.openai_api.call_pieces import MAX_CALLS, CallPieces
from mythicd.llm.openai_api.chunks import Delta, OtherEvent, StreamChoice, Usage, read_chunk
from mythicd.llm.openai_api.http_errors import broken_off, not_a_reply
from mythicd.llm.reply_parser import BadCall, ReplyParser
from mythicd.llm.tool_schema import Tool

EVENT_STREAM = "text/event-stream"


class ResponseParser:
    """Parses one reply."""

    def __init__(self, tools: Sequence[Tool] = (), stop: Sequence[str] = (), *, thinking: bool = False) -> None:
        """`stop` is applied here too, for servers that ignore it.

        With `thinking` the reply is assumed to begin inside reasoning; if that never ends, it counts as words.
        """
        self.content_type = EVENT_STREAM
        """The type that the server has declared, for an error message."""
        self._body = BodyParser()
        self._parser = ReplyParser(tools, stop, thinking=thinking)
        self._behind: list[InlineCall | BadCall] = []
        """Calls among the words."""
        self._pieces = CallPieces(tools)
        self.chunks = 0
        """Events so far, without keep-alive comments."""
        self._deltas = 0
        self._usage: Usage | None = None
        self._told_prefill = False
        self._reasoned = False
        self._spoke = False
        self._streams = False
        """Whether words or calls have come in pieces."""
        self._whole = False
        """Whether the whole message has come at once."""
        self._other: OtherEvent | None = None
        """What the server has said that is no part of a reply."""
        self.reason: Literal["stop", "length"] | None = None
        """Finish reason; once it is known, only usage figures are to come."""
        self.done = False
        """Whether the stream is complete."""
        self.spoke_at_once = False
        """Whether it was assumed to begin inside reasoning and did not."""

    @property
    def answering(self) -> bool:
        """Whether words or calls have come."""
        return self._spoke or bool(self._pieces or self._behind)

    @property
    def reasoned(self) -> bool:
        """Whether there was reasoning."""
        return self._reasoned or self._parser.thoughts.any

    @property
    def began_in_thought(self) -> bool:
        """Whether it began inside undeclared reasoning, so that the text before its closing tag was spoken."""
        return self._parser.thoughts.words_behind and not self._reasoned

    @property
    def thought_aloud(self) -> bool:
        """Whether there was reasoning in what the server sent as words."""
        return self._parser.thoughts.any

    @property
    def usage(self) -> Usage:
        """The server's usage figures."""
        return self._usage or Usage()

    @property
    def written(self) -> int:
        """Tokens written, as the server counts them; otherwise the number of deltas."""
        told = self.usage.completion_tokens
        return self._deltas if told is None else told

    def add(self, chunk: bytes) -> list[PrefillDone | TextDelta]:
        """Add received bytes; return the words they complete, and before the first of all, PrefillDone.

        PrefillDone comes with the first delta and has no figure (0), unless the server reports its progress. Raises
        EngineError for an invalid stream, and the error of `broken_off` for an error in it; none once the finish reason
        is known.
        """
        parts: list[PrefillDone | TextDelta] = []
        try:
            for event in self._body.add(chunk):
                parts += self._take(event)
        except MythicError:
            if self.reason is None:
                raise
            self.done = True
        return parts

    def end(self) -> list[PrefillDone | TextDelta]:
        """End the reply; return the words that were held back. Raises EngineError when the stream was cut.

        Where there was no reply, it raises the error that the server told instead.
        """
        parts = self._last_event()
        if self.reason is None and self._whole:
            self.reason = "stop"
        if self.reason is None:
            raise self._cut()
        parts += self._prefilled(0)
        if self.reason == "stop":
            parts += self._disown_thought()
        return parts + self._sift(self._parser.finish())

    def _disown_thought(self) -> list[TextDelta]:
        """Return the words of the assumed reasoning, if it has not ended."""
        if not self._parser.thoughts.in_first:
            return []
        self.spoke_at_once = True
        return self._sift(self._parser.disown_thought())

    def calls(self) -> list[InlineCall | BadCall]:
        """Return the calls, after the end of the reply."""
        calls = [*self._behind, *self._pieces.calls()]
        return calls if len(calls) <= MAX_CALLS else [*calls[:MAX_CALLS], BadCall(f"there are more than {MAX_CALLS}")]

    def _cut(self) -> MythicError:
        if self._other is not None and not self._deltas:
            return broken_off(self._other.told, answering=False)
        if not self._deltas and self.content_type != EVENT_STREAM:
            return not_a_reply(self.content_type, self._body.head)
        return EngineError(
            "The language model's server broke off the reply.", remedy="Try again, and see the server's log."
        )

    def _last_event(self) -> list[PrefillDone | TextDelta]:
        """Parse an event that was not closed, if there is one."""
        try:
            return [part for event in self._body.finish() for part in self._take(event)]
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
            if self._deltas or self._other is None:
                self.reason = self.reason or "stop"
            return []
        if isinstance(chunk, OtherEvent):
            if chunk.is_error:
                raise broken_off(chunk.told, answering=self.answering)
            self._other = chunk
            return []
        self._usage = chunk.usage or self._usage
        parts: list[PrefillDone | TextDelta] = []
        progress = chunk.prompt_progress
        if progress is not None and progress.processed >= progress.total:
            parts += self._prefilled(progress.total - progress.cache)
        for choice in (chunk.choices or ())[:1]:
            if self.reason is None:
                parts += self._choose(choice)
        return parts

    def _choose(self, choice: StreamChoice) -> list[PrefillDone | TextDelta]:
        if choice.error or choice.finish_reason == "error":
            raise broken_off(choice.error or "finish_reason: error", answering=self.answering)
        parts: list[PrefillDone | TextDelta] = []
        if choice.delta is not None:
            self._streams = self._streams or bool(choice.delta.words or choice.delta.tool_calls)
            parts += self._delta(choice.delta)
        if choice.message is not None and not self._streams:
            self._whole = True
            parts += self._delta(choice.message)
        if choice.finish_reason and self.reason is None:
            self.reason = "length" if choice.finish_reason in ("length", "max_tokens") else "stop"
        return parts

    def _delta(self, delta: Delta) -> list[PrefillDone | TextDelta]:
        calls = delta.calls
        if not (delta.thinks or delta.words or calls):
            return []
        parts: list[PrefillDone | TextDelta] = self._prefilled(0)
        self._deltas += 1
        if delta.thinks and not self._reasoned:
            self._reasoned = True
            parts += self._disown_thought()  # the server separates reasoning, so its words are words
        for piece in calls:
            self._pieces.add(piece, whole=self._whole)
        if delta.words:
            parts += self._words(delta.words)
        if self._parser.stopped:
            self.reason, self.done = "stop", True
        return parts

    def _prefilled(self, tokens: int) -> list[PrefillDone | TextDelta]:
        """Return PrefillDone the first time."""
        told, self._told_prefill = self._told_prefill, True
        return [] if told else [PrefillDone(tokens)]

    def _words(self, text: str) -> Sequence[TextDelta]:
        return [] if self._parser.stopped else self._sift(self._parser.add(text.encode()))

    def _sift(self, parts: Sequence[TextDelta | InlineCall | BadCall]) -> list[TextDelta]:
        """Return the words, and keep the calls for later."""
        self._behind += [part for part in parts if not isinstance(part, TextDelta)]
        words = [part for part in parts if isinstance(part, TextDelta)]
        self._spoke = self._spoke or bool(words)
        return words
