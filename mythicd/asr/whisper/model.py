"""The Whisper model: files to a loaded CTranslate2 model, and one utterance to words, without any state between."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from numpy.typing import NDArray

from mythicd.asr.whisper.hallucination import is_invented
from mythicd.asr.whisper.log_mel import LogMel
from mythicd.asr.whisper.options import WhisperOptions
from mythicd.asr.whisper.repetition import tidy, without_echo, without_late_repetition, without_repetition
from mythicd.asr.whisper.window import (
    AFTER_S,
    BEFORE_S,
    FRAME_RATE,
    LONGEST_S,
    PARTIAL_AFTER_S,
    features,
    samples_of_window,
    voiced_end_s,
)
from mythicd.audio.pcm import MIC_RATE
from mythicd.engines.asr import WordTime
from mythicd.errors import EngineError, EngineUnavailable, ModelError

_FILES: Final = ("model.bin", "tokenizer.json")
_VOCABULARIES: Final = ("vocabulary.json", "vocabulary.txt")
_NAME_TOKENS: Final = 120
"""Most tokens of names before an utterance; the decoder has 448 for everything."""
_TOKENS_PER_S: Final = 6.0
"""Most tokens in a second of speech: 250 words a minute are 5.4."""
_SPARE_TOKENS: Final = 6
_LIST: Final = 0.75
"""Share of words from which a transcript is a list of names."""
_UNLIKELY: Final = 0.2
"""Confidence below which words may be made of the names."""
_BETTER: Final = 0.05
"""How much likelier words must be than a list of names to replace it."""
_MEMORY_FACTOR: Final = {"int8": 0.7, "int8_float16": 0.7, "float16": 1.2, "float32": 2.3}
"""Memory of a loaded model, as a multiple of its file, which has 16-bit weights."""


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was recognised in one utterance."""

    text: str
    confidence: float
    """Mean probability of a token, 0–1; 0 without words."""
    words: tuple[WordTime, ...] = ()


@dataclass(frozen=True, slots=True)
class NamePrompt:
    """The world's names as text before an utterance."""

    tokens: tuple[int, ...] = ()
    words: frozenset[str] = frozenset()
    """The words of the names, in lower case."""

    def is_list(self, text: str) -> bool:
        """Return whether a transcript has two words or more, and hardly any but words of the names."""
        said = [word.strip(".,!?;:").lower() for word in text.split()]
        return len(said) >= 2 and sum(word in self.words for word in said) >= _LIST * len(said)


NO_NAMES: Final = NamePrompt()


