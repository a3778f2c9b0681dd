"""Chunks of a reply: the JSON of one event of an OpenAI-compatible server, or of a whole reply.

Only the used members are read and checked; servers add others. What servers write in different ways, such as the names
of reasoning, is of any type here, and read by a property.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from mythicd.errors import EngineError
from mythicd.llm.openai_api.http_errors import has_message, is_complaint

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a call, as the server sent it: any part may be missing."""

    index: int | None
    call_id: str
    name: str
    arguments: Any
    """A piece of JSON text; some servers send an object. Not checked, since an invalid call is only dropped."""


class Delta(msgspec.Struct):
    """A piece of the reply, or the whole message."""

    content: str | list[Any] | None = None
    """Text, or typed parts, which Mistral's API sends for reasoning models."""
    reasoning_content: Any = None
    """Reasoning, as llama-server, SGLang and older vLLM name it."""
    reasoning: Any = None
    """Reasoning, as Ollama and newer vLLM name it."""
    thinking: Any = None
    """Reasoning, as Ollama's own API names it."""
    reasoning_details: Any = None
    """Reasoning, as OpenRouter names it."""
    thinking_blocks: Any = None
    """Reasoning, as LiteLLM names it."""
    tool_calls: Any = None
    function_call: Any = None
    """A call, in the API before tools."""

    @property
    def words(self) -> str:
        """The spoken part of the content."""
        if not isinstance(self.content, list):
            return self.content or ""
        return "".join(map(_text, self.content))

    @property
    def thinks(self) -> bool:
        """Whether it has reasoning that the server separates."""
        parts = self.content if isinstance(self.content, list) else ()
        told = (self.reasoning_content, self.reasoning, self.thinking, self.reasoning_details, self.thinking_blocks)
        return any(told) or any(map(_is_thought, parts))

    @property
    def calls(self) -> list[CallPiece]:
        """The pieces of calls."""
        told = self.tool_calls if isinstance(self.tool_calls, list) else [self.tool_calls]
        return list(_pieces([*told, self.function_call]))


class StreamChoice(msgspec.Struct):
    """One of the replies; only one is requested."""

    delta: Delta | None = None
    message: Delta | None = None
    """The whole message, from a server that does not stream; others repeat it at the end of a stream."""
    finish_reason: Any = None
    error: Any = None


class Usage(msgspec.Struct):
    """The server's usage figures; invalid ones do not fail a reply."""

    told_prompt: Any = msgspec.field(default=None, name="prompt_tokens")
    told_completion: Any = msgspec.field(default=None, name="completion_tokens")
    details: Any = msgspec.field(default=None, name="prompt_tokens_details")

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt; 0 if unknown."""
        return _count(self.told_prompt) or 0

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that came from the server's cache; 0 if unknown."""
        told = self.details.get("cached_tokens") if isinstance(self.details, dict) else None
        return min(_count(told) or 0, self.prompt_tokens)

    @property
    def completion_tokens(self) -> int | None:
        """Tokens written; None if unknown."""
        return _count(self.told_completion)


class Progress(msgspec.Struct):
    """Prompt progress; llama-server only."""

    total: int
    cache: int
    """Tokens of these that came from the cache."""
    processed: int
    """Tokens that are done, including those from the cache."""


class Chunk(msgspec.Struct):
    """One event of the stream."""

    choices: list[StreamChoice] | None = None
    told_usage: Any = msgspec.field(default=None, name="usage")
    prompt_progress: Progress | None = None
    """In the first chunks, before the choices."""
    error: Any = None
    """An error, instead of the other members."""

    @property
    def usage(self) -> Usage | None:
        """The usage figures; in the last chunk, after the choices."""
        return msgspec.convert(self.told_usage, Usage) if isinstance(self.told_usage, dict) else None


class _OllamaChunk(msgspec.Struct):
    """A line of Ollama's own API."""

    message: Delta
    done: bool = False
    done_reason: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None

    def chunk(self) -> Chunk:
        counts = {"prompt_tokens": self.prompt_eval_count, "completion_tokens": self.eval_count}
        reason = (self.done_reason or "stop") if self.done else None
        return Chunk([StreamChoice(self.message, finish_reason=reason)], counts if self.done else None)


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """A message of the server, in the place of a chunk."""

    told: Any
    """The whole event."""
    is_error: bool
    """Whether it certainly reports an error; otherwise it does if there is no reply."""


def read_chunk(event: bytes) -> Chunk | OtherEvent | None:
    """Return the chunk in an event; None for the end mark `[DONE]`. Raises EngineError."""
    if event.strip() == b"[DONE]":
        return None
    if _SURROGATE.search(event):
        event = _without_surrogates(event)
    try:
        chunk = msgspec.json.decode(event, type=Chunk)
        if chunk.error:
            return OtherEvent(msgspec.json.decode(event), is_error=True)
        return chunk if chunk.choices or chunk.told_usage or chunk.prompt_progress else _read_other(event)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise EngineError(
            f"The language model's server sent an invalid chunk of a reply ({error}).",
            remedy="Check that llm.server.url is an OpenAI-compatible server.",
        ) from None


def _without_surrogates(event: bytes) -> bytes:
    """Return an event without half letters: some servers cut the two escapes of an emoji apart."""
    try:
        text = json.dumps(json.loads(event), ensure_ascii=False)
    except (ValueError, RecursionError):
        return event
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()


def _read_other(event: bytes) -> Chunk | OtherEvent:
    """Read an event that has no member of the API: a line of Ollama's API, an error in another form, or neither."""
    told = msgspec.json.decode(event)
    message = told.get("message")
    if isinstance(message, dict) and "content" in message:
        return msgspec.convert(told, _OllamaChunk).chunk()
    return OtherEvent(told, is_complaint(told)) if has_message(told) else Chunk()


def _pieces(told: list[Any]) -> Iterator[CallPiece]:
    for one in told:
        if not isinstance(one, dict):
            continue
        inner = one.get("function")
        function = inner if isinstance(inner, dict) else one
        name, index, call_id = function.get("name"), one.get("index"), one.get("id")
        if isinstance(index, str) and index.isascii() and index.isdigit():
            index = int(index[:6])
        yield CallPiece(
            index if isinstance(index, int) else None,
            str(call_id) if isinstance(call_id, str | int) else "",
            name.strip() if isinstance(name, str) else "",
            function.get("arguments"),
        )


def _text(part: Any) -> str:
    """Return the words of a part of the content."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type", "text") not in ("text", "output_text"):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _is_thought(part: Any) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and any(word in kind for word in ("think", "thought", "reason"))


def _count(told: Any) -> int | None:
    return max(0, told) if isinstance(told, int) and not isinstance(told, bool) else None
