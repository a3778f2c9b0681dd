"""The tokenizer of the text normaliser: whole tokens with their neighbours, so that no rule sees half of one.

A token is a maximal stretch without blanks, brackets and sentence marks: `$5-$10`, `marla@gull.example`, `6'2"`,
`03/14/2025`. A comma or colon is inside one only between digits. Signs that carry meaning before digits (`-5`, `.5`,
`'90s`) belong to the token; quotation marks around it do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_BLANKS = " \t\u00a0\u2009\u202f"
_BREAKS = r"\s—…!?;()\[\]{}\"“”„«»‹›|\\"
_PIECE = re.compile(
    rf"""
      (?P<whole>
        (?:https?|ftp)://[^\s<>"“”«»—\[\]{{}}|\\]+
      | www\.[^\s<>"“”«»—\[\]{{}}|\\]+
      | (?:mailto:)?[\w.+%-]{{1,64}}@[\w-]+(?:\.[\w-]+)+
      | (?:[A-Za-z0-9][\w-]*\.)+[A-Za-z]{{2,}}/[^\s<>"“”«»—\[\]{{}}|\\]*
      | (?:localhost|[A-Za-z][\w-]*(?:\.[\w-]+)+):\d{{2,5}}(?:/[^\s<>"“”]*)?(?!\w)
      | \d{{4}}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?Z?
      | \d{{1,2}}(?::\d\d)?[ ]?[AaPp]\.?[Mm]\.?[ ]?[-–][ ]?\d{{1,2}}(?::\d\d)?(?:[AaPp]\.?[Mm]\b|(?=[ ][AaPp]\.?[Mm]\b))
      | \(\d{{3}}\)[ ]?\d{{3}}[-. ]\d{{4}}(?!\w)
      | \d+[ ]?['’′][ ]?\d{{1,2}}(?:[ ]?(?:["”″]|''|’’|′′))?(?![\w"])
      | \d+(?:[.,]\d+)?[″′](?!\w)
      )
    | ['‘’]+(?=(?:https?|ftp)://|www\.|[\w.+-]{{1,64}}@|\d+['’′]\d)
    | (?:[^{_BREAKS},:.]|(?<=\d)[,:](?=\d)|(?<!\.)\.(?!\.)|(?<!\d\d\d\d)(?<=\d)[{_BLANKS}](?=\d\d\d(?!\d)))+
    """,
    re.VERBOSE,
)
_LEADING = re.compile(r"(?:(?![-–−+~]?[-–−+~]?(?:[$£€¥₹]|\.?\d)|['’]\d0s(?!\w)|['’]\d\d$)[-'‘’‚*_~.–−`^])+")
_TRAILING = re.compile(r"[-'‘’*_~.–−`^]+$")


@dataclass(frozen=True, slots=True)
class Token:
    """A stretch of text that is read as one thing."""

    text: str
    start: int
    before: str
    """What stands between the token before and this one: blanks and punctuation."""
    after: str
    """What stands between this token and the next one, or the end of the text."""

    @property
    def end(self) -> int:
        """Index after its last character."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class SpokenForm:
    """What is said for one or more tokens."""

    words: str
    tokens: int = 1
    """How many tokens it stands for."""
    swallowed: int = 0
    """How many characters after the last of them it takes too, such as the full stop of an abbreviation."""


class TokenView:
    """A token among its neighbours."""

    __slots__ = ("_tokens", "at", "text", "token")

    def __init__(self, tokens: Sequence[Token], at: int) -> None:
        self._tokens = tokens
        self.at = at
        self.token = tokens[at]
        self.text = self.token.text

    def near(self, offset: int) -> str:
        """Return the token at this distance if only blanks lie between, else an empty string."""
        at = self.at + offset
        if not 0 <= at < len(self._tokens):
            return ""
        first, last = min(self.at, at), max(self.at, at)
        for number in range(first, last):
            if self._tokens[number].after.strip(_BLANKS) or not self._tokens[number].after:
                return ""
        return self._tokens[at].text

    def any(self, offset: int) -> str:
        """Return the token at this distance, whatever punctuation lies between; an empty string for none."""
        at = self.at + offset
        return self._tokens[at].text if 0 <= at < len(self._tokens) else ""

    def after(self, offset: int = 0) -> str:
        """Return what stands after the token at this distance, up to the next token."""
        at = self.at + offset
        return self._tokens[at].after if 0 <= at < len(self._tokens) else ""

    def has_full_stop(self, offset: int = 0) -> bool:
        """Tell whether a single full stop follows at once."""
        after = self.after(offset)
        return after.startswith(".") and not after.startswith("..")

    def is_last(self, offset: int = 0) -> bool:
        """Tell whether the text ends after the token at this distance."""
        return self.at + offset >= len(self._tokens) - 1

    def begins_sentence(self) -> bool:
        """Tell whether a sentence, or the text, begins with this token."""
        return self.at == 0 or any(mark in self.token.before for mark in ".!?…\n")

    def shifted(self, offset: int) -> TokenView | None:
        """Return the view of the token at this distance; None beyond the text."""
        at = self.at + offset
        return TokenView(self._tokens, at) if 0 <= at < len(self._tokens) else None


def tokenize(text: str) -> list[Token]:
    """Return the tokens of `text`, in order."""
    spans = list(_spans(text))
    tokens: list[Token] = []
    for number, (start, end) in enumerate(spans):
        before = text[spans[number - 1][1] if number else 0 : start]
        after = text[end : spans[number + 1][0] if number + 1 < len(spans) else len(text)]
        tokens.append(Token(text[start:end], start, before, after))
    return tokens


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for match in _PIECE.finditer(text):
        start, end = match.span()
        if match["whole"]:
            if "/" in match["whole"] or match["whole"].startswith("www"):
                end = start + len(match["whole"].rstrip(".,!?;:…)'’"))
            yield start, end
            continue
        piece = match.group()
        if piece.isalnum():
            yield start, end
            continue
        if lead := _LEADING.match(piece):
            start += lead.end()
        trail = _TRAILING.search(piece)
        if trail is not None and start + len(trail.group()) <= end:
            end -= len(trail.group())
        if start < end:
            yield start, end
        elif _stands_alone(text, match.start(), match.end()):
            yield match.span()


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Tell whether one sign stands between blanks, as an operator does."""
    return (
        end - start == 1
        and text[start] in "-–−*^~"
        and text[start - 1 : start].isspace()
        and text[end : end + 1].isspace()
    )
