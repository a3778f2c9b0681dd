"""Alignment of a Piper sentence: the lengths of its phonemes to phoneme and word onsets. Pure.

Piper does not tell which word a phoneme belongs to, but its phonemes have a space between words, so words are counted.
espeak-ng reads one written word as several ("3.5") and several as one ("such a"). So each written word is phonemised
alone too, and both sequences are aligned by their numbers of sounds, as Gale and Church (1993) align sentences.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from mythicd.engines.tts import PhonemeOnset

_STRESS: Final = {"ˈ": 1, "ˌ": 2}
_LONG: Final = "ːˑ"


_STEPS: Final = ((1, 0, 0.0), (2, -1, 0.5), (3, -2, 1.0), (1, 1, 1.0), (1, -1, 1.0))
"""Steps of an alignment: written words, spoken words more than they have alone, cost in sounds."""
_BAND: Final = 12
"""How far apart the numbers of written and spoken words may be."""


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


def word_lengths(sentences: Iterable[Sequence[str]]) -> tuple[int, ...]:
    """Return the number of sounds of each word in Piper's phonemes."""
    lengths: list[int] = []
    for sentence in sentences:
        onsets, starts = read_alignment([PhonemeLength(phoneme, 1) for phoneme in sentence])
        sounds = [onset.sample for onset in onsets if onset.ipa]
        lengths += [sum(start <= at < end for at in sounds) for start, end in pairwise([*starts, len(sentence)])]
    return tuple(lengths)


def word_starts(
    text: str, spoken: Sequence[int], lengths_of: Callable[[str], tuple[int, ...]]
) -> dict[int, tuple[int, int]]:
    """Map the number of a spoken word to the written word (start, end) that begins there.

    `spoken` is the number of sounds of each word that is spoken for the text, and `lengths_of` returns the same for a
    written word alone.
    """
    written: list[tuple[int, int]] = []
    at = 0
    for part in text.split():
        start = text.index(part, at)
        at = start + len(part)
        written.append((start, at))
    alone = [lengths_of(text[start:end]) for start, end in written]
    starts: dict[int, tuple[int, int]] = {}
    for word, number in zip(written, _aligned(alone, spoken), strict=True):
        if number is not None:
            starts.setdefault(number, word)
    return starts


def _aligned(alone: Sequence[tuple[int, ...]], spoken: Sequence[int]) -> list[int | None]:
    """Return for each written word the number of the spoken word with which it begins; None where it has none.

    The first of several words that are spoken as one has its number. Where nothing aligns, words are spread evenly.
    """
    before = [0, *accumulate(len(words) for words in alone)]
    if before[-1] == len(spoken):
        return [at if words else None for at, words in zip(before, alone, strict=False)]
    sounds_alone = [0, *accumulate(sum(words) for words in alone)]
    sounds = [0, *accumulate(spoken)]
    # best[i][j]: cost of aligning the first i written words with the first j spoken ones, and the steps of the last.
    best: list[dict[int, tuple[float, int, int]]] = [{} for _ in range(len(alone) + 1)]
    best[0][0] = (0.0, 0, 0)
    for i in range(len(alone)):
        for j, (cost, _, _) in sorted(best[i].items()):
            for words, shift, penalty in _STEPS:
                if i + words > len(alone):
                    continue
                count = before[i + words] - before[i] + shift
                end = j + count
                if count < 0 or (words > 1 and count != 1):
                    continue
                if end > len(spoken) or abs(end - before[i + words]) > _BAND:
                    continue
                apart = abs(sounds_alone[i + words] - sounds_alone[i] - (sounds[end] - sounds[j]))
                total = cost + penalty + apart
                if end not in best[i + words] or total < best[i + words][end][0]:
                    best[i + words][end] = (total, words, count)
    i, j = len(alone), len(spoken)
    if j not in best[i]:
        # Rounded up: a word must not count as heard too early.
        spread = [-(-at * len(spoken) // max(1, before[-1])) for at in before[:-1]]
        return [number if words and number < len(spoken) else None for number, words in zip(spread, alone, strict=True)]
    found: list[int | None] = [None] * len(alone)
    while i:
        _, words, count = best[i][j]
        i, j = i - words, j - count
        if count:
            found[i] = j
    return found


def readable(text: str) -> str:
    """Return `text`, at the same length, without Piper's [[phonemes]] notation and control characters."""
    return "".join(" " if c in "[]" or unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
