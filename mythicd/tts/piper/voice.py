"""One loaded Piper voice: text to phoneme ids, ids to the frames of a sentence, frames to samples piece by piece."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mythicd.engines.tts import PhonemeOnset
from mythicd.errors import ModelError
from mythicd.tts.piper.alignment import PhonemeLength, read_alignment, word_lengths
from mythicd.tts.piper.decoder import Decoder, Floats, SentenceFrames, Session, run_session
from mythicd.tts.piper.pieces import Piece

MOST_PHONEMES: Final = 400
"""Longest part of a sentence that is computed at once: about 25 s of speech."""
MOST_WORD_PHONEMES: Final = 60
"""Longest word; the rest of it is not spoken, because such letters are not words."""
REFERENCE: Final = "The quick brown fox jumps over the lazy dog."
"""What a voice says when it is loaded, to measure margins and level."""
REFERENCE_PEAK: Final = 0.6
"""Peak of the reference in what the voice returns, of full scale."""
KNEE: Final = 0.9
"""Peak from which samples are compressed, of full scale: sentences differ in level, and clipping is audible."""
_SHORTER: Final = 0.7
_LONGER: Final = 1.4
"""Length scales between which the rounding of durations is measured."""
_MOST_ROUNDED: Final = 0.5
"""Largest share of a sentence's length that rounding makes; more is an odd voice."""
_LISTED: Final = 12
MOST_LENGTHS: Final = 4096
"""Words whose sounds are counted once."""
_phonemizing = threading.Lock()
"""espeak-ng inside Piper keeps its state in the process."""


