"""The transcript of an utterance: growing hypotheses to partials with a stable prefix, and a final.

The stable prefix only grows. The policy is LocalAgreement-2 (Liu et al. 2020; Macháček et al. 2023: a prefix is stable
when two consecutive hypotheses agree on it) with a least age, since hypotheses every 20 ms agree too easily: a word is
stable once it, and all before it, are unchanged in at least two hypotheses over `agreement_s` seconds of audio. If a
later hypothesis contradicts the prefix, partials keep the prefix, followed by the hypothesis from the same word on, and
`finish` reports the contradiction. Words are compared without case and punctuation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mythicd.text.spoken_words import spoken_words


@dataclass(frozen=True, slots=True)
class Partial:
    """The words recognised so far."""

    text: str
    """All words; begins with `stable`."""
    stable: str
    """The prefix that later partials keep."""
    at_s: float
    """When it was recognised, on the clock of `add`."""


@dataclass(frozen=True, slots=True)
class Final:
    """The words recognised in the end."""

    text: str
    stable_held: bool
    """Whether the stable prefix of the partials is a prefix of `text`. If not, work based on it is rolled back."""


class Transcript:
    """One utterance's hypotheses, added in order of time."""

    def __init__(self, *, agreement_s: float) -> None:
        """`agreement_s` is how long a stable word is unchanged, in seconds of audio; 0 for LocalAgreement-2 itself."""
        self._agreement_s = agreement_s
        self._words: tuple[str, ...] = ()
        self._since: list[float] = []
        """For each word of the last hypothesis, since when hypotheses have agreed on it and all words before it."""
        self._stable: tuple[str, ...] = ()
        self._said: tuple[str, str] = ("", "")

    @property
    def stable(self) -> str:
        """The stable prefix so far."""
        return " ".join(self._stable)

    def add(self, hypothesis: str, at_s: float) -> Partial | None:
        """Take the hypothesis after `at_s` seconds of audio; return a partial if it differs from the last one."""
        words = tuple(hypothesis.split())
        agreed = _common(self._words, words)
        self._since = self._since[:agreed] + [at_s] * (len(words) - agreed)
        self._words = words
        settled = 0
        # Words that are new in this hypothesis have no second one to agree with, even at age 0.
        while settled < agreed and at_s - self._since[settled] >= self._agreement_s:
            settled += 1
        if settled > len(self._stable) and _common(self._stable, words) == len(self._stable):
            # Only new words: the prefix keeps the spelling of its first hypothesis.
            self._stable += words[len(self._stable) : settled]
        text = " ".join(self._stable + words[len(self._stable) :])
        said = (text, self.stable)
        if said == self._said:
            return None
        self._said = said
        return Partial(text, self.stable, at_s)

    def finish(self, text: str) -> Final:
        """Take the final words."""
        words = tuple(text.split())
        return Final(" ".join(words), _common(self._stable, words) == len(self._stable))


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the common prefix."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other and spoken_words(one) != spoken_words(other):
            break
        count += 1
    return count
