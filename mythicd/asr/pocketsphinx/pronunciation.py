"""Pronunciations of words that the CMU dictionary lacks, mostly invented names.

Three sources, best first: espeak-ng's phonemes (IPA) mapped to ARPAbet, parts of the word that the dictionary lists
("lanternport", "reed's", "mends"), and crude spelling rules. ARPAbet here is the CMU set of 39 phones without stress
marks (Weide 1998), on which CMUSphinx acoustic models are trained.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

Phones = tuple[str, ...]

ARPABET: Final = frozenset(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()
)
"""The phones of CMUSphinx's US English models."""

_IPA: Final[Mapping[str, str]] = {
    # diphthongs and r-coloured vowels, longest first by the search
    "eɪ": "EY",
    "aɪ": "AY",
    "aʊ": "AW",
    "oʊ": "OW",
    "əʊ": "OW",
    "ɔɪ": "OY",
    "aɪə": "AY AH",
    "aɪɚ": "AY ER",
    "aʊə": "AW AH",
    "iə": "IY AH",
    "ɪə": "IH R",
    "eə": "EH R",
    "ʊə": "UH R",
    "ɜː": "ER",
    "ɜːɹ": "ER",
    "ɝ": "ER",
    "ɚ": "ER",
    "ɚɹ": "ER",
    "əɹ": "ER",
    "oː": "AO",
    "ɔː": "AO",
    "ɔ": "AO",
    "ɒ": "AA",
    "ɑː": "AA",
    "ɑ": "AA",
    "a": "AE",
    "aː": "AA",
    "æ": "AE",
    "ɛ": "EH",
    "ɛː": "EH",
    "e": "EH",
    "eː": "EY",
    "ə": "AH",
    "ɐ": "AH",
    "ʌ": "AH",
    "ɪ": "IH",
    "ᵻ": "IH",
    "ɨ": "IH",
    "i": "IY",
    "iː": "IY",
    "y": "UW",
    "yː": "UW",
    "ʊ": "UH",
    "u": "UW",
    "uː": "UW",
    "ʉ": "UW",
    "o": "OW",
    "ø": "ER",
    "œ": "ER",
    "əl": "AH L",
    "n̩": "AH N",
    "l̩": "AH L",
    "m̩": "AH M",
    # consonants
    "p": "P",
    "b": "B",
    "t": "T",
    "d": "D",
    "ɾ": "T",
    "ʔ": "T",
    "k": "K",
    "c": "K",
    "q": "K",
    "ɡ": "G",
    "g": "G",
    "ɣ": "G",
    "f": "F",
    "v": "V",
    "β": "V",
    "θ": "TH",
    "ð": "DH",
    "s": "S",
    "z": "Z",
    "ʃ": "SH",
    "ɕ": "SH",
    "ʒ": "ZH",
    "ʑ": "ZH",
    "tʃ": "CH",
    "dʒ": "JH",
    "h": "HH",
    "ç": "HH",
    "x": "K",
    "χ": "K",
    "m": "M",
    "n": "N",
    "ɲ": "N Y",
    "ŋ": "NG",
    "l": "L",
    "ɫ": "L",
    "ɬ": "L",
    "ɭ": "L",
    "ɹ": "R",
    "r": "R",
    "ʁ": "R",
    "ɽ": "R",
    "j": "Y",
    "ʎ": "L Y",
    "w": "W",
    "ʍ": "W",
}
_SILENT: Final = frozenset("ˈˌːˑ.-_|‖ˠʲʰˤ\u0303\u0329\u032f\u200d ")
"""Stress, length on its own, syllable breaks, nasal and other marks, which the acoustic model does not have."""

