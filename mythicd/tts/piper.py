"""The Piper engine: a Tts with natural voices on the CPU, about a tenth of real time on one core for a "medium" voice.

Piper turns text into phonemes (with its own espeak-ng) and those into audio, sentence by sentence; so the first chunk
is the first sentence. The network's durations ("alignments") are made an output of its ONNX graph, in memory. Piper
does not tell which word a phoneme belongs to, but its phonemes have a space between words, so words are counted; where
espeak-ng reads one written word as several ("3.5") or two as one ("of the"), each word is phonemised alone to count
its spoken words, and if the sums still differ, the words are spread over the phonemes evenly.
"""

from __future__ import annotations

import importlib
import json
import unicodedata
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mythicd.audio.pcm import Resampler
from mythicd.concurrency.worker_thread import WorkerThread
from mythicd.engines.tts import PhonemeOnset, VoiceChunk, VoiceSpec, WordOnset, language_code
from mythicd.errors import EngineError, EngineUnavailable, ModelError

NORMAL_RATE: Final = 165
"""A voice's default rate, in words per minute."""

_STRESS: Final = {"ˈ": 1, "ˌ": 2}
_LONG: Final = "ːˑ"
_VOICES: Final = 8
"""Voices kept loaded; a medium one takes about 80 MB."""


@dataclass(frozen=True, slots=True)
class _Sound:
    """One phoneme of Piper, and its length."""

    phoneme: str
    samples: int


