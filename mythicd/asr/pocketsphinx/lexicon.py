"""The recogniser's dictionary: every word of the language model with the ways it is pronounced.

Listed words come from the CMU dictionary of the acoustic model; the others get theirs from espeak-ng, in two accents,
or from the rules of `pronunciation.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mythicd.asr.pocketsphinx.pronunciation import Phones, from_ipa, from_parts, from_spelling, parts_of
from mythicd.errors import ModelError
from mythicd.native.espeakng import EspeakNg

_ACCENTS = ("en-us", "en-gb")
"""espeak-ng voices whose pronunciations of an unlisted word are all accepted."""
_ALSO: Mapping[str, tuple[Phones, ...]] = {
    "hmm": (("HH", "AH", "M"),),
    "mhm": (("M", "HH", "M"), ("AH", "M", "HH", "M")),
}
"""Further pronunciations of words that the CMU dictionary lists."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words and their pronunciations."""

    words: Mapping[str, tuple[Phones, ...]]
    """Each word with its pronunciations, the most likely first."""
    guessed: tuple[str, ...]
    """Words pronounced by spelling rules, which may be recognised badly."""
    unspeakable: tuple[str, ...]
    """Words without a pronunciation; they are left out."""

    def cmu(self) -> str:
        """Return the lexicon as the text of a CMU dictionary file: `word PH PH`, then `word(2) PH PH`."""
        lines = [
            f"{word}{f'({number})' if number > 1 else ''} {' '.join(phones)}"
            for word, ways in sorted(self.words.items())
            for number, phones in enumerate(ways, 1)
        ]
        return "\n".join([*lines, ""])


def read_cmu(path: Path, wanted: Iterable[str]) -> dict[str, tuple[Phones, ...]]:
    """Return the pronunciations that a CMU dictionary file lists for the wanted words. Raises ModelError."""
    wanted = frozenset(wanted)
    found: dict[str, tuple[Phones, ...]] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                entry, _, phones = line.partition(" ")
                word = entry.partition("(")[0]
                if word in wanted:
                    found[word] = (*found.get(word, ()), tuple(phones.split()))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"The pronouncing dictionary {path} cannot be read: {error}.",
            remedy="Reinstall it: pip install --force-reinstall pocketsphinx",
        ) from error
    return found


def pronounce(words: Iterable[str], dictionary: Path, espeak: EspeakNg | None) -> Lexicon:
    """Return a pronunciation of every word: from the dictionary, by espeak-ng, from its parts, or by its spelling."""
    wanted = sorted(set(words))
    entries = read_cmu(dictionary, wanted)
    entries |= {word: entries[word] + ways for word, ways in _ALSO.items() if word in entries}
    missing = [word for word in wanted if word not in entries]
    parts = read_cmu(dictionary, set().union(*(parts_of(word) for word in missing))) if missing else {}
    guessed, unspeakable = [], []
    for word in missing:
        ways = _by_ear(word, espeak) if espeak is not None else ()
        if not ways and (whole := from_parts(word, parts)):
            ways = (whole,)
        if not ways and (spelled := from_spelling(word)):
            guessed.append(word)
            ways = (spelled,)
        if ways:
            entries[word] = ways
        else:
            unspeakable.append(word)
    return Lexicon(entries, tuple(guessed), tuple(unspeakable))


def _by_ear(word: str, espeak: EspeakNg) -> tuple[Phones, ...]:
    """Return espeak-ng's pronunciations, in each accent that it has."""
    ways = (from_ipa(espeak.phonemes(word, voice)) for voice in _ACCENTS if espeak.has_voice(voice))
    return tuple(dict.fromkeys(phones for phones in ways if phones))
