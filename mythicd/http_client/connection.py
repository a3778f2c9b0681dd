"""HTTP with an OpenAI-compatible server: requests, deadlines, and connection errors.

**Cancelling is closing the connection**; such a server offers no other way. So every request has its own connection.
That costs a handshake (0.1 ms to localhost) and avoids a race: a server may close an idle connection while the next
request is sent on it. Redirects are not followed (they would send the key and what is said elsewhere); proxies and
cookies are not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp

from mythicd.errors import ConfigError, EngineError, EngineUnavailable

CONNECT_S: Final = 5.0
"""Longest time to reach the server."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and how errors name it."""

    name: str
    """Name in error messages, such as `speech server`."""
    setting: str
    """Path of its settings, such as `tts.server`."""
    url: str
    """Base URL of the API, such as `http://127.0.0.1:8080/v1`; without a path, `/v1` is added."""
    api_key_env: str = ""
    """Name of the environment variable that holds the API key; empty for none."""

    def endpoint(self, path: str) -> str:
        """Return the URL of an endpoint, such as `models`."""
        scheme, _, rest = self.url.rstrip("/").partition("://")
        return f"{scheme}://{rest}{'' if '/' in rest else '/v1'}/{path}"


class HttpConnection:
    """A client of one server. All methods are called on one event loop."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self._session = session

    @classmethod
    def open(cls, server: Server, environment: Mapping[str, str]) -> HttpConnection:
        """Create a session without sending anything. Raises ConfigError when the API key is missing."""
        session = aiohttp.ClientSession(
            # A compressing proxy would delay the stream.
            headers={"Accept-Encoding": "identity", **_authorization(server, environment)},
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return cls(server, session)

    async def get(self, path: str, most: int) -> tuple[int, bytes]:
        """Return the status and the body of an endpoint, or a little more than `most` bytes of it.

        Raises EngineUnavailable when the server cannot be reached, and EngineError when the connection breaks.
        """
        with self.translated():
            async with self._session.get(self.server.endpoint(path), allow_redirects=False) as response:
                return response.status, await _beginning(response, most)

    async def post(self, path: str, body: Mapping[str, Any], deadline: float) -> HttpStream:
        """Send a request and return the stream of its response, which the caller closes.

        Raises TimeoutError when the response has not begun by `deadline` (in the event loop's time),
        EngineUnavailable when the server cannot be reached, and EngineError when the connection breaks.
        """
        if self._session.closed:
            raise not_running(self.server.name)
        async with asyncio.timeout_at(deadline):
            with self.translated():
                return HttpStream(
                    self, await self._session.post(self.server.endpoint(path), json=body, allow_redirects=False)
                )

    async def close(self) -> None:
        """Close all connections; their readers get an EngineError."""
        await self._session.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn aiohttp's errors into EngineUnavailable or EngineError."""
        server = self.server
        try:
            yield
        except aiohttp.ClientSSLError as error:
            raise EngineUnavailable(
                f"The certificate of the {server.name} at {server.url} is not trusted: {error}.",
                remedy=f"Use a certificate that this machine trusts, or correct {server.setting}.url.",
            ) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise EngineUnavailable(
                f"The {server.name} at {server.url} cannot be reached: {error}.",
                remedy=f"Start it, or correct {server.setting}.url.",
            ) from error
        except (aiohttp.ClientError, ConnectionError, RuntimeError) as error:  # RuntimeError: it was just closed
            if self._session.closed:
                raise not_running(self.server.name) from None
            raise EngineError(
                f"The connection to the {server.name} broke ({type(error).__name__}).",
                remedy="Try again, and see the server's log.",
            ) from error


class HttpStream:
    """The response to one request, read as it arrives."""

    def __init__(self, connection: HttpConnection, response: aiohttp.ClientResponse) -> None:
        self._connection = connection
        self._response = response
        self.status = response.status
        self.content_type = response.content_type
        self.headers: Mapping[str, str] = response.headers

    async def read(self, deadline: float) -> bytes:
        """Return the next data, b"" at the end. Raises TimeoutError, and EngineError when the connection breaks."""
        async with asyncio.timeout_at(deadline):
            with self._connection.translated():
                return await self._response.content.readany()

    async def beginning(self, most: int, deadline: float) -> bytes:
        """Return the body, or a little more than `most` bytes of it. Raises as `read` does."""
        async with asyncio.timeout_at(deadline):
            with self._connection.translated():
                return await _beginning(self._response, most)

    def close(self) -> None:
        """Close the connection at once: the server stops its work."""
        self._response.close()


def not_running(name: str) -> EngineError:
    """Return the error of a request while the connection to the server `name` is closed."""
    return EngineError(f"The client of the {name} is not running.", remedy="Start it first.")


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


async def _beginning(response: aiohttp.ClientResponse, most: int) -> bytes:
    answer = bytearray()
    while len(answer) <= most and (more := await response.content.readany()):
        answer += more
    return bytes(answer)


def _authorization(server: Server, environment: Mapping[str, str]) -> dict[str, str]:
    name = server.api_key_env
    if not name:
        return {}
    key = environment.get(name, "").strip()
    if not key:
        raise ConfigError(
            f"{server.setting}.api_key_env: the environment variable {name} is not set.",
            remedy=f"Set {name} to the server's API key, or leave api_key_env out if it asks for none.",
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"{server.setting}.api_key_env: the environment variable {name} is not a valid API key.",
            remedy="Set it to one line of printable ASCII characters.",
        )
    return {"Authorization": f"Bearer {key}"}
