"""Names of rulers and sequels, and abbreviations: `Louis XVI`, `Rocky IV`, `Dr. Hale`, `Mill Rd.`, `No. 7`, `e.g.`."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from mythicd.text.english.abbreviations import NEVER_LAST, TITLE_WORDS, TITLES
from mythicd.text.english.normalization.spelling import cardinal, ordinal_words, spell_whole
from mythicd.text.english.normalization.tokens import SpokenForm, TokenView

# --- Roman numerals

_ROMAN = re.compile(r"(?=[IVXLC])(?:XC|XL|L?X{0,3}|CX{0,3})(?:IX|IV|V?I{0,3})")
_ROMAN_DIGITS: Final = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_ROMAN_SIGNS = re.compile("[\u2160-\u216f]+")
_NOT_ROMAN: Final = frozenset(("XL", "CV", "CC", "CI", "LI", "CX", "L", "C", "XXL"))

NUMBERED: Final = frozenset(
    "chapter book part volume act scene war tier level lvl mark phase class section type world canto article round "
    "stage episode season grade rank table figure appendix title station form unit division corps olympiad bowl "
    "apollo gemini saturn factor schedule group region sector pier dock gate berth legion day wave quest mission "
    "floor hall room verse psalm step rule law clause version generation gen layer zone path arc edition".split()
)
"""Nouns before a cardinal: "Chapter Four"."""
_RULERS: Final = frozenset(
    "king queen emperor empress tsar tsarina czar kaiser pope sultan pharaoh prince princess duke duchess archduke "
    "lord lady baron baroness count countess earl saint shah khan caliph regent rex regina".split()
)
_REGNAL: Final = frozenset(
    "louis elizabeth henry edward george william james charles richard john stephen anne mary victoria matilda philip "
    "philippe ferdinand alfonso alphonse carlos juan pedro manuel isabella joanna frederick friedrich wilhelm otto "
    "leopold franz francis joseph maximilian rudolf sigismund albert peter paul catherine ivan nicholas alexander "
    "boris feodor constantine justinian theodosius basil leo pius benedict gregory clement innocent urban boniface "
    "julius sixtus celestine adrian nicholas eugene martin callixtus ramses rameses thutmose amenhotep seti cleopatra "
    "ptolemy darius xerxes cyrus artaxerxes napoleon christian gustav gustavus karl carl olaf olav haakon harald eric "
    "erik canute cnut magnus robert david malcolm kenneth margaret maria mehmed murad selim suleiman bayezid osman "
    "abdul bela andrew casimir boleslaw vladislaus ladislaus baldwin roger tancred umberto emmanuel victor hussein "
    "abdullah theresa eleanor edmund aethelred ethelred athelstan harold arthur godfrey amalric fulk guy hugh lothair "
    "childeric clovis dagobert pepin theodoric tiberius marcus antiochus seleucus philippa beatrix wilhelmina juliana "
    "margrethe silvia sophia augustus frederik sweyn valdemar vaclav wenceslas mircea vlad radu bogdan".split()
)
_NOT_PERSONS: Final = frozenset(
    "rocky rambo jaws doom quake diablo warcraft starcraft civilization ultima halo hades".split()
)
_AFTER_FIRST: Final = frozenset("and or of the ruled reigned who in to himself herself".split())
_AFTER_FIRST_NAMED: Final = frozenset("was is had has died became came took built ordered said".split())

# --- abbreviations

_TITLES: Final = TITLES | {
    "ms": "miz",
    "pres": "president",
    "sen": "senator",
    "supt": "superintendent",
    "br": "brother",
    "sr": "sister",
}
_TITLES_WITHOUT_STOP: Final = frozenset("mr mrs dr st capt sgt lt prof mt".split())
_PLACES: Final = {
    "rd": "road",
    "st": "street",
    "ave": "avenue",
    "av": "avenue",
    "blvd": "boulevard",
    "ln": "lane",
    "dr": "drive",
    "sq": "square",
    "ct": "court",
    "pl": "place",
    "ter": "terrace",
    "hwy": "highway",
    "pkwy": "parkway",
    "cres": "crescent",
    "mts": "mountains",
    "mtn": "mountain",
    "is": "islands",
    "ft": "fort",
}
_PLACES_WITHOUT_STOP: Final = frozenset("rd ave blvd ln hwy pkwy".split())
_AFTER_NAME: Final = {
    "jr": "junior",
    "jnr": "junior",
    "sr": "senior",
    "snr": "senior",
    "esq": "esquire",
    "inc": "incorporated",
    "ltd": "limited",
    "corp": "corporation",
    "co": "company",
    "bros": "brothers",
}
_BEFORE_NUMBER: Final = {
    "no": "number",
    "nos": "numbers",
    "nr": "number",
    "num": "number",
    "p": "page",
    "pg": "page",
    "pp": "pages",
    "vol": "volume",
    "vols": "volumes",
    "ch": "chapter",
    "chap": "chapter",
    "fig": "figure",
    "sec": "section",
    "art": "article",
    "ed": "edition",
    "ep": "episode",
    "lvl": "level",
    "lv": "level",
    "lev": "level",
    "rm": "room",
    "apt": "apartment",
    "flt": "flight",
    "rte": "route",
    "ca": "about",
    "c": "about",
    "approx": "about",
    "max": "maximum",
    "min": "minimum",
    "est": "established",
    "qty": "quantity",
    "tel": "telephone",
    "ext": "extension",
}
_NUMBERED_WITHOUT_STOP: Final = frozenset("lvl lv vol approx ca qty rm apt nos".split())
_ANYWHERE: Final = {
    "i.e": "that is",
    "ie": "that is",
    "e.g": "for example",
    "eg": "for example",
    "a.k.a": "also known as",
    "etc": "et cetera",
    "approx": "approximately",
    "dept": "department",
    "govt": "government",
    "misc": "miscellaneous",
    "vs": "versus",
    "cf": "compare",
    "viz": "namely",
    "incl": "including",
    "max": "maximum",
    "est": "established",
    "tel": "telephone",
    "orig": "originally",
    "temp": "temperature",
    "w.r.t": "with respect to",
}
"""With a full stop."""
_WITHOUT_STOP: Final = {
    "vs": "versus",
    "etc": "et cetera",
    "w/": "with",
    "w/o": "without",
    "b/c": "because",
    "w/out": "without",
    "s/he": "he or she",
    "km/h": "kilometres an hour",
    "n/a": "not applicable",
    "c/o": "care of",
    "&": "and",
    "aka": "also known as",
    "approx": "approximately",
    "dmg": "damage",
    "lvl": "level",
    "lvls": "levels",
    "i.e": "that is",
    "e.g": "for example",
    "a.k.a": "also known as",
    "pls": "please",
    "plz": "please",
    "thx": "thanks",
    "btw": "by the way",
    "idk": "I don't know",
    "imo": "in my opinion",
    "afaik": "as far as I know",
    "tbh": "to be honest",
}
_GLUED = re.compile(r"([A-Za-z]{1,5})\.(\d+|[^\W\d_]+)")
_NOT_STREETS: Final = frozenset("in on at near by of to from the a an and or for with past behind".split())


def read_roman(view: TokenView) -> SpokenForm | None:
    """Read a Roman numeral after a name or a numbered noun: Louis the sixteenth, Rocky four, Chapter Four."""
    text = view.text
    if text.islower() and len(text) > 1 and view.near(-1).lower() in NUMBERED and _ROMAN.fullmatch(text.upper()):
        return SpokenForm(cardinal(_roman_value(text.upper())))
    possessive = next((end for end in ("'s", "’s") if text.endswith(end)), "")
    numeral = text.removesuffix(possessive)
    signs = bool(_ROMAN_SIGNS.fullmatch(numeral))
    numeral = unicodedata.normalize("NFKC", numeral) if signs else numeral
    if not numeral or not _ROMAN.fullmatch(numeral) or (numeral in _NOT_ROMAN and not signs):
        return SpokenForm(numeral) if signs else None
    number = _roman_value(numeral)
    words = _say_roman(view, numeral, number) or (cardinal(number) if signs else None)
    return None if words is None else SpokenForm(words + possessive)


def _say_roman(view: TokenView, numeral: str, number: int) -> str | None:
    before = re.sub(r"['’]s$", "", view.near(-1))
    noun = before.lower()
    if not before[:1].isalpha():
        return cardinal(number) if re.fullmatch(r"(?!XX+$)[IVX]{2,}", numeral) else None
    if noun in NUMBERED:
        if numeral == "I" and (not before[0].isupper() or noun == "day") and not view.after().startswith((".", ":")):
            return None
        return cardinal(number).title() if before[0].isupper() else cardinal(number)
    if not before[0].isupper():
        return cardinal(number) if len(numeral) > 1 and number > 1 else None
    earlier = view.near(-2)
    ruled = earlier.lower() in _RULERS or view.near(-3).lower() in _RULERS
    if noun in _RULERS:
        return None
    if numeral == "I" and not _is_first(view, ruled, noun):
        return None
    if numeral == "X" and not (ruled or noun in _REGNAL) and earlier[:1].islower():
        return None
    if numeral == "X" and noun == "malcolm":
        return None
    if ruled or noun in _REGNAL:
        return f"the {ordinal_words(number)}"
    if before.isupper() and len(before) > 1:
        return cardinal(number) if number > 1 else None
    in_title = earlier[:1].isupper() and earlier.lower() not in _REGNAL and earlier.lower() not in TITLE_WORDS
    if noun in _NOT_PERSONS or (in_title and not view_begins(view, -2)):
        return cardinal(number)
    if len(numeral) == 1:
        return f"the {ordinal_words(number)}" if number == 5 else None
    return f"the {ordinal_words(number)}"


def view_begins(view: TokenView, offset: int) -> bool:
    """Tell whether the token at this distance has its capital from the beginning of a sentence: "Ask Aldric II"."""
    other = view.shifted(offset)
    return (
        other is not None
        and other.begins_sentence()
        and other.text.lower()
        in (
            "ask tell when as did was is has had for and but so then now here only even under before after since "
            "with by from of to see meet hail long the our my young old good poor".split()
        )
    )


def _is_first(view: TokenView, ruled: bool, noun: str) -> bool:
    """Tell "Elizabeth I" from the pronoun: "Tell Henry I was here"."""
    if not ruled and noun not in _REGNAL:
        return False
    following = view.near(1).lower()
    if not following:
        return ruled or not view.after().startswith("…")
    name = view.shifted(-1)
    if following in _AFTER_FIRST:
        return True
    return following in _AFTER_FIRST_NAMED and (ruled or (name is not None and name.begins_sentence()))


def _roman_value(numeral: str) -> int:
    values = [_ROMAN_DIGITS[letter] for letter in numeral]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def read_abbreviation(view: TokenView) -> SpokenForm | None:
    """Read an abbreviation; its full stop goes with it unless it ends the sentence as well."""
    short = view.text.lower()
    stop = view.has_full_stop()
    for read in (_read_before_number, _read_title, _read_place, _read_after_name):
        form = read(view, short, stop)
        if form is not None:
            return form
    if stop and short in _ANYWHERE:
        swallowed = 0 if view.is_last() else 1 if short in NEVER_LAST else _swallow(view)
        return SpokenForm(_like(view.text, _ANYWHERE[short]), 1, swallowed)
    words = _WITHOUT_STOP.get(short)
    if words is None or (view.text.isupper() and short in ("imo", "btw", "idk")):
        return None
    if short == "w/" and not view.near(1):
        return None
    return SpokenForm(_like(view.text, words))


def _read_before_number(view: TokenView, short: str, stop: bool) -> SpokenForm | None:
    if short not in _BEFORE_NUMBER:
        return None
    berth = view.text == "No" and not view.begins_sentence() and view.near(-1)[:1].isalpha()  # "berth No 7"
    if not (stop or berth or short in _NUMBERED_WITHOUT_STOP):
        return None
    following = view.any(1)
    roman = stop and short not in ("no", "c", "p", "ed") and bool(_ROMAN.fullmatch(following))
    if not (following[:1].isdecimal() or roman) or view.after().strip(" \u00a0") != ("." if stop else ""):
        return None
    if short == "min" and not stop:
        return None
    return SpokenForm(_like(view.text, _BEFORE_NUMBER[short]), 1, int(stop))


def read_glued_abbreviation(view: TokenView) -> SpokenForm | None:
    """Read an abbreviation without the blank after its full stop: `No.5`, `vol.2`, `Dr.Hale`."""
    match = _GLUED.fullmatch(view.text)
    if match is None:
        return None
    short, rest = match[1].lower(), match[2]
    if rest.isdecimal():
        word = _BEFORE_NUMBER.get(short)
        return None if word is None else SpokenForm(f"{_like(match[1], word)} {spell_whole(rest)}")
    title = _TITLES.get(short) if match[1][0].isupper() and rest[0].isupper() else None
    return None if title is None else SpokenForm(f"{_like(match[1], title)} {rest}")


def _read_title(view: TokenView, short: str, stop: bool) -> SpokenForm | None:
    if short not in _TITLES or not (stop or short in _TITLES_WITHOUT_STOP) or not view.text[0].isupper():
        return None
    following = view.any(1)
    if following in ("and", "&") and view.any(2).lower() in _TITLES:
        following = view.any(2)  # "Mr. and Mrs. Hale"
    if not following[:1].isupper() or view.after().strip(" \u00a0") != ("." if stop else ""):
        return None
    if short in _PLACES and _is_street(view, short):
        return None
    if short == "sr" and view.near(-1)[:1].isupper():
        return None
    return SpokenForm(_like(view.text, _TITLES[short]), 1, int(stop))


def _is_street(view: TokenView, short: str) -> bool:
    """Tell "12 Mill St. Then" from "near St. Brigid": a number stands before the street's name."""
    return short in ("st", "dr") and view.near(-1)[:1].isupper() and view.near(-2)[:1].isdecimal()


