"""The engine factory: builds the engines that the settings name, and starts and stops them.

Every engine runs in its own thread of the daemon (`WorkerThread`); the one of pocketsphinx waits for a child process.
A missing optional engine does not stop the daemon: its `EngineUnavailable` becomes a notice with the command that fixes
it. A missing required engine raises. What an engine has to say after its start is in its attribute `notices`, if it has
one.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from mythicd.asr.pocketsphinx.engine import PocketSphinxAsr
from mythicd.character.environment import Engines
from mythicd.config.settings import Settings
from mythicd.engines.asr import Asr
from mythicd.engines.embedder import Embedder
from mythicd.engines.llm import Llm
from mythicd.engines.tts import Tts
from mythicd.engines.vad import Vad
from mythicd.errors import EngineUnavailable, ModelError, MythicError
from mythicd.llm.llamacpp.engine import LlamaLlm
from mythicd.llm.llamacpp.options import LlamaOptions
from mythicd.llm.llamacpp.scheduler import Limits
from mythicd.llm.openai_api.engine import OpenAiLlm
from mythicd.llm.openai_api.options import OpenAiOptions
from mythicd.memory.minilm import MiniLmEmbedder
from mythicd.memory.query_vectors import QueryVectors
from mythicd.memory.store import Store
from mythicd.paths import starter_model
from mythicd.provisioning.model_store import ModelStore
from mythicd.tts.espeak import EspeakTts
from mythicd.tts.language_fallback import LanguageFallback
from mythicd.vad.gated_silero import GatedSileroVad
from mythicd.vad.webrtc import WebRtcVad

log = logging.getLogger(__name__)


@dataclass(slots=True)
class EngineHost:
    """All engines of the daemon, and the notices about those that are missing."""

    vad: Vad
    asr: Asr
    llm: Llm
    tts: Tts
    embedder: Embedder | None
    store: Store
    notices: list[str] = field(default_factory=list)

    async def start(self) -> None:
        """Start the store, then all engines concurrently. Raises MythicError when a required one cannot start."""
        await self.store.open()
        required = [self.vad.start(), self.asr.start(), self.llm.start(), self.tts.start()]
        results = await asyncio.gather(*required, self._start_embedder(), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                await self.stop()
                raise result
        if isinstance(self.vad, GatedSileroVad) and self.vad.degraded:
            self.notices.append(self.vad.degraded)
        for engine in (self.vad, self.asr, self.llm, self.tts):
            self.notices += getattr(engine, "notices", ())

    async def _start_embedder(self) -> None:
        if self.embedder is None:
            self.notices.append("Memory is searched by words only: rag.embedder is `none`.")
            return
        try:
            await self.embedder.start()
        except (EngineUnavailable, ModelError) as error:
            log.warning("no embedder: %s", error.what)
            self.notices.append(f"Memory is searched by words only. {error}")
            self.embedder = None

    async def stop(self) -> None:
        """Stop everything, in the reverse order of `start`; errors are logged."""
        stops = [self.tts.stop, self.llm.stop, self.asr.stop, self.vad.stop]
        if self.embedder is not None:
            stops.insert(0, self.embedder.stop)
        for stop in (*stops, self.store.close):
            try:
                await stop()
            except MythicError as error:
                log.error("error while stopping: %s", error)

    def engines(self) -> Engines:
        """The engines as a character needs them."""
        vectors = QueryVectors(self.embedder) if self.embedder is not None else None
        return Engines(self.vad, self.asr, self.llm, self.tts, self.store, self.embedder, vectors)


def build(settings: Settings, data: Path, models: ModelStore) -> EngineHost:
    """Build the engines of these settings, without loading them; blocks while models are verified.

    Raises ConfigError for settings that conflict, ModelError for a model that is missing or damaged.
    """
    return EngineHost(
        vad=GatedSileroVad() if settings.asr.vad == "webrtc+silero" else WebRtcVad(),
        asr=_asr(settings, data, models),
        llm=_llm(settings, models),
        tts=_tts(settings, data, models),
        embedder=_embedder(settings, data),
        store=Store(data / "memory.db"),
    )


def _embedder(settings: Settings, data: Path) -> Embedder | None:
    if settings.rag.embedder == "sentence-transformers":
        from mythicd.memory.sentence_transformer import SentenceTransformerEmbedder

        return SentenceTransformerEmbedder()
    return MiniLmEmbedder(data / "models" / "embedder") if settings.rag.embedder != "none" else None


def _asr(settings: Settings, data: Path, models: ModelStore) -> Asr:
    if settings.asr.engine == "faster-whisper":
        from mythicd.asr.whisper.engine import WhisperAsr
        from mythicd.asr.whisper.options import WhisperOptions

        asr = settings.asr
        options = WhisperOptions(
            language=asr.lang,
            device=asr.device,
            precision=asr.precision,
            threads=asr.threads,
            workers=asr.workers,
            beam=asr.beam,
            partial_ms=asr.partial_ms,
        )
        return WhisperAsr(models.find(asr.model, "asr"), options)
    return PocketSphinxAsr(cache_dir=data / "models" / "asr")


def _llm(settings: Settings, models: ModelStore) -> Llm:
    server = settings.llm.server
    if server.url:
        most = settings.scheduler.max_speakers
        return OpenAiLlm(OpenAiOptions(server.url, server.model, server.api_key_env, server.extra, most))
    gpu = settings.gpu
    model = starter_model() if gpu.llm_model == "starter" else models.find(gpu.llm_model, "llm")
    run = settings.scheduler
    limits = Limits(
        streams=run.max_speakers,
        burst_tokens=run.burst_tokens,
        slice_tokens=run.min_slice_tokens,
        step_s=run.step_ms / 1000,
        first_s=min(Limits().first_s, run.step_ms / 1000),
    )
    return LlamaLlm(
        model,
        LlamaOptions(
            n_ctx=gpu.ctx_tokens,
            n_seq_max=gpu.sequences,
            limits=limits,
            threads=settings.llm.threads,
            gpu_layers=gpu.layers,
            kv_unified=settings.kv.unified,
            kv_q8=gpu.kv_precision == "q8_0",
            park_bytes=settings.kv.park_mib * 2**20,
            longest=settings.kv.max_ctx_tokens + settings.llm.max_tokens,
        ),
    )


def _tts(settings: Settings, data: Path, models: ModelStore) -> Tts:
    tts = settings.tts
    if tts.backend == "piper":
        from mythicd.tts.piper.engine import PiperTts
        from mythicd.tts.piper.options import PiperOptions

        options = PiperOptions(workers=tts.workers, threads=tts.threads, device=tts.device)
        piper = PiperTts(lambda name: models.find(name, "tts"), tts.voices, options, tts.sample_rate)
        return LanguageFallback(piper, EspeakTts(sample_rate=tts.sample_rate))
    if tts.backend == "server":
        from mythicd.tts.speech_server.engine import SpeechServerTts
        from mythicd.tts.speech_server.options import SpeechServerOptions

        server = tts.server
        return SpeechServerTts(
            SpeechServerOptions(
                server.url,
                server.model,
                tts.voices,
                server.api_key_env,
                server.format,
                extra=server.extra,
                workers=tts.workers,
            ),
            tts.sample_rate,
        )
    if tts.backend == "xtts":
        from mythicd.tts.xtts import XttsOptions, XttsTts

        xtts = XttsOptions(data / "models" / "tts" / "xtts_v2", tts.voices, tts.device, tts.threads)
        return XttsTts(xtts, tts.sample_rate)
    return EspeakTts(sample_rate=settings.tts.sample_rate)
