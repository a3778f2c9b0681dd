"""The thoughts of a model that thinks before it speaks, and how they are told from its words.

    <think> … </think> words          [THINK] … [/THINK] words (Magistral)

A model that was taught to think does so whatever the chat template's `enable_thinking` says, and many templates open
the thought themselves: then the reply begins inside it, and only its closing tag is seen.
"""

from __future__ import annotations

from collections.abc import Sequence

OPENINGS = ("<think>", "[THINK]")
CLOSINGS = ("</think>", "[/THINK]")


def ends_in_thought(header: str) -> bool:
    """Tell whether what is written behind this header begins inside a thought."""
    return header.rstrip().endswith(OPENINGS)


class ReasoningFilter:
    """The thoughts in one reply."""

    def __init__(self, begun: bool = False) -> None:
        """With `begun` the reply begins inside a thought."""
        self.inside = begun
        """Whether a thought has begun and has not ended."""
        self.any = False
        """Whether there were any."""
        self.closed_nothing = False
        """Whether a closing tag came before any thought had begun."""
        self.words_behind = False
        """Whether words came behind such a tag: then what stood before it was a thought."""
        self._first: list[str] | None = [] if begun else None
        """What was passed over of the thought that the reply began in, until that has ended."""

    @property
    def in_first(self) -> bool:
        """Whether the reply is still inside the thought that it began in."""
        return self._first is not None

    def tag(self, tag: str) -> None:
        """Take a tag that stood among the words."""
        self.inside = tag in OPENINGS
        self.closed_nothing = self.closed_nothing or not (self.inside or self.any)
        self.any = True

    def pass_over(self, text: str) -> str:
        """Take text inside a thought; return what stands behind its end, or else what may begin the closing tag."""
        found = [(place, tag) for tag in CLOSINGS if (place := text.find(tag)) >= 0]
        place, tag = min(found, default=(len(text) - begun_mark(text, CLOSINGS), ""))
        self.any = self.any or bool(tag or text[:place].strip())
        if tag:
            self.inside, self._first = False, None
        elif self._first is not None:
            self._first.append(text[:place])
        return text[place + len(tag) :]

    def disown(self) -> str:
        """The thought that the reply began in was none: return what was passed over of it."""
        passed, self._first = "".join(self._first or ()), None
        self.inside = self.any = False
        return passed


def begun_mark(text: str, marks: Sequence[str]) -> int:
    """Return how many characters at the end of `text` may be the beginning of one of these."""
    longest = max(map(len, marks)) - 1
    lengths = range(min(longest, len(text)), 0, -1)
    return next((length for length in lengths if any(mark.startswith(text[-length:]) for mark in marks)), 0)
