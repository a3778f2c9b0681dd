"""Placeholders (macros) in the texts of character cards, resolved: `{{char}}`, `{{user}}`, `<BOT>`, `{{// comments}}`.

Card texts are read when they are imported, not at every reply. So what changes from reply to reply, such as `{{time}}`,
has no value: it is taken out and reported. Of several values (`{{random: a, b}}`) the first is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PLAYER = "the player"

_INNERMOST = re.compile(r"\{\{((?:(?!\{\{|\}\}).)*)\}\}", re.DOTALL)
_ANGLED = re.compile(r"<(USER|BOT|CHAR|START)>", re.IGNORECASE)
_SINGLE = re.compile(r"(?<![{\w])\{(user|char)\}(?!\})", re.IGNORECASE)
_DEPTH = 200
"""Placeholders, one within the other or in a row, that are resolved in one text."""

_CHARACTER = frozenset(("char", "bot", "character", "charifnotgroup", "group", "char_name", "name"))
_USER = frozenset(("user", "player", "user_name", "username"))
_NOTHING = frozenset(("original", "trim", "noop", "pipe", "//"))
"""What is taken out without a report: comments, and what only arranges the text around it."""
_CHOICES = frozenset(("random", "pick"))
_COMMENTS = frozenset(("comment", "hidden_key", "//"))


@dataclass(frozen=True, slots=True)
class Resolved:
    """A text without placeholders."""

    text: str
    taken_out: tuple[str, ...] = ()
    """Placeholders that have no value here, as written."""
    first_of_several: tuple[str, ...] = ()
    """Placeholders of which the first value was taken."""


def resolve_placeholders(text: str, character: str, user: str = PLAYER) -> Resolved:
    """Return a text with the names of the character and the player in the place of their placeholders."""
    taken_out: list[str] = []
    chosen: list[str] = []

    def value(match: re.Match[str]) -> str:
        written = match[1].strip()
        name, _, rest = re.sub(r"\s*(::|:|\s)\s*", ":", written, count=1).partition(":")
        name = name.lower()
        if written.startswith("//") or name in _COMMENTS or written.lower() in _NOTHING:
            return ""
        if name in _CHARACTER:
            return character
        if name in _USER:
            return user
        if name == "newline":
            return "\n"
        if name == "reverse":
            return rest[::-1]
        if name in _CHOICES and rest:
            chosen.append(match[0])
            separator = r"::" if "::" in rest else r"(?<!\\),"
            return re.split(separator, rest)[0].replace("\\,", ",").strip()
        taken_out.append(match[0])
        return ""

    for _ in range(_DEPTH):
        text, found = _INNERMOST.subn(value, text)
        if not found:
            break
    text = _ANGLED.sub(
        lambda match: {"user": user, "start": "\n"}.get(match[1].lower(), character),
        text,
    )
    text = _SINGLE.sub(lambda match: user if match[1].lower() == "user" else character, text)
    return Resolved(_capitalised(text, user), tuple(dict.fromkeys(taken_out)), tuple(dict.fromkeys(chosen)))


def _capitalised(text: str, user: str) -> str:
    """Return a text in which the player is capitalised at the start of a sentence, and no place is left empty."""
    text = re.sub(r" ([.,;:!?])", r"\1", re.sub(r"[ \t]{2,}", " ", text))
    begins = rf"(^|[.!?…][\"'”’)*]*\s|\n[ \"'“‘(*]?)({re.escape(user)})"
    return re.sub(begins, lambda match: match[1] + match[2][:1].upper() + match[2][1:], text).strip()
