"""The phrase buffer: a streaming reply to phrases for the voice, first a short clause, then whole sentences.

    "No, friend, open till the moon's high. Mind the gate. It sticks."
     |---------| |-------------------------||------------------------|
       first       a sentence                 two short ones together

The first phrase ends at the first `, . ! ? ; : —` after at least two words, or after 250 ms between any three words.
Later ones end with a sentence, which waits up to 300 ms for a second. Joined, the phrases are the text, unchanged.
Where a script has no blanks (Chinese, Japanese, Thai), letters are counted instead of words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mythicd.text.english.abbreviations import BEFORE_NUMBER, TITLES
from mythicd.text.english.sentences import Rest
from mythicd.text.scripts import BLANKLESS_LETTER
from mythicd.tts.sentence_boundaries import Boundary, asides, boundaries, count_words

_LEANING = frozenset(
    "a an the this that these those my your his her its our their of to in on at by for from with and or but nor so "
    "as than if when no not very is are was were be been am will would can could shall should may might must do does "
    "did has have had i you he she we they who which what whose "
    "january february april june july august september october november december".split()
) | frozenset((*TITLES, *BEFORE_NUMBER))
"""Words that belong to the next one: no cut after them without punctuation."""

_BLANKS = re.compile(r"\s+")
_BELONGS_BEFORE = re.compile(r"\s+(?:[IVXLC]+\b|[-+*/=×÷&%°<>]|[AaPp]\.?[Mm]\b)")
"""What is read together with the word before it: the numeral of a name, an operator, "p.m."."""
_BLANKLESS_RUN = re.compile(rf"(?:{BLANKLESS_LETTER.pattern})+")


@dataclass(frozen=True, slots=True)
class PhraseTiming:
    """Times and lengths at which phrases are cut."""

    first_ms: float = 250
    """Longest wait for a mark in the first phrase, from its first word."""

    first_words: int = 2
    """Words that the first phrase has at least, when a mark ends it."""

    late_words: int = 3
    """Words that the first phrase has at least, when no mark ends it."""

    late_letters: int = 12
    """Letters that the first phrase has at least in a script without blanks, when neither a mark nor a blank ends it:
    longer than most clauses, because a cut within a word is audible."""

    coalesce_ms: float = 300
    """How long a later sentence waits for another, from its first character."""

    sentences: int = 2
    """Most sentences in one later phrase."""

    max_chars: int = 300
    """A longer phrase is cut at its last clause, else between words, else anywhere."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A part of the reply that is synthesised in one request."""

    text: str
    """Exactly as it stands in the reply, spaces included."""

    start: int
    """Index of its first character in the reply."""

    @property
    def end(self) -> int:
        """Index after its last character."""
        return self.start + len(self.text)


