"""Text normalisation: rewrites of written forms that speech engines misread, as `RULES` that are applied in order.

Each was found in espeak-ng's phonemes: "02:00" came out as "two zero zero", "10-12" as "ten dash twelve", "$3.50" as
"dollar three point five zero", "1/2" as "one slash two", "VIII" as "roman eight", "shh" as "s h h". What it reads well
(3.5, 1,200, 3rd, 50 %, 21:10, NATO) is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from mythicd.text.english.abbreviations import TITLES
from mythicd.text.english.numbers import SCALES, number_words, ordinal_words
from mythicd.text.english.plurals import plural

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]]
"""A pattern, and a function that returns its replacement; None leaves the match as it is."""

_CURRENCIES = {
    "$": ("dollar", "dollars", "cents"),
    "£": ("pound", "pounds", "pence"),
    "€": ("euro", "euros", "cents"),
    "¥": ("yen", "yen", "sen"),
}
_FRACTIONS = {
    ("1", "2"): "a half",
    ("1", "3"): "a third",
    ("2", "3"): "two thirds",
    ("1", "4"): "a quarter",
    ("3", "4"): "three quarters",
}
_ABBREVIATIONS = {f"{title}.": TITLES[title] for title in "prof capt lt sgt col gen rev hon".split()} | {
    "i.e.": "that is",
    "vs.": "versus",
    "vs": "versus",
    "approx.": "about",
    "w/": "with",
    "w/o": "without",
    "&": "and",
}
_UNITS = {
    "km": "kilometres",
    "cm": "centimetres",
    "mm": "millimetres",
    "kg": "kilos",
    "ft": "feet",
    "lb": "pounds",
    "lbs": "pounds",
    "mph": "miles an hour",
    "km/h": "kilometres an hour",
    "hrs": "hours",
}
_ROMAN = {"II": 2, "III": 3, "IV": 4, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "XI": 11, "XII": 12, "XIII": 13, "XIV": 14}
_NUMBERED = frozenset("chapter book part volume act scene war tier level mark phase class section type world".split())


def _time(match: re.Match[str]) -> str | None:
    hour, minute, half = int(match["hour"]), int(match["minute"]), match["half"]
    if hour > 24 or minute > 59:
        return None
    suffix = f" {half[0].lower()}.m." if half else ""
    if minute:
        return f"{hour or 'zero'} {'oh ' if minute < 10 else ''}{minute}{suffix}"
    if half:
        return f"{hour}{suffix}"
    if hour in (0, 24):
        return "midnight"
    return f"{hour} o'clock" if hour <= 12 else f"{hour} hundred"


def _money(match: re.Match[str]) -> str:
    one, many, hundredths = _CURRENCIES[match["sign"]]
    whole, part, scale = match["whole"], match["part"], match["scale"]
    if scale is not None:
        return f"{whole}.{part} {scale} {many}" if part else f"{whole} {scale} {many}"
    if part is not None and len(part) != 2:
        return f"{whole}.{part} {many}"
    amount = f"{whole} {one if whole == '1' else many}"
    if part is None or part == "00":
        return amount
    return f"{amount} {int(part)}" if whole != "0" else f"{int(part)} {hundredths}"


def _roman(match: re.Match[str]) -> str:
    number = _ROMAN[match["numeral"]]
    if match["before"].lower() in _NUMBERED:
        return f"{match['before']} {number}"
    return f"{match['before']} the {' '.join(ordinal_words(number))}"


def _decade(match: re.Match[str]) -> str:
    century, years = match["century"], match["years"]
    if years == "00":
        return f"{century} hundreds" if century else "hundreds"
    decade = plural(*number_words(int(years)))
    return f"{century} {decade}" if century else decade


def _year(match: re.Match[str]) -> str | None:
    century, years = match["century"], match["years"]
    if century == "20" and years < "10":
        return None
    if years == "00":
        return f"{match['before']} {century} hundred"
    return f"{match['before']} {century} {'oh ' if years < '10' else ''}{int(years)}"


def _unit(match: re.Match[str]) -> str:
    return f"{match['number']} {_UNITS[match['unit'].lower()]}"


def _shout(match: re.Match[str]) -> str | None:
    words = re.findall(r"[A-Z]+", match.group())
    # "IT IS I" is a shout; "HP, XP" are two abbreviations.
    if len(words) < 3 and max(len(word) for word in words) < 4:
        return None
    return re.sub(r"[A-Z][A-Z'’]+", lambda word: word.group().lower(), match.group())


def _both(match: re.Match[str]) -> str:
    left, right = match["left"], match["right"]
    return f"{left} {right}" if (left.lower(), right.lower()) == ("and", "or") else f"{left} or {right}"


def _any_of(words: Iterable[str]) -> str:
    """Return a pattern for any of the words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_NUMBER = r"\d{1,3}(?:,\d{3})+|\d+"

