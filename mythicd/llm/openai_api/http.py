"""HTTP with an OpenAI-compatible server: requests, deadlines, and errors.

**Cancelling is closing the connection**; such a server offers no other way. So every request has its own connection.
That costs a handshake (0.1 ms to localhost) and avoids a race: a server may close an idle connection while the next
request is sent on it. Redirects are not followed (they would send the key and the player's words elsewhere); proxies
and cookies are not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp

from mythicd.errors import BusyError, ConfigError, EngineError, EngineUnavailable
from mythicd.llm.openai_api.http_errors import refusal, retry_after
from mythicd.llm.openai_api.models import ServedModel, choose_model
from mythicd.llm.openai_api.options import OpenAiOptions

CONNECT_S = 5.0
"""Longest time to reach the server."""

START_S = 10.0
"""Longest time to list its models."""

SOONEST_RETRY_S = 0.1
"""Shortest wait before a retry, for servers that send `Retry-After: 0`."""

MAX_ANSWER = 8 << 20
"""Most bytes read of an answer that is not a stream: some providers list thousands of models."""


class HttpConnection:
    """A client of one server. All methods are called on one event loop."""

    def __init__(self, options: OpenAiOptions, session: aiohttp.ClientSession) -> None:
        self._options = options
        self._session = session

    @classmethod
    def open(cls, options: OpenAiOptions, environment: Mapping[str, str]) -> HttpConnection:
        """Create a session without sending anything. Raises ConfigError when the API key is missing."""
        session = aiohttp.ClientSession(
            # A compressing proxy would delay the stream.
            headers={"Accept-Encoding": "identity", **_authorization(options.api_key_env, environment)},
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return cls(options, session)

    async def find_model(self) -> ServedModel:
        """Return the configured model. Raises EngineUnavailable, ConfigError or EngineError."""
        try:
            async with asyncio.timeout(START_S):
                with self.talking():
                    address = self._options.endpoint("models")
                    async with self._session.get(address, allow_redirects=False) as response:
                        status, answer = response.status, await _whole(response)
        except TimeoutError:
            raise self._not_ready(f"It did not list its models within {START_S:.0f} s.") from None
        if status == 200 and len(answer) > MAX_ANSWER:
            raise ConfigError(
                f"The model list of the server at llm.server.url is larger than {MAX_ANSWER >> 20} MiB.",
                remedy="Correct llm.server.url, which usually ends with /v1, or use a server that lists fewer models.",
            )
        if status == 200:
            return choose_model(answer, self._options.model)
        error = refusal(status, answer)
        raise self._not_ready(error.what) if isinstance(error, BusyError) else error

    async def begin(self, body: Mapping[str, Any], deadline: float) -> HttpStream:
        """Request a reply and return its stream, which the caller closes.

        If the server is full and sends `Retry-After`, the request is repeated, if that is before `deadline` (in the
        event loop's time). Raises TimeoutError when the answer has not begun by then, Busy, and the error of a refusal
        (http_errors.py).
        """
        now = asyncio.get_running_loop().time
        while True:
            response, answer = await self._post(body, deadline)
            if answer is None:
                return HttpStream(self, response)
            if response.status == 200:
                raise EngineError(
                    f"The language model's server answered with {response.content_type}, not with a stream.",
                    remedy="Check that llm.server.url is an OpenAI-compatible server that can stream.",
                )
            error = refusal(response.status, answer)
            wait = retry_after(response.headers) if isinstance(error, BusyError) else None
            if wait is None or now() + wait >= deadline:
                raise error
            await asyncio.sleep(max(wait, SOONEST_RETRY_S))

    async def close(self) -> None:
        """Close all connections; their readers get an EngineError."""
        await self._session.close()

    async def _post(self, body: Mapping[str, Any], deadline: float) -> tuple[aiohttp.ClientResponse, bytes | None]:
        """Return the response of a stream with None, or another response with its body."""
        if self._session.closed:
            raise stopped()
        async with asyncio.timeout_at(deadline):
            with self.talking():
                address = self._options.endpoint("chat/completions")
                response = await self._session.post(address, json=body, allow_redirects=False)
                if response.status == 200 and response.content_type == "text/event-stream":
                    return response, None
                try:
                    return response, await _whole(response)
                finally:
                    response.close()

    @contextmanager
    def talking(self) -> Iterator[None]:
        """Turn aiohttp's errors into EngineUnavailable or EngineError."""
        try:
            yield
        except aiohttp.ClientSSLError as error:
            raise EngineUnavailable(
                f"The certificate of the language model's server at {self._options.url} is not trusted: {error}.",
                remedy="Use a certificate that this machine trusts, or correct llm.server.url.",
            ) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise EngineUnavailable(
                f"The language model's server at {self._options.url} cannot be reached: {error}.",
                remedy="Start it, or correct llm.server.url.",
            ) from error
        except (
            aiohttp.ClientError,
            ConnectionError,
            RuntimeError,
        ) as error:  # RuntimeError: the connection was just closed
            if self._session.closed:
                raise stopped() from None
            raise EngineError(
                f"The connection to the language model's server broke ({type(error).__name__}).",
                remedy="Try again, and see the server's log.",
            ) from error

    def _not_ready(self, why: str) -> EngineUnavailable:
        return EngineUnavailable(
            f"The language model's server at {self._options.url} is not ready. {why}",
            remedy="Wait until it has loaded its model, then start Mythic again.",
        )


class HttpStream:
    """The stream of one reply."""

    def __init__(self, connection: HttpConnection, response: aiohttp.ClientResponse) -> None:
        self._connection = connection
        self._response = response

    async def read(self, deadline: float) -> bytes:
        """Return the next data, b"" at the end. Raises TimeoutError, and EngineError when the connection breaks."""
        async with asyncio.timeout_at(deadline):
            with self._connection.talking():
                return await self._response.content.readany()

    def close(self) -> None:
        """Close the connection at once: the server stops writing."""
        self._response.close()


def stopped() -> EngineError:
    """Return the error of a call on an engine that is not running."""
    return EngineError("The language model is not running.", remedy="Start it first.")


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Return a response's body, or a little more than MAX_ANSWER bytes of it."""
    answer = bytearray()
    while len(answer) <= MAX_ANSWER and (more := await response.content.readany()):
        answer += more
    return bytes(answer)


def _authorization(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    if not name:
        return {}
    key = environment.get(name, "").strip()
    if not key:
        raise ConfigError(
            f"llm.server.api_key_env: the environment variable {name} is not set.",
            remedy=f"Set {name} to the server's API key, or leave api_key_env out if it asks for none.",
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"llm.server.api_key_env: the environment variable {name} is not a valid API key.",
            remedy="Set it to one line of printable ASCII characters.",
        )
    return {"Authorization": f"Bearer {key}"}
