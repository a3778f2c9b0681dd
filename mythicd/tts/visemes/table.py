"""The table of sounds: each IPA letter with its mouth shape in every viseme set, and the source of the row.

Meta's and Rhubarb's references name English sounds only; other letters are assigned by the IPA chart: consonants by
place of articulation, vowels by height and rounding. VRM and Apple define the shapes but no sounds, so the levels of
`vrm` and `arkit` are our own; docs/lip-sync.md gives the rules and shows this table. Levels are percent of the shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SOURCES: Final[Mapping[str, str]] = {
    "Meta": "https://developers.meta.com/horizon/documentation/unity/audio-ovrlipsync-viseme-reference",
    "Rhubarb": "https://github.com/DanielSWolf/rhubarb-lip-sync#mouth-shapes",
    "VRM": "https://github.com/vrm-c/vrm-specification/blob/master/specification/VRMC_vrm-1.0/expressions.md",
    "Apple": "https://developer.apple.com/documentation/arkit/arfaceanchor/blendshapelocation",
    "IPA": "https://www.internationalphoneticassociation.org/content/full-ipa-chart",
}
"""The references that rows name: viseme reference, mouth shapes, lip-sync presets, blend shapes, and the IPA chart."""


@dataclass(frozen=True, slots=True)
class Sound:
    """One row: IPA letters that look the same, and their shape in each set."""

    letters: str
    """A letter with diacritics (n̩, t̪) counts as the bare letter."""
    ovr15: str
    vrm: tuple[str, int]
    """One lip-sync preset and its level; ("sil", 100) for closed lips, which VRM has no preset for."""
    rhubarb: str
    arkit: Mapping[str, int]
    """Levels by blend shape; a name without its Left and Right (`mouthPress`) stands for both sides."""
    source: str
    """Which reference names which of the sounds, or the class in the IPA chart that decided."""
    is_vowel: bool = False
    """Whether stress opens it: vowels, and the glides j, w and ɥ, which move like the vowels i, u and y."""


# fmt: off
SOUNDS: Final[tuple[Sound, ...]] = (
    # Lips
    Sound("pbmɓʘʙ", "PP", ("sil", 100), "A",
          {"jawOpen": 5, "mouthClose": 5, "mouthPress": 30, "mouthRollLower": 15, "mouthRollUpper": 10},
          "Meta: p, b, m. Rhubarb: P, B, M. IPA: bilabial."),
    Sound("ɸβ", "PP", ("ou", 25), "A",
          {"jawOpen": 5, "mouthFunnel": 15, "mouthPress": 10},
          "IPA: bilabial fricatives; the lips nearly close."),
    Sound("fvɱʋⱱ", "FF", ("ih", 20), "G",
          {"jawOpen": 5, "mouthRollLower": 45, "mouthUpperUp": 18},
          "Meta: f, v. Rhubarb: F, V. IPA: labiodental."),
    # Tip of the tongue
    Sound("θðǀ", "TH", ("ih", 35), "B",
          {"jawOpen": 12, "mouthLowerDown": 12, "mouthUpperUp": 8, "tongueOut": 30},
          "Meta: th. Rhubarb: most consonants. IPA: dental."),
    Sound("tdɾɗ", "DD", ("ih", 30), "B",
          {"jawOpen": 8, "mouthStretch": 8, "mouthLowerDown": 15, "mouthUpperUp": 6},
          "Meta: t, d. Rhubarb: T. IPA: alveolar stops and tap."),
    Sound("ʈɖᶑɽǃǁ", "DD", ("ih", 30), "B",
          {"jawOpen": 12, "mouthFunnel": 8, "mouthLowerDown": 15},
          "IPA: retroflex stops and flap; postalveolar and lateral clicks."),
    Sound("sz", "SS", ("ih", 25), "B",
          {"jawOpen": 3, "mouthStretch": 20, "mouthLowerDown": 18, "mouthUpperUp": 10},
          "Meta: s, z. Rhubarb: S."),
    Sound("ɬɮ", "SS", ("ih", 30), "B",
          {"jawOpen": 6, "mouthStretch": 15, "mouthLowerDown": 18},
          "IPA: lateral fricatives."),
    Sound("nɳɲ", "nn", ("ih", 30), "B",
          {"jawOpen": 8, "mouthLowerDown": 12, "mouthUpperUp": 5},
          "Meta: n. Rhubarb: most consonants. IPA: coronal and palatal nasals."),
    Sound("lɫɭʎʟɺ", "nn", ("ih", 40), "H",
          {"jawOpen": 16, "mouthLowerDown": 16, "mouthUpperUp": 6},
          "Meta: l. Rhubarb: L. IPA: laterals."),
    Sound("ʃʒʂʐ", "CH", ("ou", 40), "B",
          {"jawOpen": 5, "mouthFunnel": 45, "mouthPucker": 12, "mouthLowerDown": 10, "mouthUpperUp": 10},
          "Meta: S (she); tS and dZ are two sounds here. Rhubarb: most consonants. IPA: retroflex fricatives."),
    Sound("ɕʑçʝɧǂ", "CH", ("ih", 35), "B",
          {"jawOpen": 5, "mouthFunnel": 15, "mouthStretch": 12, "mouthLowerDown": 12},
          "IPA: palatal and alveolo-palatal fricatives; palatal click."),
    # Back of the tongue
    Sound("kɡgqɢŋɴɠʛ", "kk", ("ih", 30), "B",
          {"jawOpen": 12, "mouthLowerDown": 10, "mouthUpperUp": 5},
          "Meta: k, g. Rhubarb: K. IPA: velar and uvular stops and nasals."),
    Sound("cɟʄ", "kk", ("ih", 40), "B",
          {"jawOpen": 8, "mouthStretch": 15, "mouthLowerDown": 10},
          "IPA: palatal stops."),
    Sound("xɣχʁɰħʕʜʢʡ", "kk", ("aa", 25), "C",
          {"jawOpen": 15, "mouthLowerDown": 12},
          "IPA: velar to epiglottal fricatives, approximants and trills. Rhubarb: some consonants."),
    # R
    Sound("ɹɻ", "RR", ("ou", 35), "E",
          {"jawOpen": 8, "mouthFunnel": 30, "mouthPucker": 15},
          "Meta: r (red). Rhubarb: ER. IPA: approximants; English rounds the lips."),
    Sound("rʀ", "RR", ("ih", 35), "B",
          {"jawOpen": 12, "mouthStretch": 5, "mouthLowerDown": 12},
          "IPA: trills. Rhubarb: most consonants."),
    Sound("ɚɝ", "RR", ("oh", 60), "E",
          {"jawOpen": 20, "mouthFunnel": 25, "mouthPucker": 12},
          "Meta: r. Rhubarb: ER (bird). IPA: mid central, r-coloured.", is_vowel=True),
    # Close vowels and glides
    Sound("i", "ih", ("ih", 100), "B",
          {"jawOpen": 6, "mouthSmile": 28, "mouthStretch": 35, "mouthLowerDown": 12, "mouthUpperUp": 8},
          "Rhubarb: EE (bee). VRM: i. IPA: close front.", is_vowel=True),
    Sound("j", "ih", ("ih", 80), "B",
          {"jawOpen": 6, "mouthSmile": 22, "mouthStretch": 28, "mouthLowerDown": 10, "mouthUpperUp": 6},
          "IPA: palatal approximant, the glide of i.", is_vowel=True),
    Sound("ɪɨᵻ", "ih", ("ih", 80), "B",
          {"jawOpen": 10, "mouthSmile": 18, "mouthStretch": 25, "mouthLowerDown": 12, "mouthUpperUp": 6},
          "Meta: ih (tip). IPA: near-close front, close central.", is_vowel=True),
    Sound("yʉ", "ou", ("ou", 90), "F",
          {"jawOpen": 6, "mouthFunnel": 30, "mouthPucker": 55},
          "IPA: close front and central, rounded.", is_vowel=True),
    Sound("u", "ou", ("ou", 100), "F",
          {"jawOpen": 6, "mouthFunnel": 25, "mouthPucker": 60},
          "Rhubarb: UW (you). VRM: u. IPA: close back, rounded.", is_vowel=True),
    Sound("wʍɥ", "ou", ("ou", 100), "F",
          {"jawOpen": 4, "mouthFunnel": 20, "mouthPucker": 70},
          "Rhubarb: W (way). IPA: labial-velar and labial-palatal.", is_vowel=True),
    Sound("ʊʏᵿ", "ou", ("ou", 80), "F",
          {"jawOpen": 10, "mouthFunnel": 25, "mouthPucker": 40},
          "Meta: ou (book). Rhubarb: the end of OW (show). IPA: near-close, rounded.", is_vowel=True),
    Sound("ɯ", "ou", ("ou", 60), "B",
          {"jawOpen": 6, "mouthStretch": 8, "mouthLowerDown": 8},
          "VRM: u, as in Japanese. IPA: close back, unrounded.", is_vowel=True),
    # Mid vowels
    Sound("e", "E", ("ee", 100), "C",
          {"jawOpen": 18, "mouthSmile": 20, "mouthStretch": 28, "mouthLowerDown": 15, "mouthUpperUp": 8},
          "VRM: eh. IPA: close-mid front.", is_vowel=True),
    Sound("ɘ", "E", ("ee", 60), "C",
          {"jawOpen": 18, "mouthLowerDown": 14},
          "IPA: close-mid central.", is_vowel=True),
    Sound("øɵ", "oh", ("oh", 80), "E",
          {"jawOpen": 18, "mouthFunnel": 35, "mouthPucker": 25},
          "IPA: close-mid front and central, rounded.", is_vowel=True),
    Sound("o", "oh", ("oh", 90), "E",
          {"jawOpen": 18, "mouthFunnel": 35, "mouthPucker": 30},
          "Meta: oh (toe). VRM: oh. IPA: close-mid back, rounded.", is_vowel=True),
    Sound("ɤ", "oh", ("aa", 50), "C",
          {"jawOpen": 18, "mouthLowerDown": 12},
          "IPA: close-mid back, unrounded.", is_vowel=True),
    Sound("ə", "E", ("aa", 60), "C",
          {"jawOpen": 20, "mouthLowerDown": 12},
          "IPA: mid central.", is_vowel=True),
    Sound("ɛ", "E", ("ee", 90), "C",
          {"jawOpen": 28, "mouthSmile": 15, "mouthStretch": 22, "mouthLowerDown": 18, "mouthUpperUp": 10},
          "Meta: e (bed). Rhubarb: EH (men). IPA: open-mid front.", is_vowel=True),
    Sound("ɜ", "E", ("aa", 60), "E",
          {"jawOpen": 28, "mouthLowerDown": 15},
          "Rhubarb: ER (bird). IPA: open-mid central.", is_vowel=True),
    Sound("œɞ", "oh", ("oh", 80), "E",
          {"jawOpen": 28, "mouthFunnel": 30, "mouthPucker": 15},
          "IPA: open-mid front and central, rounded.", is_vowel=True),
    Sound("ɔ", "oh", ("oh", 100), "E",
          {"jawOpen": 28, "mouthFunnel": 35, "mouthPucker": 10},
          "Rhubarb: AO (off). VRM: oh. IPA: open-mid back, rounded.", is_vowel=True),
    Sound("ʌ", "aa", ("aa", 75), "C",
          {"jawOpen": 28, "mouthLowerDown": 18, "mouthUpperUp": 8},
          "IPA: open-mid back, unrounded.", is_vowel=True),
    # Open vowels
    Sound("æ", "aa", ("aa", 90), "C",
          {"jawOpen": 36, "mouthSmile": 15, "mouthStretch": 25, "mouthLowerDown": 20, "mouthUpperUp": 12},
          "Rhubarb: AE (bat). IPA: near-open front.", is_vowel=True),
    Sound("ɐ", "aa", ("aa", 80), "C",
          {"jawOpen": 36, "mouthLowerDown": 18, "mouthUpperUp": 8},
          "IPA: near-open central.", is_vowel=True),
    Sound("aɑ", "aa", ("aa", 100), "D",
          {"jawOpen": 45, "mouthLowerDown": 20, "mouthUpperUp": 10},
          "Meta: long a (car). Rhubarb: AA (father). VRM: aa. IPA: open.", is_vowel=True),
    Sound("ɶ", "aa", ("aa", 90), "D",
          {"jawOpen": 45, "mouthFunnel": 25},
          "IPA: open front, rounded.", is_vowel=True),
    Sound("ɒ", "oh", ("oh", 90), "E",
          {"jawOpen": 45, "mouthFunnel": 30, "mouthPucker": 5},
          "Rhubarb: AO (off). IPA: open back, rounded.", is_vowel=True),
)
# fmt: on
"""The rows; each letter is in one."""

FOLLOWING: Final = frozenset("hɦʔ")
"""Sounds made in the throat (IPA: glottal): the mouth already takes the shape of the next sound."""

WEAK: Final = frozenset("əɐᵻɚɨᵿ")
"""Vowels of reduced syllables: their mouth opens less than that of other unstressed vowels."""

WRITTEN_AS: Final[Mapping[str, str]] = {
    "ʦ": "ts", "ʣ": "dz", "ʧ": "tʃ", "ʤ": "dʒ", "ʨ": "tɕ", "ʥ": "dʑ", "ꭧ": "tʂ", "ꭦ": "dʐ", "ε": "ɛ", "˞": "ɹ",
}  # fmt: skip
"""Other spellings: ligatures of affricates, the Greek ε, and the hook of an r-coloured vowel."""
