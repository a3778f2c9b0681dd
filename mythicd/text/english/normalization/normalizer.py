"""The text normaliser: the classifier of tokens, and the spans of a text with the words that are said for them.

Every number is spelled out and every sign that means something is named, so that all voices read a text alike. Words
that any English voice reads well are left as they are, with their punctuation, which carries the prosody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mythicd.text.english.normalization.clock import MONTHS, read_era, read_month, read_span_of_days, read_weekday
from mythicd.text.english.normalization.letters import (
    read_joined,
    read_sentence_joint,
    read_shout,
    read_sound,
    read_stutter,
)
from mythicd.text.english.normalization.names import read_abbreviation, read_glued_abbreviation, read_roman
from mythicd.text.english.normalization.network import read_address, read_tag
from mythicd.text.english.normalization.numeric import read_numeric, spell_pieces
from mythicd.text.english.normalization.spelling import FRACTION_SIGNS, spell_fraction, spell_whole
from mythicd.text.english.normalization.sums import OPERATORS, read_operator
from mythicd.text.english.normalization.tokens import SpokenForm, TokenView, tokenize
from mythicd.text.english.normalization.units import CURRENCY_SIGNS

_DIGITS: Final = frozenset("0123456789") | frozenset(FRACTION_SIGNS)
_OPERATOR_SIGNS: Final = frozenset(OPERATORS) | frozenset(CURRENCY_SIGNS) | frozenset("xX#№~")
_SYMBOLS: Final = {
    "%": "percent",
    "‰": "per mille",
    "@": "at",
    "°": "degrees",
    "∞": "infinity",
    "§": "section",
    "C++": "C plus plus",
    "C#": "C sharp",
    "F#": "F sharp",
}
_RAISED: Final = str.maketrans(
    {"²": " squared ", "³": " cubed "} | {sign: f" {spell_fraction(*part)} " for sign, part in FRACTION_SIGNS.items()}
)
"""Words for signs in the middle of a name, such as a hashtag."""
_UNSPOKEN: Final = frozenset("$£€¥₹+=%&@#^*~/×÷°<>")


@dataclass(frozen=True, slots=True)
class Replacement:
    """Words that are said for a span of the text."""

    start: int
    end: int
    words: str


def normalize(text: str) -> list[Replacement]:
    """Return what is said differently than it is written, in order and without overlaps."""
    tokens = tokenize(text)
    replacements: list[Replacement] = []
    at = 0
    while at < len(tokens):
        form = _read(TokenView(tokens, at))
        if form is None:
            at += 1
            continue
        last = tokens[at + form.tokens - 1]
        replacements.append(Replacement(tokens[at].start, last.end + form.swallowed, form.words.translate(_RAISED)))
        at += form.tokens
    return replacements


def _read(view: TokenView) -> SpokenForm | None:
    """Return what is said for the token, with those after it that belong to it; None to leave it."""
    text = view.text
    if view.after().startswith(")") and (item := _read_item(view)):
        return item
    if text in _SYMBOLS:
        return SpokenForm(_SYMBOLS[text])
    if not _DIGITS.isdisjoint(text):
        return read_address(view) or read_tag(view) or read_glued_abbreviation(view) or read_numeric(view)
    if text in _OPERATOR_SIGNS:
        return read_operator(view) or read_roman(view)
    if text in MONTHS and (month := read_month(view)):
        return month
    if text.isalpha():
        return (
            read_roman(view)
            or read_era(view)
            or read_weekday(view)
            or read_abbreviation(view)
            or read_sound(view)
            or read_shout(view)
        )
    return (
        read_address(view)
        or read_tag(view)
        or read_abbreviation(view)
        or read_glued_abbreviation(view)
        or read_stutter(view)
        or read_span_of_days(view)
        or read_joined(view)
        or read_roman(view)
        or read_sound(view)
        or read_shout(view)
        or read_sentence_joint(view)
        or _read_signs(view)
    )


def _read_item(view: TokenView) -> SpokenForm | None:
    """Read the letter or number of an item in a list: `a) ale b) bread`. Pairs of brackets are gone by now."""
    text = view.text
    if "(" in view.token.before or not (text.isdecimal() and len(text) < 3 or len(text) == 1 and text.isalpha()):
        return None
    return SpokenForm((spell_whole(text) if text.isdecimal() else text.upper()) + ",", 1, 1)


def _read_signs(view: TokenView) -> SpokenForm | None:
    """Read a word with a sign that is said: `A+`, `x=y`, `50%`."""
    text = view.text
    if any(sign in text for sign in "=+%°$£€¥@^²³×÷±≤≥≈") and any(letter.isalnum() for letter in text):
        return SpokenForm(spell_pieces(text))
    # Signs alone, such as "$$$" or "%%", mean nothing that can be said.
    return SpokenForm(" ") if len(text) > 1 and all(sign in _UNSPOKEN for sign in text) else None
