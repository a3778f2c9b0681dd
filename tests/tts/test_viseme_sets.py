"""The table of sounds: complete in every viseme set, for every symbol of the engines, and consistent with phonetics."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import get_args

import pytest

from mythicd.engines.tts import PhonemeOnset
from mythicd.native.espeakng import EspeakNg
from mythicd.tts.visemes.shapes import shape_table, target_of
from mythicd.tts.visemes.table import FOLLOWING, SOUNDS, SOURCES, WEAK, WRITTEN_AS, Sound
from mythicd.tts.visemes.track import VisemeTrack
from mythicd.wire.frames import ARKIT, RHUBARB, VISEME_SETS, VRM
from mythicd.wire.messages import BlendEvent, VisemeSetName
from tests.document_tables import table

SETS: tuple[VisemeSetName, ...] = get_args(VisemeSetName)
DOCUMENT = (Path(__file__).parents[2] / "docs" / "lip-sync.md").read_text(encoding="utf-8")
LETTERS = frozenset(letter for sound in SOUNDS for letter in sound.letters)
SOUND_OF = {letter: sound for sound in SOUNDS for letter in sound.letters}

SPEECH = {
    "en-us": "The quick brown fox jumps over the lazy dog. Measure the azure vision; charge the judge with noise. "
    "Poor royal players fire for an hour. Bottle, button, little rhythm. Thin this bath, bathe. Uh-oh! Loch, Bach. "
    "Boys enjoy the cow town house. Hello, idea, cure, square, near, nurse, goose, thought, strut, foot, lot, kit.",
    "en-gb": "Poor royal players fire for an hour. Bottle, button, square, near, nurse, goose, strut, lot.",
    "en-gb-scotland": "The girl heard a bird in the loch, and a fern.",
    "en-029": "Mind the third brother, boys.",
    "de": "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Ich lache, Pfanne, Zeit, Junge, Genie.",
    "fr": "Portez ce vieux whisky au juge blond qui fume. Un bon vin blanc, oignon, huit, feu, peur, Paris.",
    "es": "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío; añoraba, perro, caro, chico.",
    "it": "Quel vituperabile xenofobo zelante assaggia il whisky ed esclama: alleluja! Gli gnomi, pizza.",
    "pt": "Luís argüia à Júlia que brações, fé, chá, óxido, pôr, zângão eram palavras do português. Não, filho, carro.",
    "ru": "Съешь ещё этих мягких французских булок, да выпей же чаю. Щука, цирк, жить.",
    "pl": "Pchnąć w tę łódź jeża lub ośm skrzyń fig. Źdźbło, dżem, szczęście.",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "cmn": "你好，我们去中国吃日本菜。女，知道，是，四，儿子。",
    "ja": "いろはにほへと ちりぬるを しんぶん きょう つづく ふじさん",
    "ko": "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.",
    "ar": "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر",
    "he": "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "hi": "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण, घर, छोटा, ठंडा, ढोल।",
    "sv": "Flygande bäckasiner söka hwila på mjuka tuvor. Sjuk, kärlek, barn.",
    "da": "Rødgrød med fløde. Høj.",
    "nl": "Pa's wijze lynx bezag vroom het fikse aquaduct. Schip, ui, goed.",
    "tr": "Pijamalı hasta yağız şoföre çabucak güvendi.",
    "hu": "Árvíztűrő tükörfúrógép, gyerek, tyúk.",
    "cy": "Llanfair, chwech, rhyfel.",
    "vi": "Do bạch kim rất quý nên sẽ dùng để lắp vô xương.",
    "el": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "ka": "ქართული ყვავილი",
    "am": "ሰላም ጤና",
}


def letters_of(symbol: str) -> set[str]:
    """Return a symbol's letters, without marks, modifier letters and espeak-ng's language switches such as (en)."""
    found = set()
    for letter in unicodedata.normalize("NFC", re.sub(r"\([a-z-]+\)", "", symbol)):
        for bare in WRITTEN_AS.get(letter, letter if letter in LETTERS else unicodedata.normalize("NFD", letter)[0]):
            if unicodedata.category(bare) in ("Ll", "Lo", "Lu"):
                found.add(bare)
    return found


@pytest.mark.parametrize("name", SETS)
def test_every_row_has_a_shape_in_every_set(name: VisemeSetName) -> None:
    shapes = VISEME_SETS[name].shapes
    for sound in SOUNDS:
        target = target_of(sound, name)
        assert target, sound.letters
        codes = [code for code, _ in target]
        assert codes == sorted(set(codes)) and codes[-1] < len(shapes), sound.letters
        assert all(0 < level <= 255 for _, level in target), sound.letters
        assert name == "arkit" or len(target) == 1


def test_every_shape_of_the_small_sets_is_used() -> None:
    used = {name: {target_of(sound, name)[0][0] for sound in SOUNDS} for name in ("ovr15", "vrm", "rhubarb")}
    assert used["ovr15"] == set(range(1, 15))
    assert used["vrm"] == set(range(len(VRM)))
    assert used["rhubarb"] == set(range(1, len(RHUBARB)))


def test_a_letter_is_in_one_row() -> None:
    letters = [letter for sound in SOUNDS for letter in sound.letters]
    assert len(letters) == len(set(letters)) == len(LETTERS)
    assert not LETTERS & FOLLOWING and LETTERS >= WEAK
    assert all(set(spelling) <= LETTERS and letter not in LETTERS for letter, spelling in WRITTEN_AS.items())


def test_every_letter_of_the_ipa_chart_has_a_row() -> None:
    """The chart of 2020: pulmonic and other consonants, vowels, clicks and implosives."""
    chart = (
        "pbtdʈɖcɟkɡqɢʔmɱnɳɲŋɴʙrʀⱱɾɽɸβfvθðszʃʒʂʐçʝxɣχʁħʕhɦɬɮʋɹɻjɰlɭʎʟʘǀǃǂǁɓɗʄɠʛʍwɥʜʢʡɕʑɺɧiyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒɚɝ"
    )
    assert set(chart) - LETTERS == FOLLOWING


def test_every_row_names_its_source() -> None:
    for sound in SOUNDS:
        named = set(re.findall(r"\b(\w+):", sound.source))
        assert named and named <= set(SOURCES), sound.source


def test_every_symbol_of_espeak_is_known() -> None:
    espeak = EspeakNg.load()
    heard = {
        onset.ipa
        for voice, text in SPEECH.items()
        for chunk in espeak.synthesize(text, voice)
        for onset in chunk.phonemes
    }
    assert len(heard) > 150
    unknown = {symbol: letters_of(symbol) - LETTERS - FOLLOWING for symbol in heard}
    assert {symbol: letters for symbol, letters in unknown.items() if letters} == {}


def test_every_symbol_of_piper_is_known() -> None:
    symbols = pytest.importorskip("piper.phoneme_ids").DEFAULT_PHONEME_ID_MAP
    unknown = {letter for symbol in symbols for letter in letters_of(symbol)} - LETTERS - FOLLOWING
    assert unknown == {"X"}, "not an IPA letter; espeak-ng has no such symbol"


@pytest.mark.parametrize("name", SETS)
def test_an_unknown_letter_opens_the_mouth_a_little(name: VisemeSetName) -> None:
    [shape] = shape_table(name).shapes("ж", 0)
    assert shape.target == shape_table(name).letters["ə"][0]


# --- phonetics -------------------------------------------------------------------------------------------------------

HEIGHTS = ("iyɨʉɯu", "ɪʏʊ", "eøɘɵɤo", "ə", "ɛœɜɞʌɔ", "æɐ", "aɶɑɒ")
"""The IPA chart's vowels, from close to open."""
ROUNDED = frozenset("yʉuʏʊᵿøɵoœɞɔɶɒwʍɥ")
"""The right-hand vowels of the chart's pairs, and the labial glides."""