_SPELLING: Final[Mapping[str, str]] = {
    "tch": "CH",
    "dge": "JH",
    "igh": "AY",
    "eigh": "EY",
    "tion": "SH AH N",
    "sch": "SH",
    "ch": "CH",
    "sh": "SH",
    "th": "TH",
    "ph": "F",
    "wh": "W",
    "gh": "G",
    "ng": "NG",
    "ck": "K",
    "qu": "K W",
    "kn": "N",
    "wr": "R",
    "ee": "IY",
    "ea": "IY",
    "ie": "IY",
    "ei": "EY",
    "ai": "EY",
    "ay": "EY",
    "ey": "IY",
    "oo": "UW",
    "oa": "OW",
    "ow": "OW",
    "ou": "AW",
    "oi": "OY",
    "oy": "OY",
    "au": "AO",
    "aw": "AO",
    "ew": "UW",
    "ue": "UW",
    "ar": "AA R",
    "er": "ER",
    "ir": "ER",
    "ur": "ER",
    "or": "AO R",
    "ce": "S",
    "ge": "JH",
    "a": "AE",
    "b": "B",
    "c": "K",
    "d": "D",
    "e": "EH",
    "f": "F",
    "g": "G",
    "h": "HH",
    "i": "IH",
    "j": "JH",
    "k": "K",
    "l": "L",
    "m": "M",
    "n": "N",
    "o": "OW",
    "p": "P",
    "q": "K",
    "r": "R",
    "s": "S",
    "t": "T",
    "u": "AH",
    "v": "V",
    "w": "W",
    "x": "K S",
    "y": "IY",
    "z": "Z",
}
_VOICELESS: Final = frozenset({"P", "T", "K", "F", "TH"})
_SIBILANT: Final = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})
_SHORTEST_PART = 3
"""Least letters of a part of a compound: "an" + "selm" is not a compound."""


def from_ipa(ipa: str) -> Phones | None:
    """Map espeak-ng's IPA (stress marks allowed) to ARPAbet; None if a symbol has no counterpart."""
    text = unicodedata.normalize("NFD", ipa)
    # NFD parts ç and similar letters; put back those that the table lists whole.
    text = text.replace("c\u0327", "ç")
    kept = "".join(letter for letter in text if letter not in _SILENT or letter in "ː\u0329")
    return _greedy(kept, _IPA, silent=_SILENT)


def from_parts(word: str, dictionary: Mapping[str, Sequence[Phones]]) -> Phones | None:
    """Combine listed words: a genitive or plural, or two words written as one; None if not listed."""
    for ending in ("'s", "es", "s"):
        stem = word.removesuffix(ending)
        if stem != word and stem in dictionary:
            return _with_s(dictionary[stem][0])
    for first, second in splits(word):
        if first in dictionary and second in dictionary:
            return tuple(dictionary[first][0]) + tuple(dictionary[second][0])
    return None


def splits(word: str) -> list[tuple[str, str]]:
    """Return the ways to split a word into two parts that may be words, the longest first part first."""
    cuts = range(len(word) - _SHORTEST_PART, _SHORTEST_PART - 1, -1)
    return [(word[:cut], word[cut:]) for cut in cuts]


def parts_of(word: str) -> set[str]:
    """Return all words that `from_parts` may look up for `word`."""
    stems = {word.removesuffix(ending) for ending in ("'s", "es", "s")}
    return (stems | {part for pair in splits(word) for part in pair}) - {word, ""}


def from_spelling(word: str) -> Phones | None:
    """Guess from the letters by English spelling rules; None if the word has no letters to pronounce."""
    plain = "".join(letter for letter in unicodedata.normalize("NFD", word.lower()) if "a" <= letter <= "z")
    pairs = zip(" " + plain, plain, strict=False)
    letters = "".join(letter for before, letter in pairs if letter != before or letter in "eo")
    if len(letters) > 3 and letters[-1] == "e" and letters[-2] not in "aeiou":
        letters = letters[:-1]
    return _greedy(letters, _SPELLING, silent=frozenset()) or None


def _greedy(text: str, table: Mapping[str, str], *, silent: frozenset[str]) -> Phones | None:
    """Map `text` from left to right by the longest matching entries of the table."""
    longest = max(map(len, table))
    phones: list[str] = []
    at = 0
    while at < len(text):
        for length in range(longest, 0, -1):
            entry = table.get(text[at : at + length])
            if entry is not None:
                phones += entry.split()
                at += length
                break
        else:
            if text[at] not in silent:
                return None
            at += 1
    return tuple(phones) or None


def _with_s(stem: Phones) -> Phones:
    """Add the English -s: /ɪz/ after sibilants, /s/ after voiceless sounds, else /z/."""
    last = stem[-1]
    return (*stem, *(("IH", "Z") if last in _SIBILANT else ("S",) if last in _VOICELESS else ("Z",)))