class PhraseBuffer:
    """The phrase buffer of one reply. Time is an argument, in seconds on a monotonic clock."""

    def __init__(self, timing: PhraseTiming | None = None) -> None:
        self._timing = timing or PhraseTiming()
        self._text = ""
        self._start = 0
        self._since: float | None = None
        self._first = True

    def add(self, text: str, now: float) -> list[Phrase]:
        """Take the next piece of the reply; return the phrases that are ready."""
        self._text += text
        if self._since is None and count_words(self._head, Rest.COMING):
            self._since = now
        return self.flush_due(now)

    def flush_due(self, now: float) -> list[Phrase]:
        """Return the phrases that have waited long enough."""
        phrases: list[Phrase] = []
        while (at := self._next_cut(now)) is not None:
            phrases.append(self._cut(at, now))
        return phrases

    @property
    def deadline(self) -> float | None:
        """When `flush_due` will return a phrase, if no more text comes; None if never."""
        if self._since is None:
            return None
        if self._first:
            return self._since + self._timing.first_ms / 1000 if self._late_cut() is not None else None
        waits = self._sentences_end(boundaries(self._head, Rest.COMING)) is not None
        return self._since + self._timing.coalesce_ms / 1000 if waits else None

    def hurry(self, now: float) -> list[Phrase]:
        """Return the whole clauses that are there, because the voice is about to run out of audio."""
        whole = [boundary.at for boundary in boundaries(self._head, Rest.COMING) if self._is_spoken(boundary.at)]
        return [self._cut(whole[-1], now)] if whole else []

    def finish(self) -> list[Phrase]:
        """Take the end of the text; return the rest."""
        phrases: list[Phrase] = []
        while self._text:
            ends = boundaries(self._head, Rest.NONE if self._head == self._text else Rest.COMING)
            at = self._first_clause(ends) if self._first else None
            if at is None:
                at = self._sentences_end(ends)
            if at is None or not count_words(self._text[at : at + self._timing.max_chars]):
                at = len(self._text)
            phrases.append(self._cut(min(at, self._longest(ends)), 0.0))
        self._since = None
        return phrases

    @property
    def _head(self) -> str:
        """The part of the text that can matter for the next cut."""
        return self._text[: 2 * self._timing.max_chars]

    def _next_cut(self, now: float) -> int | None:
        """Return where to cut now, or None to wait."""
        ends = boundaries(self._head, Rest.COMING)
        at: int | None
        if self._first:
            at = self._first_clause(ends)
            if at is None and self._is_due(now, self._timing.first_ms):
                at = self._late_cut()
        else:
            wanted = 1 if self._is_due(now, self._timing.coalesce_ms) else self._timing.sentences
            at = self._sentences_end(ends, wanted)
        longest = self._longest(ends)
        if at is None:
            return longest if len(self._text) > longest else None
        return min(at, longest)

    def _is_due(self, now: float, wait_ms: float) -> bool:
        # Compare the sum, as `deadline` gives it: a difference may round to just below the wait.
        return self._since is not None and now >= self._since + wait_ms / 1000

    def _first_clause(self, ends: list[Boundary]) -> int | None:
        """Return the end of the first clause that is long enough for a first phrase."""
        for boundary in ends:
            if count_words(self._text[: boundary.at]) >= self._timing.first_words:
                return boundary.at
        return None

    def _late_cut(self) -> int | None:
        """Return where the first phrase may end without a mark, after it has waited long enough."""
        text = self._head
        for boundary in boundaries(text, Rest.LATE):
            if self._is_spoken(boundary.at) and not self._in_quotes(boundary.at):
                return boundary.at
        hidden = asides(text, Rest.LATE)
        for blank in reversed(list(_BLANKS.finditer(text))):
            at = blank.start()
            words = text[:at].split()
            if not words or any(start <= at < end for start, end in hidden):
                continue
            last = words[-1].strip("\"'“”‘’*_.").lower()
            leans = last in _LEANING or last[-1:].isdigit() or not any(char.isalnum() for char in last)
            leans = leans or _BELONGS_BEFORE.match(text, at) is not None
            if not leans and count_words(text[:at]) >= self._timing.late_words:
                return at
        return self._late_cut_without_blanks(text, hidden)

    def _late_cut_without_blanks(self, text: str, hidden: list[tuple[int, int]]) -> int | None:
        """Return where the first phrase may end between two letters of a script without blanks."""
        for run in reversed(list(_BLANKLESS_RUN.finditer(text))):
            at = run.end() - 1  # the last letter may belong to a mark that comes next
            if any(start <= at < end for start, end in hidden):
                continue
            if at > run.start() and count_words(text[:at]) >= self._timing.late_letters:
                return at
        return None

    def _sentences_end(self, ends: list[Boundary], wanted: int = 1) -> int | None:
        """Return the end of as many sentences as form one phrase; None while fewer than `wanted` are there."""
        spoken = [boundary.at for boundary in ends if boundary.sentence and self._is_spoken(boundary.at)]
        if len(spoken) < wanted:
            return None
        return spoken[min(len(spoken), self._timing.sentences) - 1]

    def _longest(self, ends: list[Boundary]) -> int:
        """Return the last place where a phrase may end."""
        most = self._timing.max_chars
        if len(self._text) <= most:
            return len(self._text)
        clauses = [boundary.at for boundary in ends if boundary.at <= most and self._is_spoken(boundary.at)]
        blanks = [blank.start() for blank in _BLANKS.finditer(self._text, 0, most) if blank.start()]
        return (clauses or blanks or [most])[-1]

    def _is_spoken(self, at: int) -> bool:
        return count_words(self._text[:at]) > 0

    def _in_quotes(self, at: int) -> bool:
        """Tell whether a closing quotation mark may still come at `at`, the end of the text."""
        head = self._text[:at]
        is_open = head.count('"') % 2 == 1 or any(head.count(a) > head.count(b) for a, b in ("“”", "「」", "『』"))
        return at == len(self._text) and is_open

    def _cut(self, at: int, now: float) -> Phrase:
        phrase = Phrase(self._text[:at], self._start)
        self._text = self._text[at:]
        self._start += at
        self._since = now if count_words(self._head, Rest.COMING) else None
        self._first = self._first and not count_words(phrase.text)
        return phrase