class WhisperModel:
    """A loaded model. Its methods block, and may run on several threads at once."""

    def __init__(self, engine: Any, options: WhisperOptions, device: str) -> None:
        self._engine = engine
        self._log_mel = _log_mel(engine)
        self._options = options
        self.device = device
        """Where it runs: cpu or cuda."""
        self._tokenizer = engine.hf_tokenizer
        token = self._tokenizer.token_to_id
        self._start: int = token("<|startoftranscript|>")
        self._no_times: int = token("<|notimestamps|>")
        self._end: int = token("<|endoftext|>")
        self._before: int | None = token("<|startofprev|>")
        self._head = [self._start]
        if engine.model.is_multilingual:
            self._head += [token(f"<|{options.language}|>"), token("<|transcribe|>")]

    def name_prompt(self, names: Sequence[str]) -> NamePrompt:
        """Return the prompt that makes these names likelier: as many as fit, as text before the utterance."""
        if self._before is None:
            return NO_NAMES
        chosen: list[str] = []
        tokens: list[int] = []
        for name in names:
            longer = self._tokenizer.encode(f" {', '.join([*chosen, name])}.", add_special_tokens=False).ids
            if len(longer) > _NAME_TOKENS:
                break
            chosen.append(name)
            tokens = longer
        words = frozenset(word.lower() for name in chosen for word in name.split())
        return NamePrompt((self._before, *tokens), words) if tokens else NO_NAMES

    def common_words(self) -> Callable[[str], bool]:
        """Return a function that tells whether a word is one token: an ordinary word of the language.

        The function keeps the tokenizer alone, so the model can be freed while somebody has it.
        """
        tokenizer = self._tokenizer
        return lambda word: len(tokenizer.encode(f" {word.lower()}", add_special_tokens=False).ids) == 1

    def partial(self, speech: NDArray[np.float32], names: NamePrompt) -> str:
        """Return the words so far, greedily. Raises EngineError."""
        encoded, _ = self._encode(speech, PARTIAL_AFTER_S)
        result = self._generate(encoded, speech, names, beam=1)
        text = tidy(without_repetition(self._decode(result.sequences_ids[0])))
        # No word times, so no token probabilities either: their place is taken by the score.
        mean = math.exp(min(0.0, result.scores[0]))
        is_noise = is_invented(text, result.no_speech_prob, mean, is_prompted=bool(names.tokens))
        return "" if is_noise else text

    def final(self, speech: NDArray[np.float32], names: NamePrompt) -> Transcription:
        """Return the words of a whole utterance (shape [samples], −1 to 1, 16 kHz), with their times.

        What looks odd is transcribed again: on Whisper's own window if it did not end on the short one, and without the
        names if it is unlikely or names are all there is: both are made of unclear speech ("Wren, Hester").

        Raises EngineError.
        """
        encoded, frames = self._encode(speech, AFTER_S)
        found = self._final(encoded, frames, speech, names)
        if found is None:
            encoded, frames = self._encode(speech, LONGEST_S)
            found = self._final(encoded, frames, speech, names, is_last=True) or Transcription("", 0.0)
        is_odd = names.is_list(found.text) or (found.text and found.confidence < _UNLIKELY)
        if names.tokens and is_odd:
            other = self._final(encoded, frames, speech, NO_NAMES, is_last=True)
            if other is not None and other.confidence > found.confidence + _BETTER:
                return other
        return found

    def _final(
        self, encoded: Any, frames: int, speech: NDArray[np.float32], names: NamePrompt, *, is_last: bool = False
    ) -> Transcription | None:
        """Return the words of an utterance; None when they did not end and this is not the last try."""
        result = self._generate(encoded, speech, names, beam=self._options.beam)
        ids = result.sequences_ids[0]
        whole = self._decode(ids)
        tokens = [each for each in ids if each < self._end]
        if not tokens:
            return Transcription("", 0.0)
        aligned = self._align(encoded, tokens, frames)
        words = self._word_times(tokens, aligned.alignments, len(speech) / MIC_RATE)
        words = without_late_repetition(words, voiced_end_s(speech))
        text = " ".join(word.text for word in words)
        tokens = self._tokens_of(tokens, text)
        probabilities = [float(each) for each in aligned.text_token_probs[: len(tokens)]]
        confidence = math.exp(sum(math.log(max(1e-6, each)) for each in probabilities) / max(1, len(probabilities)))
        if is_invented(text, result.no_speech_prob, confidence, is_prompted=bool(names.tokens)):
            return Transcription("", 0.0)
        words = without_echo(words, len(speech) / MIC_RATE)
        text = tidy(" ".join(word.text for word in words))
        is_cut_off = len(ids) >= self._most_tokens(speech) - 1 and text == tidy(whole)
        if is_cut_off and not is_last:
            return None
        return Transcription(text, confidence, words)

    def _encode(self, speech: NDArray[np.float32], after_s: float) -> tuple[Any, int]:
        import ctranslate2

        spectrum = features(self._log_mel, samples_of_window(speech, after_s))
        try:
            return self._engine.model.encode(ctranslate2.StorageView.from_array(spectrum)), spectrum.shape[-1]
        except (RuntimeError, ValueError) as error:
            raise _failed(speech, error) from error

    def _generate(self, encoded: Any, speech: NDArray[np.float32], names: NamePrompt, *, beam: int) -> Any:
        # Without times: their tokens cost a tenth of the decoding, and `align` finds better ones.
        prompt = [*names.tokens, *self._head, self._no_times]
        try:
            return self._engine.model.generate(
                encoded,
                [prompt],
                beam_size=beam,
                max_length=len(prompt) + self._most_tokens(speech),
                return_scores=True,
                return_no_speech_prob=True,
            )[0]
        except (RuntimeError, ValueError) as error:
            raise _failed(speech, error) from error

    def _align(self, encoded: Any, tokens: list[int], frames: int) -> Any:
        try:
            return self._engine.model.align(encoded, self._head, [tokens], frames)[0]
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"Whisper failed to align words: {error}.", remedy="Repeat the utterance.") from error

    def _most_tokens(self, speech: NDArray[np.float32]) -> int:
        return int(len(speech) / MIC_RATE * _TOKENS_PER_S) + _SPARE_TOKENS

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode([each for each in ids if each < self._end])
        return " ".join(text.split())

    def _tokens_of(self, tokens: Sequence[int], text: str) -> list[int]:
        """Return the tokens that make the beginning `text`."""
        tokens = list(tokens)
        while tokens and len(self._decode(tokens)) > len(text):
            tokens.pop()
        return tokens

    def _word_times(
        self, tokens: list[int], alignments: Sequence[tuple[int, int]], speech_s: float
    ) -> tuple[WordTime, ...]:
        """Return when each word begins and ends, in seconds of the speech, from (token, frame) pairs.

        A last word ends with the speech: the silence after it is aligned to it too.
        """
        first = {token: frame for token, frame in reversed(alignments)}
        last = dict(alignments)
        words: list[WordTime] = []
        # A letter may be several tokens: pieces are what each token adds to the text before it.
        before = ""
        for number in range(len(tokens)):
            whole = self._tokenizer.decode(tokens[: number + 1])
            piece, before = whole[len(before) :], whole
            start, end = (max(0.0, frames.get(number, 0) * 2 / FRAME_RATE - BEFORE_S) for frames in (first, last))
            end = max(start, min(end, speech_s) if number == len(tokens) - 1 else end)
            if piece.startswith(" ") or not words:
                words.append(WordTime(piece.strip(), start, end))
            else:
                words[-1] = WordTime(words[-1].text + piece, words[-1].start_s, max(end, words[-1].start_s))
        return tuple(word for word in words if word.text)


