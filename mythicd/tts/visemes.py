"""Visemes: speech sounds (IPA) to mouth shapes, on the sample clock of the audio they belong to.

The shapes are the fifteen of Meta's (Oculus) viseme reference; `_SHAPES` extends its English sounds to the whole IPA.
A symbol such as aɪ, tʃ or ɔːɹ is several sounds, whose shapes share its time, a long one (ː) counting twice. h, ɦ and ʔ
are made in the throat: the mouth already takes the shape of the next sound. Neighbours of equal shape become one event.
The events follow each other without a gap from sample 0 and end closed (`sil`) where the audio ends.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from msgspec import structs

from mythicd.engines.tts import PhonemeOnset
from mythicd.wire.frames import OVR15
from mythicd.wire.messages import VisemeEvent

LONG: Final = 1
PRIMARY: Final = 2
SECONDARY: Final = 4

_SIL: Final = 0
_VOWELS: Final = frozenset((10, 11, 12, 13, 14))

_SHAPES: Final[dict[str, str]] = {
    "PP": "pbmɓʙɸβʘ",
    "FF": "fvɱʋⱱ",
    "TH": "θðǀ",
    "DD": "tdʈɖɗᶑɾɽǃǁ",
    "kk": "kɡgqɢŋɴxɣχʁɠʛcɟʄɰħʕʜʢʡ",
    "CH": "ʃʒɕʑʂʐçʝɧǂ",
    "SS": "szɬɮ",
    "nn": "nlɲɳɭʎʟɫɺ",
    "RR": "rɹɻʀɚɝ",
    "aa": "aɑɐʌæɶ",
    "E": "eɛəɜɘ",
    "ih": "iɪɨᵻj",
    "oh": "oɔɒɤøœɵɞ",
    "ou": "uʊɯʉyʏwʍɥᵿ",
}
"""The IPA letters of each shape; letters with diacritics count as the bare letter.

