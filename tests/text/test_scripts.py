"""Unicode scripts: of letters, of languages, and the stretches that a voice cannot read."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.text.scripts import BLANKLESS_LETTER, script_of, scripts_of, unreadable


@pytest.mark.parametrize(
    ("letters", "script"),
    [
        ("aZéßøÆŁőẞﬁ", "Latin"),
        ("αΩἀ", "Greek"),
        ("жЁѣ", "Cyrillic"),
        ("ءيپ", "Arabic"),
        ("את", "Hebrew"),
        ("अह", "Devanagari"),
        ("กฮ", "Thai"),
        ("가힣ㄱ", "Hangul"),
        ("あん", "Hiragana"),
        ("アンｱ", "Katakana"),
        ("一龥㐀𠀀々", "Han"),
        ("ႠႰა", "Georgian"),
        ("አ", "Ethiopic"),
        ("𐎀", "other"),
    ],
)
def test_script_of_letters(letters: str, script: str) -> None:
    assert {script_of(letter) for letter in letters} == {script}


@pytest.mark.parametrize(
    ("languages", "scripts"),
    [
        (["en"], {"Latin"}),
        (["en-us+f2"], {"Latin"}),
        (["ru_RU-irina-medium"], {"Latin", "Cyrillic"}),
        (["ja"], {"Latin", "Han", "Hiragana", "Katakana"}),
        (["cmn", "ar"], {"Latin", "Han", "Bopomofo", "Arabic"}),
        (["xx"], {"Latin"}),
        ([], {"Latin"}),
    ],
)
def test_scripts_of_languages(languages: list[str], scripts: set[str]) -> None:
    assert scripts_of(languages) == scripts


@pytest.mark.parametrize(
    ("text", "stretches"),
    [
        ("plain", []),
        ("café, naïve – 5 €", []),
        ("你好", ["你好"]),
        ("你好, 3 世界!", ["你好, 3 世界"]),
        ("现在3点。", ["现在3点。"]),
        ("Say 你好 to мир.", ["你好", "мир"]),
        ("हिन्दी में", ["हिन्दी में"]),
        ("5 हिन्दी", ["हिन्दी"]),
        ("naïve e\u0301", []),
    ],
)
def test_unreadable_stretches_for_an_english_voice(text: str, stretches: list[str]) -> None:
    assert [text[start:end] for start, end in unreadable(text, ["en"])] == stretches


@given(
    st.text(alphabet=st.sampled_from("aé 5.。，你мع\u0301\u064b「」"), max_size=30), st.sampled_from(["en", "zh", "ru"])
)
def test_unreadable_stretches_are_ordered_and_hold_all_unreadable_letters(text: str, language: str) -> None:
    stretches = unreadable(text, [language])
    assert all(0 <= start < end <= len(text) for start, end in stretches)
    assert all(end <= start for (_, end), (start, _) in pairwise(stretches))
    inside = {at for start, end in stretches for at in range(start, end)}
    for at, char in enumerate(text):
        if char.isalpha():
            assert (at in inside) == (script_of(char) not in scripts_of([language]))


def test_blankless_letters() -> None:
    assert BLANKLESS_LETTER.findall("a你 あァกж가。") == ["你", "あ", "ァ", "ก"]
