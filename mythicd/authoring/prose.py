"""Descriptions in other programs' styles as plain sentences: prose, lists, W++, property lists, Markdown and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mythicd.text.english.sentences import sentences

LONGEST_LINE = 160
"""Characters of one line of a card; longer ones are split. Twice the longest line of the sample world."""

# No part of these patterns runs over the start of another match: texts may be large, and may be hostile.
_HTML = re.compile(
    r"<!--(?:(?!<!--|-->).)*-->|<(style|script)\b(?:(?!</?(?:style|script)\b).)*</\1\s*>", re.DOTALL | re.IGNORECASE
)
_BREAK = re.compile(r"<(?:br|p|div|li|hr|tr|h[1-6])\b[^<>]{0,300}>|</(?:p|div|li|tr|h[1-6])>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][\w:-]*(?:\s[^<>]{0,500})?/?>")
_FENCE = re.compile(r"^```.*$|^~~~.*$", re.MULTILINE)
_IMAGE = re.compile(r"!\[[^\]\n]{0,300}\]\([^)\n]{0,500}\)")
_LINK = re.compile(r"\[([^\]\n]{1,300})\]\(https?://[^)\n]{0,500}\)")
_RULE = re.compile(r"^[ \t]*(?:[-=*_~+#][ \t]?){3,}$", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*(?:[-*•‣▪●◦–—+>]|\d{1,2}[.)])[ \t]+")
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t]*(.+?)[ \t#:]*$")
_EMPHASIS = re.compile(r"[*_~`]{2,}|[*`#]|(?<!\w)_|_(?!\w)")
_FIELD = re.compile(r"^([A-Z][\w '’/&()-]{0,40}?)[ \t]*[:=][ \t]*(.*)$")
_ATTRIBUTE = re.compile(
    r"([A-Za-z][\w '’/&-]{0,40}?)[ \t]*(?:[:=][ \t]*)?[(\[{][ \t]*"
    r"(\"[^\"\n]{0,400}\"(?:[ \t\n]*[+,|][ \t\n]*\"[^\"\n]{0,400}\")*)[ \t]*[)\]}]"
)
"""W++: `Mind("kind" + "brave")`."""
_WRAPPED = re.compile(r"^[ \t]*\[(.*)\][ \t]*$", re.DOTALL)
_SPEECH = re.compile(r"^[ \t]*([\w .'’-]{1,40}):[ \t]*(?=[\"“*'])")

_IDENTITY_KEYS = frozenset(("name", "names", "character", "char", "full name", "character name"))
_PROSE_KEYS = frozenset("backstory background history biography bio story about past description info".split())
"""Fields whose values are sentences of their own."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that a description says."""

    text: str
    """A sentence, or the values of a field."""
    field: str = ""
    """Name of the field it was given in: "Personality"; empty in prose."""

    @property
    def line(self) -> str:
        """The statement as one line."""
        return f"{self.field}: {self.text}" if self.field else self.text


def statements(text: str) -> list[Statement]:
    """Return what a description says, in its order, without markup."""
    found: list[Statement] = []
    heading = ""
    for line in _lines(_plain(text)):
        if head := _HEADING.match(line):
            heading = _bare(head[1])
            continue
        bare = _bare(_BULLET.sub("", line))
        if not bare or not re.search(r"\w", bare):
            continue
        given = _FIELD.match(bare)
        if given and given[1].strip().lower() in _IDENTITY_KEYS:
            continue
        if given and not given[2].strip():
            heading = given[1].strip()
            continue
        if given and given[1].strip().lower() in _PROSE_KEYS:
            found += [Statement(sentence) for sentence in sentences(given[2].strip())]
            heading = ""
        elif given and len(given[1].split()) <= 4:
            found.append(Statement(_values(given[2]), given[1].strip()))
            heading = ""
        elif _BULLET.match(line) and heading and not _is_sentence(bare):
            found.append(Statement(bare.rstrip("."), heading))
        else:
            found += [Statement(sentence) for sentence in sentences(bare)]
    return [part for statement in _joined(found) for part in _split(statement)]


