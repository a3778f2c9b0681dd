"""Recogniser and voice of the Pipecat pipelines: Mythic's starter engines in Pipecat's services, or Pipecat's own.

Pipecat's own are its Whisper and Piper services, with the weights of the profile `cpu`. As they come they transcribe
with a beam of five and four threads; for the pipelines that are tuned, the beam is one, as in Mythic.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, Protocol

os.environ.setdefault("LOGURU_LEVEL", "ERROR")  # each logged line takes a millisecond

from pipecat.frames.frames import (
    Frame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from bench.turn import world as turn_world
from mythicd.asr.pocketsphinx.engine import PocketSphinxAsr, PocketSphinxStream
from mythicd.config.world_files import World
from mythicd.engines.tts import VoiceSpec
from mythicd.tts.espeak import EspeakTts

Ending = Literal["default", "tuned", "held"]

VOICE_RATE = 22050
"""Rate of espeak-ng and of the Piper voice, so that nothing is resampled; also that of Mythic's profiles."""
PREROLL_FRAMES = 25
"""Frames before the detected speech that the recogniser gets: half a second."""


class Speaking(Protocol):
    """The recogniser and the voice of a pipeline."""

    async def load(self, world: World, ending: Ending) -> tuple[FrameProcessor, FrameProcessor]:
        """Return both, loaded."""

    async def stop(self) -> None:
        """Free both."""


class Starter:
    """Mythic's starter engines: the same code on both sides. Implements `Speaking`."""

    def __init__(self, models: Path) -> None:
        """`models` is the daemon's folder of that name."""
        self._models = models

    async def load(self, world: World, ending: Ending) -> tuple[FrameProcessor, FrameProcessor]:
        """Return both, loaded."""
        self._asr = PocketSphinxAsr(cache_dir=self._models / "asr")
        self._tts = EspeakTts(VOICE_RATE)
        await self._asr.start()
        await self._asr.learn(world.vocabulary())
        await self._tts.start()
        voice = world.voices[turn_world.VOICE]
        await self._tts.prepare(voice)
        return Ears(self._asr), Voice(self._tts, voice)

    async def stop(self) -> None:
        """Free both."""
        await self._asr.stop()
        await self._tts.stop()


class Own:
    """Pipecat's own Whisper and Piper services. Implements `Speaking`."""

    def __init__(self, whisper: Path, voice: Path) -> None:
        """`whisper` is the folder of a CTranslate2 model, `voice` a Piper voice's .onnx file."""
        self._whisper, self._voice = whisper, voice

    async def load(self, world: World, ending: Ending) -> tuple[FrameProcessor, FrameProcessor]:
        """Return both, loaded."""
        from pipecat.services.piper.tts import PiperTTSService
        from pipecat.services.whisper.stt import WhisperSTTService

        settings = WhisperSTTService.Settings(model=str(self._whisper), language=Language.EN)
        more: dict[str, Any] = {} if ending == "default" else {"ttfs_p99_latency": 0.0}
        recogniser = WhisperSTTService(device="cpu", compute_type="int8", settings=settings, **more)
        if ending != "default":
            model: Any = recogniser._model
            model.transcribe = functools.partial(model.transcribe, beam_size=1)
        voice = PiperTTSService(
            download_dir=self._voice.parent,
            settings=PiperTTSService.Settings(voice=self._voice.stem),
            sample_rate=VOICE_RATE,
        )
        list(voice._voice.synthesize("Warm up."))
        return recogniser, voice

    async def stop(self) -> None:
        """Nothing: both are freed with their pipeline."""


class Ears(STTService):
    """Mythic's recogniser as a streaming service, active between start and end of speech by a detector or a key."""

    def __init__(self, asr: PocketSphinxAsr) -> None:
        super().__init__(ttfs_p99_latency=0.0, settings=STTSettings(model=None, language=None))
        self._asr = asr
        self._stream: PocketSphinxStream | None = None
        self._recent: deque[bytes] = deque(maxlen=PREROLL_FRAMES)

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Take a frame of the microphone."""
        if self._stream is None:
            self._recent.append(audio)
        else:
            await self._stream.push(audio)
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Start and end utterances. The other processors get the frame first."""
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame) and self._stream is None:
            self._stream = await self._asr.open()
            if self._recent:
                await self._stream.push(b"".join(self._recent))
                self._recent.clear()
        elif isinstance(frame, VADUserStoppedSpeakingFrame) and self._stream is not None:
            stream, self._stream = self._stream, None
            self.create_task(self._finish(stream))  # so that the turn's model does not wait for it

    async def _finish(self, stream: PocketSphinxStream) -> None:
        heard = await stream.finish()
        if heard.text:
            await self.push_frame(TranscriptionFrame(heard.text, "player", time_now_iso8601(), finalized=True))


class Voice(TTSService):
    """Mythic's voice as a service."""

    def __init__(self, tts: EspeakTts, voice: VoiceSpec) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            sample_rate=VOICE_RATE,
            settings=TTSSettings(model=None, voice=voice.voice_id, language=None),
        )
        self._tts, self._voice = tts, voice

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak one sentence."""
        async with aclosing(self._tts.speak(text, self._voice)) as chunks:
            async for chunk in chunks:
                yield TTSAudioRawFrame(chunk.pcm, VOICE_RATE, 1, context_id=context_id)
