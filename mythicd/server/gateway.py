"""The gateway: one aiohttp server on 127.0.0.1, its access checks and its routes.

Each connection has one reader (here) and one writer (connection.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from socket import socket as Socket

from aiohttp import WSCloseCode, WSMsgType, web

from mythicd import __version__
from mythicd.errors import MythicError, ProtocolError
from mythicd.server.connection import GOODBYE_S, Connection
from mythicd.server.listener import listen
from mythicd.telemetry.prometheus import CONTENT_TYPE, Metrics
from mythicd.wire import codec, frames
from mythicd.wire.messages import Hello
from mythicd.world.playthrough import Playthrough
from mythicd.world.sessions import Sessions

log = logging.getLogger(__name__)

HELLO_TIMEOUT_S = 5.0
CLOSE_HELLO_TIMEOUT = 4408
MAX_CONNECTIONS = 64


class Gateway:
    """The server: routes, checks, connections."""

    def __init__(self, sessions: Sessions, *, instance_id: str, token: str | None = None) -> None:
        self._sessions = sessions
        self.instance_id = instance_id
        self.token = token or secrets.token_urlsafe(32)
        self.ready = False
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self._numbers = itertools.count(1)
        self._counters = Metrics(
            llm=lambda: sessions.world.engines.llm.counters,
            turns=lambda: sessions.world.engines.counters,
            connections=lambda: len(self._sockets),
        )

    async def start(self, port: int | Socket) -> None:
        """Serve on 127.0.0.1:`port` (0: any free port), or on a socket that listens. Raises PortTaken."""
        listener = listen(port) if isinstance(port, int) else port
        app = web.Application(middlewares=[self._checks], client_max_size=codec.MAX_TEXT)
        app.router.add_get("/v1/ws", self._websocket)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        self.port = int(listener.getsockname()[1])

    async def stop(self) -> None:
        """Close every connection (1001, going away) and the port."""
        going = [socket.close(code=WSCloseCode.GOING_AWAY, message=b"mythicd stops") for socket in self._sockets]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await asyncio.gather(*going, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- checks ------------------------------------------------------------------------------------------------------

    @web.middleware
    async def _checks(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Check every request before its route, in this order (/healthz needs no token):

        Host    names this machine, with our port or without one, else 421   against DNS rebinding
        Origin  absent, or names this machine, else 403                     against foreign web pages
        token   Authorization: Bearer …, else 401                           other users of this machine have no token

        A game may send an Origin, too: libwebsockets (Unreal) and websocket-client send the server's own address.
        """
        if not names_this_machine(request.headers.get("Host", ""), self.port):
            return _refuse(
                421,
                "HOST",
                f"Unknown host {str(request.headers.get('Host'))[:64]!r}.",
                f"Connect to 127.0.0.1:{self.port}.",
            )
        origin = request.headers.get("Origin")
        if origin is not None and not is_local_origin(origin):
            return _refuse(
                403,
                "ORIGIN",
                f"The origin {origin[:64]!r} is not this machine; web pages of others may not connect.",
                "Connect from a game or a plugin, or leave the Origin header out.",
            )
        if request.path != "/healthz" and not self._knows_token(request):
            return _refuse(
                401,
                "TOKEN",
                "The token is missing or wrong.",
                "Read it again from run/daemon.json; it changes at each start.",
            )
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return _refuse(404, "NOT_FOUND", f"Unknown path {request.path[:64]}.", "Use /v1/ws for the WebSocket.")

    def _knows_token(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
            if protocol.strip().startswith("mythic.token."):
                given = protocol.strip().removeprefix("mythic.token.")
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    # --- routes ------------------------------------------------------------------------------------------------------

    async def _healthz(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "ok", "version": __version__})

    async def _readyz(self, request: web.Request) -> web.StreamResponse:
        status = self._sessions.world.status()
        ready = self.ready and status.ready
        return web.json_response({"ready": ready, "notices": list(status.notices)}, status=200 if ready else 503)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._counters.render(), headers={"Content-Type": CONTENT_TYPE})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if len(self._sockets) >= MAX_CONNECTIONS:
            return _refuse(
                503, "CONNECTIONS", f"{MAX_CONNECTIONS} clients are connected, the limit.", "Close one first."
            )
        socket = web.WebSocketResponse(
            protocols=("mythic.v1",), heartbeat=20.0, max_msg_size=frames.RECEIVE_LIMIT, compress=False, timeout=1.0
        )
        await socket.prepare(request)
        peer = f"client {next(self._numbers)}"
        self._sockets.add(socket)
        try:
            await self._converse(socket, peer, request.transport)
        finally:
            self._sockets.discard(socket)
        return socket

    async def _converse(
        self, socket: web.WebSocketResponse, peer: str, transport: asyncio.BaseTransport | None
    ) -> None:
        """Read from one client until it disconnects. A disconnect without a close is normal."""
        connection = Connection(socket, peer, transport)
        playthrough: Playthrough | None = None
        writer = asyncio.create_task(connection.write(), name=f"writer {peer}")
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    patience = HELLO_TIMEOUT_S if connection.session.hello is None else None
                    incoming = await asyncio.wait_for(socket.receive(), patience)
                except TimeoutError:
                    await socket.close(code=CLOSE_HELLO_TIMEOUT, message=b"no Hello came")
                    return
                try:
                    if incoming.type is WSMsgType.TEXT:
                        message = connection.session.receive_text(incoming.data)
                        if isinstance(message, Hello):
                            playthrough = await self._sessions.enter(message, connection, self.instance_id)
                        elif playthrough is not None:
                            await playthrough.receive(message)
                    elif incoming.type is WSMsgType.BINARY:
                        frame = connection.session.receive_binary(incoming.data)
                        if frame is not None and playthrough is not None:
                            playthrough.receive_frame(frame, loop.time())
                    else:
                        return
                except MythicError as error:
                    connection.send(codec.describe(error))
                    if isinstance(error, ProtocolError) and error.close_code is not None:
                        connection.close(error.close_code, error.code)
                        await writer
                        return
        finally:
            if playthrough is not None:
                await self._sessions.leave(playthrough)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)


_HOST = re.compile(r"(?P<name>localhost|127\.0\.0\.1|\[::1\])(?::(?P<port>\d{1,5}))?", re.IGNORECASE)


def names_this_machine(host: str, port: int) -> bool:
    """Tell whether a Host header names this machine's loopback, with this port or none (RFC 9110, 7.2)."""
    match = _HOST.fullmatch(host.strip())
    return match is not None and match["port"] in (None, str(port))


def is_local_origin(origin: str) -> bool:
    """Tell whether an Origin header names this machine's loopback, at any port; `null` does not (RFC 6454, 7)."""
    scheme, separator, host = origin.strip().partition("://")
    return bool(separator) and scheme.lower() in ("http", "https", "ws", "wss") and _HOST.fullmatch(host) is not None


def _refuse(status: int, code: str, message: str, remedy: str) -> web.Response:
    return web.json_response({"code": code, "message": message, "remedy": remedy}, status=status)
