"""Times and dates: `9am`, `21:10`, `10:30-11:00`, `03/14/2025`, `2026-11-30`, `Jan. 5, 2024`, `5 May`, `1990-95`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mythicd.text.english.normalization.spelling import (
    cardinal,
    ordinal_words,
    spell_decade,
    spell_digits,
    spell_year,
)
from mythicd.text.english.normalization.tokens import SpokenForm, TokenView

_MONTH_NAMES: Final = ("January February March April May June July August September October November December").split()
MONTHS: Final = {name: number for number, name in enumerate(_MONTH_NAMES, 1)} | {
    short: number
    for number, shorts in enumerate("Jan Feb Mar Apr - Jun Jul Aug Sep Oct Nov Dec".split(), 1)
    for short in (shorts, *(("Sept",) if shorts == "Sep" else ()))
    if short != "-"
}
_WEEKDAYS: Final = {
    "Mon": "Monday",
    "Tue": "Tuesday",
    "Tues": "Tuesday",
    "Wed": "Wednesday",
    "Thu": "Thursday",
    "Thur": "Thursday",
    "Thurs": "Thursday",
    "Fri": "Friday",
    "Sat": "Saturday",
    "Sun": "Sunday",
}
_ERAS: Final = {"AD": "A.D.", "BC": "B.C.", "CE": "C.E.", "BCE": "B.C.E."}
_HALVES: Final = frozenset(("am", "pm", "a.m", "p.m", "AM", "PM", "A.M", "P.M", "Am", "Pm"))

_BEFORE_YEAR: Final = frozenset(
    "in since until till by of from before after around circa during early late mid spring summer autumn fall winter "
    "between through to and".split()
)
_WEAK_BEFORE_YEAR: Final = frozenset("to and through between".split())
_DATE_CUES: Final = frozenset("on since until till by before after from dated due".split())
_FUNCTION_WORDS: Final = frozenset(
    "a an the and or but nor so to in on at by from with for as than if when where while until till since that who "
    "which he she it they we you i his her its their our my your this these those there was were is are had has did "
    "not all no one nobody everyone everybody something then now".split()
)

_TIME = re.compile(r"(?P<hour>\d{1,2})(?:[:.](?P<minute>\d\d)(?::(?P<second>\d\d))?)?(?P<half>[AaPp]\.?[Mm]\.?)?")
_YEAR_RANGE = re.compile(r"(1[0-9]\d\d|20\d\d)[-–/](\d\d|1[0-9]\d\d|20\d\d)")
_DECADE = re.compile(r"['’]?(?P<digits>(?:1[0-9]|20)\d0|[2-9]0)['’]?s")
_DATE = re.compile(r"(?P<a>\d{1,4})(?P<separator>[/.-])(?P<b>\d{1,2})(?P=separator)(?P<c>\d{4}|\d\d)")
_DURATION = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,3})m(?:in)?)?(?:(\d{1,3})s)?")
_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?")
_YEAR = re.compile(r"[12]\d{3}")


@dataclass(frozen=True, slots=True)
class ClockTime:
    """A time of day as it is written; `half` is "a.m.", "p.m." or empty."""

    hour: int
    minute: int | None
    half: str


def parse_time(text: str) -> ClockTime | None:
    """Return the time that a token is, such as `9am`, `21:10`, `9.30pm`; None if it is something else."""
    match = _TIME.fullmatch(text)
    if match is None or (match["half"] is None and (match["minute"] is None or "." in text)) or match["second"]:
        return None
    hour, minute = int(match["hour"]), match["minute"]
    if hour > (12 if match["half"] else 24) or (minute is not None and int(minute) > 59):
        return None
    half = f"{match['half'][0].lower()}.m." if match["half"] else ""
    return ClockTime(hour, None if minute is None else int(minute), half)


def spell_time(time: ClockTime) -> str:
    """Return a time in words: two o'clock, nine oh five p.m., twenty-one ten."""
    half = f" {time.half}" if time.half else ""
    if time.minute:
        return f"{cardinal(time.hour)} {'oh ' if time.minute < 10 else ''}{cardinal(time.minute)}{half}"
    if half:
        return cardinal(time.hour) + half
    if time.hour in (0, 24):
        return "midnight"
    return cardinal(time.hour) + (" o'clock" if time.hour <= 12 else " hundred")


def read_time(view: TokenView) -> SpokenForm | None:
    """Read a time or a range of times, with the "a.m." after it."""
    low, dash, high = _split_range(view.text.replace(" ", ""))
    tokens = 2 if view.near(1) in _HALVES else 1
    half = view.near(1).replace(".", "")[:1].lower() if tokens == 2 else ""
    last = parse_time(high + (f"{half}m" if half and high[-1:] not in ("m", "M", ".") else ""))
    if last is None or (half and last.half[:1] != half):
        return None
    first = parse_time(low) if dash else None
    if dash and first is None:
        if not last.half or not low.isdecimal() or int(low) > 12:
            return None
        first = ClockTime(int(low), None, "")
    words = spell_time(last)
    if first is not None:
        hour_only = not first.minute and not first.half and first.hour not in (0, 24) and first.hour <= 12
        words = f"{cardinal(first.hour) if hour_only else spell_time(first)} to {words}"
    elif _is_score(view, last):
        return None
    elif view.near(tokens).lower() in ("o'clock", "o’clock"):
        words = words.removesuffix(" o'clock")
    # The full stop of "p.m." is in the words; one that ends the sentence as well must not stand twice.
    return SpokenForm(words, tokens, int(bool(last.half) and view.has_full_stop(tokens - 1)))


