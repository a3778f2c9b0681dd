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

from mythicd.errors import BusyError, ConfigError, EngineError, EngineUnavailable, MythicError
from mythicd.llm.openai_api.http_errors import message_of, refusal, retry_after
from mythicd.llm.openai_api.models import ServedModel, choose_model, unchecked
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
        """Return the configured model, or the only one.

        If `model` is set and the server answers anything, this does not fail: the first request tells whether it works.
        Otherwise raises EngineUnavailable, ConfigError or EngineError.
        """
        wanted = self._options.model
        try:
            async with asyncio.timeout(START_S):
                status, answer = await self._list_models()
            if status == 200 and len(answer) <= MAX_ANSWER:
                return choose_model(answer, wanted)
            why, error = _not_listed(status, answer)
            if isinstance(error, BusyError):
                error = self._not_ready(error.what)
        except TimeoutError:
            why = f"no answer within {START_S:.0f} s"
            error = self._not_ready(f"It did not list its models within {START_S:.0f} s.")
        except EngineUnavailable:  # it cannot be reached
            raise
        except EngineError as broke:
            why, error = "the connection broke", broke
        if wanted:
            return unchecked(wanted, why)
        error.remedy = f"{error.remedy} If llm.server.model is set, Mythic starts without a list of models."
        raise error

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
            error = refusal(response.status, answer)
            wait = retry_after(response.headers) if isinstance(error, BusyError) else None
            if wait is None or now() + wait >= deadline:
                raise error
            await asyncio.sleep(max(wait, SOONEST_RETRY_S))

    async def close(self) -> None:
        """Close all connections; their readers get an EngineError."""
        await self._session.close()

    async def _list_models(self) -> tuple[int, bytes]:
        """Return the status and body of the list of models."""
        with self.talking():
            address = self._options.endpoint("models")
            async with self._session.get(address, allow_redirects=False) as response:
                return response.status, await _whole(response)

    async def _post(self, body: Mapping[str, Any], deadline: float) -> tuple[aiohttp.ClientResponse, bytes | None]:
        """Return the response of a reply with None, or a refusal with its body."""
        if self._session.closed:
            raise stopped()
        async with asyncio.timeout_at(deadline):
            with self.talking():
                address = self._options.endpoint("chat/completions")
                response = await self._session.post(address, json=body, allow_redirects=False)
                if response.status == 200:  # a reply of any type: body.py
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
        self.content_type = response.content_type

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
