"""Recognition confidence: the features of a wrong recognition lower it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mythicd.asr.pocketsphinx.confidence import BELIEVABLE, HeardWord, confidence

CLEAR = [HeardWord(word, 30, 1e-40, 0.98) for word in ("where", "is", "the", "market")]


def test_clear_question_has_high_confidence() -> None:
    assert confidence(CLEAR, 0.2, "where is the market") > 0.9


def test_each_feature_lowers_the_confidence() -> None:
    clear = confidence(CLEAR, 0.2, "where is the market")
    assert confidence(CLEAR, 1e-6, "where is the market") < clear
    assert confidence(CLEAR, 0.2, "we rise a mark it") < clear
    assert confidence([replace(word, language=0.94) for word in CLEAR], 0.2, "where is the market") < BELIEVABLE
    assert confidence([replace(word, acoustic=1e-100) for word in CLEAR], 0.2, "where is the market") < clear


def test_no_words_give_zero() -> None:
    assert confidence([], 1.0, "") == 0.0


@given(
    st.lists(
        st.builds(HeardWord, st.text(), st.integers(1, 10_000), st.floats(0, 1), st.floats(0, 1)),
        min_size=1,
        max_size=9,
    ),
    st.floats(0, 1),
    st.text(),
)
def test_confidence_is_always_from_0_to_1(words: list[HeardWord], posterior: float, first_pass: str) -> None:
    assert 0.0 <= confidence(words, posterior, first_pass) <= 1.0