def read_duration(view: TokenView) -> SpokenForm | None:
    """Read `1h30m`, `2m15s`."""
    match = _DURATION.fullmatch(view.text)
    if match is None or len([part for part in match.groups() if part]) < 2:
        return None
    units = ("hour", "minute", "second")
    parts = [(int(digits), unit) for digits, unit in zip(match.groups(), units, strict=True) if digits]
    return SpokenForm(" ".join(f"{cardinal(number)} {unit}{'' if number == 1 else 's'}" for number, unit in parts))


def _is_score(view: TokenView, time: ClockTime) -> bool:
    """Tell whether a pair of numbers is a score or ratio by a word before it, not a time."""
    return not time.half and bool(
        {view.near(offset).lower() for offset in (-1, -2, -3)} & set("score ratio odds won lost aspect lead".split())
    )


def _split_range(text: str) -> tuple[str, str, str]:
    low, dash, high = text.replace("–", "-").partition("-")
    return (low, dash, high) if dash else ("", "", low)


def read_date(view: TokenView) -> SpokenForm | None:
    """Read a date in digits; for one that could be either, month first, as in America."""
    date, _, time = view.text.rstrip("Z").partition("T")
    match = _DATE.fullmatch(date)
    if match is None:
        return _read_short_date(view)
    a, b, c = match["a"], match["b"], match["c"]
    if len(a) == 4:
        year, month, day = int(a), int(b), int(c) if len(c) == 2 else 0
    elif len(a) > 2 or (len(c) == 2 and match["separator"] == "."):
        return None
    else:
        year = int(c) if len(c) == 4 else 2000 + int(c)
        month, day = int(a), int(b)
        if month > 12 or match["separator"] == ".":
            month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    words = f"{_spell_day(month, day)}, {spell_year(year)}"
    if time:
        clock_time = parse_time(time[:5])
        return None if clock_time is None else SpokenForm(f"{words}, {spell_time(clock_time)}")
    return SpokenForm(words)


def _read_short_date(view: TokenView) -> SpokenForm | None:
    """Read `3/14` after a word such as "on"; elsewhere it is a fraction."""
    month, slash, day = view.text.partition("/")
    if not slash or not (month.isdecimal() and day.isdecimal()) or len(month) > 2 or len(day) > 2:
        return None
    if view.near(-1).lower() not in _DATE_CUES or not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return None
    return (
        None
        if (int(month), int(day)) in ((1, 2), (1, 3), (2, 3), (1, 4), (3, 4))
        else SpokenForm(_spell_day(int(month), int(day)))
    )


def _spell_day(month: int, day: int) -> str:
    return f"{_MONTH_NAMES[month - 1]} {ordinal_words(day)}"


def read_month(view: TokenView) -> SpokenForm | None:
    """Read a month with a day or year after it, or an abbreviated one: `Jan. 5, 2024`, `May 1984`, `in Sept.`."""
    month = MONTHS.get(view.text)
    if month is None:
        return None
    short = view.text not in _MONTH_NAMES
    stop = short and view.has_full_stop()
    name = _MONTH_NAMES[month - 1]
    if view.after().strip(" \u00a0") not in ("", ",", "." if stop else "") or "\n" in view.after():
        return None
    following, gap = view.any(1), view.after(1)
    if _YEAR.fullmatch(following):
        return SpokenForm(f"{name}{',' if ',' in view.after() else ''} {spell_year(int(following))}", 2)
    if "," in view.after():
        return None
    day = _DAY.fullmatch(following)
    if day is not None and 1 <= int(day[1]) <= 31 and _is_day(view, name):
        words = f"{name} {ordinal_words(int(day[1]))}"
        if gap.strip(" ") in ("", ",") and "\n" not in gap and gap and _YEAR.fullmatch(view.any(2)):
            return SpokenForm(f"{words}, {spell_year(int(view.any(2)))}", 3)
        return SpokenForm(words, 2)
    low, dash, high = _split_range(following)
    if dash and low.isdecimal() and high.isdecimal() and 0 < int(low[:3]) < int(high[:3]) <= 31:
        words = f"{name} {ordinal_words(int(low))} to {ordinal_words(int(high))}"
        if gap.strip(" ") in ("", ",") and "\n" not in gap and gap and _YEAR.fullmatch(view.any(2)):
            return SpokenForm(f"{words}, {spell_year(int(view.any(2)))}", 3)
        return SpokenForm(words, 2)
    if stop:
        return SpokenForm(name, 1, int(not view.is_last() and not view.any(1)[:1].isupper()))
    return None


