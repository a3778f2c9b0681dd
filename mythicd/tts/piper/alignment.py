"""Alignment of a Piper sentence: the frames of its phonemes to phoneme and word onsets. Pure.

Piper does not tell which word a phoneme belongs to, but its phonemes have a space between words, so words are counted;
where espeak-ng reads one written word as several ("3.5") or two as one ("of the"), each word is phonemised alone to
count its spoken words, and if the sums still differ, the words are spread over the phonemes evenly.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mythicd.engines.tts import PhonemeOnset

_STRESS: Final = {"ˈ": 1, "ˌ": 2}
_LONG: Final = "ːˑ"


@dataclass(frozen=True, slots=True)
class PhonemeLength:
    """One phoneme of Piper, and its length."""

    phoneme: str
    samples: int


def read_alignment(sounds: Sequence[PhonemeLength]) -> tuple[list[PhonemeOnset], list[int]]:
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


def count_words(sentences: Sequence[Sequence[str]]) -> int:
    """Return how many words are in Piper's phonemes."""
    return sum(len(read_alignment([PhonemeLength(phoneme, 0) for phoneme in sentence])[1]) for sentence in sentences)


def word_starts(text: str, count: Callable[[str], int]) -> dict[int, tuple[int, int]]:
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


def readable(text: str) -> str:
    """Return `text`, at the same length, without Piper's [[phonemes]] notation and control characters."""
    return "".join(" " if c in "[]" or unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
