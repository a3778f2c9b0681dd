"""The trigram language model: phrase patterns, counts with the world's names, and probabilities."""

from __future__ import annotations

import random
import re
import time

import pytest
from hearing import HARBOUR_TOWN
from hypothesis import given
from hypothesis import strategies as st

from mythicd.asr.pocketsphinx import ngram_counts, ngram_model
from mythicd.asr.pocketsphinx.phrase_patterns import expand
from mythicd.asr.pocketsphinx.player_phrases import CONTRACTIONS, ENDINGS, OPENINGS, REACTIONS, WORDINGS
from mythicd.engines.asr import Vocabulary

LINES = [line.strip() for _, lines in WORDINGS.values() for line in lines]


@pytest.fixture(scope="module")
def trigram() -> ngram_model.Trigram:
    return ngram_model.estimate(ngram_counts.triples(HARBOUR_TOWN))


def test_notation() -> None:
    assert [" ".join(way) for way in expand("how much is (the|a) {item} [please]")] == [
        "how much is the {item} please",
        "how much is the {item}",
        "how much is a {item} please",
        "how much is a {item}",
    ]
    assert expand("(a|) b") == [("a", "b"), ("b",)]
    assert expand("(a [b|c]|d)") == [("a", "b"), ("a", "c"), ("a",), ("d",)]


@pytest.mark.parametrize("wrong", ["(a|b", "a)", "[a", "a]", "(a]", "{Item", "a 1", "$"])
def test_invalid_notation_raises_with_the_phrase(wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(wrong))):
        expand(wrong)


def test_all_phrases_parse_and_have_known_slots() -> None:
    for line in [*LINES, *OPENINGS, *ENDINGS, *REACTIONS]:
        ways = expand(line)
        assert ways
        for token in {token for way in ways for token in way}:
            assert token in ngram_counts.SLOTS or re.fullmatch(r"[a-z]+('[a-z]+)?", token), (token, line)


def test_there_are_many_wordings() -> None:
    assert len(LINES) > 250
    assert sum(len(expand(line)) for line in LINES) > 10_000
    assert all(len(pair) == 2 for pair in CONTRACTIONS)


def test_every_slot_is_used_and_its_fillings_share_one() -> None:
    used = {token for line in LINES for way in expand(line) for token in way if token.startswith("{")}
    assert used == ngram_counts.SLOTS
    for slot, ways in ngram_counts.fillings(HARBOUR_TOWN).items():
        assert sum(share for _, share in ways) == pytest.approx(1.0), slot


def test_names_take_articles_as_they_are_spelled() -> None:
    ways = dict(
        ngram_counts.fillings(Vocabulary(people=("Marla", "the harbor master"), places=("Gilded Gull", "tavern")))[
            "{topic}"
        ]
    )
    assert ways[("marla",)] > ways[("the", "marla")]
    assert ways[("the", "harbor", "master")] > ways[("harbor", "master")]
    assert ways[("the", "gilded", "gull")] > ways[("gilded", "gull")]
    assert ways[("the", "tavern")] > ways[("tavern",)]


def test_probabilities_sum_to_one_after_any_history(trigram: ngram_model.Trigram) -> None:
    chance = random.Random(5)
    words = trigram.words
    histories: list[tuple[str, ...]] = [(), (ngram_counts.BEGIN,), ("the",), (ngram_counts.BEGIN, "where")]
    histories += chance.sample(sorted(trigram.back_two), 25)
    histories += [(chance.choice(words), chance.choice(words)) for _ in range(25)]
    for history in histories:
        total = sum(trigram.probability(word, history) for word in trigram.one)  # type: ignore[arg-type]
        assert total == pytest.approx(1.0, abs=1e-9), history


def test_questions_are_likelier_than_their_words_in_disorder(trigram: ngram_model.Trigram) -> None:
    def likelihood(sentence: str) -> float:
        history: tuple[str, str] | tuple[str] = (ngram_counts.BEGIN,)
        product = 1.0
        for word in [*sentence.split(), ngram_counts.END]:
            product *= trigram.probability(word, history)
            history = (history[-1], word)
        return product

    assert likelihood("when does the tavern close") > 1e4 * likelihood("tavern the close when does")
    assert likelihood("who is orsolo") > 1e-6
    assert likelihood("captain reed keeps the silver key") > 1e3 * likelihood("captain reed keeps the silver rope")


def test_reactions_are_whole_sentences() -> None:
    reactions = ngram_counts.reactions()
    assert (ngram_counts.BEGIN, ngram_counts.BEGIN, "mhm") in reactions
    assert (ngram_counts.BEGIN, "hold", "on") in reactions
    assert ("hold", "on", ngram_counts.END) in reactions
    assert not any("{" in word for triple in reactions for word in triple)


def test_names_have_a_share_that_does_not_depend_on_their_number() -> None:
    few = ngram_counts.triples(Vocabulary(people=("Marla",)))
    many = ngram_counts.triples(Vocabulary(people=tuple(f"Person{letter}" for letter in "abcdefghijklmnopqrst")))
    assert sum(many.values()) == pytest.approx(sum(few.values()), rel=0.02)


def test_a_word_of_the_world_is_in_the_model(trigram: ngram_model.Trigram) -> None:
    assert {"orsolo", "lanternport", "anselm", "lanterns", "collects", "dues"} <= set(trigram.words)


def test_a_world_without_words_still_has_a_model() -> None:
    empty = ngram_model.estimate(ngram_counts.triples(Vocabulary()))
    assert "goodbye" in empty.one
    assert not any("{" in word for word in empty.one)


@given(st.text(max_size=20))
def test_any_name_can_be_learned(name: str) -> None:
    ways = ngram_counts.fillings(Vocabulary(people=(name,), items=(name,)))
    assert all(words and all(words) for options in ways.values() for words, _ in options)


def test_arpa_lists_what_its_header_counts(trigram: ngram_model.Trigram) -> None:
    head, one, two, three = re.split(r"\\[123]-grams:\n", trigram.arpa())
    for order, section in enumerate((one, two, three), 1):
        entries = [line for line in section.splitlines() if line and not line.startswith("\\")]
        assert f"ngram {order}={len(entries)}" in head
        assert all(float(entry.split()[0]) <= 0 for entry in entries)
    assert three.rstrip().endswith("\\end\\")


def test_learning_a_large_world_is_quick() -> None:
    names = [
        f"{first}{second}" for first in ("alder", "bram", "cor") for second in ("wick", "stead", "holm", "gate", "mere")
    ]
    world = Vocabulary(
        people=tuple(names),
        places=tuple(f"{name} hall" for name in names),
        items=tuple(f"{name} ring" for name in names),
        topics=tuple(f"{name} war" for name in names),
        lines=HARBOUR_TOWN.lines * 20,
    )
    ngram_counts.triples(Vocabulary())  # the phrases are counted once per process
    started = time.process_time()
    ngram_model.estimate(ngram_counts.triples(world)).arpa()
    assert time.process_time() - started < 2.0
