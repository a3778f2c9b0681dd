"""The player's words as a search query."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.memory.query import MAX_TERMS, build_query, content_words


def test_stop_words_are_dropped_and_the_text_is_kept_whole() -> None:
    query = build_query("  Could you tell me where\nthe Blue Lantern is? ")
    assert query.terms == ("blue", "lantern")
    assert query.expression == '"blue" OR "lantern"'
    assert query.text == "Could you tell me where the Blue Lantern is?"


def test_a_question_without_words_of_its_own_looks_back() -> None:
    query = build_query("and how much is it?", previous="do you sell rope")
    assert query.terms == ("sell", "rope")
    assert query.text == "do you sell rope and how much is it?"
    assert build_query("is the lantern lit", previous="do you sell rope").terms == ("lantern", "lit")


def test_intent_and_scene_are_context_and_not_terms() -> None:
    query = build_query("what about the lantern", intent="trade", scene_tags=("market_hours", "zone_3"))
    assert query.terms == ("lantern",)
    assert query.context == {"trade", "market", "hours", "zone", "3"}


@pytest.mark.parametrize(
    ("words", "recall"),
    [
        ("Have we met before?", True),
        ("do you remember me", True),
        ("what did I say last time", True),
        ("what have I told you", True),
        ("did we talk about the ferry", True),
        ("where is the ferry", False),
        ("tell me about the ferry", False),
    ],
)
def test_questions_about_memory_itself(words: str, recall: bool) -> None:
    query = build_query(words)
    assert query.recall == recall
    assert query.terms == (("ferry",) if "ferry" in words else ())


def test_a_long_speech_is_cut_at_the_front() -> None:
    words = content_words(" ".join(f"word{n}" for n in range(300)))
    assert len(words) == MAX_TERMS and words[-1] == "word299"


@pytest.mark.parametrize("text", ["", "   ", "😀🎉", "?!", "what is it", "a"])
def test_nothing_to_search_for(text: str) -> None:
    assert build_query(text).expression == ""


@given(
    st.one_of(
        st.text(max_size=200), st.lists(st.sampled_from(list("\"()*^:{}-+\\'") + ["AND", "NEAR(", "NOT"])).map(" ".join)
    )
)
def test_every_expression_is_one_that_fts5_reads(text: str) -> None:
    expression = build_query(text).expression
    if expression:
        with_words = apsw.Connection(":memory:")
        with_words.execute("create virtual table t using fts5(body)")
        assert with_words.execute("select count(*) from t where t match ?", (expression,)).get == 0
        with_words.close()