@dataclass(frozen=True, slots=True)
class VoiceConfig:
    """What a voice's .json tells."""

    sample_rate: int
    """Hertz."""
    hop: int
    """Samples of one frame."""
    language: str
    """espeak-ng's name of the language, such as `en-us`."""
    phoneme_ids: Mapping[str, Sequence[int]]
    speakers: int
    """Number of speakers, at least 1."""
    speaker_ids: Mapping[str, int]
    default_speaker: int
    noise_scale: float
    length_scale: float
    noise_w_scale: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, ready to be computed."""

    ids: tuple[int, ...]
    phonemes: tuple[tuple[str, int], ...]
    """Each phoneme, and how many of the ids are its own with its padding."""


@dataclass(frozen=True, slots=True)
class PreparedSentence:
    """A sentence after its front: what is known before it sounds."""

    frames: SentenceFrames
    onsets: tuple[PhonemeOnset, ...]
    """On the clock of the sentence's samples, at the voice's rate."""
    words: tuple[int, ...]
    """Sample at which each spoken word begins."""
    pieces: tuple[Piece, ...]
    samples: int
    """Length of its audio, by the durations."""


class LoadedVoice:
    """A voice in memory. Its methods block, and may run on several threads at once, for different sentences."""

    def __init__(
        self,
        name: str,
        config: VoiceConfig,
        phonemize: Callable[[str], list[list[str]]],
        front: Session,
        outputs: Sequence[str],
        decoder: Decoder,
    ) -> None:
        """`phonemize` returns a text's phonemes by sentence; `outputs` names the front's outputs, the last of which
        are the durations in frames of each id."""
        self.name = name
        self.config = config
        self.decoder = decoder
        self._phonemize = phonemize
        self._front = front
        self._outputs = tuple(outputs)
        self._gains: dict[int, float] = {}
        self._rounded = 0.0
        """Share of a sentence's length that the length scale does not change."""
        self._lengths: OrderedDict[str, tuple[int, ...]] = OrderedDict()

    def speaker(self, name: str) -> int:
        """Return the id of a speaker by its name or id; empty is the voice's default.

        Raises ModelError that names the speakers.
        """
        config = self.config
        if not name:
            return config.default_speaker
        if name in config.speaker_ids:
            return config.speaker_ids[name]
        if name.isascii() and name.isdecimal() and int(name) < config.speakers:
            return int(name)
        known = list(config.speaker_ids)[:_LISTED]
        more = len(config.speaker_ids) - len(known)
        names = ", ".join(known) + (f" and {more} more" if more > 0 else "")
        remedy = "Leave `speaker` out." if config.speakers == 1 else f"Name one of 0 to {config.speakers - 1}."
        raise ModelError(
            f"The Piper voice {self.name} has no speaker {name!r}.",
            remedy=f"Name one of: {names}." if names else remedy,
        )

    def sentences(self, text: str) -> list[Sentence]:
        """Return the sentences of a text; none of text that says nothing."""
        return self.split(self.phonemes(text))

    def split(self, phonemes: Iterable[Sequence[str]]) -> list[Sentence]:
        """Return the sentences of these phonemes, long ones in parts."""
        return [part for sentence in phonemes for part in self._parts(sentence)]

    def phonemes(self, text: str) -> list[list[str]]:
        """Return a text's phonemes, by sentence."""
        with _phonemizing:
            found = self._phonemize(text)
        return [_bounded(sentence) for sentence in found if sentence]

    def word_lengths(self, word: str) -> tuple[int, ...]:
        """Return the number of sounds of each word that is spoken for a written one: three for "3.5". Cached."""
        lengths = self._lengths.get(word)
        if lengths is None:
            lengths = self._lengths[word] = word_lengths(self.phonemes(word))
            if len(self._lengths) > MOST_LENGTHS:
                self._lengths.popitem(last=False)
        return lengths

    def compute(
        self, sentence: Sentence, speaker: int, length_scale: float = 1.0, *, noisy: bool = True
    ) -> PreparedSentence:
        """Compute a sentence's front. `noisy=False` leaves out the noise of durations and prior: always the same.

        Raises EngineError when ONNX Runtime fails.
        """
        config = self.config
        noise, width = (config.noise_scale, config.noise_w_scale) if noisy else (0.0, 0.0)
        given: dict[str, NDArray[Any]] = {
            "input": np.array([sentence.ids], np.int64),
            "input_lengths": np.array([len(sentence.ids)], np.int64),
            "scales": np.array([noise, length_scale * config.length_scale, width], np.float32),
        }
        if config.speakers > 1:
            given["sid"] = np.array([speaker], np.int64)
        values = dict(zip(self._outputs, run_session(self._front, given), strict=True))
        durations = values.pop(self._outputs[-1]).reshape(-1)
        first = values[self._outputs[0]]
        count = first.shape[-1] if self.decoder.stages else -(-first.size // config.hop)
        frames = SentenceFrames(values, count)
        lengths = [round(float(each) * config.hop) for each in durations]
        onsets, words = _onsets(sentence, lengths)
        return PreparedSentence(frames, tuple(onsets), tuple(words), tuple(self.decoder.pieces(frames)), sum(lengths))

    def samples(self, utterance: PreparedSentence, piece: Piece, speaker: int) -> NDArray[np.int16]:
        """Return a piece's samples, at the voice's rate; pieces are computed in order.

        Raises EngineError when ONNX Runtime fails.
        """
        return to_int16(self.decoder.samples(utterance.frames, piece) * self.gain(speaker))

    def gain(self, speaker: int) -> float:
        """Return the factor that brings a speaker to the level of all voices, measured the first time."""
        if speaker not in self._gains:
            utterance = self.compute(self.reference(), speaker, noisy=False)
            self.set_level(speaker, self.decoder.whole(utterance.frames))
        return self._gains[speaker]

    def set_level(self, speaker: int, reference: Floats) -> None:
        """Take the samples of the reference, spoken without noise, as a speaker's level."""
        self._gains[speaker] = REFERENCE_PEAK / max(1e-3, float(np.abs(reference).max()))

    def measure_rounding(self, speaker: int) -> None:
        """Find how durations follow the length scale, with the reference; see `length_scale`."""
        short, plain, long = (
            self.compute(self.reference(), speaker, scale, noisy=False).samples for scale in (_SHORTER, 1.0, _LONGER)
        )
        self._rounded = min(_MOST_ROUNDED, max(0.0, 1.0 - (long - short) / ((_LONGER - _SHORTER) * max(1, plain))))

    def length_scale(self, stretch: float) -> float:
        """Return the length scale that makes sentences `stretch` times as long.

        Each duration is rounded up to whole frames, so a part of the length, about a quarter, does not scale.
        """
        return max(stretch / 2, (stretch - self._rounded) / (1.0 - self._rounded))

    def reference(self) -> Sentence:
        """Return the reference as this voice reads it; some of its phonemes where it cannot."""
        longest = max(self.sentences(REFERENCE), key=lambda sentence: len(sentence.ids), default=None)
        if longest is not None and len(longest.ids) > len(REFERENCE):
            return longest
        return self._sentence(
            [phoneme for phoneme in self.config.phoneme_ids if phoneme not in "^_$"][: len(REFERENCE)]
        )

    def _parts(self, phonemes: Sequence[str]) -> Iterator[Sentence]:
        """Yield a sentence's phonemes in parts of at most MOST_PHONEMES, cut at spaces where there are any."""
        rest = list(phonemes)
        while rest:
            size = len(rest)
            if size > MOST_PHONEMES:
                spaces = [at for at, phoneme in enumerate(rest[:MOST_PHONEMES]) if phoneme == " "]
                size = spaces[-1] + 1 if spaces else MOST_PHONEMES
            part, rest = rest[:size], rest[size:]
            yield self._sentence(part)

    def _sentence(self, phonemes: Sequence[str]) -> Sentence:
        ids: list[int] = []
        counts: list[tuple[str, int]] = []
        known, pad = self.config.phoneme_ids, self.config.phoneme_ids["_"]
        for phoneme in ("^", *phonemes, "$"):
            own = known.get(phoneme, ())
            # As in Piper: padding after each known phoneme but the last.
            padded = [*own, *(pad if own and phoneme != "$" else ())]
            ids += padded
            counts.append((phoneme, len(padded)))
        return Sentence(tuple(ids), tuple(counts))


def to_int16(audio: Floats) -> NDArray[np.int16]:
    """Return samples of full scale 1 as 16-bit ones, those over KNEE compressed below full scale, each by itself."""
    level = np.abs(audio)
    room = 1.0 - KNEE
    soft = np.copysign(KNEE + room * np.tanh((level - KNEE) / room), audio)
    limited = np.where(level <= KNEE, audio, soft)
    rounded: NDArray[np.int16] = np.rint(limited * 32767).astype(np.int16)
    return rounded


def _bounded(phonemes: Sequence[str]) -> list[str]:
    """Return a sentence's phonemes without the rest of words that are longer than MOST_WORD_PHONEMES."""
    kept: list[str] = []
    length = 0
    for phoneme in phonemes:
        length = 0 if phoneme == " " else length + 1
        if length <= MOST_WORD_PHONEMES:
            kept.append(phoneme)
    return kept


def _onsets(sentence: Sentence, lengths: Sequence[int]) -> tuple[list[PhonemeOnset], list[int]]:
    """Return phoneme onsets and the beginnings of words; none when the durations do not fit the ids."""
    if len(lengths) != len(sentence.ids):
        return [], []
    sounds: list[PhonemeLength] = []
    at = 0
    for phoneme, count in sentence.phonemes:
        if count:
            sounds.append(PhonemeLength(phoneme, sum(lengths[at : at + count])))
        at += count
    return read_alignment(sounds)
