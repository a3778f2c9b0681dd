"""Gated Silero: WebRTC's cheap detector, or a level above the noise floor, wakes Silero's accurate one.

While Silero sleeps the probability is 0 and a frame takes microseconds. When it wakes, it first gets the last 160 ms;
it sleeps again after 300 ms of quiet. Its probability counts, because WebRTC takes a hum or a chord for speech, except
that a frame at the level of the noise has none: this finds the last voiced frame 2 ms (median) from the true end,
instead of 79–99 ms after it (espeak-ng voices in noise of −65 to −45 dBFS). If one of the two packages is missing, the
other works alone, and `degraded` says so.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from mythicd.audio.pcm import Reframer
from mythicd.engines.vad import VAD_FRAME, VadStream
from mythicd.errors import EngineError, EngineUnavailable
from mythicd.vad.babble import BabbleGate
from mythicd.vad.noise_floor import NoiseFloor
from mythicd.vad.silero import SileroStream, SileroVad
from mythicd.vad.webrtc import WebRtcStream, WebRtcVad

_HISTORY: Final = 8
"""Past frames that Silero gets when it wakes."""

_HOLD: Final = 15
"""Quiet frames after which Silero sleeps."""

_STIR_DB: Final = 9.0
"""Level above the noise floor that wakes Silero even when WebRTC detects nothing: of 48 clips at −52 dBFS in noise of
−65 dBFS, 12 are missed, instead of 41 when only WebRTC wakes it."""

_SPEECH_DB: Final = 3.0
"""Least level of speech above the noise floor."""

_NOISE: Final = 0.2
"""Probability below which a frame counts as background noise."""


class GatedSileroStream:
    """Both detectors on one microphone stream."""

    def __init__(self, gate: WebRtcStream, judge: SileroStream) -> None:
        self._gate = gate
        self._judge = judge
        self._frames = Reframer(VAD_FRAME)
        self._history: deque[bytes] = deque(maxlen=_HISTORY)
        self._floor = NoiseFloor()
        self._room = BabbleGate()
        self._awake = 0

    def push(self, pcm: bytes) -> list[float]:
        """Take s16le 16 kHz audio; return a speech probability for each whole 20 ms frame."""
        return [self._frame(frame) for frame in self._frames.add(pcm)]

    def _frame(self, frame: bytes) -> float:
        above = self._floor.above(frame)
        stirs = self._gate.push(frame)[0] > 0 or above > _STIR_DB
        if not stirs and not self._awake:
            self._floor.learn(above, is_quiet=True)
            self._history.append(frame)
            self._room.admits(self._floor.level, 0.0)
            return 0.0
        if not self._awake:
            self._judge.reset()
            self._judge.push(b"".join(self._history))
            self._history.clear()
        self._awake = _HOLD if stirs else self._awake - 1
        probability = self._judge.push(frame)[0]
        if probability < _NOISE:
            self._floor.learn(above, is_quiet=False)
        if above < _SPEECH_DB:
            probability = 0.0
        return probability if self._room.admits(self._floor.level, probability) else 0.0


class GatedSileroVad:
    """The detector made of both packages."""

    degraded: str | None = None
    """The missing package and the remedy; None when both work. Set by `start`."""

    def __init__(self, mode: int = 3) -> None:
        """`mode` 0–3: how strictly WebRTC tells speech from noise."""
        self._gate = WebRtcVad(mode)
        self._judge = SileroVad()
        self._has_gate = self._has_judge = False

    async def start(self) -> None:
        """Load both. Raises EngineUnavailable when there is neither, ModelError when Silero's model is broken."""
        missing: list[EngineUnavailable] = []
        try:
            await self._gate.start()
            self._has_gate = True
        except EngineUnavailable as error:
            missing.append(error)
        try:
            await self._judge.start()
            self._has_judge = True
        except EngineUnavailable as error:
            missing.append(error)
        if len(missing) == 2:
            raise EngineUnavailable(
                "No voice activity detector is installed.",
                remedy="Install them: pip install webrtcvad-wheels onnxruntime; pip install --no-deps silero-vad",
            ) from missing[0]
        if not self._has_judge:
            self.degraded = f"Loud noise and music may be taken for speech: {missing[0]}"
        elif not self._has_gate:
            self.degraded = f"Voice activity detection needs more CPU time: {missing[0]}"

    def open(self) -> VadStream:
        """Open a stream."""
        if self._has_gate and self._has_judge:
            return GatedSileroStream(self._gate.open(), self._judge.open())
        if self._has_gate:
            return self._gate.open()
        if self._has_judge:
            return self._judge.open()
        raise EngineError("The voice activity detector is not running.", remedy="Call start() first.")

    async def stop(self) -> None:
        """Free both."""
        await self._judge.stop()
        await self._gate.stop()
        self._has_gate = self._has_judge = False
        self.degraded = None
