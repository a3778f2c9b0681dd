"""Speakable text: what the voice says for a phrase, without stage directions and markup, with positions in the reply.

`spoken(phrase.text)` is the input of a Tts. Its word times come back with positions in that text; `source` maps them to
positions in the phrase, so that a reply can be cut at the last word that was heard.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from mythicd.text.english.stage_directions import is_stage_direction
from mythicd.text.scripts import unreadable
from mythicd.tts.text_normalization import replacements, speaks_english

_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)")
_BLOCK_MARK = re.compile(r"(?m)^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+)")
_BOLD = re.compile(r"\*{2,3}|_{2,3}|~~|`+")
_KEY = re.compile(r"\[(\w|F\d\d?|(?i:esc|enter|space|shift|ctrl|alt|tab))\]")
_KEY_CUE = re.compile(
    r"(?i)\b(?:press|hit|hold|tap|push|use|key|button|type|click)(?: the)?(?: key)?"
    r"(?: *\[\w{1,5}\](?:,|\+| \+|/| or| and| then)*)* *$"
)
_PARENTHESIS = re.compile(r"\((?!\d{3}\) ?\d)([^()\n]*)\)")
_ITEM = re.compile(r"\w|\d\d")
_BRACKETED = re.compile(r"\[[^\[\]\n]*\]|<[A-Za-z/!][^<>\n]*>")
_STARRED = re.compile(r"(?<![*\w])\*(?=[^\s*])([^*\n]*[^\s*])\*(?!\w)")
_UNDERLINED = re.compile(r"(?<!\w)_(?=\S)|(?<=\S)_(?!\w)")
_EMOTICON = re.compile(r"(?<!\S)(?:[:;=]-?[)(DPpOo/|\\*]+|<3+|\^_?\^|[oO]_[oO])(?!\S)")
_PICTURE = re.compile(
    "[\U0001f000-\U0001faff\U0001fb00-\U0001fbff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\u2190-\u21ff\u25a0-\u25ff"
    "\ufe00-\ufe0f\u200d\u20e3\U000e0000-\U000e007f]+"
)
_LEFTOVER = re.compile(r"[*_`~^|\\<>{}\[\]()#@=•]+|[\u200b-\u200f\u2028-\u202e\u2060\ufeff\ufffd]+")
_MARKED = re.compile(r"[^\W\d_][\u0300-\u036f]+")
_MARKS = re.compile(r"[\u0300-\u036f]+")
_RAISED = re.compile(r"[⁰¹²³⁴-⁹]{2,}|[⁰¹⁴-⁹]")
_KEPT = frozenset("²³ºª½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒↉µ")
"""Characters that the normaliser reads as they are."""
_PLAIN_FORMS = ("<font>", "<wide>", "<circle>", "<small>", "<square>")
_HAS_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A text that was made from another one, with the source of each of its characters."""

    text: str
    begins: tuple[int, ...]
    """For each character, where its source begins."""
    ends: tuple[int, ...]
    """For each character, where its source ends. Both sequences are monotonic."""

    @classmethod
    def of(cls, text: str) -> SpokenText:
        """Return `text` as its own source."""
        return cls(text, tuple(range(len(text))), tuple(range(1, len(text) + 1)))

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the source for characters `start` to `end`, which must not be an empty span."""
        return self.begins[start], self.ends[end - 1]

    def rewrite(self, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str | None]) -> SpokenText:
        """Replace each match; None leaves it. Each new character stands for the whole of what was replaced."""
        return self.replace(
            (match.start(), match.end(), new)
            for match in pattern.finditer(self.text)
            if (new := replace(match)) is not None
        )

    def replace(self, edits: Iterable[tuple[int, int, str]]) -> SpokenText:
        """Replace each stretch (start, end, words), in order and without overlaps; empty stretches are left."""
        pieces: list[str] = []
        begins: list[int] = []
        ends: list[int] = []
        done = 0
        for start, end, new in edits:
            if start == end:
                continue
            pieces += [self.text[done:start], new]
            begins += [*self.begins[done:start], *[self.begins[start]] * len(new)]
            ends += [*self.ends[done:start], *[self.ends[end - 1]] * len(new)]
            done = end
        if not done:
            return self
        return SpokenText(
            "".join([*pieces, self.text[done:]]), (*begins, *self.begins[done:]), (*ends, *self.ends[done:])
        )


ENGLISH = ("en",)
"""The languages of a voice that speaks English only."""


def spoken(text: str, languages: Collection[str] = ENGLISH) -> SpokenText:
    """Return what a voice of these languages says for `text`; it may be empty.

    Numbers and signs become words in English; what is in a script that the voice cannot read is left out
    (`unspeakable` returns it).
    """
    said = SpokenText.of(text)
    english = speaks_english(languages)
    if english and not text.isascii():
        said = said.rewrite(_MARKED, lambda match: _MARKS.sub("", unicodedata.normalize("NFC", match.group())))
        said = said.rewrite(
            _RAISED, lambda match: f"^{''.join(str(unicodedata.digit(char)) for char in match.group())}"
        )
        said = said.replace(_folded(said.text))
    said = _without_markup(said)
    said = said.replace((start, end, " ") for start, end in unreadable(said.text, languages))
    said = said.replace((edit.start, edit.end, edit.words) for edit in replacements(said.text, languages))
    said = said.rewrite(_LEFTOVER, lambda match: " ")
    return said if _HAS_WORD.search(said.text) else SpokenText("", (), ())


def unspeakable(text: str, languages: Collection[str] = ENGLISH) -> tuple[str, ...]:
    """Return the stretches of `text` in scripts that a voice of these languages cannot read, in order.

    A language is given by its code, or by a tag or voice name that begins with it ("en-us+f2", "de_DE-thorsten").
    """
    return tuple(text[start:end] for start, end in unreadable(text, languages))


def _without_markup(said: SpokenText) -> SpokenText:
    """Remove what is left of markup, as a last resort: the reply cleaner has removed it from a model's words."""
    said = said.rewrite(_LINK, lambda match: match.group(1))
    said = said.rewrite(_BLOCK_MARK, lambda match: "")
    said = said.rewrite(_EMOTICON, lambda match: "")
    said = said.rewrite(_BOLD, lambda match: "")
    said = said.rewrite(_STARRED, _starred)
    said = said.rewrite(_KEY, _key)
    while (without := said.rewrite(_BRACKETED, _blank)) is not said:  # repeated for nested brackets
        said = without
    while (without := said.replace(_unbracketed(said.text))) is not said:
        said = without
    said = said.rewrite(_UNDERLINED, lambda match: "")
    return said.rewrite(_PICTURE, lambda match: " ")


