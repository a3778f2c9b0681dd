"""Pronunciations of unlisted words, in the phones of the acoustic model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.asr.pocketsphinx.lexicon import pronounce, read_cmu
from mythicd.asr.pocketsphinx.pronunciation import _IPA, _SPELLING, ARPABET, from_ipa, from_parts, from_spelling
from mythicd.errors import ModelError
from mythicd.native.espeakng import EspeakNg

MODEL = Path(pytest.importorskip("pocketsphinx").get_model_path()) / "en-us"
INVENTED = (
    "Lanternport Orsolo Anselm Gullspire Xerxes Zoë Chthon Rhûn T'kar Yrsa Ng'oth señor Łódź façade smørrebrød".split()
)


def test_the_tables_use_the_acoustic_models_phones_only() -> None:
    definition = (MODEL / "en-us" / "mdef").read_bytes()
    known = {phone for phone in ARPABET if b"\0" + phone.encode() + b"\0" in definition}
    assert known == ARPABET
    for table in (_IPA, _SPELLING):
        assert {phone for phones in table.values() for phone in phones.split()} <= ARPABET


@pytest.mark.parametrize(
    ("ipa", "phones"),
    [
        ("lˈæntɚnpˌɔːɹt", "L AE N T ER N P AO R T"),
        ("tʃˈɜːtʃ", "CH ER CH"),
        ("dʒˈʌdʒ", "JH AH JH"),
        ("fˈaɪɚ", "F AY ER"),
        ("bˈʌʔn̩", "B AH T AH N"),
        ("hˈɑːbə", "HH AA B AH"),
        ("ɔːsˈəʊləʊ", "AO S OW L OW"),
    ],
)
def test_ipa_becomes_arpabet(ipa: str, phones: str) -> None:
    assert from_ipa(ipa) == tuple(phones.split())


def test_unknown_symbols_give_none() -> None:
    assert from_ipa("ǃxoo") is None
    assert from_ipa("") is None
    assert from_ipa("ˈ") is None


def test_words_are_combined_from_parts() -> None:
    dictionary = {"lantern": [("L", "AE")], "port": [("P", "AO", "R", "T")], "fish": [("F", "IH", "SH")]}
    assert from_parts("lanternport", dictionary) == ("L", "AE", "P", "AO", "R", "T")
    assert from_parts("port's", dictionary) == ("P", "AO", "R", "T", "S")
    assert from_parts("fishes", dictionary) == ("F", "IH", "SH", "IH", "Z")
    assert from_parts("orsolo", dictionary) is None


@given(st.text())
def test_spelling_gives_known_phones_for_any_word(word: str) -> None:
    phones = from_spelling(word)
    assert phones is None or set(phones) <= ARPABET


@given(st.text())
def test_any_ipa_is_mapped_or_none(ipa: str) -> None:
    phones = from_ipa(ipa)
    assert phones is None or set(phones) <= ARPABET


@pytest.mark.parametrize("espeak", [EspeakNg.load, lambda: None], ids=["espeak", "without espeak"])
def test_every_invented_name_gets_a_pronunciation(espeak: object) -> None:
    words = [word.lower() for word in INVENTED]
    lexicon = pronounce([*words, "tavern"], MODEL / "cmudict-en-us.dict", espeak())  # type: ignore[operator]
    assert set(lexicon.words) == {*words, "tavern"}
    assert not lexicon.unspeakable
    assert {phone for ways in lexicon.words.values() for way in ways for phone in way} <= ARPABET
    assert "tavern T AE V ER N\n" in lexicon.cmu()


def test_guesses_and_failures_are_listed() -> None:
    lexicon = pronounce(["qwyx", "東京"], MODEL / "cmudict-en-us.dict", None)
    assert lexicon.guessed == ("qwyx",)
    assert lexicon.unspeakable == ("東京",)


def test_missing_dictionary_raises_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.dict"):
        read_cmu(tmp_path / "gone.dict", ["a"])
