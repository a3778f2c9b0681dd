"""Codes of digits: phone numbers, versions, dice, numbers with a number sign."""

from __future__ import annotations

import re
from typing import Final

from mythicd.text.english.normalization.amounts import parse_amount
from mythicd.text.english.normalization.clock import read_date
from mythicd.text.english.normalization.spelling import spell_digits, spell_whole
from mythicd.text.english.normalization.sums import OPERATORS
from mythicd.text.english.normalization.tokens import SpokenForm, TokenView

_PHONE = re.compile(
    r"\(\d{3}\) ?\d{3}[-. ]\d{4}|(?:\+?\d{1,3}[-. ])?\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}|\+\d{7,15}|\d-\d{3}-\d{3}-\d{4}"
    r"|0\d{2,4}[-/ ]\d{5,8}|0\d{2,4}(?:[- ]\d{3,4}){2}|\d{2,4}(?:-\d{2,4}){3,}"
)
_LOCAL_PHONE = re.compile(r"\d{3}[-.]\d{4}")
_PHONE_CUES: Final = frozenset("call phone dial ring text tel telephone number fax reach phoned called dialled".split())
_EMERGENCY: Final = frozenset(("911", "112", "999", "110", "101", "000", "411", "311"))
_VERSION = re.compile(r"(?:[vV]?\d+(?:\.\d+){2,}|[vV]\d+(?:\.\d+)*)(?:-([a-z]+)\d*)?")
_LEVEL = re.compile(r"(?i:lvl?)(\d+)")
_DICE = re.compile(r"(\d*)[dD](\d+|%)(?:([-+–−x×*])(\d+))?(?:([-+–−])(\d+))?")
_NUMBERED = re.compile(r"[#№](\d+)(?:[-–](\d+))?")


def read_phone(view: TokenView) -> SpokenForm | None:
    """Read a phone number in its groups of digits: `555-1234` -> five five five, one two three four."""
    cued = any(view.near(-offset).lower().rstrip(":") in _PHONE_CUES for offset in (1, 2, 3, 4))
    joined, tokens = view.text, 1
    if re.fullmatch(r"\+?[\d ().-]+", joined):
        while re.fullmatch(r"[\d ]{2,9}|\d{3}-\d{4}", view.near(tokens)) and tokens < 5:
            joined, tokens = f"{joined} {view.near(tokens)}", tokens + 1
        groups = re.findall(r"\d+", joined)
        international = joined[0] == "+" and 7 <= sum(map(len, groups)) <= 15 and len(groups) > 2
        national = len(groups) > 1 and 6 <= sum(map(len, groups)) <= 13 and (cued or groups[0][0] == "0")
        if tokens > 1 and (international or (national and all(len(group) < 5 for group in groups))):
            return SpokenForm(_spell_groups(joined), tokens)
        if _PHONE.fullmatch(joined):
            return SpokenForm(_spell_groups(joined), tokens)
    text = view.text
    if _PHONE.fullmatch(text) and read_date(view) is None:
        return SpokenForm(_spell_groups(text))
    if _LOCAL_PHONE.fullmatch(text):
        low, high = int(text[:3]), int(text[4:])
        if (
            cued
            or text.startswith("555")
            or (high < low or high % 10)
            and text[3] == "-"
            and not view.near(1)[:1].islower()
        ):
            return SpokenForm(_spell_groups(text))
    if text in _EMERGENCY and (view.near(-1).lower() in ("call", "dial", "phone", "ring")):
        return SpokenForm(spell_digits(text))
    if cued and text.isdecimal() and len(text) >= 6:
        return SpokenForm(spell_digits(text))
    return None


def _spell_groups(text: str) -> str:
    groups = ", ".join(spell_digits(group) for group in re.findall(r"\d+", text))
    return f"plus {groups}" if text.startswith("+") else groups


def read_version(view: TokenView) -> SpokenForm | None:
    text = view.text
    match = _VERSION.fullmatch(text)
    if match is None or parse_amount(text) is not None:
        return None
    text, _, stage = text.partition("-")
    named = "version " if text[0] in "vV" else ""
    parts = text.lstrip("vV").split(".")
    joint = " dot " if len(parts) == 4 else " point "
    number = named + joint.join(spell_whole(part) for part in parts)
    return SpokenForm(f"{number} {match[1]} {spell_digits(stage)}".rstrip() if match[1] else number)


def read_dice(view: TokenView) -> SpokenForm | None:
    match = _DICE.fullmatch(view.text)
    if match is None:
        return None
    sides = "percent" if match[2] == "%" else spell_whole(match[2])
    words = [spell_whole(match[1])] if match[1] else []
    words += ["d", sides]
    for operator, number in ((match[3], match[4]), (match[5], match[6])):
        if operator:
            words += [OPERATORS.get(operator, "times"), spell_whole(number)]
    return SpokenForm(" ".join(words))


def read_numbered(view: TokenView) -> SpokenForm | None:
    match = _NUMBERED.fullmatch(view.text)
    if match is None:
        return None
    if match[2]:
        return SpokenForm(f"numbers {spell_whole(match[1])} to {spell_whole(match[2])}")
    return SpokenForm(f"number {spell_whole(match[1])}")


def read_level(view: TokenView) -> SpokenForm | None:
    """Read `lvl20`."""
    match = _LEVEL.fullmatch(view.text)
    return None if match is None else SpokenForm(f"level {spell_whole(match[1])}")
