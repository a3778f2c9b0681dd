"""Requests to a speech server: the check at the start, and phrases with their retries."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from mythicd.errors import BusyError, EngineError, EngineUnavailable
from mythicd.http_client.connection import CONNECT_S, HttpConnection, HttpStream, retry_after
from mythicd.tts.speech_server.http_errors import RETRIED, is_final, refusal

ATTEMPTS: Final = 3
"""Most times that a phrase is requested."""

BACKOFF_S: Final = 0.2
"""Wait before the second request; it doubles for the next."""

MAX_REFUSAL: Final = 64 << 10
"""Most bytes read of an answer that is not audio."""


async def check(connection: HttpConnection) -> None:
    """Check that the server can be reached and takes the key; any other answer will do.

    Raises EngineUnavailable or ConfigError.
    """
    server = connection.server
    try:
        async with asyncio.timeout(CONNECT_S):
            status, answer = await connection.get("models", MAX_REFUSAL)
    except TimeoutError:
        raise EngineUnavailable(
            f"The speech server at {server.url} did not answer within {CONNECT_S:.0f} s.",
            remedy="Wait until it has loaded its model, then start Mythic again.",
        ) from None
    if status in (401, 403):
        raise refusal(status, answer, server.api_key_env)


async def begin(connection: HttpConnection, body: Mapping[str, Any], deadline: float) -> HttpStream:
    """Request a phrase and return its stream, which the caller closes.

    Connection errors and the statuses 429 and 503 are retried before `deadline` (in the event loop's time). Raises
    TimeoutError when there is no answer by then, EngineUnavailable, and the error of a refusal.
    """
    now = asyncio.get_running_loop().time
    for attempt in range(ATTEMPTS):
        wait = BACKOFF_S * 2**attempt
        error: BusyError | EngineError
        try:
            stream = await connection.post("audio/speech", body, deadline)
            if stream.status == 200:
                return stream
            try:
                answer = await stream.beginning(MAX_REFUSAL, deadline)
            finally:
                stream.close()
        except EngineError as broke:
            if not isinstance(broke.__cause__, ConnectionError | aiohttp.ClientConnectionError):
                raise
            if isinstance(broke.__cause__, aiohttp.ClientSSLError):
                raise
            error = broke
        else:
            refused = refusal(stream.status, answer, connection.server.api_key_env)
            if stream.status not in RETRIED or is_final(stream.status, answer):
                raise refused
            assert isinstance(refused, BusyError)
            error = refused
            wait = max(wait, retry_after(stream.headers) or 0.0)
        if attempt == ATTEMPTS - 1 or now() + wait >= deadline:
            raise error
        await asyncio.sleep(wait)
    raise AssertionError("the last attempt returns or raises")
