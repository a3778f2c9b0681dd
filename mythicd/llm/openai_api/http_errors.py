"""Errors of an OpenAI-compatible server, as Mythic's errors, with the server's own message.

The tables of status codes and kinds are in docs/servers.md, "HTTP status codes". Servers tell the same thing in
different ways: by status, by an error type or code, or only by a sentence, and some report an error with status 200. So
the status decides where it is clear, and the server's words where it is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mythicd.errors import BusyError, ConfigError, EngineError, MythicError

MAX_WORDS = 240
"""Most characters of a server's message that are passed on: some servers repeat the whole request."""

Kind = Literal["key", "model", "quota", "busy", "too_long", "rejected", "failed"]

_TOO_LONG = re.compile(
    r"exceed_context_size|context_length_exceeded|context[ _](?:length|size|window)|max_(?:seq|model)_len"
    r"|prompt (?:is )?too long|(?:input|prompt) length.{0,40}exceed|too many (?:input |prompt )?tokens",
    re.IGNORECASE,
)
_QUOTA_CODE = re.compile(
    r"insufficient_quota|exceeded_current_quota|insufficient_balance|billing|payment", re.IGNORECASE
)
_QUOTA = re.compile(
    r"insufficient[ _](?:account )?(?:credit|balance|fund)|(?:out of|not enough|no(?: more)?) credit|credit balance"
    r"|payment required|requires more credit|recharge|in arrears",
    re.IGNORECASE,
)
_QUOTA_UNSURE = re.compile(r"\bquota\b|\bbilling\b|\bcredits?\b", re.IGNORECASE)
"""With status 429 these are said of a limit for each minute, too."""
_KEY_CODE = re.compile(r"invalid_api_key|authentication|unauthori[sz]ed|unauthenticated", re.IGNORECASE)
_KEY = re.compile(
    r"(?<![a-z])(?:api|auth|access)[ _-]?(?:key|token)|unauthori[sz]ed|authenticat|auth credentials|login fail|bearer",
    re.IGNORECASE,
)
_MODEL_CODE = re.compile(r"model_not_found|model_not_exist|unknown_model|invalid_model|not_found_error", re.IGNORECASE)
_MODEL = re.compile(
    r"\bmodels?\b.{0,80}?(?:not (?:found|exist|available|loaded|a valid)|n[o']t exist|not be found)"
    r"|model_not_found|(?:unknown|invalid|no such|unsupported|unrecognized) model\b|not a valid model"
    r"|no models? (?:is )?loaded",
    re.IGNORECASE | re.DOTALL,
)
_BUSY = re.compile(
    r"rate.?limit|too many requests|overloaded|over capacity|server is busy|loading model|try again (?:later|in)",
    re.IGNORECASE,
)
_WORDS = ("message", "msg", "detail", "error", "error_message", "error_description", "status_msg", "title", "reason")
"""Members that hold a server's message."""
_CODES = ("code", "status", "status_code", "statusCode", "http_code")
_NESTS = ("error", "errors", "detail", "fault", "base_resp")
"""Members that hold an error, which may be nested once more."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What a server tells about an error."""

    words: str
    status: int | None = None
    kind: str = ""
    """Its error types and codes."""


def refusal(status: int, answer: bytes | Any) -> MythicError:
    """Return the error of a refused request. `answer` is the body, or a part of it that is already decoded.

    With a `status` below 300 the status that the answer itself names counts, if there is one.
    """
    told = _read(answer)
    return _error(told.status if status < 300 else status, told)


def broken_off(answer: Any, *, answering: bool) -> MythicError:
    """Return the error of a stream that holds an error instead of a reply, or, with `answering`, of its rest.

    The rest of a reply cannot be requested again, so that it counts as a failure where waiting would have helped.
    """
    told = _read(answer)
    return _error(told.status, told, answering=answering)


def not_a_reply(content_type: str, head: bytes) -> MythicError:
    """Return the error of an answer with status 200 that is not a reply; `head` is its beginning."""
    text = head.decode(errors="replace")
    page = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
    told = _Told(_words(page[1] if page else re.sub(r"<[^<>]*>", " ", text)) if text.strip() else "")
    if told.words and "<" not in text and _kind(None, told) != "failed":
        return _error(None, told)
    said = f" ({told.words})" if told.words else ""
    return EngineError(
        f"The language model's server answered with {content_type}, not with a reply{said}.",
        remedy="Check that llm.server.url is an OpenAI-compatible server that can stream.",
    )


def message_of(answer: bytes | Any) -> str:
    """Return the server's message on one line; empty if there is none."""
    return _read(answer).words


def has_message(event: Mapping[str, Any]) -> bool:
    """Tell whether an event without any part of a reply has a message, which may be an error."""
    return any(event.get(key) for key in (*_WORDS, *_NESTS))


