"""Boundaries in streaming text where it may be cut for speaking: after a sentence or after a clause.

Text comes in pieces, so a mark counts only when what follows shows that it ends something: the point of "3." may go
on to "3.5", a quotation mark may follow. `Rest` says what is known of what follows. The marks of other scripts ("。")
mean one thing only, and need no blank after them.

What is not spoken, such as *smiles, and turns away* or (aside), is never cut: its parts would not be recognised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mythicd.text.english.sentences import CLOSERS, Rest, ends_sentence
from mythicd.text.scripts import BLANKLESS_LETTER, CLAUSE_MARKS, SENTENCE_MARKS

_MARK = re.compile(rf"[{SENTENCE_MARKS}]+|[{CLAUSE_MARKS}]|[.!?…]+|[,;:]|—|–|\n")
_CLOSERS = CLOSERS + "」』）】》〉〕"
_OTHER_MARKS = frozenset(SENTENCE_MARKS + CLAUSE_MARKS)
_ASIDE = re.compile(
    r"(?<![*\w])\*(?=[^\s*])[^*\n]{0,200}\*(?!\*)"  # *smiles*, but not **bold**, and not 3*4
    r"|\([^()\n]{0,200}\)"
    r"|\[[^\[\]\n]{0,200}\]"
)
_OPEN_ASIDE = re.compile(r"(?:(?<![*\w])\*(?=[^\s*])[^*\n]{0,200}|\*|\([^()\n]{0,200}|\[[^\[\]\n]{0,200})$")
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
"""Combining marks, which Python does not count as parts of a word."""
_WORD = re.compile(rf"[^\W_](?:[\w'’.,:{_MARKS}-]*(?:[^\W_]|[{_MARKS}]))?")


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
    """Return how many words `text` has outside its stage directions; in scripts without blanks, how many letters."""
    hidden = asides(text, rest)
    words = [match for match in _WORD.finditer(text) if not _within(match.start(), hidden)]
    if text.isascii():
        return len(words)
    return sum(max(1, len(BLANKLESS_LETTER.findall(match.group()))) for match in words)


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
    if mark.group()[0] in _OTHER_MARKS:
        return Boundary(end, sentence=mark.group()[0] in SENTENCE_MARKS)
    if mark.group() == "—":
        return Boundary(mark.end(), sentence=False)
    if after and not after.isspace() and not (BLANKLESS_LETTER.match(after) and not before[-1:].isdigit()):
        return None
    if mark.group() == "–":
        # Without spaces it is a range: "5–10".
        return Boundary(mark.end(), sentence=False) if before[-1:].isspace() else None
    if mark.group() in ",;:":
        return Boundary(end, sentence=False)
    sentence = ends_sentence(text, mark.start(), mark.end(), end, rest)
    return None if sentence is None else Boundary(end, sentence)
