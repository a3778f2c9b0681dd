"""Units, currencies and coins: the signs that stand with an amount, and the words for one and for several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency's words for one and for several, and for its hundredth parts."""

    one: str
    many: str
    cent: str = "cent"
    cents: str = "cents"


_DOLLAR: Final = Currency("dollar", "dollars")
_POUND: Final = Currency("pound", "pounds", "penny", "pence")
_EURO: Final = Currency("euro", "euros")
_YEN: Final = Currency("yen", "yen", "sen", "sen")

CURRENCY_SIGNS: Final = {
    "US$": Currency("U.S. dollar", "U.S. dollars"),
    "$": _DOLLAR,
    "£": _POUND,
    "€": _EURO,
    "¥": _YEN,
    "₹": Currency("rupee", "rupees", "paisa", "paise"),
    "₽": Currency("ruble", "rubles", "kopeck", "kopecks"),
    "₩": Currency("won", "won", "jeon", "jeon"),
    "₿": Currency("bitcoin", "bitcoins"),
    "¢": Currency("cent", "cents"),
}
"""Signs before or after an amount."""

CURRENCY_CODES: Final = {
    "USD": Currency("U.S. dollar", "U.S. dollars"),
    "EUR": _EURO,
    "GBP": _POUND,
    "JPY": _YEN,
    "CHF": Currency("Swiss franc", "Swiss francs", "centime", "centimes"),
}

SCALE_LETTERS: Final = {
    "k": "thousand",
    "K": "thousand",
    "M": "million",
    "m": "million",
    "mn": "million",
    "bn": "billion",
    "B": "billion",
    "b": "billion",
    "tn": "trillion",
    "T": "trillion",
}
"""Letters for powers of a thousand. With a sign of a currency all of them count, else only those of `PLAIN_SCALES`."""
PLAIN_SCALES: Final = frozenset(("k", "K", "M", "bn", "mn", "tn"))
SCALE_WORDS: Final = frozenset("hundred thousand million billion trillion".split())

COINS: Final = {
    "gp": ("gold piece", "gold pieces"),
    "sp": ("silver piece", "silver pieces"),
    "cp": ("copper piece", "copper pieces"),
    "ep": ("electrum piece", "electrum pieces"),
    "pp": ("platinum piece", "platinum pieces"),
}

