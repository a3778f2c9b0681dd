"""The echo tap: copies outgoing audio to the echo canceller as its far-end reference."""

from __future__ import annotations

from mythicd.aec.far_end import FarEnd
from mythicd.character.environment import Outlet
from mythicd.wire import frames
from mythicd.wire import messages as m

KEPT = 64
"""Streams whose sample rate is kept; a player hears a few at once."""


class EchoTap:
    """Passes everything on to another outlet, and taps it. Implements `Outlet`."""

    def __init__(self, outlet: Outlet, far_end: FarEnd) -> None:
        self._outlet = outlet
        self._far_end = far_end
        self._rates: dict[int, int] = {}

    def send(self, message: m.ServerMessage) -> None:
        """Queue a message."""
        match message:
            case m.StreamStart():
                self._rates[message.stream] = message.sample_rate
                if len(self._rates) > KEPT:
                    del self._rates[next(iter(self._rates))]
            case m.Duck():
                self._far_end.ducked(message.stream, message.gain_db)
            case m.Cutoff():
                self._far_end.cut(message.stream)
        self._outlet.send(message)

    def send_frame(self, frame: frames.Frame) -> None:
        """Queue a binary frame."""
        rate = self._rates.get(frame.stream)
        if frame.type == frames.FrameType.TTS_PCM and rate is not None:
            self._far_end.sent(frame.stream, frame.payload, rate)
        self._outlet.send_frame(frame)

    def drop_media(self, stream: int) -> None:
        """Drop the frames of a stream that were not sent yet."""
        self._outlet.drop_media(stream)

    def close(self, code: int, reason: str) -> None:
        """Send the queued messages, then close the connection with this WebSocket close code."""
        self._outlet.close(code, reason)
