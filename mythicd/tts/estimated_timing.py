"""Estimated timing: phoneme and word onsets for audio of an engine that reports none.

A reference voice with known onsets (espeak-ng) reads the same text. Both voices are reduced to their speech, without
pauses, and the reference is stretched onto the audio at the rate at which this voice has spoken so far; where both
pause, the two are aligned again. Audio is returned as soon as it is known whether it is speech. A word is reported
late rather than early, because a word that was reported counts as heard.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mythicd.audio.pcm import SAMPLE_BYTES, to_array
from mythicd.engines.tts import PhonemeOnset, VoiceChunk, WordOnset

FRAME_MS: Final = 10
"""Length of the frames that are classified as speech or silence."""

PAUSE_MS: Final = 120
"""Shortest silence that is a pause; the closure of a stop consonant (p, t, k) is shorter."""

QUIET_DBFS: Final = -50.0
"""RMS level below which a frame is silence, in dB relative to full scale."""

QUIET_BELOW_PEAK_DB: Final = 35.0
"""Distance below the loudest frame so far from which a frame is silence, for voices with background noise."""

SNAP_S: Final = 0.2
"""Largest distance at which a pause of the audio is taken for one of the reference, in seconds of the reference."""

SNAP_SHARE: Final = 0.15
"""The same, as a share of the speech since the last common pause; the larger of the two counts."""

LATE_S: Final = 0.06
"""Delay of every word onset, in seconds of the reference."""

LATE_SHARE: Final = 0.14
"""Further delay of a word onset, as a share of the speech since the last common pause."""

HOLD_S: Final = 0.3
"""How long the words after a pause of the reference wait for the voice to pause too, in seconds of the reference."""

FIRST_STRETCH: Final = 1.0
"""Stretch of a voice that has not spoken yet."""

STRETCHES: Final = (0.4, 2.5)
"""Range of a stretch; anything outside is a mistake of the engine, such as speech in another language."""

_MEMORY_S: Final = 20.0
"""Seconds of speech over which a voice's stretch is averaged."""

_VOICES: Final = 256
"""Most voices whose stretch is remembered."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of audio that is all speech or all silence."""

    start: int
    """Index of the first sample."""
    end: int
    """Index after the last sample."""
    is_speech: bool


class SpeechDetector:
    """An energy detector of speech and pauses; short silences within speech count as speech."""

    def __init__(self, sample_rate: int) -> None:
        self._frame = sample_rate * FRAME_MS // 1000
        self._pause = PAUSE_MS // FRAME_MS * self._frame
        self._rest = b""
        self._at = 0
        self._decided = 0
        self._loudest = 0.0
        self._in_pause = True

    def add(self, pcm: bytes) -> list[Stretch]:
        """Take s16le mono audio; return the stretches decided by it, in order and without gaps."""
        data = self._rest + pcm
        size = self._frame * SAMPLE_BYTES
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        stretches: list[Stretch] = []
        frames = to_array(data[:whole]).astype(np.float64).reshape(-1, self._frame)
        for level in np.sqrt((frames**2).mean(axis=1)):
            self._at += self._frame
            self._loudest = max(self._loudest, float(level))
            quiet = max(32768 * 10 ** (QUIET_DBFS / 20), self._loudest * 10 ** (-QUIET_BELOW_PEAK_DB / 20))
            if level >= quiet:
                if self._in_pause and self._decided < self._at - self._frame:
                    self._decide(stretches, self._at - self._frame, is_speech=False)
                self._in_pause = False
                self._decide(stretches, self._at, is_speech=True)
            elif self._in_pause or self._at - self._decided >= self._pause:
                self._in_pause = True
                self._decide(stretches, self._at, is_speech=False)
        return stretches

    def finish(self) -> list[Stretch]:
        """Return the rest, which is silence."""
        stretches: list[Stretch] = []
        end = self._at + len(self._rest) // SAMPLE_BYTES
        if end > self._decided:
            self._decide(stretches, end, is_speech=False)
        return stretches

    def _decide(self, stretches: list[Stretch], end: int, *, is_speech: bool) -> None:
        """Append the undecided audio up to `end`, merged with the last stretch where it is of the same kind."""
        if stretches and stretches[-1].is_speech == is_speech:
            stretches[-1] = replace(stretches[-1], end=end)
        else:
            stretches.append(Stretch(self._decided, end, is_speech))
        self._decided = end


