"""What it means when an OpenAI-compatible server refuses: HTTP's status and the server's own words, as our errors.

| status | error | because |
|---|---|---|
| 401, 403 | ConfigError | the key is missing or wrong |
| 404 | ConfigError | it knows no such model, or its API begins elsewhere |
| 402, and 429 that speaks of the quota | ConfigError | nothing is left to pay with; waiting does not help |
| 429, 503, 529 | Busy | it has no room, or its model is still loading |
| 400, 413, 422, 500 that speak of the context | ConfigError | the prompt is too long |
| other 3xx and 4xx but 408 | ConfigError | it does not take what Mythic, or `llm.server.extra`, sends |
| anything else | EngineError | it failed, or gave up waiting |

Servers word a prompt that is too long differently, and some call it a 500: llama-server has a type for it, OpenAI and
vLLM a code or a sentence, TensorRT-LLM a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from mythicd.errors import BusyError, ConfigError, EngineError, MythicError

MAX_WORDS = 240
"""Characters of a server's complaint that are passed on: some repeat the whole request."""

_TOO_LONG = re.compile(
    r"exceed_context_size|context_length_exceeded|context (?:length|size|window)|max_(?:seq|model)_len"
    r"|prompt (?:is )?too long|(?:input|prompt) length.{0,40}exceed",
    re.IGNORECASE,
)


def refusal(status: int, answer: bytes | Any) -> MythicError:
    """Return the error that a refusal amounts to. `answer` is the body, or what of it has been decoded already."""
    told = _decoded(answer)
    inner = told.get("error", told) if isinstance(told, dict) else told
    said = _words(inner)
    kind = f"{inner.get('type')} {inner.get('code')}" if isinstance(inner, dict) else ""
    why = f"({status}: {said})" if said else f"({status})"
    if status in (401, 403):
        return ConfigError(
            f"The language model's server lets nobody in without the right key {why}.",
            remedy="llm.server.api_key_env names the environment variable that holds it: see that it is set and right.",
        )
    if status == 404:
        return ConfigError(
            f"The language model's server knows no such model or address {why}.",
            remedy="Correct llm.server.model, or llm.server.url, which usually ends with /v1.",
        )
    if status == 402 or (status == 429 and "insufficient_quota" in kind):
        return ConfigError(
            f"The language model's server writes no more for this key: its quota is used up {why}.",
            remedy="Add credit with whoever runs it, or name another key in llm.server.api_key_env.",
        )
    if status in (429, 503, 529):
        return BusyError(f"The language model's server has no room now {why}.", remedy="Try again in a moment.")
    if status in (400, 413, 422, 500) and _TOO_LONG.search(f"{kind} {said}"):
        return ConfigError(
            f"The prompt is longer than the language model's server takes {why}.",
            remedy="Lower kv.max_ctx_tokens, or start the server with a longer context for each request.",
        )
    if 300 <= status < 500 and status != 408:
        return ConfigError(
            f"The language model's server does not take the request {why}.",
            remedy="See whether llm.server.url is right, and whether the server knows what llm.server.extra adds.",
        )
    return EngineError(f"The language model's server failed {why}.", remedy="Try again; its own log tells why.")


def broken_off(error: Any, *, answering: bool) -> MythicError:
    """Return the error that a server sent in place of a reply, or, with `answering`, in place of the rest of one.

    The rest of a reply cannot be waited for: whatever the server says then, it failed.
    """
    code = error.get("code") if isinstance(error, dict) else None
    return refusal(code if isinstance(code, int) and 400 <= code < 600 and not answering else 500, error)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return in how many seconds the server asks to be asked again; None if it does not say.

    `Retry-After` holds seconds or a date (RFC 9110, 10.2.3); a date counts from the server's own `Date`.
    """
    told = headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdigit():
        return float(told)
    try:
        wait = parsedate_to_datetime(told) - parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, wait.total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, one beyond all dates, or only one with a time zone
        return None


def _decoded(answer: bytes | Any) -> Any:
    if not isinstance(answer, bytes):
        return answer
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return answer.decode(errors="replace")


def _words(told: Any) -> str:
    """Return the server's own words, on one line and not too many of them."""
    if isinstance(told, dict):
        told = next((told[key] for key in ("message", "detail", "error") if key in told), told)
    if isinstance(told, list) and all(isinstance(one, dict) and "msg" in one for one in told):
        # FastAPI's complaints, without the input that each repeats: it may be what the player said.
        told = "; ".join(f"{_place(one.get('loc'))}{one['msg']}" for one in told)
    try:
        text = " ".join((told if isinstance(told, str) else json.dumps(told, default=str)).split())
    except RecursionError:
        return ""
    text = "".join(letter for letter in text if letter.isprintable()).rstrip(".")
    return text if len(text) <= MAX_WORDS else f"{text[:MAX_WORDS]} …"


def _place(loc: Any) -> str:
    """Write where in the request FastAPI found something wrong."""
    return f"{'.'.join(map(str, loc))}: " if isinstance(loc, list) and loc else ""
