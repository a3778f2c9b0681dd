"""The reasoning of a model that thinks before it speaks, separated from its words.

    <think> … </think> words          [THINK] … [/THINK] words (Magistral)

A model that was trained to reason does so whatever the chat template's `enable_thinking` says, and many templates open
the reasoning themselves: the reply then begins inside it, and only its closing tag is seen.
"""

from __future__ import annotations

from collections.abc import Sequence

OPENINGS = ("<think>", "[THINK]")
CLOSINGS = ("</think>", "[/THINK]")


def ends_in_thought(header: str) -> bool:
    """Tell whether a reply after this header begins inside reasoning."""
    return header.rstrip().endswith(OPENINGS)


class ReasoningFilter:
    """Finds the reasoning in one reply."""

    def __init__(self, begun: bool = False) -> None:
        """With `begun` the reply begins inside reasoning."""
        self.inside = begun
        """Whether reasoning has begun and not ended."""
        self.any = False
        """Whether there was any reasoning."""
        self.closed_nothing = False
        """Whether a closing tag came before any opening tag."""
        self.words_behind = False
        """Whether words came after such a tag: the text before it was reasoning."""
        self._first: list[str] | None = [] if begun else None
        """The reasoning that the reply began in, until it has ended."""

    @property
    def in_first(self) -> bool:
        """Whether the reply is still inside the reasoning that it began in."""
        return self._first is not None

    def tag(self, tag: str) -> None:
        """Note a tag among the words."""
        self.inside = tag in OPENINGS
        self.closed_nothing = self.closed_nothing or not (self.inside or self.any)
        self.any = True

    def pass_over(self, text: str) -> str:
        """Drop reasoning; return the text after its end, or an end that may begin the closing tag."""
        found = [(place, tag) for tag in CLOSINGS if (place := text.find(tag)) >= 0]
        place, tag = min(found, default=(len(text) - begun_mark(text, CLOSINGS), ""))
        self.any = self.any or bool(tag or text[:place].strip())
        if tag:
            self.inside, self._first = False, None
        elif self._first is not None:
            self._first.append(text[:place])
        return text[place + len(tag) :]

    def disown(self) -> str:
        """Return the text of the reasoning that the reply began in, which counts as words from now on."""
        passed, self._first = "".join(self._first or ()), None
        self.inside = self.any = False
        return passed


def begun_mark(text: str, marks: Sequence[str]) -> int:
    """Return how many characters at the end of `text` may begin one of these marks."""
    longest = max(map(len, marks)) - 1
    lengths = range(min(longest, len(text)), 0, -1)
    return next((length for length in lengths if any(mark.startswith(text[-length:]) for mark in marks)), 0)
