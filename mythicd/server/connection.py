"""One client's connection: its session, its playthrough, and its bounded send queues."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from aiohttp import WSCloseCode, web

from mythicd.wire import client_session, codec, frames
from mythicd.wire.messages import ServerMessage, StreamEnd, StreamStart, TTSChunk

log = logging.getLogger(__name__)

CLOSE_TOO_SLOW = 4429
MAX_VOICES = 64
"""Voice streams whose speaker is remembered, for audio sent as JSON."""
GOODBYE_S = 2.0
"""How long a client may take to take in its last messages and the close frame."""
MAX_CONTROL = 1024
"""Most messages waiting for one client."""
MAX_MEDIA = 2048
"""Most frames waiting for one client: with 40 ms frames, far more than voices are ever allowed to run ahead."""


class Connection:
    """One client: its session, and what waits to be sent to it. Implements `Outlet`."""

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
        self.session = client_session.ClientSession()

    # What a playthrough calls (Outlet). Never blocks: the writer task does the sending.

    def send(self, message: ServerMessage) -> None:
        """Queue a message. It overtakes media, except `StreamEnd`, which ends its stream's media."""
        if self._farewell is not None:
            return
        text = codec.encode(message)
        if isinstance(message, StreamStart):
            self._voices = {message.stream: message.npc_id, **dict(list(self._voices.items())[:MAX_VOICES])}
        if isinstance(message, StreamEnd):
            self._media.append((message.stream, text))
        else:
            self._control.append(text)
        self._bound()

    def send_frame(self, frame: frames.Frame) -> None:
        """Queue a binary frame; its audio as base64 in JSON where the client asked for that."""
        if self._farewell is not None:
            return
        item: str | bytes = frames.pack_frame(frame)
        hello = self.session.hello
        if hello is not None and hello.debug_audio and frame.type == frames.FrameType.TTS_PCM:
            speaker = self._voices.get(frame.stream, "")
            item = codec.encode(
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
