"""The repair of misheard names by sound: "harder master" where the world has a harbor master. Pure.

A window of words that sounds like a name of the world is replaced by it. How alike they must be depends on what was
heard: a word that the language does not have is replaced soonest, ordinary words only within a name of which another
word was heard, or where they sound the same, and words that the world itself uses never.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mythicd.text.english.function_words import DETERMINERS, FUNCTION_WORDS, possible_stems

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_POSSESSIVE = re.compile(r"['’]s$")
_ARTICLE = re.compile(r"^(?:the|a|an|my|your) ", re.IGNORECASE)
_LEAST_SOUNDS: Final = 3
"""A name with fewer sounds is not repaired: too many words are like it."""
_MOST_WORDS: Final = 4
"""A name of more words is not repaired: it is a sentence."""
_MOST_HEARD: Final = 5000
"""Words whose sounds are kept."""
_LEAST_LOSS: Final = 0.5
"""Least weight of a sound that is missing."""
_STRANGE: Final = 0.34
"""Largest distance, per sound, of words of which one is not in the language."""
_STRANGE_SHORT: Final = 0.2
"""The same for names of three sounds or of ordinary words, and for several words of which none is in the name."""
_PART_OF_NAME: Final = 0.25
"""Largest distance of ordinary words of which one is a word of the name."""
_REST: Final = 0.34
"""Largest distance of the other words, then."""
_SAME: Final = 0.0
"""Largest distance of other ordinary words."""
_VOWELS: Final = frozenset("aeiouyæɑɐɒɔəɚɛɜɝɪʊʌøœɵɨʉᵻɯɤ")
_KINDS: Final = ("pb", "td", "kɡg", "fv", "sz", "ʃʒ", "θð", "mnŋ", "ɹlɾrw", "tʃ", "dʒ", "td", "ptkbdɡg")
"""Consonants that are easily taken for one another: of the same place, or of the same manner."""
_WEAK: Final = frozenset("əɪhɾ")


@dataclass(frozen=True, slots=True)
class _Name:
    text: str
    words: tuple[str, ...]
    sounds: str
    has_article: bool
    """Whether it is a noun ("the ferry") and no proper name ("Hale")."""
    is_ordinary: bool
    """Whether it is written like a noun, or all its words are ordinary."""


class NameRepair:
    """The names of a world, and how they sound."""

    def __init__(
        self,
        names: Iterable[str],
        lines: Iterable[str],
        phonemes: Callable[[str], str],
        is_common: Callable[[str], bool],
    ) -> None:
        """`lines` are the world's texts; `phonemes` returns the IPA of words, `is_common` whether one is ordinary."""
        self._phonemes = phonemes
        self._is_common = is_common
        self._names: list[_Name] = []
        self._by_word: dict[str, list[_Name]] = {}
        self._by_sounds: dict[str, list[_Name]] = {}
        self._known: set[str] = set()
        self._heard: dict[str, str] = {}
        """Sounds of words."""
        for line in lines:
            self._known |= set(_plain_words(line))
        given = [name.strip() for name in names]
        nouns = {_ARTICLE.sub("", name).lower() for name in given if _ARTICLE.match(name)}
        for name in dict.fromkeys(_ARTICLE.sub("", name) for name in given):
            words = tuple(_plain_words(name))
            sounds = "".join(map(self._sounds, words))
            self._known |= set(words)
            if 1 <= len(words) <= _MOST_WORDS and len(sounds) >= _LEAST_SOUNDS:
                made = _Name(
                    name, words, sounds, name.lower() in nouns, name.islower() or all(map(self._is_ordinary, words))
                )
                self._names.append(made)
                self._by_sounds.setdefault(sounds, []).append(made)
                for word in set(words) - FUNCTION_WORDS:
                    self._by_word.setdefault(word, []).append(made)

    def repair(self, text: str) -> str:
        """Return a transcript with misheard names replaced. Punctuation and a possessive stay."""
        spans = [(match.start(), match.end()) for match in _WORD.finditer(text)]
        words = [_POSSESSIVE.sub("", text[start:end]).lower().replace("’", "'") for start, end in spans]
        taken = self._named(words)
        replacements: list[tuple[int, int, str]] = []
        found: list[tuple[float, int, int, _Name]] = []
        for size in sorted({max(1, len(name.words) + more) for name in self._names for more in (-1, 0, 1)}):
            for first in range(len(words) - size + 1):
                window = words[first : first + size]
                if any(first + number in taken for number in range(size)) or set(window) <= self._known:
                    continue
                found += self._alike(window, first, words[first - 1] if first else "")
        for _, first, last, name in sorted(found, key=lambda each: (each[0], each[1] - each[2])):
            if any(number in taken for number in range(first, last + 1)):
                continue
            taken |= set(range(first, last + 1))
            start, end = spans[first][0], spans[last][1]
            ending = _POSSESSIVE.search(text[start:end])
            replacements.append((start, end, name.text + (ending[0] if ending else "")))
        for start, end, name_text in sorted(replacements, reverse=True):
            text = text[:start] + name_text + text[end:]
        return text

    def _named(self, words: list[str]) -> set[int]:
        """Return the positions of words that are names already."""
        taken: set[int] = set()
        for name in self._names:
            size = len(name.words)
            for first in range(len(words) - size + 1):
                if tuple(words[first : first + size]) == name.words:
                    taken |= set(range(first, first + size))
        return taken

    def _alike(self, window: list[str], first: int, before: str) -> list[tuple[float, int, int, _Name]]:
        """Return the names that a window, after the word `before`, sounds like.

        Each is (distance per sound, first word, last word, name).
        """
        sounds = "".join(map(self._sounds, window))
        is_strange = any(word not in self._known and not self._is_ordinary(word) for word in window)
        sharing = [name for word in set(window) for name in self._by_word.get(word, ()) if len(name.words) > 1]
        # Most words are ordinary: for those all other names need no comparison.
        candidates = self._names if is_strange else [*sharing, *self._by_sounds.get(sounds, ())]
        found = []
        for name in candidates:
            longest = max(len(sounds), len(name.sounds))
            if not sounds or abs(len(name.words) - len(window)) > 1:
                continue
            shares = name in sharing
            # "The fairy" is the ferry, and "tied the rope" has no tide in it; "a hail of arrows" is not Captain Hale.
            if not shares and name.has_article != (before in DETERMINERS):
                continue
            # Function words neither begin nor end what is replaced, unless the name has them too.
            if any(word in FUNCTION_WORDS and word not in name.words for word in (window[0], window[-1])):
                continue
            if shares and not is_strange and self._rest_apart(window, name) > _REST:
                continue
            if is_strange and (shares or len(window) == len(name.words) == 1):
                is_doubtful = name.is_ordinary and not shares
                most = _STRANGE if len(name.sounds) > _LEAST_SOUNDS and not is_doubtful else _STRANGE_SHORT
            elif is_strange:
                most = _STRANGE_SHORT
            else:
                most = _PART_OF_NAME if shares else _SAME
            if abs(len(sounds) - len(name.sounds)) * _LEAST_LOSS > most * longest:
                continue
            apart = distance(sounds, name.sounds) / longest
            if apart <= most:
                found.append((apart, first, first + len(window) - 1, name))
        return found

    def _rest_apart(self, window: list[str], name: _Name) -> float:
        """Return the distance per sound of the words that a window and a name do not share."""
        one = "".join(self._sounds(word) for word in window if word not in name.words)
        other = "".join(self._sounds(word) for word in name.words if word not in window)
        return distance(one, other) / max(1, len(one), len(other))

    def _is_ordinary(self, word: str) -> bool:
        """Return whether a word, or that of which it is a form ("hailing", "hail"), is in the language."""
        return self._is_common(word) or any(map(self._is_common, possible_stems(word)))

    def _sounds(self, word: str) -> str:
        sounds = self._heard.get(word)
        if sounds is None:  # two threads may both compute it
            if len(self._heard) >= _MOST_HEARD:
                self._heard.clear()
            sounds = self._heard[word] = sounds_of(self._phonemes(word))
        return sounds


