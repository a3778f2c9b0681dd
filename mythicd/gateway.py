"""The daemon's door: one aiohttp server on 127.0.0.1.

Every request passes three checks before anything else sees it, in this order:

    Host    127.0.0.1, localhost or [::1] with our port, else 421   a name that was rebound to us is not us
    Origin  absent, else 403                                       browsers send it, games do not
    token   Authorization: Bearer …, else 401                      other users of this machine have no token

(/healthz needs no token.) A connection has one reader and one writer. What leaves has two lanes: control overtakes
audio, because a `Cutoff` that waits behind two seconds of speech is no cutoff; `StreamEnd` rides in the media lane,
because it must not overtake its stream. Both lanes are bounded: who reads too slowly is cut off, by name, even while
the writer hangs in a full socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable

from aiohttp import WSCloseCode, WSMsgType, web

from mythicd import __version__, wire
from mythicd.errors import MythicError, PortTaken, ProtocolError
from mythicd.messages import Hello, ServerMessage, StreamEnd, StreamStart, TTSChunk
from mythicd.metrics import CONTENT_TYPE, Metrics
from mythicd.world import House, Stage

log = logging.getLogger(__name__)

HELLO_TIMEOUT_S = 5.0
CLOSE_HELLO_TIMEOUT = 4408
CLOSE_TOO_SLOW = 4429
MAX_CONNECTIONS = 64
MAX_VOICES = 64
"""Voice streams whose speaker is remembered, for audio sent as JSON."""
GOODBYE_S = 2.0
"""How long a client may take to take in its last messages and the close frame."""
MAX_CONTROL = 1024
"""Most messages waiting for one client."""
MAX_MEDIA = 2048
"""Most frames waiting for one client: with 40 ms frames, far more than voices are ever allowed to run ahead."""


class Connection:
    """One client: its session, its stage, and what waits to be sent to it."""

    def __init__(self, socket: web.WebSocketResponse, name: str, transport: asyncio.BaseTransport | None) -> None:
        self._socket = socket
        self._name = name
        self._transport = transport
        self._control: deque[str] = deque()
        self._media: deque[tuple[int, str | bytes]] = deque()
        self._wake = asyncio.Event()
        self._patience = asyncio.timeout(None)
        self._farewell: tuple[int, str] | None = None
        self._voices: dict[int, str] = {}
        """Whose voice the latest streams are."""
        self.session = wire.ClientSession()

    # What a stage calls (world.Outlet). Never blocks: the writer task does the sending.

    def send(self, message: ServerMessage) -> None:
        """Queue a message. It overtakes media, except `StreamEnd`, which ends its stream's media."""
        if self._farewell is not None:
            return
        text = wire.encode(message)
        if isinstance(message, StreamStart):
            self._voices = {message.stream: message.npc_id, **dict(list(self._voices.items())[:MAX_VOICES])}
        if isinstance(message, StreamEnd):
            self._media.append((message.stream, text))
        else:
            self._control.append(text)
        self._bound()

    def send_frame(self, frame: wire.Frame) -> None:
        """Queue a binary frame; its audio as base64 in JSON where the client asked for that."""
        if self._farewell is not None:
            return
        item: str | bytes = wire.pack_frame(frame)
        hello = self.session.hello
        if hello is not None and hello.debug_audio and frame.type == wire.FrameType.TTS_PCM:
            speaker = self._voices.get(frame.stream, "")
            item = wire.encode(
                TTSChunk(stream=frame.stream, npc_id=speaker, timestamp=frame.timestamp, pcm=frame.payload)
            )
        self._media.append((frame.stream, item))
        self._bound()

    def drop_media(self, stream: int) -> None:
        """Forget what is queued of a stream that was cut: a `Cutoff` ends it."""
        self._media = deque(item for item in self._media if item[0] != stream)

    def close(self, code: int, reason: str) -> None:
        """Let the messages that are queued leave, then close the connection. Nothing more is queued from now on."""
        if self._farewell is not None:
            return
        self._farewell = (code, reason)
        self._media.clear()
        # The writer may hang in a socket that nobody reads.
        self._patience.reschedule(asyncio.get_running_loop().time() + GOODBYE_S)
        self._wake.set()

    def _bound(self) -> None:
        if len(self._control) > MAX_CONTROL or len(self._media) > MAX_MEDIA:
            log.warning("%s reads too slowly and is cut off", self._name)
            self._control.clear()
            self.close(CLOSE_TOO_SLOW, "reads too slowly")
        self._wake.set()

    async def write(self) -> None:
        """Send what is queued, until the socket closes or this side has said goodbye."""
        try:
            async with self._patience:
                while not self._socket.closed:
                    if self._control:
                        await self._socket.send_str(self._control.popleft())
                    elif self._farewell is not None:
                        code, reason = self._farewell
                        await self._socket.close(code=code, message=reason.encode())
                    elif self._media:
                        _, item = self._media.popleft()
                        await (self._socket.send_str(item) if isinstance(item, str) else self._socket.send_bytes(item))
                    else:
                        self._wake.clear()
                        await self._wake.wait()
        except TimeoutError:
            if isinstance(self._transport, asyncio.Transport):
                self._transport.abort()
        except ConnectionError:
            pass  # the reader sees it, too, and ends the conversation
        finally:
            self._farewell = self._farewell or (WSCloseCode.ABNORMAL_CLOSURE, "")