def _plain(text: str) -> str:
    """Return text without HTML, Markdown blocks, and the brackets of W++ and property lists."""
    text = _TAG.sub("", _BREAK.sub("\n", _HTML.sub("", text)))
    text = _RULE.sub("", _LINK.sub(r"\1", _IMAGE.sub("", _FENCE.sub("", text))))
    text = _ATTRIBUTE.sub(
        lambda match: (
            f"\n{match[1].strip()[:1].upper()}{match[1].strip()[1:]}: "
            + ", ".join(part.strip() for part in re.findall(r'"([^"]*)"', match[2]))
            + "\n"
        ),
        text,
    )
    return "".join(letter for letter in text if letter >= " " or letter in "\n\t").replace("\t", " ")


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text; the items of a property list (`[a: b; c: d]`) one by one."""
    for line in text.split("\n"):
        wrapped = _WRAPPED.match(line)
        inner = wrapped[1] if wrapped else line
        if wrapped and ";" in inner and inner.count(":") + inner.count("=") >= 2:
            yield from inner.split(";")
        else:
            yield inner


def _bare(text: str) -> str:
    """Return a line without emphasis, and without brackets that have no partner."""
    text = " ".join(_EMPHASIS.sub("", text).split())
    for opening, closing in ("()", "[]", "{}"):
        if text.count(opening) != text.count(closing) or opening in "{[":
            text = text.replace(opening, "").replace(closing, "")
    text = text.replace("|", ",").replace("<", "").replace(">", "")
    return re.sub(r" ([,;])", r"\1", text).strip(" ;\t")


def _values(text: str) -> str:
    """Return the values of a field as a list with commas: programs write `a + b` too."""
    return re.sub(r"\s*\+\s*", ", ", re.sub(r'["“”]', "", text)).strip().rstrip(".;,")


def _is_sentence(text: str) -> bool:
    return text[-1:] in ".!?…" and len(text.split()) > 2


def _joined(found: list[Statement]) -> Iterator[Statement]:
    """Yield the statements; list items in a row that share a heading as one."""
    at = 0
    while at < len(found):
        field, texts = found[at].field, [found[at].text]
        while field and at + 1 < len(found) and found[at + 1].field == field:
            at += 1
            texts.append(found[at].text)
        yield Statement(", ".join(texts), field)
        at += 1


def _split(statement: Statement) -> Iterator[Statement]:
    """Yield a statement in parts of at most LONGEST_LINE characters."""
    room = LONGEST_LINE - (len(statement.field) + 2 if statement.field else 0)
    for part in split_long(statement.text, max(40, room)):
        yield Statement(part, statement.field)


def split_long(text: str, longest: int) -> list[str]:
    """Return a text in parts of at most `longest` characters, cut at sentences, clauses, or words."""
    if len(text) <= longest:
        return [text] if text else []
    parts: list[str] = []
    for mark in (r"(?<=[.!?…])\s+", r"(?<=;)\s+|\s+[–—]\s+", r"(?<=,)\s+", r"\s+"):
        pieces = [piece for piece in re.split(mark, text) if piece]
        if len(pieces) > 1 and (mark == r"\s+" or max(map(len, pieces)) <= longest):
            break
    else:
        pieces = [text[at : at + longest] for at in range(0, len(text), longest)]
    held = ""
    for piece in pieces:
        joined = f"{held} {piece}".strip()
        if held and len(joined) > longest:
            parts.append(held.rstrip(",;"))
            held = piece
        else:
            held = joined
    parts.append(held.rstrip(",;"))
    return [inner for part in parts for inner in ([part] if len(part) <= longest else _chopped(part, longest))]


def _chopped(text: str, longest: int) -> list[str]:
    """Return a stretch without spaces in parts."""
    return [text[at : at + longest] for at in range(0, len(text), longest)]


def spoken_only(text: str, character: str, player: str) -> str:
    """Return a text that is written as a dialogue as the character's words alone; any other text as it is."""
    lines = [line for line in text.split("\n") if line.strip()]
    labelled = [_label(line) for line in lines]
    speakers = {label.casefold() for label in labelled if label}
    if player.casefold() not in speakers and character.casefold() not in speakers:
        return text
    kept: list[str] = []
    speaker = ""
    for line, label in zip(lines, labelled, strict=True):
        speaker = label.casefold() or speaker
        if speaker == player.casefold():
            continue
        words = line.partition(":")[2] if label else line
        words = re.sub(r"\*[^*\n]{0,2000}\*", " ", words)
        kept.append(" ".join(words.replace('"', " ").replace("“", " ").replace("”", " ").split()))
    return "\n".join(line for line in kept if line)


def _label(line: str) -> str:
    """Return who speaks a line of a dialogue; empty if it has no label."""
    match = _SPEECH.match(line)
    return match[1].strip() if match else ""
