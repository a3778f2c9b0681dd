"""English abbreviations: titles, and which other ones end a sentence with their full stop.

All are in lower case and without their last full stop.
"""

from __future__ import annotations

from typing import Final

TITLES: Final[dict[str, str]] = {
    "mr": "mister",
    "mrs": "missus",
    "ms": "miss",
    "mx": "mix",
    "messrs": "messieurs",
    "mme": "madame",
    "mlle": "mademoiselle",
    "dr": "doctor",
    "prof": "professor",
    "rev": "reverend",
    "fr": "father",
    "hon": "honourable",
    "gov": "governor",
    "adm": "admiral",
    "capt": "captain",
    "cpt": "captain",
    "cmdr": "commander",
    "lt": "lieutenant",
    "col": "colonel",
    "gen": "general",
    "maj": "major",
    "sgt": "sergeant",
    "cpl": "corporal",
    "pvt": "private",
    "st": "saint",
    "mt": "mount",
    "ft": "fort",
}
"""Abbreviations before a name, and the word that each stands for. Their full stop ends no sentence."""

TITLE_WORDS: Final = (
    "captain sergeant lieutenant brother sister mister mr mrs miss lord lady saint king queen doctor master father "
    "mother uncle aunt"
).split()
"""Titles as they are spoken (or as a recogniser spells them): a name follows."""

NEVER_LAST: Final = frozenset("vs cf ca approx est viz vol pp e.g i.e eg ie".split())
"""Abbreviations before an example, an amount or a comparison. Their full stop ends no sentence."""

BEFORE_NUMBER: Final = frozenset(
    "no nos pg ch fig lv lvl jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs "
    "fri".split()
)
"""Abbreviations, or words, whose full stop ends a sentence unless a number follows: "No. 7", but "She said no."."""

LAST_BEFORE_CAPITAL: Final = frozenset(
    "etc inc ltd co corp bros dept ed al sr jr esq a.m p.m rd ave blvd ln sq ct hwy lb lbs oz hr hrs".split()
)
"""Abbreviations whose full stop ends a sentence only if the next word has a capital letter."""