def opening(sound: Sound) -> int:
    return sound.arkit["jawOpen"]


def test_the_jaw_opens_with_the_vowel_s_height() -> None:
    levels = [[opening(SOUND_OF[letter]) for letter in height] for height in HEIGHTS]
    for closer, opener in zip(levels, levels[1:], strict=False):
        assert max(closer) <= min(opener)
    assert max(levels[0]) <= 10 and min(levels[-1]) >= 40


def test_rounded_vowels_and_no_others_round_the_lips() -> None:
    for sound in SOUNDS:
        rounds = sound.arkit.get("mouthFunnel", 0) + sound.arkit.get("mouthPucker", 0) > 0
        for letter in sound.letters:
            if sound.is_vowel and letter not in "ɚɝ":
                assert rounds == (letter in ROUNDED), letter
            if letter in ROUNDED:
                assert sound.vrm[0] in ("ou", "oh") or letter == "ɶ", letter
                assert sound.rhubarb in "EF" or letter == "ɶ", letter


def test_the_closer_a_rounded_vowel_the_more_it_puckers() -> None:
    for series in ("uʊoɔɒ", "yʏøœɶ"):
        levels = [SOUND_OF[letter].arkit.get("mouthPucker", 0) for letter in series]
        assert levels == sorted(levels, reverse=True) and len(set(levels)) == len(series)


