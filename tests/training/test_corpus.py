"""The corpus generator: same seed, same text; answers can be copied, pointers exist, exam names are absent."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from mythicd.dialogue.grounding import Grounding
from mythicd.memory.records import Heard, Speaker
from mythicd.memory.utterances import exchange_line
from training.chat import TALK, UNKNOWN
from training.corpus import facts, noise
from training.corpus.ask_lore import fact_turn, is_ambiguous, twin
from training.corpus.block import make_block
from training.corpus.cast import make_cast, tones
from training.corpus.dialogue import Question, conversation
from training.corpus.expand import alternatives, count, expand, parse
from training.corpus.names import held_out_names
from training.corpus.surroundings import said_something
from training.exam import SETS, load_worlds

POINTER = re.compile(r"<\|[pt]?\d+\|>")


def made(worlds: int, seed: int) -> Iterator[tuple[str, str, Question]]:
    """Yield (system text, shared front, question) of several worlds."""
    rng = Random(seed)
    for _ in range(worlds):
        system, episodes = conversation(rng)
        for _, episode in zip(range(3), episodes, strict=False):
            for question in episode.questions:
                yield system, episode.front, question


def test_same_seed_gives_the_same_text() -> None:
    def texts(seed: int) -> list[str]:
        return [system + front + q.prompt + q.reply for system, front, q in made(5, seed)]

    assert texts(3) == texts(3)
    assert texts(3) != texts(4)


def test_answer_is_after_its_pointer() -> None:
    seen = 0
    for _, front, question in made(60, 1):
        if question.turn.sort != "fact":
            continue
        pointer = POINTER.match(question.reply)
        assert pointer is not None, question.reply
        assert f"{pointer[0]} {question.turn.gold}" in front
        assert question.turn.gold in question.reply
        seen += 1
    assert seen > 100


def test_reply_starts_with_a_pointer_of_the_prompt_or_a_general_token() -> None:
    for system, front, question in made(60, 2):
        first = question.reply.split(">", 1)[0] + ">"
        assert first in (UNKNOWN, TALK) or first in system + front, question.reply


def test_most_calls_are_followed_by_a_phrase_or_a_quoted_line() -> None:
    behind: Counter[str] = Counter()
    for _, front, question in made(200, 3):
        if question.turn.sort != "tool":
            continue
        lead, call, tail = re.fullmatch(r"(.*)<tool_call>(.*)</tool_call>(.*)<\|im_end\|>", question.reply).groups()  # type: ignore[union-attr]
        assert re.fullmatch(r"<\|t\d+\|> [^<>|]+\. ", lead)
        assert set(json.loads(call)) == {"name", "arguments"}
        pointer = POINTER.match(tail.strip())
        if pointer is not None:
            assert tail.strip().removesuffix(".") in front, "the quoted line is not in the prompt"
        behind["quoted" if pointer else "said" if tail.strip() else "nothing"] += 1
    assert behind["nothing"] < 0.15 * behind.total()
    assert behind["quoted"] > 0.15 * behind.total()


def test_twin_asks_the_same_question_without_an_answer() -> None:
    rng = Random(11)
    seen = 0
    while seen < 100:
        cast = make_cast(rng)
        block = make_block(cast, rng)
        turn = fact_turn(cast, block, rng)
        if turn is None or turn.about is None:
            continue
        found = twin(cast, block, turn, rng)
        if found is None:
            continue
        changed, unanswered = found
        assert unanswered.words == turn.words and unanswered.reply.startswith(UNKNOWN)
        assert len(changed.lore) == len(block.lore)
        assert turn.gold not in [text for line in changed.lore for text in line.sentences]
        assert not is_ambiguous(changed, *turn.about, None)
        seen += 1


def test_memory_of_talk_has_the_daemons_form() -> None:
    rng = Random(12)
    remembered = said_something("so it goes", rng)
    words, answer = re.fullmatch(r'the player said "(.*)"; you said "(.*)"', remembered.line).groups()  # type: ignore[union-attr]
    heard = [
        Heard(1, "t", Speaker("player", "player"), words, 0.0, "", "", 0.0),
        Heard(2, "t", Speaker("npc", "barkeep"), answer, 0.0, "", "", 0.0),
    ]
    assert exchange_line(heard, "barkeep", {}).lower() == remembered.line
    assert remembered.retold == f"you said: {words}"


def test_memory_pointer_is_of_the_sentence_with_the_answer() -> None:
    seen = 0
    for _, front, question in made(400, 9):
        if question.turn.sort == "memory" and question.turn.gold in front:
            pointer = POINTER.match(question.reply)
            assert pointer is not None
            line = front.split(pointer[0], 1)[1].split("<|", 1)[0]
            assert question.turn.gold.removeprefix("you said: ").removeprefix("you asked: ") in line
            seen += 1
    assert seen > 5


def test_no_phrase_of_a_tone_is_dropped_by_grounding() -> None:
    rng = Random(13)
    nothing = Grounding([])
    for occasions in tones().values():
        for occasion, phrases in occasions.items():
            if occasion not in ("closing", "opening"):
                for _ in range(40):
                    assert not nothing.check(said := alternatives(phrases, rng)), said


def test_names_of_exams_are_never_generated() -> None:
    held_out = {
        name.lower().removeprefix("the ")
        for exam in SETS
        for names in load_worlds(exam)["names"].values()
        for name in names
    }
    assert held_out <= held_out_names()
    for system, front, question in made(150, 5):
        text = system + front + question.prompt
        named = [name for name in held_out if name in text and re.search(rf"\b{re.escape(name)}\b", text)]
        assert not named


def test_answers_refusals_and_unknowns_are_balanced() -> None:
    sorts = Counter(question.turn.sort for _, _, question in made(250, 6))
    shares = {sort: number / sorts.total() for sort, number in sorts.items()}
    assert 0.3 < shares["fact"] < 0.6
    assert 0.15 < shares["unknown"] < 0.3
    assert 0.04 < shares["refuse"] < 0.15
    assert 0.07 < shares["tool"] < 0.25


def test_each_kind_has_all_slots_in_each_line_and_several_wordings() -> None:
    for kind in facts.kinds().values():
        for pattern in kind.lore:
            missing = set(kind.slots) - set(re.findall(r"\{(\w+)\}", pattern))
            allowed = missing == set() or kind.name in _SHORT_LINES
            assert allowed, f"{kind.name}: {pattern} lacks {missing}"
        assert sum(count(wording.pattern) for wording in kind.wordings) >= 7, kind.name


_SHORT_LINES = frozenset(("taught", "worth"))
"""Kinds with a line that omits a part on purpose."""


def test_unknown_question_has_no_answer_in_the_prompt() -> None:
    for _, front, question in made(80, 8):
        if question.turn.sort == "unknown" and question.turn.gold:
            assert question.turn.gold not in front


@pytest.mark.parametrize("text", ["(a|b", "a)b", "((x|y)"])
def test_unbalanced_pattern_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="unbalanced|missing"):
        parse(text)


def test_expanding_reaches_every_alternative() -> None:
    rng = Random(0)
    assert {expand("(a|b(c|)) d", rng) for _ in range(100)} == {"a d", "b d", "bc d"}
    assert count("(a|b(c|)) d") == 3


def test_noise_has_the_form_of_recognised_words() -> None:
    rng = Random(1)
    assert noise.as_heard("When, at 21:05, is it?", rng, 0) == "when at twenty one five is it"
    for _ in range(50):
        heard = noise.as_heard("Is the Gilded Heron open now?", rng, 1)
        assert re.fullmatch(r"[a-z ']+", heard)
        same = sum(a == b for a, b in zip(heard.split(), "is the gilded heron open now".split(), strict=False))
        assert same >= 0 and abs(len(heard.split()) - 6) <= 1
