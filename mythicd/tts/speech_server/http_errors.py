"""Errors of a speech server, as Mythic's errors, with the server's own message."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from mythicd.errors import BusyError, ConfigError, EngineError, ModelError, MythicError

MAX_WORDS: Final = 240
"""Most characters of a server's message that are passed on."""

RETRIED: Final = (429, 503)
"""Statuses after which the same request is sent again."""

_MESSAGES: Final = ("message", "msg", "detail", "error", "title", "reason")
"""Members that hold a server's message."""

_QUOTA: Final = re.compile(r"insufficient_quota|quota_exceeded|billing|credit balance|payment", re.IGNORECASE)


def refusal(status: int, answer: bytes, api_key_env: str) -> MythicError:
    """Return the error of a request that was answered with `status`; `answer` is the body.

    ConfigError for a wrong key or address and for a used-up quota, ModelError for a request that this server rejects,
    BusyError for 429 and 503, EngineError for failures of the server.
    """
    words = message_of(answer)
    why = f" ({status}: {words})" if words else f" ({status})"
    if status in (401, 403):
        remedy = (
            f"Set the environment variable {api_key_env} to a valid key."
            if api_key_env
            else "Set tts.server.api_key_env to the name of an environment variable that holds the server's API key."
        )
        return ConfigError(f"The speech server rejected the API key{why}.", remedy=remedy)
    if is_final(status, answer):
        return ConfigError(
            f"The quota of the API key at the speech server is used up{why}.",
            remedy="Add credit at the provider, or use another key (tts.server.api_key_env).",
        )
    if status in (404, 405, 501) or 300 <= status < 400:
        return ConfigError(
            f"The speech server does not have this address, model or voice{why}.",
            remedy="Correct tts.server.url (usually it ends with /v1), tts.server.model, or the voice in voices.yaml.",
        )
    if status in RETRIED:
        return BusyError(f"The speech server is busy{why}.", remedy="Try again in a moment.")
    if 400 <= status < 500 and status != 408:
        return ModelError(
            f"The speech server rejected the request{why}.",
            remedy="Check tts.server.model, tts.server.extra, and that the server has the voice named in voices.yaml.",
        )
    return EngineError(f"The speech server failed{why}.", remedy="Try again, and see the server's log.")


def is_final(status: int, answer: bytes) -> bool:
    """Return whether an answer says that a quota is used up, so that waiting does not help."""
    return status == 402 or (status in (403, 429) and _QUOTA.search(answer.decode(errors="replace")) is not None)


def not_audio(content_type: str, answer: bytes) -> MythicError:
    """Return the error of an answer with status 200 that is text instead of audio."""
    words = message_of(answer)
    said = f" ({words})" if words else ""
    return ConfigError(
        f"The speech server answered with {content_type}, not with audio{said}.",
        remedy="Check that tts.server.url is an OpenAI-compatible speech server.",
    )


def message_of(answer: bytes) -> str:
    """Return the message in a body of JSON, a page, or plain text, on one line; empty if there is none."""
    text = answer.decode(errors="replace")
    try:
        told = _message(json.loads(text))
    except (ValueError, RecursionError):
        page = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
        told = page[1] if page else re.sub(r"<[^<>]*>", " ", text)
    line = " ".join(told.split()).rstrip(".")
    line = "".join(letter for letter in line if letter.isprintable())
    return line if len(line) <= MAX_WORDS else f"{line[:MAX_WORDS]} …"


def _message(told: Any, depth: int = 0) -> str:
    """Return the message in a decoded answer: `{"error": {"message": …}}`, `{"detail": [{"msg": …}]}` and the like."""
    if isinstance(told, str):
        return told
    if depth == 4:
        return ""
    if isinstance(told, list):
        return "; ".join(filter(None, (_message(one, depth + 1) for one in told[:5])))
    if isinstance(told, dict):
        return next((words for key in _MESSAGES if (words := _message(told.get(key), depth + 1))), "")
    return ""
