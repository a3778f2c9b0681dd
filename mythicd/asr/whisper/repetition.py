"""Removal of a repeated tail: on a short window Whisper sometimes begins its sentence again. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Final

from mythicd.engines.asr import WordTime

_LIKE: Final = 0.6
"""Similarity (difflib) from which two words count as the same: the repetition may be recognised differently."""
_LAST_S: Final = 0.1
"""A repeated word that begins so shortly before the end of the audio is an echo: no word is that short."""
_FASTEST_S: Final = 0.1
"""Least time that a word takes: 600 words a minute."""
_LONG: Final = 6
"""Words of a tail of which one more may differ."""


def without_repetition(text: str) -> str:
    """Return a transcript without a tail that begins it again.

    A single word counts only after the end of a sentence, and two words only there or after four others: people do say
    "no no" and "very very good".
    """
    words = text.split()
    return " ".join(words[: next(_repetitions(words), len(words))]) if words else text


def without_late_repetition(words: Sequence[WordTime], voiced_end_s: float) -> tuple[WordTime, ...]:
    """Return an utterance's words without a tail that begins it again where hardly any speech is left for it.

    People repeat sentences too ("Where is the market? Where is the ferry?"), but take their time for it: 45 tails that
    Whisper made left each of their words 0.05 s of speech at most, and those of 11 sentences, repeated by three voices,
    0.11 s and more.
    `voiced_end_s` is the end of the speech in the audio.
    """
    for cut in _repetitions([word.text for word in words]):
        again = min(cut, len(words) - cut)
        if words[cut].start_s > voiced_end_s - _FASTEST_S * again:
            return tuple(words[:cut])
    return tuple(words)


def _repetitions(words: Sequence[str]) -> Iterator[int]:
    """Yield the numbers of words after which a tail begins that may repeat the beginning, smallest first."""
    plain = [_plain(word) for word in words]
    for cut in range(1, len(words)):
        tail = plain[cut:]
        head = [plain[index % cut] for index in range(len(tail))]
        same = [_is_like(one, other) for one, other in zip(tail, head, strict=True)]
        if tail[-1] and head[-1].startswith(tail[-1]):
            same[-1] = True  # the window ended within the word
        if _is_repetition(tail, same, cut, ends=words[cut - 1][-1:] in ".?!,", first=plain[0]):
            yield cut


def without_echo(words: Sequence[WordTime], speech_s: float) -> tuple[WordTime, ...]:
    """Return an utterance's words without a repetition of its first word after the end of the speech.

    A single word that is repeated cannot be told from "no no" by its text, but by its time: the repetition begins where
    the speech is over. `speech_s` is the length of the audio.
    """
    for number, word in enumerate(words):
        is_again = number > 0 and _plain(word.text) == _plain(words[0].text)
        if is_again and word.start_s >= speech_s - _LAST_S:
            return tuple(words[:number])
    return tuple(words)


def tidy(text: str) -> str:
    """Return a transcript without doubled punctuation at its end ("close?.")."""
    return re.sub(r"([.,!?])[.,]+$", r"\1", text)


def _plain(word: str) -> str:
    return re.sub(r"[^\w]", "", word.lower())


def _is_repetition(tail: list[str], same: list[bool], cut: int, *, ends: bool, first: str) -> bool:
    count, alike = len(tail), sum(same)
    if count == 1:
        return ends and cut >= 2 and tail[0] == first
    if count == 2:
        return alike == 2 and cut >= 2 and (ends or cut >= 4)
    if count > cut:
        return cut >= 2 and alike >= count - (count // _LONG)
    return alike == count or (ends and alike >= count - 1 - count // _LONG)


def _is_like(one: str, other: str) -> bool:
    if one == other:
        return True
    if len(one) <= 2 or len(other) <= 2:
        return False
    return difflib.SequenceMatcher(None, one, other).ratio() >= _LIKE
