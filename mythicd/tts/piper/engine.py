"""The Piper engine: a Tts with natural voices on the CPU, which sounds before its sentence is computed.

A sentence's front (text encoder, durations, noise) is computed at once; then its frames become audio in pieces, small
ones first (pieces.py). The worker threads take one piece at a time, of the listener with the least sound left. Pitch is
moved by resampling, with the durations corrected, so that one voice can be several people.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from mythicd.audio.pcm import Resampler
from mythicd.concurrency.worker_pool import WorkerPool
from mythicd.engines.tts import PiperVoice, VoiceChunk, VoiceSpec, WordOnset, language_code
from mythicd.errors import ConfigError, EngineError, ModelError
from mythicd.tts.piper.alignment import readable, word_lengths, word_starts
from mythicd.tts.piper.choice import choose, language_of
from mythicd.tts.piper.loading import PACKAGES, import_package, load_voice
from mythicd.tts.piper.options import PiperOptions
from mythicd.tts.piper.phrase_cache import PhraseCache
from mythicd.tts.piper.voice import LoadedVoice, Sentence

BEGIN_S = 0.15
"""Sound that the listeners of other voices must have left before a new voice begins, in seconds: a gap in mid-sentence
is worse than a late beginning."""
RATES = (0.25, 4.0)
"""Slowest and fastest speed of a voice."""
PITCHES = (-12.0, 12.0)
"""Semitones by which a voice can be moved."""


class PiperTts:
    """Piper voices. Implements `Tts`."""

    def __init__(
        self,
        find_voice: Callable[[str], Path],
        pool: Sequence[str] = (),
        options: PiperOptions | None = None,
        sample_rate: int = 22_050,
    ) -> None:
        """`find_voice` returns a voice's .onnx file by its name or path, and raises ModelError.

        `pool` names the voices of characters whose `VoiceSpec` has no Piper voice; `sample_rate` is that of all audio,
        in hertz.
        """
        self.sample_rate = sample_rate
        self._find = find_voice
        self._names = tuple(pool)
        self._options = options or PiperOptions()
        self._voices: OrderedDict[str, asyncio.Task[LoadedVoice]] = OrderedDict()
        self._loading: set[asyncio.Task[LoadedVoice]] = set()
        self._languages: dict[str, str] = {}
        self._notices: dict[str, str] = {}
        self._pool: WorkerPool | None = None
        self.cache = PhraseCache(self._options.cache_bytes)
        """Short phrases that were spoken before."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Which voices sound later than they could."""
        return tuple(
            f"The Piper voice {name} begins to sound when its whole sentence is computed: {notice}."
            for name, notice in self._notices.items()
        )

    async def start(self) -> None:
        """Import the packages, and load the voices of the pool. Raises EngineUnavailable or ModelError."""
        for package in PACKAGES:
            await asyncio.to_thread(import_package, package)
        self._pool = WorkerPool("tts-piper", self._options.workers)
        try:
            for name in self._names[: self._options.most_voices]:
                await self._loaded(name)
        except BaseException:
            await self.stop()
            raise

    def language(self, voice: VoiceSpec) -> str:
        """Return the language of a character's Piper voice; of the first one where none has its language."""
        made = voice.piper or choose(voice, self._names)
        name = made.model if made is not None else next(iter(self._names), "")
        return self._languages.get(name) or language_of(name)

    async def prepare(self, voice: VoiceSpec) -> None:
        """Load the voice and warm it up.

        Raises ModelError when it is missing or unusable, ConfigError when its rate or pitch is out of range.
        """
        made = self._made(voice)
        for key, value, (least, most) in (("rate", made.rate, RATES), ("pitch", made.pitch, PITCHES)):
            if not least <= value <= most:
                raise ConfigError(
                    f"Voice {voice.voice_id!r}: {key} {value:g} of its Piper voice is outside {least:g}–{most:g}.",
                    remedy=f"Set {key} to a value in that range.",
                )
        loaded = await self._loaded(made.model)
        await self._started().run(None, loaded.gain, loaded.speaker(made.speaker))

    async def speak(
        self, text: str, voice: VoiceSpec, lead_s: Callable[[], float] | None = None
    ) -> AsyncGenerator[VoiceChunk, None]:
        """Speak one phrase, piece by piece. Closing the generator stops it within one piece.

        Raises ModelError for a voice that is missing, EngineError when ONNX Runtime fails.
        """
        kept = self.cache.get(voice, text)
        if kept is not None:
            for chunk in kept:
                yield chunk
            return
        said: list[VoiceChunk] = []
        async with aclosing(self._synthesize(text, voice, lead_s)) as chunks:
            async for chunk in chunks:
                said.append(chunk)
                yield chunk
        self.cache.put(voice, text, said)

    async def stop(self) -> None:
        """Free the voices and end the threads."""
        pool, self._pool = self._pool, None
        loading = list(self._loading)
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)
        if pool is not None:
            await pool.close()
        self._voices.clear()
        self.cache.clear()

    async def _synthesize(
        self, text: str, voice: VoiceSpec, lead_s: Callable[[], float] | None
    ) -> AsyncGenerator[VoiceChunk, None]:
        pool, made = self._started(), self._made(voice)
        loaded = await self._loaded(made.model)
        speaker = loaded.speaker(made.speaker)
        waits_s = BEGIN_S

        def urgency() -> float:
            left_s = 0.0 if lead_s is None else lead_s()
            return left_s if left_s > 0 else waits_s

        sentences, words = await pool.run(urgency, _read, loaded, readable(text))
        # Played faster by `moved`, the voice is higher; made longer by the same factor, it keeps its duration.
        moved = 2.0 ** (made.pitch / 12)
        length_scale = loaded.length_scale(moved / made.rate)
        played_rate = round(loaded.config.sample_rate * moved)
        ratio = self.sample_rate / played_rate
        resampler = Resampler(played_rate, self.sample_rate)
        begun = spoken = 0
        for sentence in sentences:
            utterance = await pool.run(urgency, loaded.compute, sentence, speaker, length_scale)
            onsets = tuple(replace(each, sample=round((begun + each.sample) * ratio)) for each in utterance.onsets)
            here = tuple(
                WordOnset(round((begun + sample) * ratio), *words[spoken + number])
                for number, sample in enumerate(utterance.words)
                if spoken + number in words
            )
            spoken += len(utterance.words)
            for piece in utterance.pieces:
                waits_s *= 0.9  # what is nearest to its first sound goes first
                samples = await pool.run(urgency, loaded.samples, utterance, piece, speaker)
                waits_s = 0.0
                begun += len(samples)
                yield VoiceChunk(resampler.add(samples.tobytes()), onsets, here)
                onsets, here = (), ()
        if rest := resampler.finish():
            yield VoiceChunk(rest)

    def _made(self, voice: VoiceSpec) -> PiperVoice:
        """Return how Piper makes a voice. Raises ModelError when the pool has no voice of its language."""
        made = voice.piper or choose(voice, self._names)
        if made is None:
            known = ", ".join(self._names) or "none"
            raise ModelError(
                f"Voice {voice.voice_id!r}: no Piper voice for the language {language_code(voice.espeak)!r}"
                f" (tts.voices: {known}).",
                remedy="Add one to tts.voices, or name one as `piper` in voices.yaml.",
            )
        return made

    async def _loaded(self, name: str) -> LoadedVoice:
        """Return a loaded voice; the least recently used one is freed where there are too many."""
        task = self._voices.get(name)
        if task is None:
            task = self._voices[name] = asyncio.create_task(self._load(name), name=f"load the voice {name}")
            self._loading.add(task)
            task.add_done_callback(self._loading.discard)
            while len(self._voices) > self._options.most_voices:
                self._voices.popitem(last=False)
        self._voices.move_to_end(name)
        try:
            return await asyncio.shield(task)
        except BaseException:
            if task.done() and (task.cancelled() or task.exception() is not None) and self._voices.get(name) is task:
                del self._voices[name]  # it is tried again the next time
            raise

    async def _load(self, name: str) -> LoadedVoice:
        path = await asyncio.to_thread(self._find, name)
        loaded = await asyncio.to_thread(load_voice, path, threads=self._options.threads, device=self._options.device)
        self._languages[name] = language_code(loaded.config.language)
        self._notices.pop(name, None)
        if loaded.decoder.notice:
            self._notices[name] = loaded.decoder.notice
        return loaded

    def _started(self) -> WorkerPool:
        if self._pool is None:
            raise EngineError("Piper is not running.", remedy="Call start() first.")
        return self._pool


def _read(voice: LoadedVoice, text: str) -> tuple[list[Sentence], dict[int, tuple[int, int]]]:
    """Return a text's sentences, and which written word each spoken one is."""
    phonemes = voice.phonemes(text)
    return voice.split(phonemes), word_starts(text, word_lengths(phonemes), voice.word_lengths)
