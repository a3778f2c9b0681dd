"""An outgoing voice stream: its start, its frames with visemes before the sound they belong to, its end."""

from __future__ import annotations

from typing import Literal

from mythicd.character.environment import Outlet
from mythicd.tts.speech_queue import SpeechFrame
from mythicd.wire import frames
from mythicd.wire import messages as m


class VoiceStream:
    """What a client hears under one stream id."""

    def __init__(
        self,
        outlet: Outlet,
        stream: int,
        *,
        npc_id: str,
        turn_id: str,
        sample_rate: int,
        kind: Literal["reply", "backchannel"] = "reply",
        visemes: m.VisemeSetName = "ovr15",
    ) -> None:
        """`visemes`: the set of the frames' mouth shapes."""
        self.stream = stream
        self.sent = 0
        """Samples that have left."""
        self._outlet = outlet
        self._npc_id = npc_id
        self._turn_id = turn_id
        self._rate = sample_rate
        self._kind = kind
        self._set = frames.VISEME_SETS[visemes]
        self._sequence = {frames.FrameType.TTS_PCM: 0, self._set.frame_type: 0}

    def send(self, frame: SpeechFrame) -> None:
        """Send a frame; the first one opens the stream."""
        if not self.sent:
            self._outlet.send(
                m.StreamStart(
                    stream=self.stream,
                    npc_id=self._npc_id,
                    turn_id=self._turn_id,
                    sample_rate=self._rate,
                    viseme_set=self._set.label,
                    kind=self._kind,
                )
            )
        if frame.visemes:
            payload = frames.pack_visemes(frame.visemes, frame.start, self._set.name)
            self._send(self._set.frame_type, frame.start, payload)
        self._send(frames.FrameType.TTS_PCM, frame.start, frame.pcm)
        self.sent = frame.end

    def end(self) -> None:
        """No more frames come. Nothing to say where none did."""
        if self.sent:
            self._outlet.send(m.StreamEnd(stream=self.stream, samples=self.sent, turn_id=self._turn_id))

    def _send(self, kind: frames.FrameType, timestamp: int, payload: bytes) -> None:
        sequence = self._sequence[kind]
        self._sequence[kind] += 1
        flags = frames.FrameFlags.START if sequence == 0 else 0
        self._outlet.send_frame(frames.Frame(kind, self.stream, sequence, timestamp, payload, flags))
