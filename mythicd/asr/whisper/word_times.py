"""Word times after the text was repaired: each word of the repaired text gets the time of what it replaces. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from mythicd.engines.asr import WordTime


def follow(words: Sequence[WordTime], text: str) -> tuple[WordTime, ...]:
    """Return the words of `text` with the times of `words`, from which it was made.

    Where several words were replaced by another number of words, these share their time evenly. A word that was added
    between two others has no length.
    """
    after = text.split()
    found: list[WordTime] = []
    matcher = difflib.SequenceMatcher(None, [word.text for word in words], after, autojunk=False)
    for _, first, last, begin, end in matcher.get_opcodes():
        old, new = words[first:last], after[begin:end]
        if len(old) == len(new):
            found += [WordTime(each, word.start_s, word.end_s) for each, word in zip(new, old, strict=True)]
            continue
        start_s = old[0].start_s if old else found[-1].end_s if found else 0.0
        end_s = old[-1].end_s if old else start_s
        for number, each in enumerate(new):
            place = [start_s + (end_s - start_s) * share / len(new) for share in (number, number + 1)]
            found.append(WordTime(each, place[0], place[1]))
    return tuple(found)
