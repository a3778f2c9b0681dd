"""Sums: operators between blanks and within a token: `2 + 2 = 4`, `5-3=2`, `2^3`, `x²`, `3.5e-10`."""

from __future__ import annotations

import re
from typing import Final

from mythicd.text.english.normalization.amounts import SIGN_WORDS, Amount, parse_amount, spell_amount
from mythicd.text.english.normalization.clock import parse_time
from mythicd.text.english.normalization.spelling import cardinal
from mythicd.text.english.normalization.tokens import SpokenForm, TokenView
from mythicd.text.english.normalization.units import CURRENCY_SIGNS

_OPERATOR = re.compile(r"([-+–−*×÷=/^<>≤≥≠≈±])")
_SUM = re.compile(r"[-+–−]?(?:\d+(?:\.\d+)?|[a-z])(?:[-+–−*×÷=/^<>≤≥≠≈±][-+–−]?(?:\d+(?:\.\d+)?|[a-z]))+")
_SUPERSCRIPT = re.compile(r"(.+?)([²³])")
_SCIENTIFIC = re.compile(r"(\d+(?:\.\d+)?)[eE]([-+–−]?)(\d{1,3})")

OPERATORS: Final = {
    "+": "plus",
    "-": "minus",
    "–": "minus",
    "−": "minus",
    "*": "times",
    "×": "times",
    "÷": "divided by",
    "/": "divided by",
    "=": "equals",
    "^": "to the power of",
    "<": "is less than",
    ">": "is greater than",
    "≤": "is at most",
    "≥": "is at least",
    "≠": "is not",
    "≈": "is about",
    "±": "plus or minus",
}


def read_sum(view: TokenView) -> SpokenForm | None:
    """Read `2+2=4`, `x=5`, `2^3`."""
    if not _SUM.fullmatch(view.text):
        return None
    words = []
    for part in filter(None, _OPERATOR.split(view.text)):
        amount = parse_amount(part)
        words.append(OPERATORS.get(part) or (spell_amount(amount) if amount else part))
    return SpokenForm(" ".join(words))


def read_power(view: TokenView) -> SpokenForm | None:
    match = _SUPERSCRIPT.fullmatch(view.text)
    if match is None or (amount := parse_amount(match[1])) is None or amount.unit is not None:
        return None
    return SpokenForm(f"{spell_amount(amount)} {'squared' if match[2] == '²' else 'cubed'}")


def read_scientific(view: TokenView) -> SpokenForm | None:
    """Read a number in scientific notation: `3.5e-10`."""
    match = _SCIENTIFIC.fullmatch(view.text)
    if match is None or (amount := parse_amount(match[1])) is None:
        return None
    power = ("minus " if match[2] and match[2] != "+" else "") + cardinal(int(match[3]))
    return SpokenForm(f"{amount.number} times ten to the power of {power}")


def read_operator(view: TokenView) -> SpokenForm | None:
    """Read a sign between blanks: `2 + 2 = 4`, `5 - 3 = 2`, `5 - 10 gold`, `3 × 4`, `7 pm - 9 pm`."""
    sign = view.text
    before, after = view.near(-1), view.near(1)
    if sign in ("-", "–", "−"):
        return _read_dash(view, before, after)
    if sign == "/":
        return _read_slash(view, before, after)
    if sign in "#№":
        return SpokenForm("number" if after[:1].isdecimal() else " ")
    if sign in CURRENCY_SIGNS:
        return SpokenForm(CURRENCY_SIGNS[sign].many)
    if not before and after[:1].isdecimal() and sign in SIGN_WORDS:
        return SpokenForm(SIGN_WORDS[sign])
    if sign == "~":
        return SpokenForm("about" if after[:1].isdecimal() and before.lower() != "about" else " ")
    if sign in ("*", "^", "<", ">") and not (_is_operand(before) and _is_operand(after)):
        return SpokenForm(" ")
    if sign in ("x", "X"):
        return SpokenForm("times") if before[:1].isdecimal() and after[:1].isdecimal() else None
    if sign in OPERATORS:
        return SpokenForm(OPERATORS[sign] if before and after or sign in "+±" else " ")
    return None


def _read_dash(view: TokenView, before: str, after: str) -> SpokenForm | None:
    """Read a dash between numbers: "minus" in a sum or from more to less, else "to"; other dashes are left."""
    low, high = parse_amount(before), parse_amount(after)
    if low is not None and high is not None:
        is_less = low.is_plain and high.unit is None and high.whole and _size_of(low) >= _size_of(high)
        return SpokenForm("minus" if is_less or _in_sum(view) else "to")
    if (parse_time(before) or before.lower().rstrip(".") in ("am", "pm", "a.m", "p.m")) and after[:1].isdecimal():
        return SpokenForm("to")
    return None


def _read_slash(view: TokenView, before: str, after: str) -> SpokenForm | None:
    if not before or not after:
        return None
    low, high = parse_amount(before), parse_amount(after)
    if low is None or high is None:
        return SpokenForm("or")
    return SpokenForm("divided by" if _in_sum(view) or _size_of(low) > _size_of(high) else "out of")


def _size_of(amount: Amount) -> int:
    return int((amount.whole or "0")[-15:])


def _is_operand(text: str) -> bool:
    return text[:1].isdecimal() or len(text) == 1 and text.isalpha() or text.isupper()


def _in_sum(view: TokenView) -> bool:
    """Tell whether another operator stands near: then a dash is a minus."""
    return any(view.near(offset) in ("=", "+", "×", "*", "÷") for offset in (-4, -2, 2, 4))