class PiperTts:
    """Piper voices from a directory. A voice's `model` is the path of its .onnx file; its pitch cannot be set."""

    sample_rate: int

    def __init__(self, directory: Path = Path(), sample_rate: int = 22_050, *, threads: int = 1) -> None:
        """Take the directory of the models, the output rate in hertz, and the threads (few: a game needs cores)."""
        self.sample_rate = sample_rate
        self._directory = directory
        self._threads = threads
        self._voices: OrderedDict[Path, Any] = OrderedDict()
        self._worker: WorkerThread | None = None

    async def start(self) -> None:
        """Import the packages. Raises EngineUnavailable."""
        worker = WorkerThread("tts-piper")
        try:
            for package in ("piper", "onnx", "onnxruntime"):
                await worker.call(_import, package)
        except BaseException:
            await worker.close()
            raise
        self._worker = worker

    async def prepare(self, voice: VoiceSpec) -> None:
        """Load the voice and synthesise a syllable with it. Raises ModelError when it is missing or unusable."""
        await self._started().call(lambda: list(self._say("hm", voice)))

    def language(self, voice: VoiceSpec) -> str:
        """Return the language of the voice's model."""
        return language_code(voice.piper.model if voice.piper is not None else "en")

    async def speak(
        self, text: str, voice: VoiceSpec, lead_s: Callable[[], float] | None = None
    ) -> AsyncGenerator[VoiceChunk, None]:
        """Say one phrase, a chunk per sentence. Closing the generator stops it before the next sentence."""
        async with aclosing(self._started().stream(self._say, text, voice)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def stop(self) -> None:
        """Free the voices and end the thread."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()
        self._voices.clear()

    def _started(self) -> WorkerThread:
        if self._worker is None:
            raise EngineError("Piper is not running.", remedy="Call start() first.")
        return self._worker

    def _say(self, text: str, voice: VoiceSpec) -> Iterator[VoiceChunk]:
        """Synthesise sentence by sentence at this engine's sample rate. Blocks."""
        model = self._voice(voice)
        config = importlib.import_module("piper.config").SynthesisConfig(length_scale=NORMAL_RATE / max(1, voice.rate))
        readable = _readable(text)
        words = _starts_of_words(readable, lambda part: _count_groups(model.phonemize(part)))
        resampler = Resampler(model.config.sample_rate, self.sample_rate)
        ratio = self.sample_rate / model.config.sample_rate
        begun = groups = 0
        for sentence in _sentences(model, readable, config):
            sounds = [_Sound(a.phoneme, int(a.num_samples)) for a in sentence.phoneme_alignments or ()]
            onsets, group_starts = read_alignment(sounds)
            here = [
                WordOnset(round((begun + start) * ratio), *words[groups + n])
                for n, start in enumerate(group_starts)
                if groups + n in words
            ]
            placed = [replace(onset, sample=round((begun + onset.sample) * ratio)) for onset in onsets]
            groups += len(group_starts)
            begun += len(sentence.audio_int16_array)
            yield VoiceChunk(resampler.add(sentence.audio_int16_bytes), tuple(placed), tuple(here))
        if rest := resampler.finish():
            yield VoiceChunk(rest)

    def _voice(self, voice: VoiceSpec) -> Any:
        """Return the loaded voice; the least recently used one is unloaded where there are too many."""
        path = self._directory / (voice.piper.model if voice.piper is not None else voice.espeak)
        if path not in self._voices:
            if len(self._voices) >= _VOICES:
                self._voices.popitem(last=False)
            self._voices[path] = _load(path, voice.voice_id, self._threads)
        self._voices.move_to_end(path)
        return self._voices[path]


def _sentences(model: Any, text: str, config: Any) -> Iterator[Any]:
    """Yield Piper's audio, sentence by sentence. Raises EngineError when the network fails."""
    sentences = iter(model.synthesize(text, config, include_alignments=True))
    while True:
        try:
            sentence = next(sentences, None)
        except Exception as error:  # ONNX Runtime has its own classes, such as for out of memory
            raise EngineError(
                f"Piper could not synthesise a phrase: {error}.", remedy="Use shorter phrases."
            ) from error
        if sentence is None:
            return
        yield sentence


def read_alignment(sounds: Sequence[_Sound]) -> tuple[list[PhonemeOnset], list[int]]:
    """Return the onsets of a sentence's sounds, and the sample where each of its words begins."""
    onsets: list[PhonemeOnset] = []
    starts: list[int] = []
    at = stress = 0
    marked_at: int | None = None
    in_word = False
    for sound in sounds:
        if sound.phoneme in _STRESS:
            stress = _STRESS[sound.phoneme]
            marked_at = at if marked_at is None else marked_at
        elif sound.phoneme in _LONG or unicodedata.category(sound.phoneme[:1] or " ").startswith("M"):
            if onsets:
                onsets[-1] = replace(onsets[-1], ipa=onsets[-1].ipa + sound.phoneme)
        elif _is_sound(sound.phoneme):
            start = at if marked_at is None else marked_at
            if not in_word:
                starts.append(start)
            in_word = True
            onsets.append(PhonemeOnset(start, sound.phoneme, stress))
            stress, marked_at = 0, None
        else:
            in_word = in_word and sound.phoneme != " "
            # The space between words takes time but the mouth goes on to the next sound; a comma is a pause.
            if sound.phoneme != " ":
                onsets.append(PhonemeOnset(at, ""))
        at += sound.samples
    return onsets, starts


def _is_sound(phoneme: str) -> bool:
    return bool(phoneme) and unicodedata.category(phoneme[0]).startswith("L")


def _count_groups(sentences: Sequence[Sequence[str]]) -> int:
    """Return how many words are in Piper's phonemes."""
    return sum(len(read_alignment([_Sound(phoneme, 0) for phoneme in sentence])[1]) for sentence in sentences)


def _starts_of_words(text: str, count: Any) -> dict[int, tuple[int, int]]:
    """Map the number of a spoken word to the written word (start, end) that begins there."""
    written: list[tuple[int, int]] = []
    at = 0
    for part in text.split():
        start = text.index(part, at)
        at = start + len(part)
        written.append((start, at))
    total = count(text)
    shares = [count(text[start:end]) for start, end in written]
    spoken = sum(shares)
    starts: dict[int, tuple[int, int]] = {}
    before = 0
    for word, share in zip(written, shares, strict=True):
        # Rounded up: a word must not count as heard too early.
        number = before if spoken == total else -(-before * total // max(1, spoken))
        if share and number < total:
            starts.setdefault(number, word)
        before += share
    return starts


def _readable(text: str) -> str:
    """Return `text`, at the same length, without Piper's [[phonemes]] notation and control characters."""
    return "".join(" " if c in "[]" or unicodedata.category(c) in ("Cc", "Cs") else c for c in text)


def _load(path: Path, voice_id: str, threads: int) -> Any:
    """Load a voice, with the durations as an output of its graph. Raises ModelError."""
    config_path = Path(f"{path}.json")
    for needed in (path, config_path):
        if not needed.is_file():
            raise ModelError(
                f"Piper voice {voice_id!r}: there is no file {needed}.",
                remedy="Put both files of the voice there: NAME.onnx and NAME.onnx.json.",
            )
    onnx, runtime = _import("onnx"), _import("onnxruntime")
    piper = importlib.import_module("piper.voice")
    patch = importlib.import_module("piper.patch_voice_with_alignment")
    try:
        config = piper.PiperConfig.from_dict(json.loads(config_path.read_text(encoding="utf-8")))
        graph = onnx.load(str(path))
        if len(graph.graph.output) == 1:
            patch.add_alignment_output(graph)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        session = runtime.InferenceSession(
            graph.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
        )
        return piper.PiperVoice(session=session, config=config)
    except Exception as error:  # protobuf, onnx and ONNX Runtime each have their own classes for a broken file
        raise ModelError(
            f"Piper voice {voice_id!r}: {path} cannot be loaded: {error}.",
            remedy="Download both of its files again.",
        ) from error


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise EngineUnavailable(
            f"Piper needs the package {package}: {error}.", remedy="Run: pip install 'mythicd[piper]'"
        ) from error
