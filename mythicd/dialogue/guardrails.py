"""Guardrails: the checks that each phrase of a reply must pass before it is spoken, in this order.

    markup                tool tags, role marks, headings, JSON and stage directions are removed
    loop, length          a repeated phrase, or what exceeds the cap, is dropped
    character, blocklist  "as an AI language model" or a forbidden term is replaced by a deflection in character
    grounding             an unfounded number, time, price or name is replaced by "I don't know" (optional)

After a phrase was replaced or dropped, the rest of the reply is dropped, too. An empty reply ends with "I don't know".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mythicd.config.world_files import PersonaCard
from mythicd.dialogue import canned_lines
from mythicd.dialogue.grounding import Grounding
from mythicd.text.english.words import WORD, straight_apostrophes

Cause = Literal["ok", "markup", "loop", "length", "character", "blocklist", "grounding", "silence"]

MOST_CHARACTERS = 600
"""Longest reply, in characters; about 40 seconds of speech."""

_OUT_OF_CHARACTER = re.compile(
    r"\b(?:as|i am|i'm|being|just|only) an? (?:\w+ ){0,2}?(?:ai|chat ?bot|bot|language model|computer program|"
    r"(?:virtual|helpful|digital) assistant)\b"
    r"|\b(?:language|ai) models?\b|\bartificial intelligence\b|\bai assistant\b|\bopenai\b|\bchatgpt\b"
    r"|\b(?:the|my) system prompt\b|\bmy (?:training data|programming|knowledge cutoff)\b"
    r"|\b(?:cannot|can't|unable to) (?:assist|help) with (?:that|this|your) request\b|\bnon-player character\b|\bnpc\b",
    re.IGNORECASE,
)

_HEADING = re.compile(r"(?:^|(?<=\n))[ \t]*(?:#{1,6}(?=\s|\w)|-{3,}\s*$)|#{2,}", re.MULTILINE)
_ROLE = re.compile(
    r"<\|im_start\|>\s*(?:assistant|user|system|tool)?|<\|[^|>]*\|?>?|</?(?:s|tool_response|think|INST|SYS)>|\[/?INST\]"
)
_SPEAKER = re.compile(r"(?:^|(?<=\n))\s*(?:assistant|user|system|player|tool|npc)\s*:\s*", re.IGNORECASE)
_NEXT_SPEAKER = re.compile(r"(?:\n|(?<=[.!?]))\s*(?:user|player|system)\s*:", re.IGNORECASE)
_DIRECTION = re.compile(r"\*{1,3}([^*\n]*)\*{1,3}")
_DEBRIS = re.compile(r"\"\w+\"\s*:\s*(?:\"[^\"]*\"?|[\d.\-]+)?,?|[{}\[\]`|<>~^\\]|(?:^|(?<=\n))\s*[-•]\s+|\*+|_{2,}")
_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_LOOP_WORDS = 6


@dataclass(frozen=True, slots=True)
class Line:
    """A checked phrase for the voice."""

    text: str
    cause: Cause = "ok"
    """`ok` for the model's own words, `markup` where some of it was removed, else the reason of the replacement."""
    terms: tuple[str, ...] = ()
    """The terms that failed the check, for the log; never spoken."""