The shapes' sounds in the reference
(https://developers.meta.com/horizon/documentation/unity/audio-ovrlipsync-viseme-reference):

    0 sil  neutral          5 kk  k, g            10 aa  A: (car)
    1 PP   p, b, m          6 CH  tS, dZ, S       11 E   e (bed)
    2 FF   f, v             7 SS  s, z            12 ih  ih (tip)
    3 TH   th               8 nn  n, l            13 oh  oh (toe)
    4 DD   t, d             9 RR  r (red)         14 ou  ou (book)

It covers English only; other sounds are assigned by place of articulation (consonants) and by jaw and lips (vowels).
"""

_CODE_OF: Final = {letter: OVR15.index(name) for name, letters in _SHAPES.items() for letter in letters}
_FOLLOWING: Final = frozenset("hɦʔ")
_SYLLABIC_R: Final = frozenset("ɚɝ")
_WEAK: Final = frozenset("əɐᵻɚɨᵿ")
_WEAK_WEIGHT: Final = 150
_UNKNOWN: Final = OVR15.index("E")
_LONG_MARKS: Final = "ː:"

_VOWEL_WEIGHTS: Final = {0: 190, 1: 255, 2: 225}
_CONSONANT_WEIGHTS: Final = {OVR15.index("PP"): 255, OVR15.index("FF"): 230}
_CONSONANT_WEIGHT: Final = 180
_STRESS_FLAGS: Final = {0: 0, 1: PRIMARY, 2: SECONDARY}


@dataclass(frozen=True, slots=True)
class _Shape:
    """One sound of a symbol, and its share of the symbol's time."""

    code: int | None
    """None for the shape of the next sound."""
    share: int
    weight: int
    flags: int


def shapes(ipa: str, stress: int) -> list[_Shape]:
    """Return the shapes of a symbol, in order; an empty symbol is silence."""
    found: list[_Shape] = []
    for symbol in unicodedata.normalize("NFC", ipa):
        # ç is a letter of its own, ã an a with a diacritic.
        letter = symbol if symbol in _CODE_OF else unicodedata.normalize("NFD", symbol)[0]
        if letter in _LONG_MARKS:
            if found:
                found[-1] = replace(found[-1], share=2, flags=found[-1].flags | LONG)
            continue
        code = _CODE_OF.get(letter)
        if letter in _FOLLOWING:
            found.append(_Shape(None, 1, _CONSONANT_WEIGHT, 0))
        elif code in _VOWELS or letter in _SYLLABIC_R:
            assert code is not None
            weight = _WEAK_WEIGHT if letter in _WEAK and not stress else _VOWEL_WEIGHTS.get(stress, 190)
            found.append(_Shape(code, 1, weight, _STRESS_FLAGS.get(stress, 0)))
        elif code is not None:
            found.append(_Shape(code, 1, _CONSONANT_WEIGHTS.get(code, _CONSONANT_WEIGHT), 0))
        elif unicodedata.category(letter) in ("Ll", "Lo", "Lu"):  # not modifier letters (ʰ ʲ) nor marks
            found.append(_Shape(_UNKNOWN, 1, _WEAK_WEIGHT, 0))
    return found or [_Shape(_SIL, 1, 255, 0)]


class VisemeTrack:
    """The viseme track of one phrase: phoneme onsets to viseme events."""

    def __init__(self, sample_rate: int) -> None:
        self._shortest_silence = sample_rate * 40 // 1000  # the closure of a t or k does not close the mouth
        self._longest_wait = sample_rate * 300 // 1000
        self._closing = sample_rate * 40 // 1000
        self._since = 0
        self._parts = shapes("", 0)
        self._undecided: list[tuple[int, int]] = []
        self._held: VisemeEvent | None = None
        self._sent_to = 0

    @property
    def known_until(self) -> int:
        """Every event that starts before this sample has been returned."""
        return self._sent_to

    def add(self, onsets: Iterable[PhonemeOnset], samples_total: int) -> list[VisemeEvent]:
        """Take the onsets that became known with the audio up to `samples_total`; return the events that ended.

        An event that has not ended after 300 ms of audio is returned up to there, so that an engine without onsets
        does not hold audio back for long.
        """
        events: list[VisemeEvent] = []
        for onset in onsets:
            if onset.sample > self._since:
                events += self._close(onset.sample)
            self._parts = shapes(onset.ipa, onset.stress)
        held, following = self._held, self._parts[0].code
        if held is not None and not self._undecided and following not in (None, _SIL, held.code):
            # The next sound cannot merge with it. It is kept at the end of the audio, where the mouth closes.
            events += self._flush(held.end) if held.end < samples_total else []
        if samples_total - max(self._since, self._sent_to) > self._longest_wait:
            # Not to the end: `finish` may need time to close the mouth.
            events += self._close(samples_total - self._closing)
            events += self._flush(self._since)
            self._parts = self._parts[-1:]
        return events

    def finish(self, samples_total: int) -> list[VisemeEvent]:
        """Take the end of the audio at `samples_total`; return the remaining events, the last of which is `sil`."""
        events: list[VisemeEvent] = []
        if samples_total > self._since:
            events += self._close(samples_total)
        events += self._flush(samples_total)
        fitting = [_cut(event, samples_total) for event in events if event.start < samples_total]
        if fitting and fitting[-1].code != _SIL:
            last = fitting.pop()
            closing = min(self._closing, (last.duration + 1) // 2)
            if closing < last.duration:
                fitting.append(structs.replace(last, duration=last.duration - closing))
            fitting.append(VisemeEvent(last.end - closing, closing, _SIL, 255, 0))
        return fitting

    def _close(self, end: int) -> list[VisemeEvent]:
        """End the current sound at `end`; return the events of its shapes that are decided."""
        start, self._since = self._since, end
        total = sum(part.share for part in self._parts)
        events: list[VisemeEvent] = []
        shared = 0
        for part in self._parts:
            begin = start + (end - start) * shared // total
            shared += part.share
            until = start + (end - start) * shared // total
            if until == begin:
                continue
            if part.code is None:
                self._undecided.append((begin, until))
            elif part.code == _SIL and until - begin < self._shortest_silence and self._held is not None:
                events += self._append(structs.replace(self._held, start=begin, duration=until - begin))
            else:
                events += self._append(VisemeEvent(begin, until - begin, part.code, part.weight, part.flags))
        return events

    def _append(self, event: VisemeEvent) -> list[VisemeEvent]:
        """Put `event` after the held one, or merge the two; return the events that this decides."""
        if self._undecided:
            start = self._undecided[0][0]
            self._undecided = []
            event = structs.replace(event, start=start, duration=event.end - start)
        held, self._held = self._held, event
        if held is None:
            return []
        if held.code == event.code:
            self._held = VisemeEvent(
                held.start,
                held.duration + event.duration,
                held.code,
                max(held.weight, event.weight),
                held.flags | event.flags,
            )
            return []
        self._sent_to = held.end
        return [held]

    def _flush(self, end: int) -> list[VisemeEvent]:
        """Return all held events, up to `end`."""
        events: list[VisemeEvent] = []
        if self._undecided:
            start = self._undecided[0][0]
            events += self._append(VisemeEvent(start, end - start, _SIL, 255, 0))
        if self._held is not None:
            events.append(self._held)
            self._sent_to = self._held.end
            self._held = None
        return events


def _cut(event: VisemeEvent, end: int) -> VisemeEvent:
    return structs.replace(event, duration=min(event.duration, end - event.start))
