"""Signs of a misunderstanding lower the confidence."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mythicd.asr.pocketsphinx.confidence import BELIEVABLE, HeardWord, confidence

CLEAR = [HeardWord(word, 30, 1e-40, 0.98) for word in ("where", "is", "the", "market")]


def test_a_clear_question_is_believable() -> None:
    assert confidence(CLEAR, 0.2, "where is the market") > 0.9


def test_each_sign_counts() -> None:
    clear = confidence(CLEAR, 0.2, "where is the market")
    assert confidence(CLEAR, 1e-6, "where is the market") < clear
    assert confidence(CLEAR, 0.2, "we rise a mark it") < clear
    assert confidence([replace(word, language=0.94) for word in CLEAR], 0.2, "where is the market") < BELIEVABLE
    assert confidence([replace(word, acoustic=1e-100) for word in CLEAR], 0.2, "where is the market") < clear


def test_no_words_no_confidence() -> None:
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
def test_it_is_always_a_share(words: list[HeardWord], posterior: float, first_pass: str) -> None:
    assert 0.0 <= confidence(words, posterior, first_pass) <= 1.0