UNITS: Final[dict[str, tuple[str, str]]] = (
    COINS
    | {name.upper(): words for name, words in COINS.items() if name in ("gp", "cp")}
    | {name: ("hit point", "hit points") for name in ("HP", "hp", "Hp")}
    | {name: ("magic point", "magic points") for name in ("MP", "mp")}
    | {name: ("experience point", "experience points") for name in ("XP", "xp", "EXP", "exp")}
    | {
        "DMG": ("damage", "damage"),
        "dmg": ("damage", "damage"),
        "km": ("kilometre", "kilometres"),
        "m": ("metre", "metres"),
        "cm": ("centimetre", "centimetres"),
        "mm": ("millimetre", "millimetres"),
        "nm": ("nanometre", "nanometres"),
        "µm": ("micrometre", "micrometres"),
        "μm": ("micrometre", "micrometres"),
        "m²": ("square metre", "square metres"),
        "m2": ("square metre", "square metres"),
        "km²": ("square kilometre", "square kilometres"),
        "km2": ("square kilometre", "square kilometres"),
        "cm²": ("square centimetre", "square centimetres"),
        "m³": ("cubic metre", "cubic metres"),
        "m3": ("cubic metre", "cubic metres"),
        "cm³": ("cubic centimetre", "cubic centimetres"),
        "ft²": ("square foot", "square feet"),
        "sqft": ("square foot", "square feet"),
        "ha": ("hectare", "hectares"),
        "kg": ("kilo", "kilos"),
        "Kg": ("kilo", "kilos"),
        "g": ("gram", "grams"),
        "mg": ("milligram", "milligrams"),
        "µg": ("microgram", "micrograms"),
        "lb": ("pound", "pounds"),
        "lbs": ("pound", "pounds"),
        "oz": ("ounce", "ounces"),
        "l": ("litre", "litres"),
        "L": ("litre", "litres"),
        "ml": ("millilitre", "millilitres"),
        "mL": ("millilitre", "millilitres"),
        "cl": ("centilitre", "centilitres"),
        "dl": ("decilitre", "decilitres"),
        "gal": ("gallon", "gallons"),
        "tsp": ("teaspoon", "teaspoons"),
        "tbsp": ("tablespoon", "tablespoons"),
        "ft": ("foot", "feet"),
        "yd": ("yard", "yards"),
        "yds": ("yard", "yards"),
        "mi": ("mile", "miles"),
        "″": ("inch", "inches"),
        "”": ("inch", "inches"),
        '"': ("inch", "inches"),
        "′": ("foot", "feet"),
        "mph": ("mile an hour", "miles an hour"),
        "km/h": ("kilometre an hour", "kilometres an hour"),
        "kph": ("kilometre an hour", "kilometres an hour"),
        "kmh": ("kilometre an hour", "kilometres an hour"),
        "m/s": ("metre per second", "metres per second"),
        "kn": ("knot", "knots"),
        "ms": ("millisecond", "milliseconds"),
        "sec": ("second", "seconds"),
        "secs": ("second", "seconds"),
        "min": ("minute", "minutes"),
        "mins": ("minute", "minutes"),
        "h": ("hour", "hours"),
        "hr": ("hour", "hours"),
        "hrs": ("hour", "hours"),
        "yr": ("year", "years"),
        "yrs": ("year", "years"),
        "mo": ("month", "months"),
        "wk": ("week", "weeks"),
        "wks": ("week", "weeks"),
        "°": ("degree", "degrees"),
        "°C": ("degree Celsius", "degrees Celsius"),
        "°c": ("degree Celsius", "degrees Celsius"),
        "ºC": ("degree Celsius", "degrees Celsius"),
        "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
        "°f": ("degree Fahrenheit", "degrees Fahrenheit"),
        "ºF": ("degree Fahrenheit", "degrees Fahrenheit"),
        "º": ("degree", "degrees"),
        "%": ("percent", "percent"),
        "٪": ("percent", "percent"),
        "‰": ("per mille", "per mille"),
        "bps": ("bit per second", "bits per second"),
        "Mbps": ("megabit per second", "megabits per second"),
        "mAh": ("milliampere hour", "milliampere hours"),
        "kB": ("kilobyte", "kilobytes"),
        "KB": ("kilobyte", "kilobytes"),
        "MB": ("megabyte", "megabytes"),
        "GB": ("gigabyte", "gigabytes"),
        "TB": ("terabyte", "terabytes"),
        "Hz": ("hertz", "hertz"),
        "kHz": ("kilohertz", "kilohertz"),
        "MHz": ("megahertz", "megahertz"),
        "GHz": ("gigahertz", "gigahertz"),
        "dB": ("decibel", "decibels"),
        "W": ("watt", "watts"),
        "kW": ("kilowatt", "kilowatts"),
        "MW": ("megawatt", "megawatts"),
        "kWh": ("kilowatt hour", "kilowatt hours"),
        "V": ("volt", "volts"),
        "kV": ("kilovolt", "kilovolts"),
        "mA": ("milliampere", "milliamperes"),
        "J": ("joule", "joules"),
        "kJ": ("kilojoule", "kilojoules"),
        "cal": ("calorie", "calories"),
        "kcal": ("kilocalorie", "kilocalories"),
        "hPa": ("hectopascal", "hectopascals"),
        "kPa": ("kilopascal", "kilopascals"),
        "px": ("pixel", "pixels"),
        "fps": ("frame per second", "frames per second"),
        "FPS": ("frame per second", "frames per second"),
        "rpm": ("revolution per minute", "revolutions per minute"),
    }
)
"""Unit after an amount, as it is written (case counts): the words for one and for several."""

GLUED_ONLY: Final = frozenset(("V", "W", "J", "h", "ha", "″", "”", '"', "′", "kn", "mo", "º"))
"""Units that count only directly after the digits: "5h", but not "5 V"."""
GLUED_UNITS: Final = {"s": ("second", "seconds"), "in": ("inch", "inches"), "d": ("day", "days")}
"""Further units directly after the digits; after a blank they are words or letters."""

MEASURES: Final = frozenset(
    "hour minute second day week month year mile league metre kilometre inch foot yard pint cup quart gallon litre "
    "pound ounce kilo ton dozen barrel bottle percent acre".split()
)
"""Nouns of which there may be a part: "three quarters of an hour"."""

PER: Final = {
    "night": "a night",
    "day": "a day",
    "d": "a day",
    "week": "a week",
    "wk": "a week",
    "month": "a month",
    "mo": "a month",
    "year": "a year",
    "yr": "a year",
    "hour": "an hour",
    "hr": "an hour",
    "h": "an hour",
    "min": "a minute",
    "minute": "a minute",
    "s": "a second",
    "sec": "a second",
    "second": "a second",
    "lb": "a pound",
    "kg": "a kilo",
    "m": "a metre",
    "km": "a kilometre",
    "head": "a head",
    "person": "a person",
    "piece": "a piece",
    "turn": "a turn",
    "round": "a round",
    "bottle": "a bottle",
    "barrel": "a barrel",
    "mile": "a mile",
    "pint": "a pint",
    "each": "each",
}
"""What may stand after an amount and a slash: "$5/night"."""
