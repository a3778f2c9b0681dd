"""The cache of short phrases: "Mm-hm.", "Good evening, traveller." are said often, and sound at once the next time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from mythicd.engines.tts import VoiceChunk, VoiceSpec

SHORT: Final = 25
"""Most characters of a phrase that is kept."""


class PhraseCache:
    """Audio of short phrases by voice and text, the least recently used dropped first."""

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes` is the most audio that is kept, in bytes; 0 keeps none."""
        self._most = most_bytes
        self._kept: OrderedDict[tuple[VoiceSpec, str], tuple[VoiceChunk, ...]] = OrderedDict()
        self.bytes = 0
        """Audio that is kept, in bytes."""
        self.hits = 0
        """Phrases that were taken from it."""

    def get(self, voice: VoiceSpec, text: str) -> tuple[VoiceChunk, ...] | None:
        """Return a phrase, or None when it is not kept."""
        kept = self._kept.get((voice, text))
        if kept is not None:
            self._kept.move_to_end((voice, text))
            self.hits += 1
        return kept

    def put(self, voice: VoiceSpec, text: str, said: Sequence[VoiceChunk]) -> None:
        """Keep a whole phrase, if it is short; the least recently used ones make room."""
        size = _size(said)
        if not 0 < size <= self._most or len(text) > SHORT or (voice, text) in self._kept:
            return
        self._kept[voice, text] = tuple(said)
        self.bytes += size
        while self.bytes > self._most:
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= _size(dropped)

    def clear(self) -> None:
        """Drop everything."""
        self._kept.clear()
        self.bytes = 0


def _size(said: Sequence[VoiceChunk]) -> int:
    return sum(len(chunk.pcm) for chunk in said)