class Gateway:
    """The server: routes, checks, connections."""

    def __init__(self, house: House, *, instance_id: str, token: str | None = None) -> None:
        self._house = house
        self.instance_id = instance_id
        self.token = token or secrets.token_urlsafe(32)
        self.ready = False
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self._numbers = itertools.count(1)
        self._figures = Metrics(
            llm=lambda: house.rooms.llm.figures,
            turns=lambda: house.rooms.figures,
            connections=lambda: len(self._sockets),
        )

    async def start(self, port: int) -> None:
        """Listen on 127.0.0.1:`port` (0 takes any). Raises PortTaken."""
        app = web.Application(middlewares=[self._checks], client_max_size=wire.MAX_TEXT)
        app.router.add_get("/v1/ws", self._websocket)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            self._runner = None
            raise PortTaken(
                f"Port {port} of 127.0.0.1 cannot be had: {error.strerror or error}.",
                remedy="Set server.port to 0 or to a free port, or stop what listens there.",
            ) from error
        self.port = int(self._runner.addresses[0][1])

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
        own = {f"{host}:{self.port}" for host in ("127.0.0.1", "localhost", "[::1]")}
        if request.headers.get("Host") not in own:
            return _refuse(421, "HOST", "This is not the host you asked for.", f"Connect to 127.0.0.1:{self.port}.")
        if "Origin" in request.headers:
            return _refuse(403, "ORIGIN", "Web pages may not talk to this daemon.", "Connect from a game or a plugin.")
        if request.path != "/healthz" and not self._knows_token(request):
            return _refuse(
                401,
                "TOKEN",
                "The token is missing or wrong.",
                "Read it anew from run/daemon.json; it changes each start.",
            )
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return _refuse(404, "NOT_FOUND", f"There is nothing at {request.path}.", "The WebSocket is at /v1/ws.")

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
        status = self._house.status()
        ready = self.ready and status.ready
        return web.json_response({"ready": ready, "notices": list(status.notices)}, status=200 if ready else 503)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._figures.render(), headers={"Content-Type": CONTENT_TYPE})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if len(self._sockets) >= MAX_CONNECTIONS:
            return _refuse(503, "CONNECTIONS", f"{MAX_CONNECTIONS} clients are connected.", "Close one first.")
        socket = web.WebSocketResponse(
            protocols=("mythic.v1",), heartbeat=20.0, max_msg_size=wire.RECEIVE_LIMIT, compress=False, timeout=1.0
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
        """Read from one client until it leaves. A client that vanishes without a close is normal."""
        connection = Connection(socket, peer, transport)
        stage: Stage | None = None
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
                            stage = await self._house.enter(message, connection, self.instance_id)
                        elif stage is not None:
                            await stage.receive(message)
                    elif incoming.type is WSMsgType.BINARY:
                        frame = connection.session.receive_binary(incoming.data)
                        if frame is not None and stage is not None:
                            stage.receive_frame(frame, loop.time())
                    else:
                        return
                except MythicError as error:
                    connection.send(wire.describe(error))
                    if isinstance(error, ProtocolError) and error.close_code is not None:
                        connection.close(error.close_code, error.code)
                        await writer
                        return
        finally:
            if stage is not None:
                await self._house.leave(stage)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)


def _refuse(status: int, code: str, message: str, remedy: str) -> web.Response:
    return web.json_response({"code": code, "message": message, "remedy": remedy}, status=status)