def sounds_of(ipa: str) -> str:
    """Return the sounds of a transcription, a letter each, without stress, length, diacritics and pauses."""
    plain = unicodedata.normalize("NFD", ipa)
    return "".join(letter for letter in plain if unicodedata.category(letter) in ("Ll", "Lo"))


def distance(one: str, other: str) -> float:
    """Return the weighted edit distance of two transcriptions: 1 for a sound, less for sounds that are alike."""
    previous = [0.0]
    for letter in other:
        previous.append(previous[-1] + _loss(letter))
    for letter in one:
        current = [previous[0] + _loss(letter)]
        for column, against in enumerate(other):
            current.append(
                min(
                    previous[column + 1] + _loss(letter),
                    current[column] + _loss(against),
                    previous[column] + _change(letter, against),
                )
            )
        previous = current
    return previous[-1]


def _loss(letter: str) -> float:
    return 0.5 if letter in _WEAK else 1.0


def _change(one: str, other: str) -> float:
    if one == other:
        return 0.0
    if one in _VOWELS and other in _VOWELS:
        return 0.5
    if any(one in kind and other in kind for kind in _KINDS[:-1]):
        return 0.4
    return 0.7 if one in _KINDS[-1] and other in _KINDS[-1] else 1.0


def _plain_words(text: str) -> list[str]:
    return [_POSSESSIVE.sub("", word.lower().replace("’", "'")) for word in _WORD.findall(text)]
