"""Where running text may be cut for speaking: behind a sentence, or behind a clause.

Text comes in pieces, so a mark counts only when what follows shows that it ends something: the point of "3." may go
on to "3.5", a quotation mark may follow. `Rest` says what is known of what follows.

What is not spoken, such as *smiles, and turns away* or (aside), is never cut: it could not be recognised in pieces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_TITLES = frozenset(
    "mr mrs ms mx dr st prof capt lt sgt col gen maj cpl pvt rev fr hon sr jr mt ft messrs mme mlle adm gov".split()
)
_SHORT = frozenset("vs cf ca approx dept est fig vol pp ed al viz e.g i.e eg ie".split())
_MAYBE_SHORT = frozenset("etc no inc ltd co a.m p.m".split())
"""These end a sentence only where a capital letter follows; `no` is short for number only before a digit."""

_MARK = re.compile(r"[.!?…]+|[,;:]|—|–|\n")
_CLOSERS = "\"'”’)]»*_"
_OPENERS = "\"'“‘«(*_"
_WORD_BEFORE = re.compile(r"[\w.'’-]*$")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_ASIDE = re.compile(
    r"(?<![*\w])\*(?=[^\s*])[^*\n]{0,200}\*(?!\*)"  # *smiles*, but not **bold**, and not 3*4
    r"|\([^()\n]{0,200}\)"
    r"|\[[^\[\]\n]{0,200}\]"
)
_OPEN_ASIDE = re.compile(r"(?:(?<![*\w])\*(?=[^\s*])[^*\n]{0,200}|\*|\([^()\n]{0,200}|\[[^\[\]\n]{0,200})$")
_WORD = re.compile(r"[^\W_](?:[\w'’.,:-]*[^\W_])?")


class Rest(Enum):
    """What follows the text at hand."""

    COMING = "more text comes: wait for it where it could matter"
    LATE = "more text may come, but waiting for it costs more than an odd wrong guess"
    NONE = "nothing: the reply is whole"


@dataclass(frozen=True, slots=True)
class Boundary:
    """A place where text may be cut."""

    at: int
    """Index behind the mark, and behind the closing quotes or brackets that belong to it."""

    sentence: bool
    """Whether a sentence ends here; a clause otherwise."""


def asides(text: str, rest: Rest) -> list[tuple[int, int]]:
    """Return the stretches of stage direction; one that is still open reaches to the end while more may come."""
    found = [match.span() for match in _ASIDE.finditer(text)]
    if rest is not Rest.NONE:
        still_open = _OPEN_ASIDE.search(text, found[-1][1] if found else 0)
        if still_open is not None:
            found.append((still_open.start(), len(text)))
    return found


def count_words(text: str, rest: Rest = Rest.NONE) -> int:
    """Return how many words `text` has outside its stage directions."""
    hidden = asides(text, rest)
    return sum(not _within(match.start(), hidden) for match in _WORD.finditer(text))


def boundaries(text: str, rest: Rest) -> list[Boundary]:
    """Return where `text` may be cut, in order."""
    hidden = asides(text, rest)
    found = (_boundary(text, match, rest) for match in _MARK.finditer(text) if not _within(match.start(), hidden))
    return [boundary for boundary in found if boundary is not None and not _within(boundary.at - 1, hidden)]


def _within(at: int, spans: list[tuple[int, int]]) -> bool:
    return any(start <= at < end for start, end in spans)


def _boundary(text: str, mark: re.Match[str], rest: Rest) -> Boundary | None:
    """Judge one mark by what stands around it."""
    end = mark.end()
    before = text[: mark.start()]
    if mark.group() == "\n":
        return Boundary(end, sentence=True)
    while end < len(text) and text[end] in _CLOSERS:
        end += 1
    after = text[end : end + 1]
    if not after and (rest is Rest.COMING or (rest is Rest.LATE and before[-1:].isdigit())):
        return None
    if mark.group() == "—":
        return Boundary(mark.end(), sentence=False)
    if after and not after.isspace():
        return None
    if mark.group() == "–":
        # Without spaces it is a range: "5–10".
        return Boundary(mark.end(), sentence=False) if before[-1:].isspace() else None
    if mark.group() in ",;:":
        return Boundary(end, sentence=False)
    return _sentence_end(text, mark, end, rest)


def _sentence_end(text: str, mark: re.Match[str], end: int, rest: Rest) -> Boundary | None:
    """Judge a mark of `. ! ? …` that a blank or nothing follows."""
    following = text[end:].lstrip()
    is_last = rest is Rest.NONE and not following
    next_letter = following.lstrip(_OPENERS)[:1]
    # None where that is not known yet.
    goes_on = next_letter.islower() if next_letter or rest is Rest.NONE else None
    if mark.group() == ".":
        before = _WORD_BEFORE.search(text[: mark.start()])
        word = before.group().lower() if before is not None else ""
        if is_last:
            return Boundary(end, sentence=True)
        if word in _TITLES or word in _SHORT or (len(word) == 1 and word.isalpha() and word != "i"):
            return None
        if word == "no":
            # "No. 5" is a number.
            return Boundary(end, sentence=True) if next_letter and not next_letter.isdigit() else None
        if word in _MAYBE_SHORT or ("." in word and _INITIALS.fullmatch(word)):
            return Boundary(end, sentence=True) if goes_on is False else None
        return Boundary(end, sentence=True)
    if goes_on is False:
        return Boundary(end, sentence=True)
    if mark.group().strip("!?"):
        # An ellipsis within a sentence: "well... no".
        return None
    if end > mark.end():
        # '"Halt!" he said': the quotation ends, the sentence goes on.
        return None if goes_on is None and rest is Rest.COMING else Boundary(end, sentence=False)
    return Boundary(end, sentence=True)