def _unbracketed(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the parentheses that are stage directions, and of the others their brackets alone."""
    for match in _PARENTHESIS.finditer(text):
        start, end = match.span()
        if is_stage_direction(match.group(1)) or not _HAS_WORD.search(match.group(1)):
            yield start, end, " "
        else:
            yield start, start + 1, ""
            if not _ITEM.fullmatch(match.group(1)):  # the normaliser reads "a)"
                yield end - 1, end, ""


def _blank(match: re.Match[str]) -> str:
    """Return what stands for a bracketed stretch: a blank, but none beside a word and its punctuation."""
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    return "" if match.group().startswith("<") and not (before.isalnum() and after.isalnum()) else " "


def _folded(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the characters that have a plain form: digits of any script, letters in fancy alphabets, ligatures."""
    for at, char in enumerate(text):
        if char.isascii() or char in _KEPT:
            continue
        if char.isdigit():
            yield at, at + 1, str(unicodedata.digit(char)) if _is_inline(char) else f" {unicodedata.digit(char)} "
        elif char.isnumeric() and not char.isalpha() and unicodedata.category(char) == "No":
            plain = unicodedata.normalize("NFKC", char).strip("().")
            value = unicodedata.numeric(char)
            yield at, at + 1, f" {plain if plain.isascii() else int(value) if value == int(value) else ''} "
        elif "\u2170" <= char <= "\u217f":
            yield at, at + 1, char.upper()
        elif char in "℃℉" or unicodedata.decomposition(char).startswith(_PLAIN_FORMS):
            yield at, at + 1, unicodedata.normalize("NFKC", char)
        elif char.isalpha() and unicodedata.decomposition(char).startswith("<compat>"):
            yield at, at + 1, unicodedata.normalize("NFKC", char)


def _is_inline(digit: str) -> bool:
    """Tell whether a digit stands within a number or a formula, as against a circled one, which numbers an item."""
    return unicodedata.category(digit) == "Nd" or "\u2080" <= digit <= "\u2089"


def _key(match: re.Match[str]) -> str | None:
    """Keep the name of a key that is to be pressed: "Press [E] to open."."""
    return match.group(1) if _KEY_CUE.search(match.string[: match.start()]) else None


def _starred(match: re.Match[str]) -> str:
    """Tell *smiles* from an *emphasised* word: return what of it is spoken."""
    inside = match.group(1)
    before = match.string[: match.start()].rstrip(" \t")
    after = match.string[match.end() :]
    words = inside.split()
    if is_stage_direction(inside):
        return " "
    opens = not before or before[-1] in '.!?…\n"“”'
    goes_on = bool(re.match(r"[\s,]*[a-z]", after)) or bool(re.match(r"[.!?,;:]", after))
    if opens:
        # "*Never* go there." against "*A long silence.* Well..."
        return inside if len(words) == 1 and (goes_on or inside[0].isupper()) else " "
    return inside if len(words) <= 3 else " "
