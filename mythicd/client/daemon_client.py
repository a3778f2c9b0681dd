"""The reference client: what a game's plugin does, in Python, for `mythicd talk`, the tests and the benchmarks.

A `DaemonClient` keeps a `Playback` for each voice stream, reports its playhead to the daemon, answers tool calls, and
yields every message from `events()`. It plays in real time, or faster: to a sound device, or to a virtual loudspeaker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from mythicd.audio.pcm import MIC_RATE, SAMPLE_BYTES, Clip, Reframer
from mythicd.client.loudspeaker import Loudspeaker
from mythicd.client.playback import Playback, PlaybackEvent, Played, Started, Stopped
from mythicd.errors import BadFrame, BadMessage, DaemonUnreachable, MythicError
from mythicd.wire import codec
from mythicd.wire import messages as m
from mythicd.wire.discovery import Discovery, discover
from mythicd.wire.frames import RECEIVE_LIMIT, Frame, FrameType, pack_frame, unpack_blends, unpack_frame, unpack_visemes

log = logging.getLogger(__name__)

FRAME_MS = 20
"""Length of a microphone frame, in milliseconds."""
TICK_S = 0.005
"""How often the virtual loudspeaker moves its playhead."""
MAX_EVENTS = 4096
MAX_STREAMS = 64
"""Most voice streams that are kept, with their audio; the oldest are dropped first."""

CONNECT_TIMEOUT_S = 10.0
"""How long the daemon may take to answer the handshake, and then `Hello`."""
AT_ONCE = 1000.0
"""A `speed` at which voices take no noticeable time: for scripts that do not listen to them."""

CLOSE_REASONS = {
    1001: "it is shutting down",
    1009: "a frame was too large",
    4408: "it received no Hello",
    4409: "another client with the same game, world, player and playthrough took over",
    4429: "this client reads too slowly",
}
"""Why the daemon closed a connection, by close code (docs/protocol.md)."""

ToolHandler = Callable[[m.ToolCall], Awaitable[m.Ack]]


@dataclass(slots=True)
class ReceivedVoice:
    """A voice stream as received."""

    start: m.StreamStart
    playback: Playback
    frames: list[tuple[int, int]] = field(default_factory=list)
    """(timestamp, samples) of each PCM frame, in order of arrival."""
    visemes: list[m.VisemeEvent] = field(default_factory=list)
    """Its mouth shapes, in every set but `arkit`."""
    blends: list[m.BlendEvent] = field(default_factory=list)
    """Its mouth shapes in the set `arkit`."""
    first_frame_s: float | None = None
    """When its first frame arrived, on the client's monotonic clock."""
    started_s: float | None = None
    """When its first sample was played."""
    end: m.StreamEnd | None = None
    cutoff: m.Cutoff | None = None
    ducks: list[m.Duck] = field(default_factory=list)
    """Changes of its volume."""
    sounded: int = 0
    """Bytes that the sound device was given."""

    @property
    def clip(self) -> Clip:
        """All audio received."""
        return Clip(bytes(self.playback.pcm), self.start.sample_rate)


async def acknowledge(call: m.ToolCall) -> m.Ack:
    """Answer a tool call with success."""
    return m.Ack(call_id=call.call_id, turn_id=call.turn_id, status="ok")


