"""Scores, floors and what is left out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.memory.query import Query
from mythicd.memory.ranking import FLOOR_WITHOUT_VECTORS, Candidate, coverage, idf, rank

QUERY = Query("where is the lantern", ("lantern",), frozenset({"market"}))


def line(number: int, covered: float, cosine: float | None = None, **more: object) -> Candidate:
    return Candidate(number, f"line {number}", f"k{number}", covered, cosine=cosine, **more)  # type: ignore[arg-type]


def test_a_rare_word_tells_more_and_an_unknown_word_most() -> None:
    assert idf(100, 50) < idf(100, 2) < idf(100, 0)
    assert idf(100, 100) > 0
    weights = {"pepper": 3.0, "diamond": 4.0}
    assert coverage(weights, ["pepper"]) == pytest.approx(3 / 7)
    assert coverage(weights, weights) == pytest.approx(1)
    assert coverage({}, []) == 0


def test_what_is_under_the_floor_is_not_shown_however_alone_it_is() -> None:
    assert rank(QUERY, [line(1, FLOOR_WITHOUT_VECTORS - 0.01, bm25_rank=1)], 6) == []
    assert rank(QUERY, [line(1, 0.0, cosine=0.34, bm25_rank=1, vector_rank=1)], 6) == []
    assert [found.id for found in rank(QUERY, [line(1, 0.0, cosine=0.36, vector_rank=1)], 6)] == [1]
    assert rank(QUERY, [], 6) == []


def test_what_is_far_under_the_best_is_left_out() -> None:
    found = rank(QUERY, [line(1, 1.0), line(2, 0.9), line(3, 0.5)], 6)
    assert [scored.id for scored in found] == [1, 2]
    assert [scored.id for scored in rank(QUERY, [line(1, 1.0), line(2, 0.9)], 1)] == [1]


def test_recency_importance_and_tags_order_what_is_equally_relevant() -> None:
    now, week = line(1, 1.0, age_hours=0.0), line(2, 1.0, age_hours=168.0)
    assert [scored.id for scored in rank(QUERY, [week, now], 6)] == [1, 2]
    dull, weighty = line(3, 1.0, importance=0.1), line(4, 1.0, importance=0.9)
    assert [scored.id for scored in rank(QUERY, [dull, weighty], 6)] == [4, 3]
    here, elsewhere = line(5, 1.0, tags=frozenset({"market"})), line(6, 1.0, tags=frozenset({"mines"}))
    assert [scored.id for scored in rank(QUERY, [elsewhere, here], 6)] == [5, 6]


def test_an_important_recent_memory_that_is_beside_the_point_stays_out() -> None:
    aside = line(1, 0.2, importance=1.0, age_hours=0.0, tags=frozenset({"market"}), bm25_rank=1, vector_rank=1)
    assert rank(QUERY, [aside], 6) == []


def test_the_parts_of_a_score_are_kept_and_make_it() -> None:
    candidate = line(1, 0.5, cosine=0.35, bm25_rank=2, vector_rank=1, importance=0.7, age_hours=10.0)
    (found,) = rank(QUERY, [candidate], 6)
    assert found.parts["rrf"] == pytest.approx(1 / 62 + 1 / 61)
    assert found.parts["recency"] == pytest.approx(0.995**10)
    assert found.relevance == pytest.approx(0.9 * (0.35 - 0.15) / 0.85 + 0.1 * 0.5)
    weighed = found.relevance * (2 + found.parts["recency"] + 0.7) / 4
    assert found.score == pytest.approx(weighed + 0.03 * found.parts["rrf"] * 61 / 2)
    assert set(found.parts) == {"coverage", "cosine", "rrf", "recency", "importance", "tags"}


@given(
    st.lists(
        st.builds(
            Candidate,
            id=st.integers(0, 50),
            line=st.just("line"),
            key=st.just("key"),
            coverage=st.floats(0, 1),
            bm25_rank=st.none() | st.integers(1, 20),
            vector_rank=st.none() | st.integers(1, 20),
            cosine=st.none() | st.floats(-1, 1),
            importance=st.floats(0, 1),
            age_hours=st.none() | st.floats(-1e6, 1e9),
        ),
        max_size=40,
    ),
    st.integers(1, 10),
)
def test_scores_are_finite_ordered_and_bounded(candidates: list[Candidate], top: int) -> None:
    found = rank(QUERY, candidates, top)
    assert len(found) <= top
    assert all(0 <= scored.score <= 1.1 and math.isfinite(scored.score) for scored in found)
    assert [scored.score for scored in found] == sorted((scored.score for scored in found), reverse=True)