def load_model(directory: Path, options: WhisperOptions) -> tuple[WhisperModel, str]:
    """Load a CTranslate2 Whisper model; return it, and a notice (empty if there is none). Blocks.

    Raises EngineUnavailable without faster-whisper or the device, ModelError for a model that cannot be used.
    """
    check_model(directory)
    try:
        import ctranslate2
        import faster_whisper  # noqa: F401
    except ImportError as error:
        raise EngineUnavailable(
            f"faster-whisper is not installed ({error}).", remedy="Install it: pip install 'mythicd[whisper]'"
        ) from error
    _require_memory(directory, options)
    device, notice = _device(options, int(ctranslate2.get_cuda_device_count()))
    if device == "cuda":
        try:
            engine = _load(directory, options, device, options.precision)
        except Exception as error:  # a driver that is too old, cuBLAS or cuDNN missing, too little memory
            if options.device == "cuda":
                raise EngineUnavailable(
                    f"Whisper cannot run on CUDA as {options.precision} (asr.device): {error}.",
                    remedy="Update the NVIDIA driver, cuBLAS and cuDNN, or set asr.device to auto or cpu.",
                ) from error
            device, notice = "cpu", f"faster-whisper runs on the CPU: CUDA failed ({error})."
    if device == "cpu":
        precision = options.precision
        if precision not in ctranslate2.get_supported_compute_types("cpu"):
            notice = notice or f"faster-whisper computes in int8: the CPU does not have {precision} (asr.precision)."
            precision = "int8"
        try:
            engine = _load(directory, options, device, precision)
        except Exception as error:  # CTranslate2 and tokenizers raise RuntimeError, ValueError and bare Exception
            raise ModelError(
                f"The Whisper model in {directory} cannot be loaded on {device} as {precision}: {error}.",
                remedy="Download it again; a model of another CTranslate2 version must be converted again.",
            ) from error
    _check_language(engine, directory, options.language)
    return WhisperModel(engine, options, device), notice


