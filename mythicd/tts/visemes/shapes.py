"""Mouth shapes: an IPA symbol to the shapes of its sounds in a viseme set.

A shape is a sparse vector over the set: pairs of (code, level 0–255). The sets of single codes have one pair, `arkit`
several. A symbol such as aɪ, tʃ or ɔːɹ is several sounds, whose shapes share its time, a long one (ː) counting twice.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from mythicd.tts.visemes.table import FOLLOWING, SOUNDS, WEAK, WRITTEN_AS, Sound
from mythicd.wire.frames import VISEME_SETS
from mythicd.wire.messages import VisemeSetName

LONG: Final = 1
PRIMARY: Final = 2
SECONDARY: Final = 4

Target = tuple[tuple[int, int], ...]
"""A mouth shape of a set: (code, level 0–255), by rising code."""

_VOWEL_WEIGHTS: Final = {0: 190, 1: 255, 2: 225}
_WEAK_WEIGHT: Final = 150
_OVR_CONSONANT_WEIGHTS: Final = {"PP": 255, "FF": 230}
_OVR_CONSONANT_WEIGHT: Final = 180
_STRESS_FLAGS: Final = {0: 0, 1: PRIMARY, 2: SECONDARY}
_KNOWN: Final = frozenset(letter for sound in SOUNDS for letter in sound.letters)
_LONG_MARKS: Final = "ː:"
_UNKNOWN: Final = "ə"
"""The letter whose shape stands for an unknown one: the mouth in its middle position."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One sound of a symbol, and its share of the symbol's time."""

    target: Target | None
    """None for the shape of the next sound."""
    share: int
    weight: int
    """0–255, by which the target's levels are multiplied: vowels open wider with stress."""
    flags: int
    is_pause: bool = False


@dataclass(frozen=True, slots=True)
class ShapeTable:
    """The targets of one viseme set."""

    rest: Target
    """The mouth at rest."""
    letters: Mapping[str, tuple[Target, int | None]]
    """Target of each IPA letter, and the weight of consonants; None for vowels, whose weight follows the stress."""

    def shapes(self, ipa: str, stress: int) -> list[Shape]:
        """Return the shapes of a symbol, in order; none for one of marks alone (ʲ), which belongs to the sound before.

        The empty symbol is a pause. `stress` is that of PhonemeOnset.
        """
        found: list[Shape] = []
        for letter in _letters(ipa):
            if letter in _LONG_MARKS:
                if found:
                    found[-1] = replace(found[-1], share=2, flags=found[-1].flags | LONG)
            elif letter in FOLLOWING:
                found.append(Shape(None, 1, _OVR_CONSONANT_WEIGHT, 0))
            elif letter in self.letters:
                target, weight = self.letters[letter]
                if weight is not None:
                    found.append(Shape(target, 1, weight, 0))
                    continue
                weight = _WEAK_WEIGHT if letter in WEAK and not stress else _VOWEL_WEIGHTS.get(stress, 190)
                found.append(Shape(target, 1, weight, _STRESS_FLAGS.get(stress, 0)))
            elif unicodedata.category(letter) in ("Ll", "Lo", "Lu"):  # not modifier letters (ʰ ʲ) nor marks
                found.append(Shape(self.letters[_UNKNOWN][0], 1, _WEAK_WEIGHT, 0))
        return found if found or ipa else [self.pause]

    @property
    def pause(self) -> Shape:
        """The shape of silence."""
        return Shape(self.rest, 1, 255, 0, is_pause=True)


@cache
def shape_table(name: VisemeSetName) -> ShapeTable:
    """Return the targets of a viseme set."""
    letters: dict[str, tuple[Target, int | None]] = {}
    for sound in SOUNDS:
        weight = None if sound.is_vowel else 255
        if name == "ovr15" and weight is not None:  # this column of the table has no levels
            weight = _OVR_CONSONANT_WEIGHTS.get(sound.ovr15, _OVR_CONSONANT_WEIGHT)
        letters |= dict.fromkeys(sound.letters, (target_of(sound, name), weight))
    return ShapeTable(() if name == "arkit" else ((0, 255),), letters)


def target_of(sound: Sound, name: VisemeSetName) -> Target:
    """Return the shape of a row of the table in a viseme set."""
    names = VISEME_SETS[name].shapes
    match name:
        case "ovr15":
            levels = {sound.ovr15: 100}
        case "rhubarb":
            levels = {sound.rhubarb: 100}
        case "vrm":
            levels = dict([sound.vrm])
        case "arkit":
            levels = {
                one: level
                for shape, level in sound.arkit.items()
                for one in ((shape,) if shape in names else (f"{shape}Left", f"{shape}Right"))
            }
    return tuple(sorted((names.index(shape), round(level * 255 / 100)) for shape, level in levels.items()))


def _letters(ipa: str) -> Iterator[str]:
    """Yield the bare letters and marks of a symbol, other spellings (ʦ) replaced."""
    for symbol in unicodedata.normalize("NFC", ipa):
        # ç is a letter of its own, ã an a with a diacritic.
        yield from WRITTEN_AS.get(symbol, symbol if symbol in _KNOWN else unicodedata.normalize("NFD", symbol)[0])
