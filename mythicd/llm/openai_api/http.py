"""Requests to an OpenAI-compatible server: its models, and replies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from mythicd.errors import BusyError, ConfigError, EngineError, EngineUnavailable, MythicError
from mythicd.http_client.connection import HttpConnection, HttpStream, retry_after
from mythicd.llm.openai_api.http_errors import message_of, refusal
from mythicd.llm.openai_api.models import ServedModel, choose_model, unchecked

START_S = 10.0
"""Longest time to list its models."""

SOONEST_RETRY_S = 0.1
"""Shortest wait before a retry, for servers that send `Retry-After: 0`."""

MAX_ANSWER = 8 << 20
"""Most bytes read of an answer that is not a stream: some providers list thousands of models."""


async def find_model(connection: HttpConnection, wanted: str) -> ServedModel:
    """Return the model `wanted`, or the only one if that is empty.

    If a model is wanted and the server answers anything, this does not fail: the first request tells whether it works.
    Otherwise raises EngineUnavailable, ConfigError or EngineError.
    """
    try:
        async with asyncio.timeout(START_S):
            status, answer = await connection.get("models", MAX_ANSWER)
        if status == 200 and len(answer) <= MAX_ANSWER:
            return choose_model(answer, wanted)
        why, error = _not_listed(status, answer)
        if isinstance(error, BusyError):
            error = _not_ready(connection, error.what)
    except TimeoutError:
        why = f"no answer within {START_S:.0f} s"
        error = _not_ready(connection, f"It did not list its models within {START_S:.0f} s.")
    except EngineUnavailable:  # it cannot be reached
        raise
    except EngineError as broke:
        why, error = "the connection broke", broke
    if wanted:
        return unchecked(wanted, why)
    error.remedy = f"{error.remedy} If llm.server.model is set, Mythic starts without a list of models."
    raise error


async def begin(connection: HttpConnection, body: Mapping[str, Any], deadline: float) -> HttpStream:
    """Request a reply and return its stream, which the caller closes.

    If the server is full and sends `Retry-After`, the request is repeated, if that is before `deadline` (in the event
    loop's time). Raises TimeoutError when the answer has not begun by then, Busy, and the error of a refusal
    (http_errors.py).
    """
    now = asyncio.get_running_loop().time
    while True:
        stream = await connection.post("chat/completions", body, deadline)
        if stream.status == 200:  # a reply of any type: body.py
            return stream
        try:
            error = refusal(stream.status, await stream.beginning(MAX_ANSWER, deadline))
        finally:
            stream.close()
        wait = retry_after(stream.headers) if isinstance(error, BusyError) else None
        if wait is None or now() + wait >= deadline:
            raise error
        await asyncio.sleep(max(wait, SOONEST_RETRY_S))


def _not_ready(connection: HttpConnection, why: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"The language model's server at {connection.server.url} is not ready. {why}",
        remedy="Wait until it has loaded its model, then start Mythic again.",
    )


def _not_listed(status: int, answer: bytes) -> tuple[str, MythicError]:
    """Return why the models are not listed, in short and as an error."""
    if status == 200:
        return f"an answer of more than {MAX_ANSWER >> 20} MiB", ConfigError(
            f"The model list of the server at llm.server.url is larger than {MAX_ANSWER >> 20} MiB.",
            remedy="Correct llm.server.url, which usually ends with /v1, or use a server that lists fewer models.",
        )
    error = refusal(status, answer)
    said = message_of(answer)
    why = f"{status}: {said}" if said else f"{status}"
    if status == 501 or (isinstance(error, ConfigError) and status not in (401, 402, 403)):
        error = ConfigError(
            f"llm.server.model is not set, and the server does not list its models ({why}).",
            remedy="Set llm.server.model, or correct llm.server.url, which usually ends with /v1.",
        )
    return why, error
