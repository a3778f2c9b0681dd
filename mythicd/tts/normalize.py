"""Written forms that speech engines read badly, and the words for them: `RULES`, applied in order.

Each was found by reading espeak-ng's phonemes: "02:00" came out as "two zero zero", "10-12" as "ten dash twelve",
"$3.50" as "dollar three point five zero", "1/2" as "one slash two", "VIII" as "roman eight", "shh" as "s h h". What it
reads well (3.5, 1,200, 3rd, 50 %, 21:10, NATO) is left alone; digits stay digits where they are read well as such.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]]
"""What to look for, and what to say instead; None leaves it as it is."""

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
_ABBREVIATIONS = {
    "prof.": "professor",
    "capt.": "captain",
    "lt.": "lieutenant",
    "sgt.": "sergeant",
    "col.": "colonel",
    "gen.": "general",
    "rev.": "reverend",
    "hon.": "honourable",
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
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth".split()
)
_TENS = {
    "10": "tens",
    "20": "twenties",
    "30": "thirties",
    "40": "forties",
    "50": "fifties",
    "60": "sixties",
    "70": "seventies",
    "80": "eighties",
    "90": "nineties",
}


def _time(match: re.Match[str]) -> str | None:
    hour, minute, half = int(match["hour"]), int(match["minute"]), match["half"]
    if hour > 24 or minute > 59:
        return None
    suffix = f" {half[0].lower()} m" if half else ""
    if minute:
        return f"{hour or 'zero'} {'oh ' if minute < 10 else ''}{minute}{suffix}"
    if half:
        return f"{hour}{suffix}"
    if hour in (0, 24):
        return "midnight"
    return f"{hour} o'clock" if hour <= 12 else f"{hour} hundred"


def _money(match: re.Match[str]) -> str:
    one, many, hundredths = _CURRENCIES[match["sign"]]
    whole, part = match["whole"], match["part"]
    if part is None:
        return f"{whole} {one if whole == '1' and not match['scale'] else many}"
    if len(part) != 2:
        return f"{whole}.{part} {many}"
    if part == "00":
        return f"{whole} {one if whole == '1' else many}"
    return f"{whole} {one if whole == '1' else many} {int(part)}{' ' + hundredths if whole == '0' else ''}"


def _money_with_scale(match: re.Match[str]) -> str:
    if match["scale"] is None:
        return _money(match)
    amount = match["whole"] + (f".{match['part']}" if match["part"] else "")
    return f"{amount} {match['scale']} {_CURRENCIES[match['sign']][1]}"


def _roman(match: re.Match[str]) -> str:
    number = _ROMAN[match["numeral"]]
    if match["before"].lower() in _NUMBERED:
        return f"{match['before']} {number}"
    return f"{match['before']} the {_ORDINALS[number - 1]}"


def _decade(match: re.Match[str]) -> str:
    century, years = match["century"], match["years"]
    if years == "00":
        return f"{century} hundreds"
    return f"{century or ''} {_TENS[years]}".strip()


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


RULES: tuple[Rule, ...] = (
    (
        re.compile(
            r"(?<![\w:.,])(?P<hour>\d{1,2}):(?P<minute>\d\d)(?![\d:])(?:\s?(?P<half>[ap]\.m\.(?=\s+[a-z])|[AaPp]\.?[Mm]\b))?"
        ),
        _time,
    ),
    (
        re.compile(
            r"(?P<sign>[$£€¥])\s?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<part>\d+))?"
            r"(?:\s(?P<scale>hundred|thousand|million|billion))?\b"
        ),
        _money_with_scale,
    ),
    (re.compile(r"(?<![\w/.,])(?P<over>\d)/(?P<under>\d)(?![\w/.,]\d|[\w/])"), lambda m: _FRACTIONS.get((m["over"], m["under"]))),
    (re.compile(r"(?<=[^\W\d_])\s?/\s?(?=[^\W\d_]{2})"), lambda m: " or "),
    (re.compile(r"(?<=[\d%])\s?[-–]\s?(?=\d[\d,.]*(?![\d,.]*[-–/]\d))(?<![-–/]\d[-–])"), lambda m: " to "),
    (re.compile(r"\b(?P<century>1[1-9]|20)?(?:(?<=\d)|['’])(?P<years>[1-9]0|00)['’]?s\b"), _decade),
    (
        re.compile(
            r"(?i:\b(?P<before>in|since|until|year|by|of|from|before|after|around))\s(?P<century>1[1-9]|20)(?P<years>\d\d)"
            r"(?=[.!?,;:\s]*$|[.!?,;:](?!\d)|\s(?!gold|silver|copper|coins?|men|people|pieces|years|days|and\s\d)[a-z])"
        ),
        _year,
    ),
    (re.compile(rf"(?i:(?P<number>\d)\s?(?P<unit>{'|'.join(sorted(map(re.escape, _UNITS), key=len, reverse=True))}))\b(?!['’/])"), _unit),
    (re.compile(rf"\b(?P<before>[A-Z][a-z]+) (?P<numeral>{'|'.join(sorted(_ROMAN, key=len, reverse=True))})\b"), _roman),
    (re.compile(r"(?<!\w)(?i:no\.|#)\s?(?=\d)"), lambda m: "number "),
    (re.compile(r"(?<!\w)~\s?(?=\d)"), lambda m: "about "),
    (
        re.compile(rf"(?<![\w.])(?i:{'|'.join(sorted(map(re.escape, _ABBREVIATIONS), key=len, reverse=True))})(?=\s|$)"),
        lambda m: f" {_ABBREVIATIONS[m.group().lower()]} " if m.group() == "&" else _ABBREVIATIONS[m.group().lower()],
    ),
    (re.compile(r"(?<=[a-z] )St\.(?=$|\s+[a-z])"), lambda m: "Street"),
    (re.compile(r"\b[A-Z]+(?:['’][A-Z]+)?(?:,? [A-Z]+(?:['’][A-Z]+)?)+\b"), _shout),
    (re.compile(r"(?i)\bs?h{3,}\b|\bshh+\b|\bsh\b"), lambda m: "shush"),
    (re.compile(r"(?i)\bmm+-?h+m+\b|\bmh+m+\b"), lambda m: "um hum"),
    (re.compile(r"(?i)\bmm+\b(?<!\d mm)"), lambda m: "hmm"),
    (re.compile(r"(?i)\bps+t\b"), lambda m: "pist"),
    (re.compile(r"(?i)\bbr{2,}\b"), lambda m: "burr"),
    (re.compile(r"(?i)\bpf+t\b"), lambda m: "puff"),
    (re.compile(r"(?i)(?<=\b)([a-z]*?)([aeiouhmr])\2{3,}(?=[a-z]*\b)"), lambda m: m.group(1) + m.group(2) * 2),
)
