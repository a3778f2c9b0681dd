"""Tokens with digits: the order in which classes are tried, and the classes that combine numbers.

Each class looks at the whole token: ratios, fractions, dimensions, ordinals, ranges, sums, compounds ("5-year-old").
What no class knows is read piece by piece, so that no digit is ever left.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from mythicd.text.english.normalization import clock
from mythicd.text.english.normalization.amounts import (
    Amount,
    attributive,
    parse_amount,
    spell_amount,
    spell_range,
    with_neighbours,
)
from mythicd.text.english.normalization.codes import read_dice, read_level, read_numbered, read_phone, read_version
from mythicd.text.english.normalization.spelling import (
    DETERMINERS,
    FRACTION_SIGNS,
    cardinal,
    ordinal_words,
    spell_decade,
    spell_digits,
    spell_fraction,
    spell_whole,
    spell_year,
)
from mythicd.text.english.normalization.sums import read_power, read_scientific, read_sum
from mythicd.text.english.normalization.tokens import SpokenForm, TokenView
from mythicd.text.english.normalization.units import CURRENCY_SIGNS, UNITS

_FEET = re.compile(r"(\d+) ?['’′] ?(\d{1,2})(?: ?(?:[\"”″]|''|’’|′′))?")
_RATIO = re.compile(r"\d+(?::\d+)+")
_SLASHED = re.compile(r"(\d+)[/⁄](\d+)(?:(?:st|nd|rd|th)s?)?")
_RATING = re.compile(r"(\d+\.\d+)/(\d+)")
_MIXED = re.compile(r"(\d+)[- ](\d)[/⁄](\d{1,2})")
_TIMES = re.compile(r"(?P<before>\d+(?:\.\d+)?)[xX×]|[xX×](?P<after>\d+(?:\.\d+)?)")
_TIMES_RANGE = re.compile(r"(\d+)[-–](\d+)[xX×]")
_SIZE = re.compile(r"\d[^\sxX×*]*(?:[xX×*][^\sxX×*]*\d[^\sxX×*]*)+")
_ORDINAL = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(st|nd|rd|th)(s?)", re.IGNORECASE)
_PLURAL = re.compile(r"(\d+)['’]?s")
_RANGE = re.compile(r"(?P<low>.*?[^-–−~eE])(?:[-–~]|\.\.)(?P<high>[-–−]?[^-–].*)", re.DOTALL)
_CHEMICAL = re.compile(r"(?:[A-Z][a-z]?\d*)+")
_PIECE = re.compile(rf"\d+(?:[.,]\d+)*|[^\W\d_²³{''.join(FRACTION_SIGNS)}]+|.", re.DOTALL)
_LIST = re.compile(r"\d+(?:,\d+)+|\d+(?:-\d+){2,}|\d+(?:/\d+){2,}")
_EXTENTS: Final = frozenset("tall high deep wide long thick square by x".split())

_SIGNS: Final = {
    "+": "plus",
    "%": "percent",
    "‰": "per mille",
    "°": "degrees",
    "/": "slash",
    "=": "equals",
    "&": "and",
    "@": "at",
    "#": "number",
    "²": "squared",
    "³": "cubed",
    "×": "times",
    "$": "dollars",
    "£": "pounds",
    "€": "euros",
    "¥": "yen",
    "§": "section",
}
_RATIO_CUES: Final = frozenset("ratio odd scale".split())


def _read_feet(view: TokenView) -> SpokenForm | None:
    match = _FEET.fullmatch(view.text)
    if match is not None and int(match[2]) < 12:
        return SpokenForm(
            f"{spell_whole(match[1])} {'foot' if match[2] != '0' else 'feet'}"
            + (f" {cardinal(int(match[2]))}" if match[2] != "0" else "")
        )
    if view.text.isdecimal() and view.after()[:1] in "'’" and view.after()[1:2] == " ":
        if view.any(1).lower() in _EXTENTS:
            return SpokenForm(f"{spell_whole(view.text)} feet", 1, 1)
    if view.text.isdecimal() and view.after()[:2] == '" ' and view.any(1)[:1].islower():
        before = view.token.before
        if '"' not in before and "“" not in before and not view.begins_sentence():
            one = view.text == "1" or view.any(1).lower() not in _EXTENTS
            return SpokenForm(f"{spell_whole(view.text)} {'inch' if one else 'inches'}", 1, 1)
    return None


def _read_ratio(view: TokenView) -> SpokenForm | None:
    """Read `3:1`, `2:1:1`, and `1:30:45`, a time with seconds."""
    if not _RATIO.fullmatch(view.text):
        return None
    parts = view.text.split(":")
    if len(parts) == 3 and all(len(part) == 2 and part < "60" for part in parts[1:]):
        return SpokenForm(" ".join([spell_whole(parts[0]), *map(_spell_clock_part, parts[1:])]))
    return SpokenForm(" to ".join(spell_whole(part.lstrip("0") or "0") for part in parts))


def _spell_clock_part(digits: str) -> str:
    return f"oh {cardinal(int(digits))}" if digits[0] == "0" else cardinal(int(digits))


def _read_slashed(view: TokenView) -> SpokenForm | None:
    """Read `1/2`, `24/7`, `50/50`, `7/10`, `3/4` after "ratio"."""
    text = view.text
    if (mixed := _MIXED.fullmatch(text)) is not None and int(mixed[3]) > int(mixed[2]) > 0:
        return SpokenForm(f"{spell_whole(mixed[1])} and {spell_fraction(int(mixed[2]), int(mixed[3]))}")
    if (rating := _RATING.fullmatch(text)) is not None and (amount := parse_amount(rating[1])) is not None:
        return SpokenForm(f"{amount.number} out of {spell_whole(rating[2])}")
    match = _SLASHED.fullmatch(text)
    if match is None:
        return None
    if len(match[1]) > 6 or len(match[2]) > 6:
        return SpokenForm(f"{spell_whole(match[1])} over {spell_whole(match[2])}")
    over, under = int(match[1]), int(match[2])
    if any(view.near(-offset).lower().rstrip("s:") in _RATIO_CUES for offset in (1, 2, 3)):
        return SpokenForm(f"{cardinal(over)} to {cardinal(under)}")
    if (over, under) in ((24, 7), (9, 11), (50, 50), (20, 20), (60, 40), (40, 60), (70, 30), (30, 70), (80, 20)):
        return SpokenForm(f"{cardinal(over)} {cardinal(under)}")
    points = re.fullmatch(r"HP|MP|XP|hp|mp|xp", view.near(1))
    if (
        under < 2
        or points
        or over == under
        or (over != 1 and under in (5, 10, 20, 100) and over < under and (under != 5 or view.near(1) in ("", "stars")))
    ):
        return _out_of(view, over, under)
    if over < under and (under < 10 or over == 1 or under in (12, 14, 16, 32, 64)):
        return with_neighbours(Amount("", fraction=(over, under)), view)[1]
    if over > under and under in (2, 3, 4, 8):
        return SpokenForm(spell_fraction(over, under))
    return _out_of(view, over, under)


def _out_of(view: TokenView, over: int, under: int) -> SpokenForm:
    joint = "out of" if over <= under else "over"
    words = f"{cardinal(over)} {joint} {cardinal(under)}"
    if (unit := UNITS.get(view.near(1))) is not None and len(view.near(1)) == 2:
        return SpokenForm(f"{words} {unit[1]}", 2)
    return SpokenForm(words)


def _read_size(view: TokenView) -> SpokenForm | None:
    """Read `10x10`, `3x`, `x3`, `4x100m`, and `10 x 10`, whose parts are tokens."""
    text = view.text
    if (times := _TIMES.fullmatch(text)) is not None:
        amount = parse_amount(times["before"] or times["after"])
        if amount is not None:
            return SpokenForm(f"{amount.number} times" if times["before"] else f"times {amount.number}")
    if (several := _TIMES_RANGE.fullmatch(text)) is not None:
        return SpokenForm(f"{spell_whole(several[1])} to {spell_whole(several[2])} times")
    if not _SIZE.fullmatch(text):
        return None
    parts = [parse_amount(part) for part in re.split(r"[xX×*]", text)]
    amounts = [part for part in parts if part is not None]
    if len(amounts) < len(parts):
        return None
    last, form = with_neighbours(amounts[-1], view)
    joint = " times " if "*" in text or view.near(1) == "=" else " by "
    return SpokenForm(joint.join([*map(spell_amount, amounts[:-1]), spell_amount(last)]), form.tokens, form.swallowed)


def _spell_ordinal(text: str) -> str | None:
    match = _ORDINAL.fullmatch(text)
    digits = match[1].replace(",", "") if match is not None else ""
    if match is None or len(digits) > 12:
        return None
    return ordinal_words(int(digits)) + match[3].lower()


def _read_ordinal(view: TokenView) -> SpokenForm | None:
    if view.text[-1:] not in "stndrhSTNDRH":
        return None
    words = _spell_ordinal(view.text)
    if words is not None:
        return clock.read_day_before_month(view) or SpokenForm(words)
    parts = re.split(r"[-–]", view.text)
    spelled = [_spell_ordinal(part) for part in parts]
    if len(parts) == 2 and parts[0].isdecimal() and spelled[1] is not None and len(parts[0]) < 7:
        spelled[0] = ordinal_words(int(parts[0]))
    if "/" in view.text:
        parts = view.text.split("/")
        spelled = [_spell_ordinal(part) for part in parts]
        return SpokenForm(" or ".join(filter(None, spelled))) if all(spelled) else None
    if len(parts) == 2 and all(spelled):
        return SpokenForm(" to ".join(filter(None, spelled)))
    return None


def _read_plural(view: TokenView) -> SpokenForm | None:
    """Read `the 5s`, `100s of`; "30s" without a word such as "the" is a time in seconds."""
    match = _PLURAL.fullmatch(view.text)
    if match is None:
        return None
    before = view.near(-1).lower()
    if before in DETERMINERS or match[1] in ("100", "1000") or view.near(1) == "of":
        return SpokenForm(spell_decade(match[1]))
    return None


def _read_range(view: TokenView) -> SpokenForm | None:
    """Read `5-10`, `$5-$10`, `$5-10k`, `10–12%`, `-5 - -3`."""
    match = _RANGE.fullmatch(view.text)
    if match is None:
        return None
    low, high = parse_amount(match["low"]), parse_amount(match["high"])
    if low is None or high is None:
        return None
    if view.near(1) == "=" or view.near(-1) == "=":
        return SpokenForm(f"{spell_amount(low)} minus {spell_amount(high)}")
    if low == high and low.is_plain:  # "50-50"
        return SpokenForm(f"{low.number} {high.number}" if low.whole == "50" else f"{low.number} to {high.number}")
    high, form = with_neighbours(high, view)
    words = spell_range(low, high)
    return None if words is None else SpokenForm(words, form.tokens, form.swallowed)


def _read_amount(view: TokenView) -> SpokenForm | None:
    unit_follows = view.near(1) in UNITS or view.near(1) in CURRENCY_SIGNS
    amount = parse_amount(view.text, decimal_comma=unit_follows)
    if amount is None:
        return None
    if view.text in ("2K", "4K", "8K") and not view.near(1)[:1].islower():
        return SpokenForm(f"{amount.number} K")
    if view.near(1) in ("x", "X", "×") and parse_amount(view.near(2)) is not None:
        return _read_spaced_size(view)
    return with_neighbours(amount, view)[1]


def _read_spaced_size(view: TokenView) -> SpokenForm:
    parts, tokens = [], 0
    while (amount := parse_amount(view.near(tokens))) is not None and tokens < 8:
        parts.append(amount)
        tokens += 1
        if view.near(tokens) not in ("x", "X", "×") or parse_amount(view.near(tokens + 1)) is None:
            break
        tokens += 1
    last, form = with_neighbours(parts[-1], view, tokens)
    joint = " times " if view.near(tokens) == "=" or (view.near(1) == "×" and last.is_plain) else " by "
    return SpokenForm(joint.join([*map(spell_amount, parts[:-1]), spell_amount(last)]), form.tokens, form.swallowed)


def _read_compound(view: TokenView) -> SpokenForm | None:
    """Read `5-year-old`, `1-on-1`, `mid-30s`, `20th-century`, `T-1000`."""
    parts = re.split(r"[-–]", view.text)
    if len(parts) < 2 or not all(parts):
        return None
    said = [_spell_compound_part(part) for part in parts]
    numbers = parts[0][:1].isdecimal() and parts[-1][-1:].isdecimal()
    letters = any(len(part) == 1 and part.isalpha() for part in parts)
    mixed = any(part[0].isalpha() and not part.isalpha() for part in parts)
    if len(parts) > 2 and parts[0].isdecimal() and parts[1].isdecimal():  # "10-20-year-olds"
        said = [f"{said[0]} to {said[1]}", *said[2:]]
    return SpokenForm((" " if numbers or letters or mixed else "-").join(said))


def _spell_compound_part(part: str) -> str:
    if fraction := _SLASHED.fullmatch(part):
        return spell_fraction(int(fraction[1][:6]), max(2, int(fraction[2][:6])), article=False)
    if decade := _PLURAL.fullmatch(part):
        return spell_decade(decade[1])
    amount = parse_amount(part)
    if amount is not None:
        return spell_amount(attributive(amount), article=False)
    if (time := clock.parse_time(part)) is not None:
        return clock.spell_time(time)
    return _spell_ordinal(part) or (part if part.isalpha() else spell_pieces(part))


def spell_pieces(text: str) -> str:
    """Return any token in words: letters as they are, digits as numbers, known signs by name, other signs as blanks."""
    words: list[str] = []
    spaced = bool(_CHEMICAL.fullmatch(text))
    for piece in _PIECE.findall(text):
        if piece in FRACTION_SIGNS:
            words.append(spell_fraction(*FRACTION_SIGNS[piece]))
        elif piece in _SIGNS:
            words.append(_SIGNS[piece])
        elif piece[0].isdecimal():
            digits = re.sub(r"\D", "", piece)
            amount = parse_amount(piece)
            code = len(digits) > 2 and bool(words) and not digits.endswith("00") and piece == digits
            words.append(spell_digits(digits) if code or amount is None else spell_amount(amount))
        elif piece.isalnum():
            words.append(" ".join(piece) if spaced and piece.isupper() else piece)
    return " ".join(words)


def _read_list(view: TokenView) -> SpokenForm | None:
    """Read `1,2,3`, `1-2-3`, `13/13/2025`: numbers that are not a date."""
    if _LIST.fullmatch(view.text):
        numbers = [spell_whole(number) for number in re.findall(r"\d+", view.text)]
        return SpokenForm((" " if "-" in view.text else ", ").join(numbers))
    return None


def _read_with_possessive(view: TokenView) -> SpokenForm | None:
    """Read `2024's`, `$5's`."""
    for ending in ("'s", "’s"):
        base = view.text.removesuffix(ending)
        if base != view.text and (amount := parse_amount(base)) is not None:
            year = amount.is_plain and re.fullmatch(r"1\d{3}|20\d\d", base)
            return SpokenForm((spell_year(int(base)) if year else spell_amount(amount)) + ending)
    return None


def _read_leftover(view: TokenView) -> SpokenForm | None:
    """Read a token that no class knows, piece by piece."""
    words = spell_pieces(view.text)
    return SpokenForm(words or " ")


_CLASSES: Final[tuple[Callable[[TokenView], SpokenForm | None], ...]] = (
    read_phone,
    clock.read_date,
    clock.read_time,
    clock.read_duration,
    clock.read_day_before_month,
    clock.read_year,
    _read_feet,
    read_version,
    read_dice,
    _read_ratio,
    _read_slashed,
    _read_ordinal,
    read_numbered,
    read_level,
    _read_with_possessive,
    _read_plural,
    _read_size,
    read_power,
    _read_amount,
    _read_list,
    read_scientific,
    _read_range,
    read_sum,
    _read_compound,
    _read_leftover,
)


def read_numeric(view: TokenView) -> SpokenForm:
    """Return what is said for a token with digits or fractions in it."""
    for read in _CLASSES:
        form = read(view)
        if form is not None:
            return form
    raise AssertionError("the last class takes every token")