def test_front_unrounded_vowels_spread_the_lips() -> None:
    spread = {letter for sound in SOUNDS if "mouthSmile" in sound.arkit for letter in sound.letters}
    assert spread == set("iɪeɛæ") | set("jɨᵻ")
    assert all("mouthStretch" in SOUND_OF[letter].arkit for letter in spread)


def test_consonants_of_vrm_are_weak_vowels() -> None:
    levels = {sound.vrm[1] for sound in SOUNDS if not sound.is_vowel and sound.vrm[0] != "sil"}
    assert 20 <= min(levels) and max(levels) <= 40
    assert max(levels) < min(sound.vrm[1] for sound in SOUNDS if sound.is_vowel)


def test_lips_close_for_bilabials_only() -> None:
    closed = {letter for sound in SOUNDS if "mouthClose" in sound.arkit for letter in sound.letters}
    assert closed == set("pbmɓʘʙ")
    for letter in closed:
        sound = SOUND_OF[letter]
        assert (sound.ovr15, sound.vrm[0], sound.rhubarb) == ("PP", "sil", "A")
        assert sound.arkit["mouthClose"] == sound.arkit["jawOpen"], "mouthClose is relative to the jaw's opening"


def test_both_halves_of_the_face_move_alike() -> None:
    for sound in SOUNDS:
        weights = {ARKIT[code]: level for code, level in target_of(sound, "arkit")}
        for shape, level in weights.items():
            if shape.endswith("Left"):
                assert weights[shape.removesuffix("Left") + "Right"] == level
        assert not [shape for shape in weights if shape.startswith(("eye", "brow", "nose", "cheek"))]


# --- tracks of one word in each set ----------------------------------------------------------------------------------


def track(name: VisemeSetName, *onsets: tuple[int, str, int]) -> list:
    """Return the events of sounds (sample, symbol, stress) at 1000 Hz, the last of which ends the audio."""
    viseme = VisemeTrack(1000, name)
    *sounds, (total, _, _) = onsets
    return viseme.add([PhonemeOnset(*sound) for sound in sounds], 0) + viseme.finish(total)


