"""English sentences: where one ends, in whole texts and in text that is still being written.

A full stop may belong to an abbreviation, an initial or a number. Each mark is therefore judged by the word before it
and by the first letter after it, and while text streams in, that letter may not be known yet.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from mythicd.text.english.abbreviations import BEFORE_NUMBER, LAST_BEFORE_CAPITAL, NEVER_LAST, TITLES

CLOSERS: Final = "\"'”’)]»*_"
"""Quotes, brackets and markup that close after a mark and belong to its sentence."""

_OPENERS: Final = "\"'“‘«(*_"
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_END = re.compile(rf"([.!?…]+)[{re.escape(CLOSERS)}]*(?=\s)|\n\s*\n")
"""Where a sentence may end: its mark, what closes with it, then a space; or a blank line."""


class Rest(Enum):
    """What follows the text at hand."""

    COMING = "more text comes: wait for it where it could matter"
    LATE = "more text may come, but waiting for it costs more than an occasional wrong guess"
    NONE = "nothing: the text is complete"


def sentences(text: str, *, any_case: bool = False) -> list[str]:
    """Split a whole text into sentences, without the space between them.

    "St. Elmo", "9 p.m. sharp", "3.5 miles", "J. R. Hobb" and "e.g. rum" are not torn apart. In edited prose a word in
    lower case never begins a sentence; set `any_case` where it may, as in what players type.
    """
    found: list[str] = []
    start = 0
    for mark in _END.finditer(text):
        if mark.group().isspace() or _ends_here(text, mark, any_case):
            found.append(text[start : mark.end()])
            start = mark.end()
    found.append(text[start:])
    return [" ".join(sentence.split()) for sentence in found if sentence.strip()]


def ends_sentence(text: str, start: int, stop: int, end: int, rest: Rest) -> bool | None:
    """Judge a run of `. ! ? …` that a space or the end of the text follows.

    The run is `text[start:stop]`, and `text[stop:end]` are the quotes and brackets that close with it. Returns True
    where a sentence ends, False where only a clause does, None where neither is so or it is not known yet.
    """
    letter = _first_letter(text, end, rest)
    mark = text[start:stop]
    if mark == ".":
        return True if full_stop_ends(_word_before(text, start), letter) else None
    if letter is not None and not letter.islower():
        return True
    if mark.strip("!?"):
        # An ellipsis within a sentence: "well... no".
        return None
    if end > stop:
        # '"Halt!" he said': the quotation ends, the sentence goes on.
        return None if letter is None and rest is Rest.COMING else False
    return True


def full_stop_ends(word: str, following: str | None) -> bool:
    """Tell whether the full stop after `word`, in lower case, ends a sentence.

    `following` is the first letter or digit after it: empty at the end of the text, None while it is not known. Then
    an abbreviation that may or may not end a sentence does not.
    """
    if following == "":
        return True
    if word in TITLES or word in NEVER_LAST or (len(word) == 1 and word.isalpha() and word != "i"):
        return False
    if word in BEFORE_NUMBER:
        return following is not None and not following.isdigit()
    if word in LAST_BEFORE_CAPITAL or ("." in word and _INITIALS.fullmatch(word)):
        return following is not None and not following.islower()
    return True


def _ends_here(text: str, mark: re.Match[str], any_case: bool) -> bool:
    if not any_case and text[mark.end() :].lstrip()[:1].islower():
        return False  # "9 p.m. sharp", "Well... yes", '"Go!" he said'
    return ends_sentence(text, mark.start(), mark.end(1), mark.end(), Rest.NONE) is True


def _first_letter(text: str, at: int, rest: Rest) -> str | None:
    """Return the first letter or digit from `at`: empty if there is none, None if it may still come."""
    letter = text[at:].lstrip().lstrip(_OPENERS)[:1]
    return letter if letter or rest is Rest.NONE else None


def _word_before(text: str, at: int) -> str:
    """Return the word that ends at `at`, in lower case; it may hold full stops, as "p.m" does."""
    start = at
    while start and (text[start - 1].isalnum() or text[start - 1] in "_.'’-"):
        start -= 1
    return text[start:at].lower().lstrip("'’-")
