"""Speech recognition: the `Asr` Protocol, its vocabulary and its results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words a world expects to hear: what a recogniser may favour or build its language model from."""

    people: tuple[str, ...] = ()
    """Names and aliases of persons, as spoken."""

    places: tuple[str, ...] = ()
    """Names and aliases of places."""

    items: tuple[str, ...] = ()
    """Names and aliases of things."""

    topics: tuple[str, ...] = ()
    """Anything else that may be asked about, such as "guild dues" or "the blue lantern"."""

    lines: tuple[str, ...] = ()
    """Sentences of lore, whose word order is worth knowing."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """What an Asr made of a whole utterance."""

    text: str
    """The words; empty when none were understood."""

    confidence: float = 1.0
    """0–1, in the engine's own measure; 0 when nothing was understood."""

    lang: str = "en"
    """BCP-47 language tag."""


class AsrStream(Protocol):
    """One utterance on its way through a recogniser."""

    async def push(self, pcm: bytes) -> str:
        """Take s16le 16 kHz audio; return the hypothesis so far (it may change until `finish`)."""

    async def guess(self) -> Recognition:
        """Return the final words, should the utterance end here. It stays open: more audio may follow, and then all of
        it counts. When none follows, `finish` gives the same at once. May be cancelled without harm."""

    async def finish(self) -> Recognition:
        """No more audio comes: return the final words. The stream is closed afterwards."""

    async def abandon(self) -> None:
        """Throw the utterance away."""


class Asr(Protocol):
    """Turns speech into words."""

    async def start(self) -> None:
        """Load the model. Raises EngineUnavailable or ModelError."""

    async def learn(self, vocabulary: Vocabulary) -> None:
        """Favour these words from now on. Streams already open keep what they had."""

    async def open(self) -> AsrStream:
        """Begin an utterance."""

    async def stop(self) -> None:
        """Free the model."""
