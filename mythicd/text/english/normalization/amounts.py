"""Amounts: a number with its sign, currency, scale and unit, as one token or as one with its neighbours.

`-5`, `1,205`, `1 000`, `1.000.000`, `10,000.50`, `1½`, `$10k`, `20€`, `5‰`, `20°C`, `50gp`, `$5/night`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from mythicd.text.english.normalization.spelling import (
    DETERMINERS,
    FRACTION_SIGNS,
    cardinal,
    spell_decimal,
    spell_fraction,
    spell_mixed,
    spell_whole,
)
from mythicd.text.english.normalization.tokens import SpokenForm, TokenView
from mythicd.text.english.normalization.units import (
    CURRENCY_CODES,
    CURRENCY_SIGNS,
    GLUED_ONLY,
    GLUED_UNITS,
    MEASURES,
    PER,
    PLAIN_SCALES,
    SCALE_LETTERS,
    SCALE_WORDS,
    UNITS,
    Currency,
)

SIGN_WORDS: Final = {
    "": "",
    "-": "minus",
    "–": "minus",
    "−": "minus",
    "+": "plus",
    "±": "plus or minus",
    "~": "about",
    "≈": "about",
    ">": "more than",
    "<": "less than",
    "≥": "at least",
    "≤": "at most",
}
_CURRENCY = "|".join(re.escape(sign) for sign in CURRENCY_SIGNS)
_AMOUNT = re.compile(
    rf"(?P<sign>[-–−+±~≈<>≤≥]?)(?P<currency>{_CURRENCY}|)[ ]?(?P<minus>[-–−]?)"
    r"(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+(?!\d)|\d{1,3}(?:\.\d{3}){2,}(?!\d)"
    r"|\d{1,3}(?:\.\d{3})+(?=,\d\d(?!\d))"
    r"|\d{1,3}(?:['’_]\d{3})+(?!\d)|\d+|)"
    rf"(?P<part>\.\d+|,\d{{1,2}}(?!\d)|)(?P<fraction>[{''.join(FRACTION_SIGNS)}]|)"
    r"(?P<suffix>[^\d\s/.,+-]*(?:/[hs])?)(?P<more>\+?)(?:/(?P<per>[a-z]+))?"
)
_SEPARATORS = re.compile(r"\D")
_SMALL_FRACTION = re.compile(r"(\d{1,2})[/⁄](\d{1,2})")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number with what belongs to it."""

    whole: str
    """Its digits before the point, without separators; may be empty."""
    part: str = ""
    """Its digits after the point."""
    fraction: tuple[int, int] | None = None
    sign: str = ""
    """The words for it."""
    currency: Currency | None = None
    scale: str = ""
    """thousand, million, ..."""
    unit: tuple[str, str] | None = None
    more: str = ""
    """What is said after it: "plus", "a night"."""

    @property
    def is_plain(self) -> bool:
        """Whether it is digits alone."""
        return self == Amount(self.whole)

    @property
    def number(self) -> str:
        """The number in words, without its sign and scale."""
        if self.fraction is not None:
            return spell_mixed(self.whole, *self.fraction) if self.whole else spell_fraction(*self.fraction)
        if self.scale and self.part == "5" and self.whole:
            return f"{spell_whole(self.whole)} and a half"
        return spell_decimal(self.whole, self.part) if self.part else spell_whole(self.whole)