def _load(directory: Path, options: WhisperOptions, device: str, precision: str) -> Any:
    """Return faster-whisper's model, after one encoding: CUDA's libraries are loaded only then. Raises Exception."""
    import ctranslate2
    from faster_whisper import WhisperModel as FasterWhisper

    engine = FasterWhisper(
        str(directory),
        device=device,
        compute_type=precision,
        cpu_threads=options.threads,
        num_workers=options.workers + 1,  # one for partials
        local_files_only=True,
    )
    spectrum = features(_log_mel(engine), samples_of_window(np.zeros(MIC_RATE, np.float32), AFTER_S))
    engine.model.encode(ctranslate2.StorageView.from_array(spectrum))
    return engine


def _log_mel(engine: Any) -> LogMel:
    """Return the spectrogram with the filters of faster-whisper's model."""
    extractor = engine.feature_extractor
    return LogMel(extractor.mel_filters, extractor.n_fft, extractor.hop_length)


def check_model(directory: Path) -> None:
    """Raise ModelError naming the first file that a CTranslate2 Whisper model lacks in `directory`.

    Without this check faster-whisper would download a missing tokenizer, and take a missing directory for the name of a
    model on the hub.
    """
    remedy = "Download the model, or correct its path."
    if not directory.is_dir():
        raise ModelError(f"The Whisper model directory {directory} does not exist.", remedy=remedy)
    for name in _FILES:
        if not (directory / name).is_file():
            raise ModelError(f"The Whisper model in {directory} lacks {name}.", remedy=remedy)
    if not any((directory / name).is_file() for name in _VOCABULARIES):
        raise ModelError(f"The Whisper model in {directory} lacks {' or '.join(_VOCABULARIES)}.", remedy=remedy)


def _device(options: WhisperOptions, cuda_devices: int) -> tuple[str, str]:
    """Return the device, and a notice. Raises EngineUnavailable for CUDA where there is none."""
    if options.device == "cpu" or (options.device == "cuda" and cuda_devices):
        return options.device, ""
    if options.device == "cuda":
        raise EngineUnavailable(
            "asr.device is cuda, and CTranslate2 finds no CUDA device.",
            remedy="Install the NVIDIA driver, cuBLAS and cuDNN, or set asr.device to auto or cpu.",
        )
    if cuda_devices:
        return "cuda", ""
    return "cpu", "faster-whisper runs on the CPU: no CUDA device was found (asr.device: auto)."


def _check_language(engine: Any, directory: Path, language: str) -> None:
    known = [str(each) for each in engine.supported_languages]
    if language not in known:
        raise ModelError(
            f"The Whisper model in {directory} does not have the language {language!r} (asr.lang).",
            remedy=f"Set it to one of: {', '.join(known)}. A model whose name ends in .en has English alone.",
        )


def _require_memory(directory: Path, options: WhisperOptions) -> None:
    if options.device == "cuda":
        return
    needed = os.path.getsize(directory / "model.bin") * _MEMORY_FACTOR.get(options.precision, 2.3)
    free = psutil.virtual_memory().available
    if needed > free:
        raise ModelError(
            f"Not enough memory for the Whisper model in {directory}: it needs about {needed / 2**30:.1f} GiB, and"
            f" {free / 2**30:.1f} GiB are free.",
            remedy="Use a smaller model (asr.model), or asr.precision int8.",
        )


def _failed(speech: NDArray[np.float32], error: Exception) -> EngineError:
    return EngineError(
        f"Whisper failed on {len(speech) / MIC_RATE:.1f} s of audio: {error}.", remedy="Repeat the utterance."
    )
