"""The espeak-ng engine: a Tts with a plain voice and exact timings, without a download.

The library speaks at about a thousandth of real time: a phrase takes a few milliseconds, the first chunk less than one.
One thread serves all characters, phrase by phrase.
"""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing, closing
from dataclasses import replace

from mythicd.audio.pcm import Resampler
from mythicd.concurrency.worker_thread import WorkerThread
from mythicd.engines.tts import VoiceChunk, VoiceSpec, language_code
from mythicd.errors import ConfigError, EngineError, ModelError
from mythicd.native.espeakng import EspeakNg

RATES = range(80, 451)
"""espeak-ng's speaking rates, in words per minute."""

PITCHES = range(100)


class EspeakTts:
    """The starter profile's voice. A voice's `espeak` is an espeak-ng language with variant, such as `en-us+m3`."""

    sample_rate: int
    """Hertz: the rate in the settings, else espeak-ng's own 22050."""

    def __init__(self, sample_rate: int | None = None) -> None:
        self._asked_rate = sample_rate
        self._espeak: EspeakNg | None = None
        self._worker: WorkerThread | None = None

    async def start(self) -> None:
        """Load the library. Raises EngineUnavailable."""
        worker = WorkerThread("tts-espeak")
        try:
            self._espeak = await worker.call(EspeakNg.load)
        except BaseException:
            await worker.close()
            raise
        self._worker = worker
        self.sample_rate = self._asked_rate or self._espeak.sample_rate

    def language(self, voice: VoiceSpec) -> str:
        """Return the language of the espeak-ng voice."""
        return language_code(voice.espeak)

    async def prepare(self, voice: VoiceSpec) -> None:
        """Check that the voice exists, and synthesise a syllable with it.

        Raises ModelError when espeak-ng has no such voice, ConfigError when the rate or pitch is out of range.
        """
        espeak, worker = self._started()
        for name, value, allowed in (("rate", voice.rate, RATES), ("pitch", voice.pitch, PITCHES)):
            if value not in allowed:
                raise ConfigError(
                    f"Voice {voice.voice_id!r}: {name} {value} is outside {allowed[0]}–{allowed[-1]}.",
                    remedy=f"Set {name} to a value in that range.",
                )
        if not await worker.call(espeak.has_voice, voice.espeak):
            raise _no_such_voice(espeak, voice)
        await worker.call(_drain, self._say("hm", voice))

    async def speak(
        self, text: str, voice: VoiceSpec, lead_s: Callable[[], float] | None = None
    ) -> AsyncGenerator[VoiceChunk, None]:
        """Speak one phrase, in chunks of about 60 ms. Closing the generator stops the voice within one chunk.

        Phrases are served in order: each takes milliseconds.
        """
        _, worker = self._started()
        async with aclosing(worker.stream(self._say, text, voice)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def stop(self) -> None:
        """End the thread. The library stays loaded in the process."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()

    def _started(self) -> tuple[EspeakNg, WorkerThread]:
        if self._espeak is None or self._worker is None:
            raise EngineError("espeak-ng is not running.", remedy="Call start() first.")
        return self._espeak, self._worker

    def _say(self, text: str, voice: VoiceSpec) -> Iterator[VoiceChunk]:
        """Synthesise at this engine's sample rate. Blocks."""
        espeak, _ = self._started()
        resampler = Resampler(espeak.sample_rate, self.sample_rate)
        ratio = self.sample_rate / espeak.sample_rate
        with closing(espeak.synthesize(text, voice.espeak, voice.rate, voice.pitch)) as chunks:
            for chunk in chunks:
                yield VoiceChunk(
                    resampler.add(chunk.pcm),
                    tuple(replace(onset, sample=round(onset.sample * ratio)) for onset in chunk.phonemes),
                    tuple(replace(word, sample=round(word.sample * ratio)) for word in chunk.words),
                )
        if rest := resampler.finish():
            yield VoiceChunk(rest)


def _drain(chunks: Iterable[VoiceChunk]) -> None:
    for _ in chunks:
        pass


def _no_such_voice(espeak: EspeakNg, voice: VoiceSpec) -> ModelError:
    language, _, variant = voice.espeak.partition("+")
    near = [
        *difflib.get_close_matches(language.lower(), espeak.voices(), n=3),
        *(f"+{name}" for name in difflib.get_close_matches(variant, espeak.variants(), n=3) if variant),
    ]
    return ModelError(
        f"Voice {voice.voice_id!r}: espeak-ng has no voice {voice.espeak!r}.",
        remedy=f"Use one of: {', '.join(near)}." if near else "Use a language and a variant, such as en-us+m3.",
    )
