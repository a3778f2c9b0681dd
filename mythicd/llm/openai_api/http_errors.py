"""HTTP errors of an OpenAI-compatible server, as Mythic's errors, with the server's own message.

The table of status codes is in docs/servers.md, "HTTP status codes". Servers report a prompt that is too long in
different ways, some with status 500: llama-server with an error type, OpenAI and vLLM with a code or a sentence,
TensorRT-LLM with a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from mythicd.errors import BusyError, ConfigError, EngineError, MythicError

MAX_WORDS = 240
"""Most characters of a server's message that are passed on: some servers repeat the whole request."""

_TOO_LONG = re.compile(
    r"exceed_context_size|context_length_exceeded|context (?:length|size|window)|max_(?:seq|model)_len"
    r"|prompt (?:is )?too long|(?:input|prompt) length.{0,40}exceed",
    re.IGNORECASE,
)


def refusal(status: int, answer: bytes | Any) -> MythicError:
    """Return the error of a refused request. `answer` is the body, or a part of it that is already decoded."""
    told = _decoded(answer)
    inner = told.get("error", told) if isinstance(told, dict) else told
    said = _words(inner)
    kind = f"{inner.get('type')} {inner.get('code')}" if isinstance(inner, dict) else ""
    why = f"({status}: {said})" if said else f"({status})"
    if status in (401, 403):
        return ConfigError(
            f"The language model's server rejected the API key {why}.",
            remedy="Set the environment variable that llm.server.api_key_env names to a valid key.",
        )
    if status == 404:
        return ConfigError(
            f"The language model's server does not have this model or address {why}.",
            remedy="Correct llm.server.model, or llm.server.url, which usually ends with /v1.",
        )
    if status == 402 or (status == 429 and "insufficient_quota" in kind):
        return ConfigError(
            f"The quota of the API key at the language model's server is used up {why}.",
            remedy="Add credit at the provider, or use another key (llm.server.api_key_env).",
        )
    if status in (429, 503, 529):
        return BusyError(f"The language model's server is busy {why}.", remedy="Try again in a moment.")
    if status in (400, 413, 422, 500) and _TOO_LONG.search(f"{kind} {said}"):
        return ConfigError(
            f"The prompt is longer than the language model's server accepts {why}.",
            remedy="Lower kv.max_ctx_tokens, or start the server with a longer context for each request.",
        )
    if 300 <= status < 500 and status != 408:
        return ConfigError(
            f"The language model's server rejected the request {why}.",
            remedy="Check llm.server.url, and that the server knows the keys in llm.server.extra.",
        )
    return EngineError(f"The language model's server failed {why}.", remedy="Try again, and see the server's log.")


def broken_off(error: Any, *, answering: bool) -> MythicError:
    """Return the error of a stream that holds an error instead of a reply, or, with `answering`, of its rest.

    The rest of a reply cannot be requested again, so that it counts as a failure with any status.
    """
    code = error.get("code") if isinstance(error, dict) else None
    return refusal(code if isinstance(code, int) and 400 <= code < 600 and not answering else 500, error)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return after how many seconds to retry; None if the server does not say.

    `Retry-After` holds seconds or a date (RFC 9110, 10.2.3); a date is relative to the response's `Date`.
    """
    told = headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdigit():
        return float(told)
    try:
        wait = parsedate_to_datetime(told) - parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, wait.total_seconds())
    except (ValueError, TypeError, OverflowError):  # not a date, out of range, or only one with a time zone
        return None


def _decoded(answer: bytes | Any) -> Any:
    if not isinstance(answer, bytes):
        return answer
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return answer.decode(errors="replace")


def _words(told: Any) -> str:
    """Return the server's message on one line, at most MAX_WORDS characters of it."""
    if isinstance(told, dict):
        told = next((told[key] for key in ("message", "detail", "error") if key in told), told)
    if isinstance(told, list) and all(isinstance(one, dict) and "msg" in one for one in told):
        # FastAPI's messages, without the input that each repeats, which may be the player's words.
        told = "; ".join(f"{_place(one.get('loc'))}{one['msg']}" for one in told)
    try:
        text = " ".join((told if isinstance(told, str) else json.dumps(told, default=str)).split())
    except RecursionError:
        return ""
    text = "".join(letter for letter in text if letter.isprintable()).rstrip(".")
    return text if len(text) <= MAX_WORDS else f"{text[:MAX_WORDS]} …"


def _place(loc: Any) -> str:
    """Return the place in the request that FastAPI names."""
    return f"{'.'.join(map(str, loc))}: " if isinstance(loc, list) and loc else ""