def is_complaint(event: Mapping[str, Any]) -> bool:
    """Tell whether an event without any part of a reply reports an error."""
    told = _read(event)
    named = any(event.get(key) for key in ("error", "errors")) or event.get("object") == "error"
    return bool(told.words) and (named or told.status is not None or "error" in told.kind.lower())


def _error(status: int | None, told: _Told, *, answering: bool = False) -> MythicError:
    why = ": ".join(filter(None, (str(status or ""), told.words)))
    why = f" ({why})" if why else ""
    match _kind(status, told):
        case "key":
            return ConfigError(
                f"The language model's server rejected the API key{why}.",
                remedy="Set the environment variable that llm.server.api_key_env names to a valid key.",
            )
        case "model":
            return ConfigError(
                f"The language model's server does not have this model or address{why}.",
                remedy="Correct llm.server.model, or llm.server.url, which usually ends with /v1.",
            )
        case "quota":
            return ConfigError(
                f"The quota of the API key at the language model's server is used up{why}.",
                remedy="Add credit at the provider, or use another key (llm.server.api_key_env).",
            )
        case "too_long":
            return ConfigError(
                f"The prompt is longer than the language model's server accepts{why}.",
                remedy="Lower kv.max_ctx_tokens, or start the server with a longer context for each request.",
            )
        case "busy" if not answering:
            return BusyError(f"The language model's server is busy{why}.", remedy="Try again in a moment.")
        case "rejected" if not answering:
            return ConfigError(
                f"The language model's server rejected the request{why}.",
                remedy="Check llm.server.url, and that the server knows the keys in llm.server.extra.",
            )
    return EngineError(f"The language model's server failed{why}.", remedy="Try again, and see the server's log.")


def _kind(status: int | None, told: _Told) -> Kind:
    """Return what went wrong. The words decide where the status says little: 4xx and 5xx in general, and no status."""
    clear = status in (401, 402, 403, 404, 408, 429, 503, 529)
    both = f"{told.kind} {told.words}"
    if status in (None, 400, 413, 422, 500) and _TOO_LONG.search(both):
        return "too_long"
    if status == 402 or _QUOTA_CODE.search(told.kind) or (status != 404 and _QUOTA.search(told.words)):
        return "quota"
    if _MODEL_CODE.search(told.kind) or (not clear and _MODEL.search(told.words)):
        return "model"
    if status in (401, 403) or (not clear and (_KEY_CODE.search(told.kind) or _KEY.search(told.words))):
        return "key"
    if status == 404:
        return "model"
    if status in (429, 503, 529) or (status is None and _BUSY.search(both)):
        return "busy"
    if not clear and _QUOTA_UNSURE.search(told.words):
        return "quota"
    return "rejected" if status is not None and 300 <= status < 500 and status != 408 else "failed"


def _read(answer: bytes | Any) -> _Told:
    """Read an answer: text, or JSON in which the error is nested in different ways."""
    layers = list(_layers(_decoded(answer)))
    objects = [layer for layer in layers if isinstance(layer, dict)]
    kinds = [layer[key] for layer in objects for key in ("type", "code", "status") if isinstance(layer.get(key), str)]
    statuses = [status for layer in objects for key in _CODES if (status := _status(layer.get(key))) is not None]
    inner_first = reversed(layers)
    words = next((words for layer in inner_first if (words := _said(layer)) is not None), layers[-1])
    raw = next((raw for layer in objects if (raw := _raw(layer))), "")  # OpenRouter: the provider's own words
    return _Told(_words(f"{words}: {raw}" if raw else words), statuses[-1] if statuses else None, " ".join(kinds))


def _layers(told: Any) -> Iterator[Any]:
    """Yield an answer, the error in it, and so on."""
    for _ in range(5):
        if isinstance(told, list) and told and isinstance(told[0], dict) and "msg" not in told[0]:
            told = told[0]  # Google sends an array
        yield told
        if not isinstance(told, dict):
            return
        inner = next((told[key] for key in _NESTS if told.get(key) and isinstance(told[key], dict | list)), None)
        if inner is None or (isinstance(inner, list) and not isinstance(inner[0], dict)):
            return
        told = inner


def _said(layer: Any) -> Any:
    """Return the message in this layer: text, or FastAPI's list; None if there is none."""
    if isinstance(layer, str) or (isinstance(layer, list) and layer):
        return layer
    if isinstance(layer, dict):
        texts = (layer[key] for key in _WORDS if isinstance(layer.get(key), str))
        return next((text for text in texts if text.strip()), None)
    return None


def _raw(layer: Mapping[str, Any]) -> str:
    metadata = layer.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return raw if isinstance(raw, str) else ""


def _status(code: Any) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
        code = int(code)
    return code if isinstance(code, int) and 400 <= code < 600 else None


def _decoded(answer: bytes | Any) -> Any:
    if not isinstance(answer, bytes):
        return answer
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return answer.decode(errors="replace")


def _words(told: Any) -> str:
    """Return the server's message on one line, at most MAX_WORDS characters of it."""
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