class Guardrails:
    """The guardrails of one reply."""

    def __init__(
        self,
        card: PersonaCard,
        turn: int,
        *,
        blocklist: Sequence[str] = (),
        grounding: Grounding | None = None,
        most_characters: int = MOST_CHARACTERS,
    ) -> None:
        """`turn` counts the character's turns; `grounding` is None for models that need no checking."""
        self._card = card
        self._turn = turn
        self._blocked = _blocked(blocklist)
        self._grounding = grounding
        self._room = most_characters
        self._said: list[str] = []
        self._in_call = False
        self._depth = 0
        self._silent = True
        self.closed = False
        """Whether the rest of the reply is dropped, so that generation can stop."""

    def add(self, phrase: str) -> list[Line]:
        """Check the next phrase; return what is spoken for it: nothing or one line."""
        if self.closed:
            return []
        text = self._without_markup(phrase)
        words = _plain_words(text)
        if not words:
            return []
        if self._repeats(words):
            self.closed = True
            return []
        if len(text) > self._room:
            self.closed = True
            if not self._silent:
                return []
            text = text[: self._room].rsplit(" ", 1)[0]
        if found := _OUT_OF_CHARACTER.search(straight_apostrophes(text)):
            return self._replace("deflect", "character", (found[0],))
        if self._blocked and (found := self._blocked.search(self._with_tail(text))):
            return self._replace("deflect", "blocklist", (found[0],))
        if self._grounding is not None and (terms := self._grounding.check(text)):
            return self._replace("dont_know", "grounding", terms)
        self._room -= len(text)
        self._said.append(" ".join(words))
        self._silent = False
        return [Line(text, "ok" if text == phrase.strip() else "markup")]

    def finish(self, *, acted: bool = False) -> list[Line]:
        """End the reply; return a line to say if nothing was said and no tool was called (`acted`)."""
        return self._replace("dont_know", "silence", ()) if self._silent and not acted else []

    def _replace(self, occasion: canned_lines.Occasion, cause: Cause, terms: tuple[str, ...]) -> list[Line]:
        self.closed = True
        self._silent = False
        return [Line(canned_lines.line(self._card, occasion, self._turn), cause, terms)]

    # --- markup

    def _without_markup(self, phrase: str) -> str:
        """Return the speech in a phrase. Calls and JSON may extend over several phrases."""
        text = self._without_json(self._without_calls(phrase))
        if end := _NEXT_SPEAKER.search(text):
            text = text[: end.start() + 1]
            self.closed = True
        if heading := _HEADING.search(text):
            text = text[: heading.start()]
            self.closed = True
        text = _SPEAKER.sub("", _ROLE.sub(" ", text))
        # One star is a stage direction, which is not spoken; two are emphasis.
        text = _DIRECTION.sub(lambda m: m[1] if m[0].startswith("**") else " ", text)
        text = re.sub(r"\s+", " ", _DEBRIS.sub(" ", text)).strip()
        return re.sub(r"\s+(?=[,.!?;:])", "", text)

    def _without_calls(self, text: str) -> str:
        kept = ""
        while text:
            if self._in_call:
                _, closing, text = text.partition(_CLOSE)
                self._in_call = not closing
            else:
                before, opening, text = text.partition(_OPEN)
                kept += before + " " * bool(opening)
                self._in_call = bool(opening)
        return kept.replace(_CLOSE, " ")

    def _without_json(self, text: str) -> str:
        kept = []
        for character in text:
            if character == "{":
                self._depth += 1
            elif character == "}":
                self._depth = max(0, self._depth - 1)
            elif not self._depth:
                kept.append(character)
        return "".join(kept)

    # --- loops and terms

    def _repeats(self, words: list[str]) -> bool:
        """Tell whether these words repeat an earlier phrase, or run in a loop."""
        joined = " ".join(words)
        if joined in self._said[-1:] or (len(words) > 2 and joined in self._said):
            return True
        recent = (" ".join(self._said[-3:]) + " " + joined).split()
        for size in range(1, _LOOP_WORDS + 1):
            rounds = 6 if size == 1 else 3  # "no, no, no" is speech
            for start in range(max(0, len(recent) - len(words) - size * rounds), len(recent) - size * rounds + 1):
                unit = recent[start : start + size]
                if all(recent[start + size * n : start + size * (n + 1)] == unit for n in range(1, rounds)):
                    return True
        return False

    def _with_tail(self, text: str) -> str:
        """Return the text after the last words said, so that a term across two phrases is found."""
        return f"{self._said[-1] if self._said else ''} {_folded(text)}"


def _folded(text: str) -> str:
    """Return text without case, accents, invisible characters and typographic apostrophes."""
    plain = unicodedata.normalize("NFKD", straight_apostrophes(text))
    return "".join(c for c in plain if not unicodedata.combining(c) and unicodedata.category(c) != "Cf").casefold()


def _plain_words(text: str) -> list[str]:
    return [word.casefold() for word in WORD.findall(_folded(text))]


def _blocked(terms: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern for whole terms, with any punctuation between their words, singular or plural."""
    patterns = [r"[\W_]*".join(map(re.escape, words)) for term in terms if (words := _plain_words(term))]
    return re.compile(rf"\b(?:{'|'.join(patterns)})(?:e?s)?\b") if patterns else None