RULES: tuple[Rule, ...] = (
    # 21:05, 9:30 pm
    (
        re.compile(
            r"(?<![\w:.,])(?P<hour>\d{1,2}):(?P<minute>\d\d)(?![\d:])"
            r"(?:\s?(?P<half>[ap]\.m\.(?=\s+[a-z])|[AaPp]\.?[Mm]\b))?"
        ),
        _time,
    ),
    # $3.50, £2 million
    (
        re.compile(
            rf"(?P<sign>[$£€¥])\s?(?P<whole>{_NUMBER})(?:\.(?P<part>\d+))?"
            rf"(?:\s(?P<scale>{_any_of(SCALES)}))?\b"
        ),
        _money,
    ),
    # 1/2, but not 1/2/2026
    (
        re.compile(r"(?<![\w/.,])(?P<over>\d)/(?P<under>\d)(?![\w/]|[.,]\d)"),
        lambda match: _FRACTIONS.get((match["over"], match["under"])),
    ),
    # he/she
    (
        re.compile(r"(?<![\w/])(?P<left>[^\W\d_]{2,})\s?/\s?(?P<right>[^\W\d_]{2,})(?![\w/])"),
        _both,
    ),
    # 10-12, but not 2026-11-22
    (
        re.compile(
            rf"(?<![\w.,/–-])(?P<low>(?:{_NUMBER})(?:\.\d+)?%?)(?:[-–]|\s[-–]\s)"
            rf"(?P<high>(?:{_NUMBER})(?:\.\d+)?)(?![\w/–-]|[.,]\d)"
        ),
        lambda match: f"{match['low']} to {match['high']}",
    ),
    # 1990s, the '90s
    (re.compile(r"(?<!\w)(?:(?P<century>1[1-9]|20)|['’])(?P<years>[1-9]0|00)['’]?s\b"), _decade),
    # in 1984, but not 1984 gold
    (
        re.compile(
            r"(?i:\b(?P<before>in|since|until|year|by|of|from|before|after|around))\s"
            r"(?P<century>1[1-9]|20)(?P<years>\d\d)(?=[.!?,;:]*(?:$|\s*\n)|[.!?,;:]+\s)"
        ),
        _year,
    ),
    # 20 km
    (re.compile(rf"(?P<number>\d)\s?(?P<unit>{_any_of(_UNITS)})\b(?!['’/])"), _unit),
    # Henry VIII, Chapter IV
    (re.compile(rf"\b(?P<before>[A-Z][a-z]+) (?P<numeral>{_any_of(_ROMAN)})\b"), _roman),
    (re.compile(r"(?<!\w)(?i:no\.|#)\s?(?=\d)"), lambda match: "number "),
    (re.compile(r"(?<!\w)~\s?(?=\d)"), lambda match: "about "),
    (
        re.compile(rf"(?<![\w.])(?i:{_any_of(_ABBREVIATIONS)})(?=\s|$)"),
        lambda match: _ABBREVIATIONS[match.group().lower()],
    ),
    (re.compile(r"(?<=[^\W_])&(?=[^\W_])"), lambda match: " and "),
    (re.compile(r"(?<=[a-z] )St\.(?=$|\s+[a-z])"), lambda match: "Street"),
    (re.compile(r"\b[A-Z]+(?:['’][A-Z]+)?(?:,? [A-Z]+(?:['’][A-Z]+)?)+\b"), _shout),
    # Sounds that are written without vowels.
    (re.compile(r"(?i)\bsh+\b"), lambda match: "shush"),
    (re.compile(r"(?i)\bmm*-?hm+\b"), lambda match: "um hum"),
    (re.compile(r"(?i)\b(?:m{2,}|hm)\b"), lambda match: "hmm"),
    (re.compile(r"(?i)\bps+t\b"), lambda match: "pist"),
    (re.compile(r"(?i)\bbr{2,}\b"), lambda match: "burr"),
    (re.compile(r"(?i)\bpf+t\b"), lambda match: "puff"),
    # Noooo, aaaargh
    (re.compile(r"(?i)([aehiour])\1{3,}"), lambda match: match.group(1) * 2),
)
