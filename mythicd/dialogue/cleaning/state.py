"""The state of a reply's cleaning, and what is passed on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mythicd.dialogue.cleaning import markup
from mythicd.dialogue.cleaning.labels import SpeakerLabels

MAX_HELD = 2_000
"""Characters held back for one undecided stretch; a longer one is taken for text without its marks."""
MAX_TAG = 200
"""Longest tag, in characters."""
DECISIVE_WORDS = 6
"""Words at the beginning of a marked stretch that decide whether it is a stage direction."""
EMPHASIS_WORDS = 6
"""Most words between two stars within a sentence that are emphasis."""

_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Gesture:
    """A stage direction or emoji that was removed, at its place among the words."""

    text: str


CleanPart = str | Gesture


@dataclass(slots=True)
class CleanerState:
    """What is known of the reply so far."""

    labels: SpeakerLabels
    name: str
    """The character's first name."""
    tools: tuple[str, ...]
    tool_pattern: re.Pattern[str] | None
    held: str = ""
    """Text that is not decided yet."""
    parts: list[CleanPart] = field(default_factory=list)
    """What was decided and not taken yet."""
    until: re.Pattern[str] | None = None
    """What ends the stretch that is being removed; None outside of one."""
    line_start: bool = True
    sentence_start: bool = False
    skips_line: bool = False
    """Whether the rest of this line is another speaker's, or narration."""
    tail: str = ""
    """The last words passed on, to judge what follows."""
    in_quotes: bool = False
    is_quoted: bool = False
    """Whether the character's words stand in quotation marks, so that what is outside is narration."""
    comma: bool = False
    """Whether a comma before the closing quotation mark waits for what follows."""
    in_thought: bool = False
    """Whether a channel of thoughts is open."""
    closed: bool = False
    """Whether the rest of the reply is not the character's."""
    gestured: bool = False
    """Whether a stage direction or emoji was removed."""

    @property
    def own(self) -> tuple[str, ...]:
        """The character's names in lower case."""
        return self.labels.own

    @property
    def spoke(self) -> bool:
        """Whether any words were passed on."""
        return bool(_WORD.search(self.tail))

    def opens(self) -> bool:
        """Whether a sentence begins here."""
        before = self.tail.rstrip(" \t")
        return not before or before[-1] in '.!?…\n"“”:—*'

    def begun_tool(self) -> int:
        """Return how many characters at the end of the held text may begin a tool's name."""
        word = re.search(r"\w+$", self.held)
        begins = word is not None and any(tool.startswith(word[0]) for tool in self.tools)
        return len(word[0]) if word is not None and begins else 0

    def drop_until(self, pattern: str, *, flags: int = re.IGNORECASE) -> None:
        self.until = re.compile(pattern, flags)

    def end_line_start(self) -> bool:
        self.line_start = self.sentence_start = False
        return True

    def say(self, text: str) -> bool:
        """Pass words on, without pictures and emoticons. Returns True, for the steps that end with it."""
        if not text:
            return True
        plain = markup.PICTURE.sub(self._picture, text)
        before = self.tail[-1:]
        plain = markup.EMOTICON.sub("", before + plain)[len(before) :]
        if self.is_quoted and not self.in_quotes and not plain.strip(" \n.,!?;:—"):
            plain = " " if plain.strip(" \n") == "" else plain
        if plain.isspace() and not self.tail:
            return True
        if plain:
            self.parts.append(plain)
            self.tail = (self.tail + plain)[-200:]
            if plain.strip():
                self.line_start = False
        return True

    def _picture(self, match: re.Match[str]) -> str:
        self.gestured = True
        return " "

    def note_gesture(self, text: str) -> None:
        self.gestured = True
        self.parts.append(Gesture(" ".join(text.split()).strip(" ,.*")))


def beginning(text: str) -> str:
    """Return the first words of a stretch: as many as decide what it is."""
    return " ".join(text.split()[:DECISIVE_WORDS])


def is_enough(text: str) -> bool:
    """Whether the first words are there, whatever follows."""
    return len(text.split()) > DECISIVE_WORDS
