"""The XTTS engine: a Tts with cloned voices in 17 languages, by Coqui's XTTS-v2 (package coqui-tts).

The weights of XTTS-v2 are licensed under the Coqui Public Model License, which allows non-commercial use only; they do
not come with Mythic. The engine is for GPUs: one CPU core takes 3.5 times as long as the speech. The model streams
audio without timings; onsets are estimated (estimated_timing.py).
"""

from __future__ import annotations

import difflib
import importlib
import unicodedata
import zlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from mythicd.audio.pcm import Resampler, to_array
from mythicd.audio.wav import read_wav
from mythicd.concurrency.priority_slots import PrioritySlots
from mythicd.concurrency.worker_thread import WorkerThread
from mythicd.engines.tts import ClonedVoice, VoiceChunk, VoiceSpec, language_code
from mythicd.errors import AudioError, EngineError, EngineUnavailable, ModelError
from mythicd.tts.timing_estimator import CALIBRATION, TimingEstimator

LICENSE_NOTICE: Final = (
    "XTTS-v2 speaks under the Coqui Public Model License (CPML): its weights and its speech are for non-commercial use."
)

FILES: Final = ("config.json", "model.pth", "vocab.json")
"""Files of the model's directory; speakers_xtts.pth, with the model's own speakers, is optional."""

SAMPLE_S: Final = (3.0, 60.0)
"""Shortest and longest sample of a voice, in seconds. XTTS's authors advise six seconds or more."""

_SAMPLE_RATE: Final = 22_050
"""Hertz at which the model takes a sample (Coqui's `load_sr`)."""

_LATENTS: Final = 64
"""Voices whose conditioning is kept; each takes about 130 kB."""

_LETTERS: Final = 250
"""Longest text at once in a language whose limit the tokenizer does not state."""

_LANGUAGES: Final = {"zh": "zh-cn", "cmn": "zh-cn"}
"""XTTS's names of languages that espeak-ng calls differently."""


@dataclass(frozen=True, slots=True)
class XttsOptions:
    """The model, and how to run it."""

    directory: Path
    """Directory of the files FILES."""
    speakers: tuple[str, ...] = ()
    """Speakers of the model for characters whose voice names none; empty for all of them."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """`auto` is CUDA where it works, and the CPU otherwise."""
    threads: int = 1
    """CPU threads of the whole process's torch."""
    chunk_tokens: int = 20
    """Tokens (of 1024 / 22,050 s) decoded at once: fewer bring the first sound sooner and cost more in all."""