OPEN = ((0, "oʊ", 1), (200, "p", 0), (260, "ə", 0), (320, "n", 0), (400, "", 0), (500, "", 0))
"""The word "open"."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ovr15", "oh:255 ou:255 PP:255 E:150 nn:180 sil:255"),
        ("vrm", "oh:230 ou:204 sil:255 aa:90 ih:76 sil:255"),
        ("rhubarb", "E:255 F:255 A:255 C:150 B:255 X:255"),
    ],
)
def test_a_word_in_the_sets_of_single_shapes(name: VisemeSetName, expected: str) -> None:
    events = track(name, *OPEN)
    shapes = VISEME_SETS[name].shapes
    assert " ".join(f"{shapes[event.code]}:{event.weight}" for event in events) == expected
    assert [event.start for event in events] == [0, 100, 200, 260, 320, 400]


def test_a_word_in_blend_shapes() -> None:
    events = track("arkit", *OPEN)
    shown = [{ARKIT[code]: weight for code, weight in event.weights} for event in events]
    assert shown[0] == {"jawOpen": 46, "mouthFunnel": 89, "mouthPucker": 76}
    assert shown[2]["mouthPressLeft"] == shown[2]["mouthPressRight"] == 76
    assert shown[3]["jawOpen"] == 30, "an unstressed weak vowel opens less"
    assert shown[-1] == {}


def test_neighbours_merge_by_the_shapes_of_their_set() -> None:
    """i and ɪ are one viseme to Meta and one drawing to Rhubarb, and two shapes of a face."""
    onsets = ((0, "i", 0), (100, "ɪ", 0), (200, "", 0), (300, "", 0))
    assert {name: len(track(name, *onsets)) for name in SETS} == {"ovr15": 2, "rhubarb": 2, "vrm": 3, "arkit": 3}


def test_blend_shapes_merge_only_where_all_are_equal() -> None:
    """i and y open the jaw alike; t and d are one row of the table."""
    assert len(track("arkit", (0, "i", 0), (100, "y", 0), (200, "", 0), (300, "", 0))) == 3
    assert len(track("arkit", (0, "t", 0), (100, "d", 0), (200, "", 0), (300, "", 0))) == 2


def test_closed_lips_are_not_taken_for_a_short_silence() -> None:
    """VRM shows p like silence, and a silence under 40 ms keeps the mouth open."""
    onsets = ((0, "a", 0), (100, "p", 0), (130, "a", 0), (230, "", 0), (330, "", 0))
    assert [VRM[event.code] for event in track("vrm", *onsets)] == ["aa", "sil", "aa", "sil"]


def test_stress_opens_the_mouth_in_every_set_that_has_levels() -> None:
    for name in ("ovr15", "vrm", "arkit"):
        soft, loud = (track(name, (0, "a", stress), (200, "", 0), (300, "", 0))[0] for stress in (0, 1))
        if isinstance(soft, BlendEvent):
            assert all(a < b for (_, a), (_, b) in zip(soft.weights, loud.weights, strict=True))
        else:
            assert soft.weight < loud.weight


# --- docs/lip-sync.md ------------------------------------------------------------------------------------------------


def test_the_document_shows_the_table() -> None:
    expected = [
        [
            " ".join(sound.letters),
            f"`{sound.ovr15}`",
            f"`{sound.vrm[0]}`" + (f" {sound.vrm[1]}" if sound.vrm[0] != "sil" else ""),
            f"`{sound.rhubarb}`",
            ", ".join(f"{shape} {level}" for shape, level in sound.arkit.items()),
            sound.source,
        ]
        for sound in SOUNDS
    ]
    assert table(DOCUMENT, "## The table") == expected, "docs/lip-sync.md should say:\n" + "\n".join(
        f"| {' | '.join(row)} |" for row in expected
    )


def test_the_document_names_every_shape_and_source() -> None:
    listed = {row[0].strip("`"): row[1].split() for row in table(DOCUMENT, "### The shapes of each set")}
    assert listed == {name: list(VISEME_SETS[name].shapes) for name in ("ovr15", "vrm", "rhubarb")}
    blends = {int(row[0]): row[1].strip("`") for row in table(DOCUMENT, "### The blend shapes of `arkit`")}
    sent = sorted({code for sound in SOUNDS for code, _ in target_of(sound, "arkit")})
    assert blends == {code: ARKIT[code] for code in sent}
    assert all(f"]({url})" in DOCUMENT for url in SOURCES.values())