def _is_day(view: TokenView, month: str) -> bool:
    """Tell a date from a verb before a number: "May 5 guards pass?", "March 3 miles"."""
    if month not in ("May", "March") or view.text not in ("May", "March"):
        return True
    after = view.after(1)
    following = view.any(2).lower()
    return bool(after.strip(" ")) or not following or following in _FUNCTION_WORDS or not following[0].isalpha()


def read_day_before_month(view: TokenView) -> SpokenForm | None:
    """Read a day with its month after it: `5 May 2024`, `the 3rd of March` needs nothing of this."""
    day = _DAY.fullmatch(view.text)
    month = MONTHS.get(view.near(1))
    if day is None or month is None or not 1 <= int(day[1]) <= 31:
        return None
    short = view.near(1) not in _MONTH_NAMES
    the = "" if view.near(-1).lower() == "the" else "the "
    words = f"{the}{ordinal_words(int(day[1]))} of {_MONTH_NAMES[month - 1]}"
    stop = short and view.has_full_stop(1)
    if _YEAR.fullmatch(view.any(2)) and view.after(1).strip(" .,") == "" and "\n" not in view.after(1):
        return SpokenForm(f"{words}, {spell_year(int(view.any(2)))}", 3)
    return SpokenForm(words, 2, int(stop and not view.is_last(1)))


def read_weekday(view: TokenView) -> SpokenForm | None:
    """Read an abbreviated weekday that a date or a time follows: `Tue., Mar. 3`."""
    name = _WEEKDAYS.get(view.text)
    following = view.any(1)
    if name is None or not (following in MONTHS or following[:1].isdecimal()) or view.after().strip(" .,"):
        return None
    return SpokenForm(name, 1, int(view.has_full_stop()))


def read_span_of_days(view: TokenView) -> SpokenForm | None:
    """Read two weekdays or months with a dash between: `Mon-Fri`."""
    low, dash, high = _split_range(view.text)
    if not dash:
        return None
    for names in (_WEEKDAYS, {short: _MONTH_NAMES[number - 1] for short, number in MONTHS.items()}):
        full = frozenset(names.values())
        first, last = names.get(low, low), names.get(high, high)
        if first in full and last in full:
            return SpokenForm(f"{first} to {last}")
    return None


def read_year(view: TokenView) -> SpokenForm | None:
    """Read a year, a decade or a range of years, where the words around it say that it is one."""
    text = view.text
    if (decade := _DECADE.fullmatch(text)) is not None:
        digits = decade["digits"]
        named = (
            len(digits) == 4
            or text[0] in "'’"
            or view.near(-1).lower() in ("the his her their my your our its late early mid".split())
        )
        return SpokenForm(spell_decade(digits)) if named else None
    if (years := _YEAR_RANGE.fullmatch(text)) is not None:
        first, last = int(years[1]), int(years[2])
        short = last < 100
        if (first % 100 if short else first) < last and not _is_counted(view):
            return SpokenForm(f"{spell_year(first)} to {cardinal(last) if short and last > 9 else spell_year(last)}")
        return None
    if not text.isdecimal() or len(text) > 4:
        return None
    before, era = view.near(-1), view.near(1)
    if before in _ERAS:
        return SpokenForm(_spell_any_year(text))
    if era in _ERAS:
        return SpokenForm(f"{_spell_any_year(text)} {_ERAS[era]}", 2, int(view.has_full_stop(1)))
    if len(text) == 4 and text[0] != "0" and _is_year(view):
        return SpokenForm(spell_year(int(text)))
    return None


def read_era(view: TokenView) -> SpokenForm | None:
    """Read "AD" before a year, which a voice would read as a word."""
    if view.text == "AD" and view.near(1).isdecimal():
        return SpokenForm("A.D.")
    return None


def _spell_any_year(digits: str) -> str:
    return spell_year(int(digits)) if digits[0] != "0" else spell_digits(digits)


def _is_year(view: TokenView) -> bool:
    before = view.near(-1).lower()
    if before in ("year", "anno", "circa"):
        return True
    about = view.any(-1).lower() in ("c", "ca", "est") and view.token.before.strip(" ") == "."
    if about and _YEAR.fullmatch(view.text):
        return True
    if not _YEAR.fullmatch(view.text):
        return False
    if MONTHS.get(view.near(-1)) is not None:
        return True
    if view.token.before.endswith("(") and view.after().startswith(")"):
        return True
    if before not in _BEFORE_YEAR or _is_counted(view):
        return False
    if before in _WEAK_BEFORE_YEAR:
        other = view.near(-2)
        return bool(_YEAR.fullmatch(other)) or before == "between"
    return True


def _is_counted(view: TokenView) -> bool:
    """Tell whether the word after a number is probably what it counts."""
    following = view.near(1)
    return (
        bool(following)
        and following[0].islower()
        and following not in _FUNCTION_WORDS
        or following in ("$", "€", "£", "%", "HP", "MP", "XP")
    )
