"""Boundaries in streaming text where it may be cut for speaking: after a sentence or after a clause.

Text comes in pieces, so a mark counts only when what follows shows that it ends something: the point of "3." may go
on to "3.5", a quotation mark may follow. `Rest` says what is known of what follows.

What is not spoken, such as *smiles, and turns away* or (aside), is never cut: its parts would not be recognised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mythicd.text.english.sentences import CLOSERS, Rest, ends_sentence

_MARK = re.compile(r"[.!?…]+|[,;:]|—|–|\n")
_ASIDE = re.compile(
    r"(?<![*\w])\*(?=[^\s*])[^*\n]{0,200}\*(?!\*)"  # *smiles*, but not **bold**, and not 3*4
    r"|\([^()\n]{0,200}\)"
    r"|\[[^\[\]\n]{0,200}\]"
)
_OPEN_ASIDE = re.compile(r"(?:(?<![*\w])\*(?=[^\s*])[^*\n]{0,200}|\*|\([^()\n]{0,200}|\[[^\[\]\n]{0,200})$")
_WORD = re.compile(r"[^\W_](?:[\w'’.,:-]*[^\W_])?")


@dataclass(frozen=True, slots=True)
class Boundary:
    """A place where text may be cut."""

    at: int
    """Index after the mark, and after the closing quotes or brackets that belong to it."""

    sentence: bool
    """Whether a sentence ends here; a clause otherwise."""


def asides(text: str, rest: Rest) -> list[tuple[int, int]]:
    """Return the spans of stage directions; one that is still open reaches to the end while more may come."""
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
    while end < len(text) and text[end] in CLOSERS:
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
    sentence = ends_sentence(text, mark.start(), mark.end(), end, rest)
    return None if sentence is None else Boundary(end, sentence)
