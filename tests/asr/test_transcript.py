"""The transcript: hypotheses to partials with a stable prefix."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mythicd.asr.transcript import Partial, Transcript

HYPOTHESES = st.lists(st.lists(st.sampled_from(["where", "is", "the", "Market,", "market"]), max_size=6).map(" ".join))


def test_agreeing_hypotheses_make_words_stable() -> None:
    transcript = Transcript(agreement_s=0.0)
    assert transcript.add("where", 0.3) == Partial("where", "", 0.3)
    assert transcript.add("where is the", 0.6) == Partial("where is the", "where", 0.6)
    assert transcript.add("where is a market", 0.9) == Partial("where is a market", "where is", 0.9)
    assert transcript.finish("where is a market").stable_held


def test_fast_hypotheses_need_a_least_age() -> None:
    transcript = Transcript(agreement_s=0.3)
    partials = [transcript.add("where is", 0.02 * step) for step in range(1, 30)]
    stable_at = [partial.at_s for partial in partials if partial is not None and partial.stable]
    assert len(stable_at) == 1
    assert 0.3 <= stable_at[0] <= 0.36


def test_unchanged_hypothesis_makes_no_partial() -> None:
    transcript = Transcript(agreement_s=0.0)
    transcript.add("hello", 0.1)
    transcript.add("hello", 0.2)
    assert transcript.add("hello", 0.3) is None
    assert Transcript(agreement_s=0.4).add("", 0.1) is None


def test_case_and_punctuation_do_not_disagree() -> None:
    transcript = Transcript(agreement_s=0.0)
    transcript.add("Where is", 0.3)
    partial = transcript.add("where, is it", 0.6)
    assert partial is not None
    assert partial.stable == "where, is"


def test_contradicted_prefix_stays_until_the_final() -> None:
    transcript = Transcript(agreement_s=0.0)
    transcript.add("wear is", 0.3)
    transcript.add("wear is", 0.6)
    partial = transcript.add("where is the", 0.9)
    assert partial is not None
    assert (partial.text, partial.stable) == ("wear is the", "wear is")
    final = transcript.finish(" where  is the market ")
    assert final.text == "where is the market"
    assert not final.stable_held


@given(HYPOTHESES, st.sampled_from([0.0, 0.1, 0.3]))
def test_stable_prefix_only_grows_and_begins_the_text(hypotheses: list[str], agreement_s: float) -> None:
    transcript = Transcript(agreement_s=agreement_s)
    stable = ""
    for step, hypothesis in enumerate(hypotheses):
        partial = transcript.add(hypothesis, step * 0.1)
        assert transcript.stable.startswith(stable)
        stable = transcript.stable
        if partial is not None:
            assert partial.stable == stable
            assert partial.text.startswith(stable)


@given(HYPOTHESES)
def test_stable_word_needs_two_hypotheses(hypotheses: list[str]) -> None:
    transcript = Transcript(agreement_s=0.0)
    before: list[str] = []
    for step, hypothesis in enumerate(hypotheses):
        old = len(transcript.stable.split())
        transcript.add(hypothesis, float(step))
        words = [word.strip(",").lower() for word in hypothesis.split()]
        new = [word.strip(",").lower() for word in transcript.stable.split()]
        if len(new) > old:
            assert new == words[: len(new)] == before[: len(new)]
        before = words
