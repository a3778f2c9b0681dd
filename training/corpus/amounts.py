"""Numbers, prices, times and spots, in digits and in words."""

from __future__ import annotations

from random import Random

from training.corpus.words import word

_ONES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_words(value: int) -> str:
    """Return 1 to 999 in English words."""
    if value < 20:
        return _ONES[value - 1]
    if value < 100:
        tens, ones = divmod(value, 10)
        return _TENS[tens - 2] + (f" {_ONES[ones - 1]}" if ones else "")
    hundreds, rest = divmod(value, 100)
    return f"{_ONES[hundreds - 1]} hundred" + (f" and {number_words(rest)}" if rest else "")


def _written(value: int, rng: Random) -> str:
    return number_words(value) if rng.random() < 0.7 else str(value)


def amount(rng: Random, most: int = 99) -> str:
    """Return a number, small more often than not."""
    roll = rng.random()
    if roll < 0.5:
        return _written(rng.randint(2, 12), rng)
    if roll < 0.85:
        return _written(rng.randint(2, most), rng)
    return _written(rng.choice((20, 30, 40, 50, 100, 200, 300, 500)), rng)


def age(rng: Random) -> str:
    """Return a person's age."""
    return _written(rng.randint(7, 99), rng)


def price(rng: Random) -> str:
    """Return a price: `five silver`, `3 crowns and two pennies`, `a song`."""
    roll = rng.random()
    if roll < 0.06:
        return word("oddprice", rng)
    more = f" and {amount(rng, 20)} {word('money', rng)}" if roll > 0.93 else ""
    return f"{amount(rng)} {word('money', rng)}{more}"


def duration(rng: Random) -> str:
    """Return a distance or a duration."""
    return word("duration", rng) if rng.random() < 0.5 else f"{amount(rng, 30)} {word('measure', rng)}"


def clock_time(rng: Random) -> str:
    """Return a time of day: `21:05`, `sunset`, `two in the morning`, `the ninth bell`."""
    roll = rng.random()
    hour = rng.randint(1, 12)
    if roll < 0.2:
        minute = rng.choice((0, 0, 15, 30, 45, rng.randint(0, 59)))
        return f"{rng.randint(0, 23):02d}:{minute:02d}"
    if roll < 0.4:
        return word("moment", rng)
    if roll < 0.6:
        return f"{number_words(hour)} in the {rng.choice(('morning', 'evening', 'afternoon'))}"
    if roll < 0.7:
        return f"{hour} {rng.choice(('am', 'pm'))}"
    if roll < 0.8:
        return f"{number_words(hour) if rng.random() < 0.6 else hour} o'clock"
    if roll < 0.88:
        return f"the {word('ordinal', rng)} {rng.choice(('bell', 'hour', 'watch'))}"
    if roll < 0.95:
        return f"{rng.choice(('half past', 'quarter past', 'quarter to'))} {number_words(hour)}"
    return f"{number_words(hour)} at night"


def spot(rng: Random, somewhere: str, invented: str) -> str:
    """Return where something is, given a place and an invented word."""
    roll = rng.random()
    if roll < 0.45:
        return f"{word('side', rng)} {somewhere}"
    if roll < 0.6:
        return f"{word('direction', rng)} of {somewhere}"
    if roll < 0.7:
        return f"on {invented if rng.random() < 0.5 else word('trade', rng)} {word('street', rng)}"
    if roll < 0.8:
        return f"in the {word('adjective', rng)} {word('nook', rng)}"
    if roll < 0.9:
        way = rng.choice(("from", "past", "below", "above", "behind"))
        return f"{number_words(rng.randint(2, 9))} {word('step', rng)} {way} {somewhere}"
    return word("spotphrase", rng)
