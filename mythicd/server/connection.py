"""One client's connection: its session, its bounded send queues and their writer.

Control messages overtake audio, because a `Cutoff` must not wait for seconds of speech; `StreamEnd` is queued as media,
because it must not overtake its stream. A client that reads too slowly is disconnected, even while a full socket blocks
the writer.
"""

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
"""Most voice streams whose speaker is remembered, for audio sent as JSON."""
GOODBYE_S = 2.0
"""Longest time for a client to receive its last messages and the close frame, in seconds."""
MAX_CONTROL = 1024
"""Most messages waiting for one client."""
MAX_MEDIA = 2048
"""Most frames waiting for one client: with 40 ms frames, far more than voices may be ahead of their playback."""


class Connection:
    """The connection of one client. Implements `Outlet`."""

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
        """The speaker of each of the latest voice streams."""
        self.session = client_session.ClientSession()

    # Called by a playthrough (Outlet). Never blocks: the writer task sends.

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
        """Queue a binary frame, or its audio as base64 in JSON if the client asked for that."""
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
        """Drop the queued media of a stream that was cut off."""
        self._media = deque(item for item in self._media if item[0] != stream)

    def close(self, code: int, reason: str) -> None:
        """Close the connection once the queued messages are sent. From now on nothing more is queued."""
        if self._farewell is not None:
            return
        self._farewell = (code, reason)
        self._media.clear()
        # The writer may be blocked by a socket that the client does not read.
        self._patience.reschedule(asyncio.get_running_loop().time() + GOODBYE_S)
        self._wake.set()

    def _bound(self) -> None:
        if len(self._control) > MAX_CONTROL or len(self._media) > MAX_MEDIA:
            log.warning("%s reads too slowly: closing its connection", self._name)
            self._control.clear()
            self.close(CLOSE_TOO_SLOW, "reads too slowly")
        self._wake.set()

    async def write(self) -> None:
        """Send what is queued until the socket is closed, by the client or after `close`."""
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
            pass  # the reader sees it too, and ends the connection
        finally:
            self._farewell = self._farewell or (WSCloseCode.ABNORMAL_CLOSURE, "")