def parse_amount(text: str, *, decimal_comma: bool = False) -> Amount | None:
    """Return the amount that a whole token is; None if it is something else.

    A comma before one or two digits is a decimal one only beside a unit or currency, or with `decimal_comma`.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None or not (match["whole"] or match["part"] or match["fraction"]):
        return None
    whole, part = _SEPARATORS.sub("", match["whole"]), match["part"][1:]
    fraction = FRACTION_SIGNS.get(match["fraction"])
    if fraction is not None and part:
        return None
    if re.fullmatch(r"[1-9]\d{0,2}", whole) and match["part"] == ".000":
        whole, part = whole + "000", ""
    amount = Amount(
        whole,
        part,
        fraction,
        sign=SIGN_WORDS["-" if match["minus"] else match["sign"]],
        currency=CURRENCY_SIGNS.get(match["currency"]),
        more="plus" if match["more"] else "",
    )
    per = match["per"]
    if per is not None:
        if per not in PER or match["more"]:
            return None
        amount = replace(amount, more=PER[per])
    suffixed = _with_suffix(amount, match["suffix"])
    if suffixed is None or not match["part"].startswith(","):
        return suffixed
    decimal_comma = decimal_comma or "." in match["whole"]
    return suffixed if decimal_comma or suffixed.unit is not None or suffixed.currency is not None else None


def _with_suffix(amount: Amount, suffix: str) -> Amount | None:
    """Return the amount with what is written directly after its digits."""
    if not suffix:
        return amount
    if suffix in SCALE_LETTERS and (amount.currency is not None or suffix in PLAIN_SCALES):
        return replace(amount, scale=SCALE_LETTERS[suffix])
    if amount.currency is not None:
        return None
    unit = UNITS.get(suffix) or GLUED_UNITS.get(suffix)
    if unit is not None:
        return replace(amount, unit=unit)
    currency = CURRENCY_SIGNS.get(suffix) or CURRENCY_CODES.get(suffix)
    if currency is not None:
        return replace(amount, currency=currency)
    for sign, sort in CURRENCY_SIGNS.items():
        letters = suffix.removesuffix(sign)
        if letters != suffix and letters in SCALE_LETTERS:
            return replace(amount, currency=sort, scale=SCALE_LETTERS[letters])
    return None


def spell_amount(amount: Amount, *, article: bool = True) -> str:
    """Return an amount in words. Without `article`, "half" stands for "a half": the word before has one."""
    if amount.currency is not None:
        words = _spell_money(amount, amount.currency)
    elif amount.fraction is not None and not amount.whole:
        words = _spell_part(amount.fraction, amount.unit, article)
    else:
        words = amount.number + (f" {amount.scale}" if amount.scale else "")
        if amount.unit is not None:
            words += " " + amount.unit[0 if words == "one" else 1]
    return " ".join(filter(None, (amount.sign, words, amount.more)))


def _spell_part(fraction: tuple[int, int], unit: tuple[str, str] | None, article: bool) -> str:
    if unit is None or unit[0] == "percent":
        return spell_fraction(*fraction, article=article or fraction[0] > 1) + (f" {unit[0]}" if unit else "")
    if not article and fraction == (1, 2):
        return f"half {unit[0]}"
    one = ("an " if (unit[0][0] in "aeiou" and unit[0] != "euro") or unit[0] == "hour" else "a ") + unit[0]
    if fraction == (1, 2):
        return f"half {one}"
    return f"{spell_fraction(*fraction)} of {one}"


def _spell_money(amount: Amount, currency: Currency) -> str:
    if amount.scale:
        return f"{amount.number} {amount.scale} {currency.many}"
    if amount.fraction is not None and not amount.whole:
        return _spell_part(amount.fraction, (currency.one, currency.many), True)
    whole = amount.whole or "0"
    if len(amount.part) != 2:
        return f"{amount.number} {currency.one if amount.number == 'one' else currency.many}"
    cents = int(amount.part)
    if int(whole[-15:]) == 0 and cents:
        return f"{cardinal(cents)} {currency.cent if cents == 1 else currency.cents}"
    words = f"{spell_whole(whole)} {currency.one if whole == '1' else currency.many}"
    if cents == 0:
        return words
    if cents < 10:
        return f"{words} and {cardinal(cents)} {currency.cent if cents == 1 else currency.cents}"
    return f"{words} {cardinal(cents)}"


def spell_range(low: Amount, high: Amount, *, joint: str = "to") -> str | None:
    """Return two amounts with one word between, and what they share said once; None if they do not go together."""
    currency, unit = low.currency or high.currency, low.unit or high.unit
    if (low.currency is None) != (high.currency is None) and low.currency is None and low.unit is not None:
        return None
    if low.currency and high.currency and low.currency != high.currency:
        return f"{spell_amount(low)} {joint} {spell_amount(high)}"
    if low.unit and high.unit and low.unit != high.unit:
        return f"{spell_amount(low)} {joint} {spell_amount(high)}"
    if currency is not None and 2 in (len(low.part), len(high.part)):
        low, high = replace(low, currency=currency), replace(high, currency=currency)
        return f"{spell_amount(low)} {joint} {spell_amount(high)}"
    first = replace(low, currency=None, unit=None, scale="" if low.scale == high.scale else low.scale)
    if low.scale and low.scale == high.scale and low.part == "5":
        first = replace(first, part="", fraction=(1, 2))
    return f"{spell_amount(first)} {joint} {spell_amount(replace(high, currency=currency, unit=unit))}"


def with_neighbours(amount: Amount, view: TokenView, tokens: int = 1) -> tuple[Amount, SpokenForm]:
    """Return the amount that ends `tokens` tokens on, with the unit, scale or currency after it, and how far it goes.

    The form's words are those of the amount.
    """
    swallowed = 0
    follower = view.near(tokens)
    if amount.currency is not None and amount.fraction is not None and not amount.whole:
        return amount, SpokenForm(spell_amount(amount), tokens)
    if amount.is_plain and (part := _SMALL_FRACTION.fullmatch(follower)) and 0 < int(part[1]) < int(part[2]):
        amount, tokens = replace(amount, fraction=(int(part[1]), int(part[2]))), tokens + 1
        follower = view.near(tokens)
    if amount.currency is not None and not amount.scale:
        if follower in ("k", "K", "M", "bn"):
            amount, tokens = replace(amount, scale=SCALE_LETTERS[follower]), tokens + 1
        while (word := view.near(tokens)).lower() in SCALE_WORDS:
            amount, tokens = replace(amount, scale=f"{amount.scale} {word}".strip()), tokens + 1
    elif amount.currency is None and amount.unit is None and not amount.more:
        if not amount.scale and follower.lower() in SCALE_WORDS and view.near(tokens + 1) in CURRENCY_SIGNS:
            amount, tokens = replace(amount, scale=follower.lower()), tokens + 1
            follower = view.near(tokens)
        base, _, per = follower.partition("/")
        whole = follower if follower in UNITS or not per else base
        currency = CURRENCY_SIGNS.get(whole) or CURRENCY_CODES.get(whole)
        unit = UNITS.get(whole) if whole not in GLUED_ONLY else None
        if whole != follower:
            amount = replace(amount, more=PER.get(per, "")) if (currency or unit) and per in PER else amount
            currency, unit = (currency, unit) if amount.more else (None, None)
        if currency is not None:
            amount, tokens = replace(amount, currency=currency), tokens + 1
        elif unit is not None:
            amount, tokens = replace(amount, unit=unit), tokens + 1
            swallowed = int(view.has_full_stop(tokens - 1) and _goes_on(view, tokens))
        elif follower in ("sq", "cu") and (unit := UNITS.get(view.near(tokens + 1))) is not None:
            prefix = "square" if follower == "sq" else "cubic"
            amount, tokens = replace(amount, unit=(f"{prefix} {unit[0]}", f"{prefix} {unit[1]}")), tokens + 2
    noun = view.near(tokens)
    if amount.fraction is not None and not amount.whole and amount.unit is None and noun in MEASURES:
        amount, tokens = replace(amount, unit=(noun, noun)), tokens + 1
    before = view.near(-1).lower()
    article = before not in DETERMINERS
    if before in ("a", "an") and view.near(tokens)[:1].islower():
        amount = attributive(amount)
    return amount, SpokenForm(spell_amount(amount, article=article), tokens, swallowed)


def attributive(amount: Amount) -> Amount:
    """Return the amount as it stands before a noun: "a six foot man", "a five million dollar deal"."""
    if amount.currency is not None:
        return replace(amount, currency=replace(amount.currency, many=amount.currency.one))
    return amount if amount.unit is None else replace(amount, unit=(amount.unit[0], amount.unit[0]))


def _goes_on(view: TokenView, offset: int) -> bool:
    """Tell whether the sentence goes on after a full stop, with a word in lower case."""
    return view.any(offset)[:1].islower()