class XttsTts:
    """Voices of XTTS-v2. Implements `Tts`. Phrases are spoken one at a time, the shortest lead first.

    A voice is `xtts: {speaker: NAME}` or `xtts: {sample: FILE.wav}`; one that is neither gets one of the model's
    speakers, always the same.
    """

    def __init__(self, options: XttsOptions, sample_rate: int = 24_000) -> None:
        """`sample_rate` is that of all audio from here, in hertz; the model's own is 24,000."""
        self.sample_rate = sample_rate
        self.notices: tuple[str, ...] = ()
        self._options = options
        self._slots = PrioritySlots(1)
        self._latents: OrderedDict[tuple[str, float, int], tuple[Any, Any]] = OrderedDict()
        self._worker: WorkerThread | None = None
        self._timing: TimingEstimator | None = None
        self._model: Any = None

    async def start(self) -> None:
        """Load the model: 10–30 s for XTTS-v2. Raises EngineUnavailable or ModelError."""
        worker = WorkerThread("tts-xtts")
        try:
            await worker.call(self._load)
        except BaseException:
            await worker.close()
            raise
        self._worker = worker
        self.notices = (LICENSE_NOTICE,)

    def language(self, voice: VoiceSpec) -> str:
        """Return the language of the voice's entry, else that of its espeak-ng voice."""
        return language_code(voice.xtts.language if voice.xtts is not None else voice.espeak)

    async def prepare(self, voice: VoiceSpec) -> None:
        """Compute the voice's conditioning, and speak a few digits with it, unless it has spoken before.

        Raises ModelError for an unknown speaker or language, and AudioError for an unusable sample.
        """
        worker = self._started()
        async with self._slots.slot():
            await worker.call(self._warm_up, voice)

    async def speak(
        self, text: str, voice: VoiceSpec, lead_s: Callable[[], float] | None = None
    ) -> AsyncGenerator[VoiceChunk, None]:
        """Speak one phrase, in chunks of about a second. Closing the generator stops the model at the next chunk.

        Raises ModelError and AudioError as `prepare` does, and EngineError when the model fails.
        """
        worker = self._started()
        async with self._slots.slot(lead_s), aclosing(worker.stream(self._say, text, voice)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def stop(self) -> None:
        """End the thread and free the model."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()
        self._latents.clear()
        self._model = self._timing = None

    def _started(self) -> WorkerThread:
        if self._worker is None:
            raise EngineError("XTTS is not running.", remedy="Call start() first.")
        return self._worker

    # Everything below runs on the worker's thread.

    def _load(self) -> None:
        directory = self._options.directory
        for name in FILES:
            if not (directory / name).is_file():
                raise ModelError(
                    f"The XTTS model in {directory} has no file {name}.",
                    remedy=f"Put {', '.join(FILES)} and speakers_xtts.pth of XTTS-v2 there.",
                )
        torch, configs, models = (
            _import(name) for name in ("torch", "TTS.tts.configs.xtts_config", "TTS.tts.models.xtts")
        )
        has_cuda = self._options.device != "cpu" and torch.cuda.is_available()
        if self._options.device == "cuda" and not has_cuda:
            raise EngineUnavailable(
                "XTTS was to run on CUDA, which torch does not find.",
                remedy="Set tts.device to cpu or auto, or install a torch with CUDA and its driver.",
            )
        torch.set_num_threads(self._options.threads)
        self._timing = TimingEstimator.load()
        try:
            config = configs.XttsConfig()
            config.load_json(str(directory / "config.json"))
            model = models.Xtts(config)
            model.load_checkpoint(config, checkpoint_dir=str(directory), eval=True)
            self._model = model.to("cuda" if has_cuda else "cpu")
        except Exception as error:  # json, pickle, tokenizers and torch each have their own classes for a broken file
            raise ModelError(
                f"The XTTS model in {directory} cannot be loaded: {_brief(error)}.",
                remedy="Download its files again.",
            ) from error

    def _warm_up(self, voice: VoiceSpec) -> None:
        cloned = self._cloned(voice)
        self._conditioning(voice.voice_id, cloned)
        assert self._timing is not None
        if not self._timing.knows(cloned):
            for _ in self._say(CALIBRATION, voice):
                pass

    def _say(self, text: str, voice: VoiceSpec) -> Iterator[VoiceChunk]:
        """Synthesise at this engine's sample rate. Blocks."""
        assert self._timing is not None
        cloned = self._cloned(voice)
        latents = self._conditioning(voice.voice_id, cloned)
        said = _readable(text)
        if not any(letter.isalnum() for letter in said):
            return
        phrase = self._timing.begin(said, voice, cloned.language, cloned, self.sample_rate)
        resampler = Resampler(self._model.config.audio.output_sample_rate, self.sample_rate)
        limit = self._model.tokenizer.char_limits.get(cloned.language.partition("-")[0], _LETTERS)
        for part in parts(said, limit):
            with closing(self._infer(part, cloned.language, latents)) as pieces:
                for pcm in pieces:
                    chunk = phrase.add(resampler.add(pcm))
                    if chunk.pcm:
                        yield chunk
        for chunk in (phrase.add(resampler.finish()), phrase.finish()):
            if chunk.pcm or chunk.words:
                yield chunk
        self._timing.end(cloned, phrase)

    def _infer(self, text: str, language: str, latents: tuple[Any, Any]) -> Generator[bytes, None, None]:
        """Yield the model's audio as s16le mono at its own rate. Raises EngineError when the model fails."""
        config = self._model.config
        stream = self._model.inference_stream(
            text,
            language,
            *latents,
            stream_chunk_size=self._options.chunk_tokens,
            temperature=config.temperature,
            length_penalty=config.length_penalty,
            repetition_penalty=config.repetition_penalty,
            top_k=config.top_k,
            top_p=config.top_p,
        )
        with closing(stream):
            while True:
                try:
                    piece = next(stream, None)
                    samples = None if piece is None else piece.float().cpu().numpy().reshape(-1)
                except Exception as error:  # torch's own classes, such as for out of memory, and Coqui's assertions
                    raise EngineError(
                        f"XTTS could not speak a phrase: {_brief(error)}.",
                        remedy="Try again; if memory is full, set tts.device to cpu.",
                    ) from error
                if samples is None:
                    return
                whole = np.nan_to_num(np.clip(samples, -1.0, 1.0)) * 32767.0
                yield np.rint(whole).astype("<i2").tobytes()

    def _cloned(self, voice: VoiceSpec) -> ClonedVoice:
        """Return the voice as the model makes it, with a speaker or a sample. Raises ModelError for the language."""
        cloned = voice.xtts or ClonedVoice(language=language_code(voice.espeak))
        language = _LANGUAGES.get(cloned.language, cloned.language)
        known = list(self._model.config.languages)
        if language not in known:
            raise ModelError(
                f"Voice {voice.voice_id!r}: XTTS does not speak {language!r}.",
                remedy=f"Set its xtts language to one of: {', '.join(known)}.",
            )
        speaker = cloned.speaker
        if not speaker and cloned.sample is None:
            pool = self._options.speakers or tuple(sorted(self._speakers()))
            if not pool:
                raise ModelError(
                    f"Voice {voice.voice_id!r} names no speaker and no sample, and the XTTS model has no speakers.",
                    remedy=f"Add `xtts: {{sample: FILE.wav}}` to it in voices.yaml, or put speakers_xtts.pth into"
                    f" {self._options.directory}.",
                )
            speaker = pool[zlib.crc32(voice.voice_id.encode(errors="replace")) % len(pool)]
        return replace(cloned, speaker=speaker, language=language)

    def _speakers(self) -> dict[str, Any]:
        """Return the conditioning of the model's own speakers, by name."""
        manager = self._model.speaker_manager
        return dict(manager.speakers) if manager is not None else {}

    def _conditioning(self, voice_id: str, cloned: ClonedVoice) -> tuple[Any, Any]:
        """Return the GPT's conditioning and the speaker's embedding; a sample counts where both are given."""
        if cloned.sample is None:
            known = self._speakers()
            if cloned.speaker not in known:
                near = difflib.get_close_matches(cloned.speaker, known, n=3, cutoff=0.4) or sorted(known)[:12]
                raise ModelError(
                    f"Voice {voice_id!r}: the XTTS model has no speaker {cloned.speaker!r}.",
                    remedy=f"Use one of: {', '.join(near)}." if near else "Use a sample instead.",
                )
            gpt, speaker = known[cloned.speaker].values()
            return gpt, speaker
        try:
            stat = cloned.sample.stat()
        except OSError as error:
            raise AudioError(
                f"Voice {voice_id!r}: cannot read {cloned.sample}: {error.strerror}.", remedy="Correct its sample."
            ) from error
        key = (str(cloned.sample), stat.st_mtime, stat.st_size)
        if key not in self._latents:
            if len(self._latents) >= _LATENTS:
                self._latents.popitem(last=False)
            self._latents[key] = self._imitate(voice_id, cloned.sample)
        self._latents.move_to_end(key)
        return self._latents[key]

    def _imitate(self, voice_id: str, sample: Path) -> tuple[Any, Any]:
        """Compute the conditioning of a recording (Coqui's `get_conditioning_latents`, with Mythic's wav reader)."""
        shortest, longest = SAMPLE_S
        clip = read_wav(sample, max_s=longest)
        if clip.duration_s < shortest:
            raise AudioError(
                f"Voice {voice_id!r}: {sample} is {clip.duration_s:.1f} s long, which is too short to imitate.",
                remedy="Use a recording of six seconds or more.",
            )
        config = self._model.config
        samples = to_array(clip.at(_SAMPLE_RATE).pcm).astype(np.float32) / 32768.0
        audio = _import("torch").from_numpy(samples[: config.max_ref_len * _SAMPLE_RATE]).unsqueeze(0)
        try:
            gpt = self._model.get_gpt_cond_latents(
                audio.to(self._model.device),
                _SAMPLE_RATE,
                length=config.gpt_cond_len,
                chunk_length=config.gpt_cond_chunk_len,
            )
            return gpt, self._model.get_speaker_embedding(audio.to(self._model.device), _SAMPLE_RATE)
        except Exception as error:  # torch's own classes
            raise EngineError(
                f"Voice {voice_id!r}: XTTS could not imitate {sample}: {_brief(error)}.",
                remedy="Use another recording.",
            ) from error


def parts(text: str, limit: int) -> list[str]:
    """Return `text` in parts of at most `limit` characters, divided at blanks where there are any."""
    found: list[str] = []
    rest = text.strip()
    while len(rest) > limit:
        at = rest.rfind(" ", 1, limit + 1)
        at = limit if at < 0 else at
        found.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*found, rest] if rest else found


def _readable(text: str) -> str:
    """Return `text`, at the same length, with a blank for each control character and lone surrogate."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text)


def _brief(error: Exception) -> str:
    """Return an error's message on one line, at most 300 characters of it."""
    return (" ".join(str(error).split()) or type(error).__name__)[:300].rstrip(".")


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except (ImportError, OSError) as error:  # OSError: a library of torchaudio that does not fit torch
        raise EngineUnavailable(
            f"XTTS needs the package coqui-tts: {_brief(error)}.", remedy="Run: pip install 'mythicd[xtts]'"
        ) from error
