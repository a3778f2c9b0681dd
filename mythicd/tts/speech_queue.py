"""The speech queue of one stream: synthesised phrases to audio frames with visemes, and how much of the text was heard.

All positions are sample indexes of the stream, from 0, without a gap. A frame is released when its samples are certain
(silence_trim.py), every viseme that begins in it is known, and it is not further ahead of the listener than allowed.
A word counts as heard when the next one begins or its phrase is over. Text positions are those of the reply as the
LLM wrote it; unspoken text (*smiles*) counts as heard together with the words before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from msgspec import structs

from mythicd.audio.pcm import SAMPLE_BYTES, samples_of
from mythicd.engines.tts import PhonemeOnset, VoiceChunk, WordOnset
from mythicd.errors import EngineError
from mythicd.tts.phrase_buffer import Phrase
from mythicd.tts.silence_trim import PhraseEdges
from mythicd.tts.speakable_text import SpokenText
from mythicd.tts.visemes.track import VisemeTrack, rest_event
from mythicd.wire.messages import MouthEvent, VisemeSetName


@dataclass(frozen=True, slots=True)
class Pacing:
    """Sizes and lengths, in milliseconds."""

    first_frame_ms: int = 40
    """Longest first frame; half of it is enough to send."""

    begin_ms: int = 100
    """Sound that must be there before the first frame of a phrase that is still being synthesised is sent: the rest of
    it bridges the time to the voice's next piece. A first piece that begins with a long silence has less."""

    frame_ms: int = 80
    """Longest later frame; half of it is enough to send."""

    ahead_ms: int = 2000
    """How far frames may run ahead of what was played."""

    clause_pause_ms: int = 90
    """Silence after a phrase that ends in a comma, dash, semicolon or colon."""

    sentence_pause_ms: int = 240
    """Silence after a phrase that ends a sentence."""

    buffered_ms: int = 120_000
    """Most audio that may be buffered; a longer phrase is an engine fault."""


@dataclass(frozen=True, slots=True)
class SpeechFrame:
    """A part of the stream, ready to be sent; its visemes are sent first."""

    start: int
    """Sample index of the first sample."""

    pcm: bytes
    """s16le mono, 20–80 ms."""

    visemes: tuple[MouthEvent, ...]
    """The events that begin within it, on the stream's clock; the last may outlast it."""

    @property
    def end(self) -> int:
        """Sample index after the last sample."""
        return self.start + len(self.pcm) // SAMPLE_BYTES


@dataclass(slots=True)
class _Spoken:
    """The position of one phrase in the text and in the stream."""

    phrase: Phrase
    said: SpokenText
    start: int
    """Stream sample where it begins; final once something of it is audible, or it has ended."""
    words: list[tuple[int, int]] = field(default_factory=list)
    """(stream sample, index in the reply) where each word begins; the indexes rise, the samples do not fall."""
    end: int | None = None
    """Stream sample where its last sound has faded; None while it is being synthesised."""


