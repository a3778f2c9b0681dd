"""HTTP with a speech server: requests, retries, deadlines, and errors.

Cancelling is closing the connection, so every request has its own. Redirects are not followed (they would send the key
and the character's words elsewhere); proxies and cookies are not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import aiohttp

from mythicd.errors import BusyError, ConfigError, EngineError, EngineUnavailable
from mythicd.tts.speech_server.http_errors import RETRIED, is_final, refusal, retry_after
from mythicd.tts.speech_server.options import SpeechServerOptions

CONNECT_S: Final = 5.0
"""Longest time to reach the server."""

ATTEMPTS: Final = 3
"""Most times that a phrase is requested."""

BACKOFF_S: Final = 0.2
"""Wait before the second request; it doubles for the next."""

MAX_REFUSAL: Final = 64 << 10
"""Most bytes read of an answer that is not audio."""


class SpeechConnection:
    """A client of one server. All methods are called on one event loop."""

    def __init__(self, options: SpeechServerOptions, session: aiohttp.ClientSession) -> None:
        self._options = options
        self._session = session

    @classmethod
    def open(cls, options: SpeechServerOptions, environment: Mapping[str, str]) -> SpeechConnection:
        """Create a session without sending anything. Raises ConfigError when the API key is missing."""
        session = aiohttp.ClientSession(
            # A compressing proxy would delay the stream.
            headers={"Accept-Encoding": "identity", **_authorization(options.api_key_env, environment)},
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return cls(options, session)

    async def check(self) -> None:
        """Check that the server can be reached and takes the key; any other answer will do.

        Raises EngineUnavailable or ConfigError.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                with self.translated():
                    address = self._options.endpoint("models")
                    async with self._session.get(address, allow_redirects=False) as response:
                        status, answer = response.status, await _beginning(response)
        except TimeoutError:
            raise EngineUnavailable(
                f"The speech server at {self._options.url} did not answer within {CONNECT_S:.0f} s.",
                remedy="Wait until it has loaded its model, then start Mythic again.",
            ) from None
        if status in (401, 403):
            raise refusal(status, answer, self._options.api_key_env)

    async def begin(self, body: Mapping[str, Any], deadline: float) -> SpeechStream:
        """Request a phrase and return its stream, which the caller closes.

        Connection errors and the statuses 429 and 503 are retried before `deadline` (in the event loop's time). Raises
        TimeoutError when there is no answer by then, EngineUnavailable, and the error of a refusal.
        """
        now = asyncio.get_running_loop().time
        for attempt in range(ATTEMPTS):
            wait = BACKOFF_S * 2**attempt
            error: BusyError | EngineError
            try:
                response, answer = await self._post(body, deadline)
            except EngineError as broke:
                if not isinstance(broke.__cause__, ConnectionError | aiohttp.ClientConnectionError):
                    raise
                if isinstance(broke.__cause__, aiohttp.ClientSSLError):
                    raise
                error = broke
            else:
                if answer is None:
                    return SpeechStream(self, response)
                refused = refusal(response.status, answer, self._options.api_key_env)
                if response.status not in RETRIED or is_final(response.status, answer):
                    raise refused
                assert isinstance(refused, BusyError)
                error = refused
                wait = max(wait, retry_after(response.headers) or 0.0)
            if attempt == ATTEMPTS - 1 or now() + wait >= deadline:
                raise error
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Close all connections; their readers get an EngineError."""
        await self._session.close()

    async def _post(self, body: Mapping[str, Any], deadline: float) -> tuple[aiohttp.ClientResponse, bytes | None]:
        """Return the response of a phrase with None, or a refusal with its body."""
        if self._session.closed:
            raise stopped()
        async with asyncio.timeout_at(deadline):
            with self.translated():
                address = self._options.endpoint("audio/speech")
                response = await self._session.post(address, json=body, allow_redirects=False)
                if response.status == 200:
                    return response, None
                try:
                    return response, await _beginning(response)
                finally:
                    response.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn aiohttp's errors into EngineUnavailable or EngineError."""
        try:
            yield
        except aiohttp.ClientSSLError as error:
            raise EngineUnavailable(
                f"The certificate of the speech server at {self._options.url} is not trusted: {error}.",
                remedy="Use a certificate that this machine trusts, or correct tts.server.url.",
            ) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise EngineUnavailable(
                f"The speech server at {self._options.url} cannot be reached: {error}.",
                remedy="Start it, or correct tts.server.url.",
            ) from error
        except (aiohttp.ClientError, ConnectionError, RuntimeError) as error:  # RuntimeError: it was just closed
            if self._session.closed:
                raise stopped() from None
            raise EngineError(
                f"The connection to the speech server broke ({type(error).__name__}).",
                remedy="Try again, and see the server's log.",
            ) from error


class SpeechStream:
    """The stream of one phrase's audio."""

    def __init__(self, connection: SpeechConnection, response: aiohttp.ClientResponse) -> None:
        self._connection = connection
        self._response = response
        self.content_type = response.content_type
        self.headers: Mapping[str, str] = response.headers

    async def read(self, deadline: float) -> bytes:
        """Return the next data, b"" at the end. Raises TimeoutError, and EngineError when the connection breaks."""
        async with asyncio.timeout_at(deadline):
            with self._connection.translated():
                return await self._response.content.readany()

    async def beginning(self, deadline: float) -> bytes:
        """Return the body of an answer that is not audio, at most MAX_REFUSAL bytes of it."""
        async with asyncio.timeout_at(deadline):
            with self._connection.translated():
                return await _beginning(self._response)

    def close(self) -> None:
        """Close the connection at once: the server stops speaking."""
        self._response.close()


def stopped() -> EngineError:
    """Return the error of a call on an engine that is not running."""
    return EngineError("The speech server's client is not running.", remedy="Call start() first.")


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Return the first MAX_REFUSAL bytes of a body."""
    answer = bytearray()
    while len(answer) < MAX_REFUSAL and (more := await response.content.readany()):
        answer += more
    return bytes(answer[:MAX_REFUSAL])


def _authorization(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    if not name:
        return {}
    key = environment.get(name, "").strip()
    if not key:
        raise ConfigError(
            f"tts.server.api_key_env: the environment variable {name} is not set.",
            remedy=f"Set {name} to the server's API key, or leave api_key_env out if it asks for none.",
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"tts.server.api_key_env: the environment variable {name} is not a valid API key.",
            remedy="Set it to one line of printable ASCII characters.",
        )
    return {"Authorization": f"Bearer {key}"}