class DaemonClient:
    """One connection to a running daemon."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        session: aiohttp.ClientSession,
        welcome: m.Welcome,
        *,
        tools: ToolHandler,
        prebuffer_ms: float,
        playheads: bool,
        speed: float,
    ) -> None:
        self.welcome = welcome
        self.last_message_s = time.monotonic()
        """When something of the daemon last arrived, on the monotonic clock."""
        self.closed = asyncio.Event()
        """Set when the connection is closed."""
        self.streams: dict[int, ReceivedVoice] = {}
        self._socket = socket
        self._session = session
        self.tools = tools
        """Carries out tool calls."""
        self._prebuffer_ms = prebuffer_ms
        self._playheads = playheads
        self.speed = speed
        """How many times faster than real time voices are played that begin from now on."""
        self.loudspeaker: Loudspeaker | None = None
        """Makes voices audible. Its owner sets it, at the rate in `welcome`, with a `speed` of 1, and closes it."""
        self._events: asyncio.Queue[m.ServerMessage | None] = asyncio.Queue(MAX_EVENTS)
        self._next_mic = 1
        self._captured: int | None = None
        """Samples captured of the open microphone; None while none is open."""
        self._acting: set[asyncio.Task[None]] = set()
        self._tasks = [
            asyncio.create_task(self._read(), name="client reader"),
            asyncio.create_task(self._play(), name="client loudspeaker"),
        ]

    @classmethod
    async def connect(
        cls,
        data: Path,
        hello: m.Hello,
        *,
        discovery: Discovery | None = None,
        tools: ToolHandler = acknowledge,
        prebuffer_ms: float = 40.0,
        playheads: bool = True,
        speed: float = 1.0,
    ) -> DaemonClient:
        """Find the daemon of this data dir, open the socket and send `Hello`. Raises DaemonUnreachable.

        `playheads=False` makes a client that never reports its playhead. `speed` plays voices that many times faster
        than real time.
        """
        where = discovery or discover(data)
        session = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                socket = await session.ws_connect(
                    where.url,
                    headers={"Authorization": f"Bearer {where.token}"},
                    max_msg_size=RECEIVE_LIMIT,
                    timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                )
            await socket.send_str(codec.encode(hello))
            first = await socket.receive(timeout=CONNECT_TIMEOUT_S)
            answer = codec.decode_server(first.data) if first.type is aiohttp.WSMsgType.TEXT else None
            if isinstance(answer, m.Error):
                raise DaemonUnreachable(f"The daemon refused: {answer.message}", remedy=answer.remedy)
            if not isinstance(answer, m.Welcome):
                raise DaemonUnreachable(
                    f"The daemon answered Hello with {first.type.name} {str(first.data)[:64]}.",
                    remedy="See the daemon's log.",
                )
        except aiohttp.WSServerHandshakeError as error:
            await session.close()
            raise DaemonUnreachable(
                f"The daemon at {where.url} refused the handshake (HTTP {error.status}).",
                remedy="Check that run/daemon.json is current.",
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            await session.close()
            why = f"no answer within {CONNECT_TIMEOUT_S:.0f} s" if isinstance(error, TimeoutError) else str(error)
            raise DaemonUnreachable(
                f"Nothing answers at {where.url}: {why}.", remedy="Start the daemon with `mythicd run`."
            ) from error
        except MythicError:
            await session.close()
            raise
        return cls(socket, session, answer, tools=tools, prebuffer_ms=prebuffer_ms, playheads=playheads, speed=speed)

    async def send(self, message: m.ClientMessage) -> None:
        """Send a message. Raises DaemonUnreachable when the connection is gone."""
        try:
            await self._socket.send_str(codec.encode(message))
        except (ConnectionError, aiohttp.ClientError) as error:
            raise self.lost() from error

    def lost(self) -> DaemonUnreachable:
        """Return the error of a connection that the daemon has closed, with its reason."""
        code = self._socket.close_code
        reason = CLOSE_REASONS.get(code or 0, "no reason was given" if code is None else f"close code {code}")
        return DaemonUnreachable(f"The daemon closed the connection: {reason}.", remedy="See the daemon's log.")

    async def send_pcm(self, stream: int, sequence: int, timestamp: int, pcm: bytes, flags: int = 0) -> None:
        """Send one microphone frame. Raises DaemonUnreachable when the connection is gone."""
        frame = Frame(FrameType.MIC_PCM, stream, sequence, timestamp, pcm, flags)
        try:
            await self._socket.send_bytes(pack_frame(frame))
        except (ConnectionError, aiohttp.ClientError) as error:
            raise self.lost() from error

    async def speak(self, npc_id: str, clip: Clip, *, mode: str = "push_to_talk", tail_ms: int = 0) -> float:
        """Send a clip as microphone audio in real time; return the time at which its last sample was sent.

        With `open`, `tail_ms` of silence follow, so that the daemon detects the end.
        """
        stream, self._next_mic = self._next_mic, self._next_mic + 1
        sound = clip.at(MIC_RATE)
        await self.send(m.MicStart(stream=stream, npc_id=npc_id, mode="open" if mode == "open" else "push_to_talk"))
        samples = MIC_RATE * FRAME_MS // 1000
        reframer = Reframer(samples)
        frames = reframer.add(sound.pcm)
        frames.append(reframer.finish().ljust(samples * SAMPLE_BYTES, b"\0"))
        frames += [b"\0" * samples * SAMPLE_BYTES] * (tail_ms // FRAME_MS)
        spoken = len(sound.pcm) // SAMPLE_BYTES
        begun = time.monotonic()
        last_s = begun
        self._captured = 0 if mode == "open" else None
        for index, pcm in enumerate(frames):
            # A frame is complete only when its last sample is recorded.
            due = begun + (index + 1) * FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.send_pcm(stream, index, index * samples, pcm)
            self._captured = (index + 1) * samples if mode == "open" else None
            if index * samples < spoken:
                last_s = time.monotonic()
        self._captured = None
        await self.send(m.MicStop(stream=stream))
        return last_s

    async def listen(self, npc_id: str, blocks: AsyncIterator[bytes]) -> None:
        """Send the audio of an open microphone (s16le, 16 kHz) as it is recorded, until its end or cancellation."""
        stream, self._next_mic = self._next_mic, self._next_mic + 1
        samples = sequence = 0
        opened = False
        try:
            async for pcm in blocks:
                if not opened:  # only with the first audio: a device may take a while, or fail to open
                    await self.send(m.MicStart(stream=stream, npc_id=npc_id, mode="open"))
                    opened = True
                await self.send_pcm(stream, sequence, samples, pcm)
                sequence += 1
                samples += len(pcm) // SAMPLE_BYTES
                self._captured = samples
        finally:
            self._captured = None
            if opened:
                with contextlib.suppress(DaemonUnreachable):
                    await self.send(m.MicStop(stream=stream))

    async def events(self) -> AsyncIterator[m.ServerMessage]:
        """Yield every message of the daemon in order, until the connection closes."""
        while (message := await self._events.get()) is not None:
            yield message
        self._events.put_nowait(None)  # for later readers

    async def next_event(self, silence_s: float) -> m.ServerMessage | None:
        """Return the next message; None when the connection is closed.

        Raises TimeoutError after `silence_s` in which nothing arrived, neither a message nor audio.
        """
        begun = time.monotonic()
        while True:
            left = max(begun, self.last_message_s) + silence_s - time.monotonic()
            if left <= 0 and self._events.empty():
                raise TimeoutError
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, left)):
                    message = await self._events.get()
                if message is None:
                    self._events.put_nowait(None)  # for later readers
                return message

    def pending_events(self) -> list[m.ServerMessage]:
        """Return the messages that have arrived and were not read, without waiting."""
        pending: list[m.ServerMessage] = []
        while not self._events.empty():
            message = self._events.get_nowait()
            if message is None:
                self._events.put_nowait(None)
                break
            pending.append(message)
        return pending

    async def turn(self, timeout_s: float = 30.0) -> list[m.ServerMessage]:
        """Return all messages up to and including the next `TurnTimeline`, which ends every turn, even a failed one.

        Raises TimeoutError or DaemonUnreachable.
        """
        seen: list[m.ServerMessage] = []
        async with asyncio.timeout(timeout_s):
            async for message in self.events():
                seen.append(message)
                if isinstance(message, m.TurnTimeline):
                    return seen
        raise self.lost()

    async def close(self) -> None:
        """Close the connection."""
        tasks = [*self._tasks, *self._acting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self._socket.close()
        await self._session.close()

    async def __aenter__(self) -> DaemonClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- background tasks --------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            async for incoming in self._socket:
                self.last_message_s = time.monotonic()
                if incoming.type is aiohttp.WSMsgType.TEXT:
                    try:
                        message = codec.decode_server(incoming.data)
                    except BadMessage as error:  # a message of a later version, which clients ignore
                        log.info("ignored a message: %s", error.what)
                        continue
                    await self._take(message)
                elif incoming.type is aiohttp.WSMsgType.BINARY:
                    self._take_frame(unpack_frame(incoming.data))
        except DaemonUnreachable:
            pass  # an answer could not be sent: the connection is closed
        finally:
            self.closed.set()
            if self._events.full():  # a later reader must still get the end marker
                self._events.get_nowait()
            self._events.put_nowait(None)

    async def _take(self, message: m.ServerMessage) -> None:
        if isinstance(message, m.StreamStart):
            playback = Playback(
                round(message.sample_rate * self.speed),
                prebuffer_ms=self._prebuffer_ms / self.speed,
                latency_ms=0.0 if self.loudspeaker is None else self.loudspeaker.latency_ms,
            )
            self.streams[message.stream] = ReceivedVoice(message, playback)
            if len(self.streams) > MAX_STREAMS:
                del self.streams[min(self.streams)]
        elif isinstance(message, m.StreamEnd) and message.stream in self.streams:
            self.streams[message.stream].end = message
            self.streams[message.stream].playback.end()
        elif isinstance(message, m.Duck) and message.stream in self.streams:
            self.streams[message.stream].ducks.append(message)
            if self.loudspeaker is not None:
                self.loudspeaker.set_gain(message.gain_db)
        elif isinstance(message, m.Cutoff) and message.stream in self.streams:
            voice = self.streams[message.stream]
            voice.cutoff = message
            if self.loudspeaker is not None:
                self.loudspeaker.silence()
            await self._report(voice, voice.playback.cut(time.monotonic()))
        await self._events.put(message)
        if isinstance(message, m.ToolCall):
            acting = asyncio.create_task(self._act(message), name=f"tool {message.call_id}")
            self._acting.add(acting)
            acting.add_done_callback(self._acting.discard)

    async def _act(self, call: m.ToolCall) -> None:
        """Run the tool handler and send its `Ack`, while other messages are read."""
        with contextlib.suppress(DaemonUnreachable):
            await self.send(await self.tools(call))

    def _take_frame(self, frame: Frame) -> None:
        voice = self.streams.get(frame.stream)
        if voice is None:
            return
        if frame.type == FrameType.TTS_PCM:
            if voice.first_frame_s is None:
                voice.first_frame_s = time.monotonic()
            voice.frames.append((frame.timestamp, len(frame.payload) // SAMPLE_BYTES))
            voice.playback.add(frame.payload)
        else:
            self._take_mouth(frame, voice)

    def _take_mouth(self, frame: Frame, voice: ReceivedVoice) -> None:
        try:
            if frame.type == FrameType.VISEME:
                voice.visemes += unpack_visemes(frame.payload, frame.timestamp)
            elif frame.type == FrameType.BLEND:
                voice.blends += unpack_blends(frame.payload, frame.timestamp)
        except BadFrame as error:  # a set or a shape of a later version
            log.info("ignored mouth shapes: %s", error.what)

    async def _play(self) -> None:
        with contextlib.suppress(DaemonUnreachable):
            while True:
                await asyncio.sleep(TICK_S)
                for voice in list(self.streams.values()):
                    if not voice.playback.stopped:
                        await self._report(voice, voice.playback.advance(time.monotonic()))
                    self._sound(voice)

    def _sound(self, voice: ReceivedVoice) -> None:
        """Give the sound device what has come since."""
        if self.loudspeaker is not None and voice.playback.is_playing and voice.cutoff is None:
            fresh = bytes(voice.playback.pcm[voice.sounded :])
            if fresh:
                if not voice.sounded:
                    self.loudspeaker.set_gain(0.0)
                self.loudspeaker.play(fresh)
                voice.sounded += len(fresh)

    async def _report(self, voice: ReceivedVoice, events: list[PlaybackEvent]) -> None:
        for event in events:
            stream = voice.start.stream
            if isinstance(event, Started):
                voice.started_s = time.monotonic()
            if not self._playheads:
                continue
            match event:
                case Started():
                    await self.send(m.PlaybackStarted(stream=stream))
                case Played(samples):
                    head = m.Playhead(stream=stream, played_samples=samples, mic_samples=self._captured)
                    await self.send(head)
                case Stopped(samples):
                    await self.send(m.PlaybackStopped(stream=stream, played_samples=samples))
