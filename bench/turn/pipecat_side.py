"""The peer: a Pipecat pipeline of the same engines, built as its documentation describes.

    microphone -> recogniser -> user's turn (Silero, turn strategy) -> lore -> llama-server -> voice -> loudspeaker

Recogniser and voice are in pipecat_services.py; the language model is Pipecat's OpenAI service. A turn ends by
Pipecat's defaults (`default`: a pause of 0.2 s and its smart-turn model), by the pause alone (`tuned`: speech timeout
0), or by the player's key (`held`). docs/benchmarks.md describes its set-up.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("LOGURU_LEVEL", "ERROR")  # each logged line takes a millisecond

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMUpdateSettingsFrame,
    OutputAudioRawFrame,
    StartFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from bench.turn import world as turn_world
from bench.turn.audio_marks import Speech, audible, say
from bench.turn.pipecat_services import VOICE_RATE, Ending, Speaking
from bench.turn.side import Answer
from mythicd.audio.pcm import MIC_RATE
from mythicd.config.world_files import load_world
from mythicd.dialogue import prompt


class Microphone(BaseInputTransport):
    """An input for the benchmark's frames."""

    def __init__(self) -> None:
        super().__init__(TransportParams(audio_in_enabled=True, audio_in_sample_rate=MIC_RATE))

    async def start(self, frame: StartFrame) -> None:
        """Be ready."""
        await super().start(frame)
        await self.set_transport_ready(frame)


class Loudspeaker(BaseOutputTransport):
    """An output that takes the frames in real time, and notes when each came."""

    def __init__(self) -> None:
        super().__init__(TransportParams(audio_out_enabled=True, audio_out_sample_rate=VOICE_RATE))
        self.started: float | None = None
        """When the first frame was written (`monotonic`, s)."""
        self.pcm = bytearray()
        self._free = 0.0

    async def start(self, frame: StartFrame) -> None:
        """Be ready."""
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Play a frame."""
        now = time.monotonic()
        if self.started is None:
            self.started = now
        self.pcm += frame.audio
        self._free = max(self._free, now) + frame.num_frames / frame.sample_rate
        await asyncio.sleep(self._free - now)
        return True


class Lore(FrameProcessor):
    """A processor that puts the lore found for the question before the player's words, as Mythic's prompt has it."""

    def __init__(self) -> None:
        super().__init__()
        self.sections = prompt.Sections()
        self.heard = ""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Complete the last message of a context before the model gets it."""
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            *before, asked = frame.context.get_messages()
            self.heard = str(asked["content"])
            whole = prompt.turn_message(self.heard, self.sections)
            frame.context.set_messages([*before, {"role": "user", "content": whole.content}])
        await self.push_frame(frame, direction)


class Silence(FrameProcessor):
    """A processor that notes when the answer has been played."""

    def __init__(self) -> None:
        super().__init__()
        self.fell = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Watch all frames."""
        await super().process_frame(frame, direction)
        self.fell = self.fell or isinstance(frame, BotStoppedSpeakingFrame)
        await self.push_frame(frame, direction)


class Model(OpenAILLMService):
    """The stock service, which also notes the server's token counts."""

    prompt_tokens = cached_tokens = 0

    def _token_usage(self, usage: Any) -> Any:
        self.prompt_tokens = usage.prompt_tokens
        self.cached_tokens = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
        return super()._token_usage(usage)


class Pipecat:
    """One pipeline, with its way of ending a turn. Implements `Side`."""

    def __init__(self, world: Path, services: Speaking, server: str, ending: Ending, max_tokens: int) -> None:
        """`server` is the address of this pipeline's llama-server; an answer has at most `max_tokens`."""
        self._world = load_world(world)
        self._server, self._ending, self._max_tokens = server, ending, max_tokens
        self._services = services
        self._mic, self._speaker = Microphone(), Loudspeaker()
        self._lore, self._silence = Lore(), Silence()
        self._context = LLMContext()
        self.found: Mapping[str, prompt.Sections] = {}
        """The lore found for each question, by its text."""

    async def start(self) -> None:
        """Load the engines and start the pipeline."""
        recogniser, voice = await self._services.load(self._world, self._ending)
        settings = Model.Settings(
            model="bench",
            temperature=0.0,
            max_tokens=self._max_tokens,
            extra={"extra_body": {"cache_prompt": True}},
        )
        self._llm = Model(base_url=f"{self._server}/v1", api_key="none", settings=settings)
        pair = LLMContextAggregatorPair(self._context, user_params=self._user())
        stages = [self._mic, recogniser, pair.user(), self._lore, self._llm, voice]
        stages += [self._speaker, self._silence, pair.assistant()]
        worker = PipelineWorker(
            Pipeline(stages),
            params=PipelineParams(audio_in_sample_rate=MIC_RATE, audio_out_sample_rate=VOICE_RATE),
            idle_timeout_secs=None,
        )
        started = asyncio.Event()
        worker.add_event_handler("on_pipeline_started", lambda *_: started.set())
        self._runner = WorkerRunner(handle_sigint=False)
        await self._runner.add_workers(worker)
        self._running = asyncio.create_task(self._runner.run())
        await asyncio.wait_for(started.wait(), 30)

    async def stop(self) -> None:
        """End the pipeline."""
        await self._runner.cancel()
        await asyncio.wait([self._running], timeout=10)
        await self._services.stop()

    async def meet(self, npc: str) -> None:
        """Start a conversation: Pipecat keeps the prompt, and evaluates nothing before a question."""
        front = turn_world.front(self._world, npc)
        self._context.set_messages([])
        told = Model.Settings(system_instruction=front.world + front.character)
        await self._mic.push_frame(LLMUpdateSettingsFrame(delta=told))

    async def turn(self, said: Speech) -> Answer:
        """Ask the character, and wait for the end of its answer."""
        self._speaker.started, self._silence.fell = None, False
        self._speaker.pcm.clear()
        self._lore.sections = self.found[said.text]
        before = len(self._context.get_messages())
        held = self._ending == "held"
        if held:
            await self._mic.push_frame(VADUserStartedSpeakingFrame())

        async def hand(_: int, pcm: bytes) -> None:
            await self._mic.push_frame(InputAudioRawFrame(pcm, MIC_RATE, 1))

        async def release() -> None:
            await self._mic.push_frame(VADUserStoppedSpeakingFrame())

        def over() -> bool:
            return self._silence.fell and len(self._context.get_messages()) == before + 2

        ended = await say(said, hand, release=release if held else None, over=over)
        pcm = bytes(self._speaker.pcm)
        span = audible(pcm)
        assert self._speaker.started is not None and span is not None, "it has been played"
        begun = self._speaker.started + span[0] / VOICE_RATE
        reply = str(self._context.get_messages()[-1]["content"])
        prompt_tokens = self._llm.prompt_tokens
        evaluated = prompt_tokens - self._llm.cached_tokens
        return Answer(1000 * (begun - ended), self._lore.heard, reply, prompt_tokens, evaluated, {})

    def _user(self) -> LLMUserAggregatorParams:
        if self._ending == "default":
            return LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
        pause = UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.0)])
        vad = SileroVADAnalyzer() if self._ending == "tuned" else None
        return LLMUserAggregatorParams(vad_analyzer=vad, user_turn_strategies=pause)


async def learn(pipecat: Pipecat, *, found: Mapping[str, prompt.Sections]) -> None:
    """Set the lore found for each question."""
    pipecat.found = found