def _read_place(view: TokenView, short: str, stop: bool) -> SpokenForm | None:
    if short not in _PLACES or not (stop or short in _PLACES_WITHOUT_STOP) or not view.text[0].isupper():
        return None
    before = view.near(-1)
    if short == "is" or not (before[:1].isupper() or before[-2:] in ("st", "nd", "rd", "th")):
        return None
    if before.lower() in _NOT_STREETS:
        return None
    return SpokenForm(_like(view.text, _PLACES[short]), 1, _swallow(view) if stop else 0)


def _read_after_name(view: TokenView, short: str, stop: bool) -> SpokenForm | None:
    if short not in _AFTER_NAME or not stop or not view.text[0].isupper():
        return None
    if not view.any(-1)[:1].isupper() and view.any(-1) != "&":
        return None
    return SpokenForm(_like(view.text, _AFTER_NAME[short]), 1, _swallow(view))


def _swallow(view: TokenView) -> int:
    """Return 1 to take the full stop too: no sentence ends with it, or a comma follows."""
    if view.is_last():
        return 0
    after = view.after()
    return int(after.startswith(".") and (after[1:2] in tuple(",;:!?)") or view.any(1)[:1].islower()))


def _like(written: str, words: str) -> str:
    """Return the words with a capital if what was written has one."""
    capital = written[0].isupper() and not (len(written) > 1 and written.isupper())
    return words[0].upper() + words[1:] if capital else words
