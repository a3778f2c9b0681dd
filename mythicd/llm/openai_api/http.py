"""HTTP with an OpenAI-compatible server: what is asked, for how long it is waited, and what each failure is called.

**Cancelling is closing the connection**: there is no other way to tell such a server. So every request has a connection
of its own. That costs a handshake, some 0.1 ms to this machine, and spares us the other trouble with kept ones: a
server may close an idle connection in the moment in which the next request is sent on it.

Redirects are not followed (they would take the key and the player's words elsewhere), proxies and cookies not used.
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
"""Longest time in which it lists its models."""

SOONEST_RETRY_S = 0.1
"""A server that says `Retry-After: 0` is asked again no sooner."""

MAX_ANSWER = 8 << 20
"""Bytes that are read of an answer which is no stream: some sellers list thousands of models."""


class HttpConnection:
    """The way to one server. All its methods belong to one event loop."""

    def __init__(self, options: OpenAiOptions, session: aiohttp.ClientSession) -> None:
        self._options = options
        self._session = session

    @classmethod
    def open(cls, options: OpenAiOptions, environment: Mapping[str, str]) -> HttpConnection:
        """Make ready; nothing is sent yet. Raises ConfigError when the API key is missing."""
        session = aiohttp.ClientSession(
            # Who compresses a stream on the way holds it back.
            headers={"Accept-Encoding": "identity", **_authorization(options.api_key_env, environment)},
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return cls(options, session)

    async def find_model(self) -> ServedModel:
        """Return the model that is meant. Raises EngineUnavailable, ConfigError or EngineError."""
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
                f"What answers at llm.server.url lists more models than Mythic reads ({MAX_ANSWER >> 20} MiB).",
                remedy="Correct llm.server.url, which usually ends with /v1, or use a server that lists fewer.",
            )
        if status == 200:
            return choose_model(answer, self._options.model)
        error = refusal(status, answer)
        raise self._not_ready(error.what) if isinstance(error, BusyError) else error

    async def begin(self, body: Mapping[str, Any], deadline: float) -> HttpStream:
        """Ask for a reply, and return its stream, which is to be closed.

        A server that has no room and says when to ask again (`Retry-After`) is asked again, if that is before
        `deadline`, in the event loop's time. Raises TimeoutError when it has not begun to answer then, Busy, and
        whatever its refusal amounts to.
        """
        now = asyncio.get_running_loop().time
        while True:
            response, answer = await self._post(body, deadline)
            if answer is None:
                return HttpStream(self, response)
            if response.status == 200:
                raise EngineError(
                    f"The language model's server answers with {response.content_type}, not with a stream.",
                    remedy="See whether llm.server.url leads to an OpenAI-compatible server that can stream.",
                )
            error = refusal(response.status, answer)
            wait = retry_after(response.headers) if isinstance(error, BusyError) else None
            if wait is None or now() + wait >= deadline:
                raise error
            await asyncio.sleep(max(wait, SOONEST_RETRY_S))

    async def close(self) -> None:
        """Close all connections: who reads from one gets an EngineError."""
        await self._session.close()

    async def _post(self, body: Mapping[str, Any], deadline: float) -> tuple[aiohttp.ClientResponse, bytes | None]:
        """Return the beginning of the stream, or an answer that is none, whole."""
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
        """Say in our own errors what went wrong with the connection."""
        try:
            yield
        except aiohttp.ClientSSLError as error:
            raise EngineUnavailable(
                f"The language model's server at {self._options.url} cannot be trusted: {error}.",
                remedy="Give it a certificate that this machine knows, or correct llm.server.url.",
            ) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise EngineUnavailable(
                f"The language model's server at {self._options.url} cannot be reached: {error}.",
                remedy="Start it, or correct llm.server.url.",
            ) from error
        except (aiohttp.ClientError, ConnectionError, RuntimeError) as error:  # the last from a connection just closed
            if self._session.closed:
                raise stopped() from None
            raise EngineError(
                f"The connection to the language model's server broke ({type(error).__name__}).",
                remedy="Try again; the server's own log tells why.",
            ) from error

    def _not_ready(self, why: str) -> EngineUnavailable:
        return EngineUnavailable(
            f"The language model's server at {self._options.url} is not ready. {why}",
            remedy="Wait until it has loaded its model, then start Mythic again.",
        )


class HttpStream:
    """A reply on its way."""

    def __init__(self, connection: HttpConnection, response: aiohttp.ClientResponse) -> None:
        self._connection = connection
        self._response = response

    async def read(self, deadline: float) -> bytes:
        """Return what comes next; nothing at the end. Raises TimeoutError, and EngineError when it breaks."""
        async with asyncio.timeout_at(deadline):
            with self._connection.talking():
                return await self._response.content.readany()

    def close(self) -> None:
        """Close the connection at once: the server stops writing."""
        self._response.close()


def stopped() -> EngineError:
    """Return the error of whoever uses an engine that does not run."""
    return EngineError("The language model is not running.", remedy="Start it first.")


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Return an answer, or as much of it as is worth reading."""
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
            f"llm.server.api_key_env: the environment variable {name} holds what is no API key.",
            remedy="A key is one line of plain letters, digits and signs.",
        )
    return {"Authorization": f"Bearer {key}"}
