"""Guardrails: the checks that each phrase of a reply must pass before it is spoken, in this order.

    loop, length          a repeated phrase, or what exceeds the cap, is dropped
    character, blocklist  "as an AI language model" or a forbidden term is replaced by a deflection in character
    grounding             an unfounded number, time, price or name is replaced by "I don't know" (optional)

Phrases come without markup (dialogue/cleaning/). After a phrase was replaced or dropped, the rest of the reply is
dropped, too. A reply without words ends with a backchannel if it held a gesture, and else with "I don't know".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mythicd.config.world_files import PersonaCard
from mythicd.dialogue import canned_lines
from mythicd.dialogue.cleaning.cleaner import tidy
from mythicd.dialogue.grounding import Grounding
from mythicd.text.english.words import WORD, straight_apostrophes

Cause = Literal["ok", "character", "blocklist", "grounding", "gesture", "silence"]

MOST_CHARACTERS = 600
"""Longest reply, in characters; about 40 seconds of speech."""

_OUT_OF_CHARACTER = re.compile(
    r"\b(?:as|i am|i'm|being|just|only) an? (?:\w+ ){0,2}?(?:language model|(?:virtual|helpful|digital|ai) assistant)\b"
    r"|\blanguage models?\b|\bai assistant\b|\bopenai\b|\bchatgpt\b"
    r"|\b(?:the|my) system prompt\b|\bmy (?:training data|knowledge cutoff)\b"
    r"|\b(?:cannot|can't|unable to) (?:assist|help) with (?:that|this|your) request\b|\bnon-player character\b|\bnpc\b",
    re.IGNORECASE,
)

_IDENTITY = re.compile(
    r"\b(?:as|i am|i'm|being|just|only) an? (?:\w+ ){0,2}?(?:ai|chat ?bot|bot|computer program)\b"
    r"|\bartificial intelligence\b|\bmy programming\b|\bai models?\b",
    re.IGNORECASE,
)
"""What only an artificial character may say of itself."""
_ARTIFICIAL = re.compile(
    r"\b(?:a\.?i\.?|artificial(?: intelligence)?|androids?|robots?|cyborgs?|synthetics?|synths?|automat(?:on|a)s?|"
    r"droids?|"
    r"holograms?|(?:ship's|station's) (?:computer|mind)|computers?|machines?|mainframe|golems?|construct)\b",
    re.IGNORECASE,
)

LEAST_ROUNDS = (12, 5, 3)
"""How often a unit of one, two, or more words must follow itself to be a loop: "ha ha ha ha ha ha!" and "tick tock,
tick tock, tick tock" are speech."""
CHANT_WORDS = 4
"""Most words of a cry that may come several times: "Hip hip hooray!", "Long live the king!"."""
_STAMMER = re.compile(r"([^\W\d_]{2,6}?)\1{4,}")
"""A loop within a word: "neverateateateateate"."""
_LAUGHTER = re.compile(r"(?:(?:ha|he|ho|hi|ah|mwa|bwa|la|na|ta|tra|tut|ba|da|yo|wa|wo){1,2}|(.)\1+)+h?", re.IGNORECASE)
_LOOP_WORDS = 6


@dataclass(frozen=True, slots=True)
class Line:
    """A checked phrase for the voice."""

    text: str
    cause: Cause = "ok"
    """`ok` for the model's own words, else the reason of the replacement."""
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
        is_artificial: bool = False,
    ) -> None:
        """`turn` counts the character's turns; `grounding` is None for models that need no checking. `is_artificial`
        lets the character say that it is an AI; so does a card that says so."""
        self._card = card
        self._turn = turn
        self._blocked = _blocked(blocklist)
        self._grounding = grounding
        self._room = most_characters
        self._said: list[str] = []
        self._silent = True
        self._paused = False
        """Whether there were phrases of punctuation alone, such as "…"."""
        told = " ".join((card.name, card.archetype, *card.persona_lines()))
        self._is_artificial = is_artificial or bool(_ARTIFICIAL.search(told))
        self.closed = False
        """Whether the rest of the reply is dropped, so that generation can stop."""

    def add(self, phrase: str) -> list[Line]:
        """Check the next phrase; return what is spoken for it: nothing or one line."""
        if self.closed:
            return []
        text = tidy(phrase)
        words = _plain_words(text)
        if not words:
            self._paused = self._paused or bool(text)
            return []
        if self._repeats(words, is_cry=text.endswith("!")):
            self.closed = True
            return []
        if len(text) > self._room:
            self.closed = True
            if not self._silent:
                return []
            text = text[: self._room].rsplit(" ", 1)[0]
        if found := self._breaks_character(text):
            return self._replace("deflect", "character", (found[0],))
        if self._blocked and (found := self._blocked.search(self._with_tail(text))):
            return self._replace("deflect", "blocklist", (found[0],))
        if self._grounding is not None and (terms := self._grounding.check(text)):
            return self._replace("dont_know", "grounding", terms)
        self._room -= len(text)
        self._said.append(" ".join(words))
        self._silent = False
        return [Line(text)]

    def finish(self, *, acted: bool = False, gestured: bool = False) -> list[Line]:
        """End the reply; return a line to say if nothing was said and no tool was called (`acted`).

        `gestured` says that the reply held a stage direction or emoji: then it was an answer, and is not denied.
        """
        if not self._silent or acted:
            return []
        if gestured or self._paused:
            return self._replace("backchannel", "gesture", ())
        return self._replace("dont_know", "silence", ())

    def _replace(self, occasion: canned_lines.Occasion, cause: Cause, terms: tuple[str, ...]) -> list[Line]:
        self.closed = True
        self._silent = False
        return [Line(canned_lines.line(self._card, occasion, self._turn), cause, terms)]

    # --- loops and terms

    def _breaks_character(self, text: str) -> re.Match[str] | None:
        plain = straight_apostrophes(text)
        if found := _OUT_OF_CHARACTER.search(plain):
            return found
        return None if self._is_artificial else _IDENTITY.search(plain)

    def _repeats(self, words: list[str], *, is_cry: bool) -> bool:
        """Tell whether these words repeat an earlier phrase, or run in a loop; `is_cry` says that they are called."""
        joined = " ".join(words)
        is_chant = is_cry and len(words) <= CHANT_WORDS
        if len(words) > 2 and joined in self._said and not is_chant and not all(map(_LAUGHTER.fullmatch, words)):
            return True
        if any(_stammers(word) for word in words):
            return True
        recent = (" ".join(self._said[-LEAST_ROUNDS[1] :]) + " " + joined).split()
        for size in range(1, _LOOP_WORDS + 1):
            rounds = LEAST_ROUNDS[min(size, len(LEAST_ROUNDS)) - 1]
            if is_cry and size <= CHANT_WORDS:
                rounds = max(rounds, LEAST_ROUNDS[1])
            for start in range(max(0, len(recent) - len(words) - size * rounds), len(recent) - size * rounds + 1):
                unit = recent[start : start + size]
                if all(recent[start + size * n : start + size * (n + 1)] == unit for n in range(1, rounds)):
                    return True
        return False

    def _with_tail(self, text: str) -> str:
        """Return the text after the last words said, so that a term across two phrases is found."""
        return f"{self._said[-1] if self._said else ''} {_folded(text)}"


def _stammers(word: str) -> bool:
    """Tell whether a word runs in a loop, and is not a cry or laughter."""
    found = _STAMMER.search(word)
    return found is not None and len(set(found[1])) > 1 and not _LAUGHTER.fullmatch(word)


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