@dataclass(frozen=True, slots=True)
class Reference:
    """A reading of a text by the reference voice: onsets in seconds of speech, pauses left out."""

    phonemes: tuple[tuple[float, PhonemeOnset], ...] = ()
    words: tuple[tuple[float, WordOnset], ...] = ()
    pauses: tuple[float, ...] = ()
    """Where it pauses, in seconds of speech."""
    speech_s: float = 0.0
    """Length of the speech."""


def reference_of(pcm: bytes, rate: int, phonemes: Sequence[PhonemeOnset], words: Sequence[WordOnset]) -> Reference:
    """Return the reading whose s16le mono audio at `rate` hertz has these onsets (in samples, in order)."""
    detector = SpeechDetector(rate)
    stretches = [*detector.add(pcm), *detector.finish()]
    speech = [stretch for stretch in stretches if stretch.is_speech]

    def speech_before(sample: int) -> float:
        return sum(max(0, min(sample, part.end) - part.start) for part in speech) / rate

    return Reference(
        tuple((speech_before(onset.sample), onset) for onset in phonemes if onset.ipa),
        tuple((speech_before(word.sample), word) for word in words),
        tuple(speech_before(part.end) for part in speech[:-1]),
        sum(part.end - part.start for part in speech) / rate,
    )


class EstimatedTiming:
    """The timing of one phrase: audio in, audio with onsets out.

    Measured against the alignments of a real Piper voice, 138 words in 14 texts spoken eight times, after three phrases
    of that voice: words are reported 56 ms late in the median, 95 % of them less than 220 ms late, 3 % more than 50 ms
    early, 0.5 % more than 100 ms, and none more than 190 ms. The mouth has the right one of 15 shapes 45 % of the time,
    and 50 % with the phrase's own pace known.
    """

    def __init__(self, reference: Reference, sample_rate: int, stretch: float = FIRST_STRETCH) -> None:
        """`stretch` is the expected length of the voice's speech, as a multiple of the reference's."""
        self._reference = reference
        self._rate = sample_rate
        self._stretch = stretch
        self._detector = SpeechDetector(sample_rate)
        self._held = b""
        self._held_from = 0
        self._said = 0.0  # position in the reference, in seconds of its speech
        self._anchor = 0.0  # position of the last common pause
        self._spoken = 0  # samples of speech in all
        self._in_pause = True
        self._run_start = 0  # sample at which the current speech without a pause began
        self._run_said = 0.0  # position in the reference at that sample
        self._phoneme = self._word = 0  # numbers of the next onsets
        self._last_sound: PhonemeOnset | None = None
        self._phonemes: list[PhonemeOnset] = []
        self._words: list[WordOnset] = []
        self._speech_end = 0

    def add(self, pcm: bytes) -> VoiceChunk:
        """Take s16le mono audio; return what is decided of it, perhaps nothing, with the onsets in it."""
        self._held += pcm
        return self._release(self._detector.add(pcm))

    def finish(self) -> VoiceChunk:
        """Return the rest of the audio. Words that were not placed yet begin at the end of the speech."""
        chunk = self._release(self._detector.finish())
        left = [replace(word, sample=self._speech_end) for _, word in self._reference.words[self._word :]]
        self._word = len(self._reference.words)
        return replace(chunk, words=(*chunk.words, *left)) if self._spoken else chunk

    @property
    def measured(self) -> tuple[float, float] | None:
        """The stretch of the whole phrase and its length in seconds, after `finish`; None for too short a phrase."""
        seconds = self._spoken / self._rate
        if min(seconds, self._reference.speech_s) < 0.5:
            return None
        return seconds / self._reference.speech_s, seconds

    def _release(self, stretches: Sequence[Stretch]) -> VoiceChunk:
        if not stretches:
            return VoiceChunk(b"")
        for stretch in stretches:
            if stretch.is_speech:
                self._speak(stretch)
            else:
                self._rest(stretch)
        length = (stretches[-1].end - self._held_from) * SAMPLE_BYTES
        pcm, self._held = self._held[:length], self._held[length:]
        self._held_from = stretches[-1].end
        chunk = VoiceChunk(pcm, tuple(self._phonemes), tuple(self._words))
        self._phonemes, self._words = [], []
        return chunk

    def _speak(self, stretch: Stretch) -> None:
        """Place the onsets that fall into a stretch of speech."""
        if self._in_pause:
            self._resume(stretch.start)
        per_s = self._stretch * self._rate
        self._said = self._run_said + (stretch.end - self._run_start) / per_s
        self._spoken += stretch.end - stretch.start
        self._speech_end = stretch.end
        for at, onset in self._reference.phonemes[self._phoneme :]:
            if at >= self._said:
                break
            self._phoneme += 1
            self._last_sound = replace(onset, sample=self._sample_of(at))
            self._phonemes.append(self._last_sound)
        for at, word in self._reference.words[self._word :]:
            due = self._due(at)
            if due >= self._said:
                break
            self._word += 1
            self._words.append(replace(word, sample=self._sample_of(due)))

    def _due(self, at: float) -> float:
        """Return the position at which a word that the reference begins at `at` is reported."""
        pause = max((pause for pause in self._reference.pauses if self._anchor < pause <= at), default=-HOLD_S)
        return max(at + LATE_S + LATE_SHARE * (at - self._anchor), pause + HOLD_S)

    def _sample_of(self, at: float) -> int:
        """Return the sample at which the current speech reaches a position of the reference."""
        return self._run_start + max(0, round((at - self._run_said) * self._stretch * self._rate))

    def _resume(self, sample: int) -> None:
        """Begin to speak after a pause, with the sound that it interrupted unless another is due."""
        self._in_pause = False
        self._run_start, self._run_said = sample, self._said
        following = self._reference.phonemes[self._phoneme : self._phoneme + 1]
        is_due = bool(following) and following[0][0] <= self._said + FRAME_MS / 1000
        if self._last_sound is not None and not is_due:
            self._phonemes.append(replace(self._last_sound, sample=sample))

    def _rest(self, stretch: Stretch) -> None:
        """Close the mouth for a pause, and align the reference where it pauses nearby."""
        if self._in_pause and stretch.start:
            return
        self._in_pause = True
        self._phonemes.append(PhonemeOnset(stretch.start, ""))
        near = max(SNAP_S, SNAP_SHARE * (self._said - self._anchor))
        pause = min(self._reference.pauses, key=lambda at: abs(at - self._said), default=None)
        if not self._spoken or pause is None or pause <= self._anchor or abs(pause - self._said) > near:
            return
        self._said = self._anchor = pause
        while self._phoneme < len(self._reference.phonemes) and self._reference.phonemes[self._phoneme][0] < pause:
            self._phoneme += 1
        while self._word < len(self._reference.words) and self._reference.words[self._word][0] < pause:
            self._words.append(replace(self._reference.words[self._word][1], sample=stretch.start))
            self._word += 1


class VoiceStretches:
    """The stretch of each voice of an engine, averaged over what it has said lately."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __contains__(self, voice: Hashable) -> bool:
        """Return whether the stretch of this voice is known."""
        return voice in self._known

    def get(self, voice: Hashable) -> float:
        """Return the stretch of a voice; for one that has not spoken yet, the mean of the others."""
        if voice in self._known:
            return self._known[voice][0]
        others = [stretch for stretch, _ in self._known.values()]
        return sum(others) / len(others) if others else FIRST_STRETCH

    def learn(self, voice: Hashable, measured: tuple[float, float] | None) -> None:
        """Take what was `measured` on a phrase; None is ignored."""
        if measured is None:
            return
        stretch, seconds = measured
        if not STRETCHES[0] <= stretch <= STRETCHES[1]:
            return
        before, weight = self._known.pop(voice, (stretch, 0.0))
        if len(self._known) >= _VOICES:
            self._known.popitem(last=False)
        total = weight + seconds
        self._known[voice] = ((before * weight + stretch * seconds) / total, min(total, _MEMORY_S))