class SpeechQueue:
    """The speech queue of one outgoing stream."""

    first_audible: int | None = None
    """Stream sample of the reply's first audible one (see silence_trim.AUDIBLE_DBFS); None until there is one."""
    first_murmur: int | None = None
    """The same for a filler, a phrase without text in the reply."""

    def __init__(self, sample_rate: int, pacing: Pacing | None = None, visemes: VisemeSetName = "ovr15") -> None:
        """`visemes`: the set of mouth shapes that the client asked for."""
        self._pacing = pacing or Pacing()
        self._set: VisemeSetName = visemes
        self._rate = sample_rate
        self._phrases: list[_Spoken] = []
        self._pcm = bytearray()
        self._sent = 0
        self._visemes: list[MouthEvent] = []
        self._told = 0  # every viseme that begins before this sample is known
        self._flush = 0  # samples before this one need not wait for a full frame
        # Of the current phrase:
        self._edges: PhraseEdges | None = None
        self._track = VisemeTrack(sample_rate, visemes)
        self._is_audible = False
        self._pause = 0
        self._early_words: list[WordOnset] = []
        self._later_onsets: list[PhonemeOnset] = []

    # --- in ----------------------------------------------------------------------------------------------------------

    def begin(self, phrase: Phrase, said: SpokenText, played: int = 0) -> None:
        """Begin a phrase; `said` is the engine's input for it.

        The last phrase's punctuation decides the pause before it, unless the listener has already heard everything
        (`played`, in samples) and is waiting.
        """
        if self._edges is not None:
            self.end()
        self._pause = self._pause_after_last() if played < self._total else 0
        self._phrases.append(_Spoken(phrase, said, self._total))
        self._edges = PhraseEdges(self._rate)
        self._track = VisemeTrack(self._rate, self._set)
        self._is_audible = False
        self._early_words = []
        self._later_onsets = []

    def add(self, chunk: VoiceChunk) -> None:
        """Take the next chunk of the phrase. Raises EngineError when more than `buffered_ms` of audio is unsent."""
        edges = self._edges
        if edges is None:
            raise ValueError("There is no current phrase for this chunk: call begin() first.")
        spoken = self._phrases[-1]
        if self.left(self._sent) + len(chunk.pcm) // SAMPLE_BYTES > samples_of(self._pacing.buffered_ms, self._rate):
            raise EngineError(
                f"The voice engine produced more than {self._pacing.buffered_ms / 1000:.0f} s of unsent speech.",
                remedy="Give the engine shorter phrases, and the next one only while the queue is `hungry`.",
            )
        ready = edges.add(chunk.pcm)
        self._early_words += chunk.words
        self._later_onsets += chunk.phonemes
        if edges.cut is None:
            return
        if not self._is_audible:
            self._open(spoken, edges)
        self._pcm += ready
        self._place(self._track.add(self._audible_onsets(edges), edges.released))

    def end(self) -> None:
        """End the phrase."""
        edges = self._edges
        if edges is None:
            raise ValueError("There is no current phrase: call begin() first.")
        spoken = self._phrases[-1]
        if self._is_audible:
            self._pcm += edges.finish()
            # A frame is never shorter than half a first one; silence fills it up.
            shortest = samples_of(self._pacing.first_frame_ms / 2, self._rate)
            padding = max(0, shortest - self.left(self._sent))
            self._pcm += bytes(padding * SAMPLE_BYTES)
            self._place(self._track.add(self._audible_onsets(edges), edges.released))
            self._place(self._track.finish(edges.released + padding))
        spoken.end = end = spoken.start + edges.released
        spoken.words = [(min(sample, end), index) for sample, index in spoken.words]
        self._told = self._flush = self._total
        self._edges = None

    # --- out ---------------------------------------------------------------------------------------------------------

    def take(self, played: int) -> list[SpeechFrame]:
        """Return the frames that may be sent, when the listener has heard `played` samples of the stream."""
        frames: list[SpeechFrame] = []
        while (samples := self._next_frame(played)) > 0:
            end = self._sent + samples
            begun = [event for event in self._visemes if event.start < end]
            self._visemes = self._visemes[len(begun) :]
            frames.append(SpeechFrame(self._sent, bytes(self._pcm[: samples * SAMPLE_BYTES]), tuple(begun)))
            del self._pcm[: samples * SAMPLE_BYTES]
            self._sent = end
        return frames

    def left(self, played: int) -> int:
        """Return how many samples lie between `played` and the end of the synthesised audio."""
        return self._total - played

    def hungry(self, played: int) -> bool:
        """Tell whether the next phrase should be synthesised: less than the allowed lead is buffered."""
        return self.left(played) < samples_of(self._pacing.ahead_ms, self._rate)

    @property
    def drained(self) -> bool:
        """Whether there is no current phrase and every frame was taken."""
        return self._edges is None and not self._pcm

    # --- what was heard ----------------------------------------------------------------------------------------------

    def heard(self, played: int) -> int:
        """Return how many characters of the reply were fully heard, when `played` samples have been played."""
        heard = 0
        for spoken in self._phrases:
            if spoken.end is not None and played >= spoken.end and played > 0:
                heard = spoken.phrase.end
                continue
            begun = [index for sample, index in spoken.words if sample <= played]
            return max(heard, begun[-1]) if begun and played > 0 else heard
        return heard

    def sample_of(self, offset: int) -> int | None:
        """Return the stream sample at which all words before character `offset` of the reply have been said.

        None while that is not known: the text up to there has not been synthesised.
        """
        if offset <= 0:
            return 0
        at: int | None = 0
        for spoken in self._phrases:
            if offset <= spoken.phrase.start:
                return at
            following = [number for number, (_, index) in enumerate(spoken.words) if index >= offset]
            if following:
                return spoken.words[following[0]][0] if following[0] else at
            at = spoken.end
            if at is None or offset <= spoken.phrase.end:
                return at
        return None

    # --- within ------------------------------------------------------------------------------------------------------

    @property
    def _total(self) -> int:
        """Stream sample after the last one that is known."""
        return self._sent + len(self._pcm) // SAMPLE_BYTES

    def _next_frame(self, played: int) -> int:
        """Return how many samples the next frame has; 0 for none now."""
        pacing = self._pacing
        most = samples_of(pacing.frame_ms if self._sent else pacing.first_frame_ms, self._rate)
        allowed = min(played, self._sent) + samples_of(pacing.ahead_ms, self._rate) - self._sent
        there = min(self._told, self._total) - self._sent
        if there <= 0 or allowed < min(most, there):
            return 0
        if self._sent == 0 and there < samples_of(pacing.begin_ms, self._rate) and there != self._flush:
            return 0
        if self._sent + there == self._flush:
            # The phrase's last frames share the rest, so that none is tiny.
            return most if there >= most * 1.5 else there // 2 if there > most else there
        return min(most, there) if there * 2 >= most else 0

    def _place(self, events: list[MouthEvent]) -> None:
        """Move the phrase's events onto the stream's clock."""
        start = self._phrases[-1].start
        self._visemes += [structs.replace(event, start=start + event.start) for event in events]
        self._told = max(self._told, start + self._track.known_until)

    def _audible_onsets(self, edges: PhraseEdges) -> list[PhonemeOnset]:
        """Return the onsets in the audio released by now, on the trimmed phrase's clock; place the words likewise."""
        cut, spoken = edges.cut or 0, self._phrases[-1]
        for word in self._early_words:
            start, _ = spoken.said.source(word.start, word.end)
            sample, index = spoken.start + max(0, word.sample - cut), spoken.phrase.start + start
            if not spoken.words or index > spoken.words[-1][1]:
                spoken.words.append((max(sample, spoken.words[-1][0]) if spoken.words else sample, index))
        self._early_words = []
        ready = [onset for onset in self._later_onsets if onset.sample - cut <= edges.released]
        self._later_onsets = self._later_onsets[len(ready) :]
        return [replace(onset, sample=max(0, onset.sample - cut)) for onset in ready]

    def _open(self, spoken: _Spoken, edges: PhraseEdges) -> None:
        """Insert the pause and fix the phrase's position, once something of it is audible."""
        self._is_audible = True
        self._add_silence(self._pause)
        spoken.start = self._total
        audible = spoken.start + edges.audible_start
        if not spoken.phrase.text:
            self.first_murmur = audible if self.first_murmur is None else self.first_murmur
        elif self.first_audible is None:
            self.first_audible = audible

    def _add_silence(self, samples: int) -> None:
        if samples:
            self._visemes.append(rest_event(self._set, self._total, samples))
            self._pcm += bytes(samples * SAMPLE_BYTES)
            self._told = self._total

    def _pause_after_last(self) -> int:
        """Return the pause after the last phrase in samples, by its punctuation."""
        said = [spoken.said.text for spoken in self._phrases if spoken.end is not None and spoken.end > spoken.start]
        last = said[-1].rstrip().rstrip("\"'”’)") if said else ""
        if last.endswith((".", "!", "?", "…")):
            return samples_of(self._pacing.sentence_pause_ms, self._rate)
        if last.endswith((",", ";", ":", "—", "–", "-")):
            return samples_of(self._pacing.clause_pause_ms, self._rate)
        return 0
