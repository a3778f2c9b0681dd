"""Speech recognition: the `Asr` Protocol, its vocabulary and its results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of a world, which a recogniser may favour or build its language model from."""

    people: tuple[str, ...] = ()
    """Names and aliases of persons, as spoken."""

    places: tuple[str, ...] = ()
    """Names and aliases of places."""

    items: tuple[str, ...] = ()
    """Names and aliases of things."""

    topics: tuple[str, ...] = ()
    """Other things players may ask about, such as "guild dues" or "the blue lantern"."""

    lines: tuple[str, ...] = ()
    """Sentences of lore, for their word order."""


@dataclass(frozen=True, slots=True)
class WordTime:
    """When a word was said."""

    text: str
    """The word, with its punctuation."""

    start_s: float
    """Seconds from the beginning of the utterance's audio."""

    end_s: float


@dataclass(frozen=True, slots=True)
class Recognition:
    """The result for a whole utterance."""

    text: str
    """The words; empty when none were recognised."""

    confidence: float = 1.0
    """0–1, on the engine's own scale; 0 when no words were recognised."""

    lang: str = "en"
    """BCP-47 language tag."""

    words: tuple[WordTime, ...] = ()
    """The words in time, from engines that know it."""


class AsrStream(Protocol):
    """The recognition of one utterance."""

    async def push(self, pcm: bytes) -> str | None:
        """Add s16le 16 kHz audio; return the words so far, which may change until `finish`.

        None when they have not been recognised again since the last call.
        """

    async def guess(self) -> Recognition:
        """Return the final words if the utterance ended here. The stream stays open: when more audio follows, all of it
        counts; when none follows, `finish` returns the same at once. Can be cancelled safely."""

    async def finish(self) -> Recognition:
        """Return the final words and close the stream."""

    async def abandon(self) -> None:
        """Close the stream without a result."""


class Asr(Protocol):
    """A speech recognition engine."""

    has_reliable_partials: bool
    """Whether a hypothesis is what was said from the first one on, and not a guess at a sound."""

    agreement_s: float
    """Seconds of audio over which hypotheses must agree on a word to make it stable (asr/transcript.py); 0 where two
    hypotheses in a row suffice."""

    async def start(self) -> None:
        """Load the model. Raises EngineUnavailable or ModelError."""

    async def learn(self, vocabulary: Vocabulary) -> None:
        """Use this vocabulary from now on. Streams that are open keep theirs."""

    async def open(self) -> AsrStream:
        """Open a stream for one utterance."""

    async def stop(self) -> None:
        """Free the model."""
