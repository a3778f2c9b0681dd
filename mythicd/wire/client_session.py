"""The client session: checks the order of what a client sends. Hello first, frames only of open microphone streams.

A malformed frame header means that the sender's framing is lost: BadFrame, and the connection closes. A frame of a
stream that is not open is dropped, counted and reported once: it may have been sent before the stream was closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mythicd.errors import BadFrame, BadMessage, HelloExpected, UnknownStream
from mythicd.wire.codec import decode_client
from mythicd.wire.frames import Frame, FrameType, unpack_frame
from mythicd.wire.messages import AudioChunk, ClientMessage, Hello, MicStart, MicStop

MAX_MIC_STREAMS = 8
"""Most microphone streams a client may have open at once."""


@dataclass(slots=True)
class ClientSession:
    """The protocol state of one client: its Hello, its microphone streams, and frames that were dropped."""

    hello: Hello | None = None
    mics: dict[int, MicStart] = field(default_factory=dict)
    """Open microphone streams."""
    latest_mic: int = 0
    """Highest stream id used so far. Ids only go up, so closed streams need not be remembered."""
    dropped: dict[int, int] = field(default_factory=dict)
    """Frames dropped, by stream id."""

    def receive_text(self, data: str | bytes) -> ClientMessage:
        """Check a text frame and return its message. Raises a subclass of ProtocolError."""
        message = decode_client(data)
        if isinstance(message, Hello):
            if self.hello is not None:
                raise HelloExpected("Hello came a second time.", remedy="Open another connection for another game.")
            self.hello = message
            return message
        if self.hello is None:
            raise HelloExpected(
                f"{type(message).__name__} came before Hello.", remedy="Send Hello as the first message."
            )
        if isinstance(message, MicStart):
            if message.stream <= self.latest_mic:
                raise BadMessage(
                    f"MicStart: stream {message.stream} is not higher than {self.latest_mic}, the last stream opened.",
                    remedy="Number streams upwards from 1.",
                )
            if len(self.mics) >= MAX_MIC_STREAMS:
                raise BadMessage(
                    f"MicStart: {MAX_MIC_STREAMS} microphone streams are open already.", remedy="Send MicStop first."
                )
            self.mics[message.stream] = message
            self.latest_mic = message.stream
        elif isinstance(message, MicStop):
            self._open_mic(message.stream)
            del self.mics[message.stream]
        elif isinstance(message, AudioChunk):
            if not self.hello.debug_audio:
                raise BadMessage(
                    "AudioChunk: this connection did not ask for debug audio.",
                    remedy="Send binary frames, or set debug_audio in Hello.",
                )
            self._open_mic(message.stream)
        return message

    def receive_binary(self, data: bytes) -> Frame | None:
        """Check a binary frame and return it; None for a type unknown to this version, and for a dropped frame.

        Raises BadFrame or TooLarge when it is malformed, HelloExpected, and UnknownStream for the first frame of a
        stream that was never opened (later ones are only counted).
        """
        frame = unpack_frame(data)
        if self.hello is None:
            raise HelloExpected("A binary frame came before Hello.", remedy="Send Hello as the first message.")
        if frame.type != FrameType.MIC_PCM:
            if frame.type in (FrameType.TTS_PCM, FrameType.VISEME, FrameType.BLEND):
                raise BadFrame(
                    f"A client sent a {FrameType(frame.type).name} frame.", remedy="Clients send MIC_PCM frames only."
                )
            return None
        if frame.stream not in self.mics:
            first = frame.stream not in self.dropped
            # Bounded: a client that counts through all stream ids must not fill the memory.
            if len(self.dropped) < 1024:
                self.dropped[frame.stream] = self.dropped.get(frame.stream, 0) + 1
            if first and frame.stream > self.latest_mic:
                raise UnknownStream(
                    f"A frame names stream {frame.stream}, which is not open.", remedy="Send MicStart first."
                )
            return None
        return frame

    def _open_mic(self, stream: int) -> None:
        if stream not in self.mics:
            raise UnknownStream(f"Stream {stream} is not open.", remedy="Send MicStart first.")
