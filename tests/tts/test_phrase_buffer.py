"""Streaming text to phrases. Time is a number; a reply is told as its pieces and when they came."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mythicd.tts.phrase_buffer import Phrase, PhraseBuffer, PhraseTiming
from mythicd.tts.sentence_boundaries import count_words


def stream(text: str, *, every: float = 0.04, size: int = 4) -> list[tuple[float | None, str]]:
    """Feed `text` in pieces of `size` characters; return (when it came, phrase), None for what came at the end."""
    buffer, out, now = PhraseBuffer(), list[tuple[float | None, str]](), 0.0
    for at in range(0, len(text), size):
        while (due := buffer.deadline) is not None and due <= now:
            out += [(due, phrase.text) for phrase in buffer.flush_due(due)]
        out += [(round(now, 3), phrase.text) for phrase in buffer.add(text[at : at + size], now)]
        now += every
    return out + [(None, phrase.text) for phrase in buffer.finish()]


def cut(text: str) -> list[str]:
    """Return the phrases of a reply that comes too fast for any wait."""
    return [phrase for _, phrase in stream(text, every=0.0)]


def test_first_a_clause_then_sentences() -> None:
    assert cut("No, friend, open till the moon's high. Mind the lantern by the gate. It sticks. Then go on.") == [
        "No, friend,",
        " open till the moon's high. Mind the lantern by the gate.",
        " It sticks. Then go on.",
    ]


def test_the_first_clause_leaves_as_soon_as_its_mark_is_sure() -> None:
    buffer = PhraseBuffer()
    assert buffer.add("Aye, good evening,", 0.0) == []
    assert buffer.add(" traveller", 0.1) == [Phrase("Aye, good evening,", 0)]


@pytest.mark.parametrize("mark", [".", "!", "?", ";", ":", " —", "?!", "!!!"])
def test_marks_that_end_the_first_clause(mark: str) -> None:
    assert cut(f"Well met{mark} The rest of it goes on")[0] == f"Well met{mark}"


def test_without_a_mark_the_first_phrase_waits_a_quarter_second() -> None:
    [(when, first), *_] = stream("Harbour master Quill keeps the tide tables under lock and key", every=0.06, size=6)
    assert when == pytest.approx(0.25, abs=0.07)
    assert count_words(first) >= 3


def test_words_that_lean_on_the_next_do_not_end_a_phrase() -> None:
    buffer = PhraseBuffer()
    buffer.add("The gate by the river is the ", 0.0)
    assert buffer.deadline == pytest.approx(0.25)
    assert buffer.flush_due(0.25) == [Phrase("The gate by the river", 0)]
    assert buffer.deadline is None, "nothing more is due"


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("I think that makes 2 + 2 = 4", "I think that makes"),
        ("The old king was Louis XVI of Gull", "The old king was Louis XVI"),
        ("The old king was Louis XVI", "The old king"),
        ("The inn opens at noon, 5 p.m.", "The inn opens at noon,"),
        ("The ferry leaves tonight at 5 pm sh", "The ferry leaves tonight at 5 pm"),
        ("She was born here on Jan. 5 o", "She was born here"),
    ],
)
def test_what_is_read_together_is_not_cut_late(text: str, phrase: str) -> None:
    buffer = PhraseBuffer()
    assert [due.text for due in [*buffer.add(text, 0.0), *buffer.flush_due(0.25)]] == [phrase]


def test_too_few_words_are_not_due() -> None:
    buffer = PhraseBuffer()
    buffer.add("Good evening", 0.0)
    assert buffer.deadline is None
    assert buffer.flush_due(9.9) == []
    assert [phrase.text for phrase in buffer.add(" to ye kind traveller from afar", 10.0)] != []


def test_a_single_word_sentence_leaves_when_it_has_waited() -> None:
    buffer = PhraseBuffer()
    assert buffer.add("Aye.", 1.0) == []
    assert buffer.deadline == pytest.approx(1.25)
    assert buffer.flush_due(1.25) == [Phrase("Aye.", 0)]


def test_a_short_reply_leaves_when_it_is_finished() -> None:
    buffer = PhraseBuffer()
    assert buffer.add("Aye", 0.0) == []
    assert buffer.finish() == [Phrase("Aye", 0)]
    assert buffer.finish() == []


def test_later_sentences_wait_for_one_another() -> None:
    buffer = PhraseBuffer()
    assert [phrase.text for phrase in buffer.add("Well met, friend. ", 0.0)] == ["Well met,"]
    assert buffer.add("Come", 0.1) == []
    assert buffer.deadline == pytest.approx(0.3)
    assert buffer.add(" in. Sit", 0.2) == [Phrase(" friend. Come in.", 9)]
    assert buffer.add(" down. ", 0.3) == []
    assert buffer.deadline == pytest.approx(0.5)
    assert buffer.flush_due(0.49) == []
    assert buffer.flush_due(0.5) == [Phrase(" Sit down.", 26)]


def test_hurry_gives_the_clauses_that_are_there() -> None:
    buffer = PhraseBuffer()
    buffer.add("Well met, friend. Past the mill, over the bridge, and then", 0.0)
    assert [phrase.text for phrase in buffer.hurry(0.1)] == [" friend. Past the mill, over the bridge,"]
    assert buffer.hurry(0.2) == []
    assert [phrase.text for phrase in buffer.finish()] == [" and then"]


@pytest.mark.parametrize(
    "whole",
    [
        "It costs 3.5 gold",
        "Come at 21:10 tonight",
        "He owes 1,200 crowns",
        "Ask Mr. Smith of St. Mary's",
        "Capt. Hook and Dr. Gull know",
        "See J. R. Thornwick there",
        "The U.S.A. is far away",
        "We serve ale, e.g. the dark one"[14:],
        "Come at 5 p.m. or so",
        "I think... well... no",
        "I think… well… no",
        "Pages 10–12 of it",
        "Half-elves and rock'n'roll",
        "It is No. 5 on the list",
        "Open at the file notes.txt today",
        "Salt, pepper etc. are dear"[6:],
        "Hale Jr. lives on Mill Rd. near St. Brigid",
        "He comes on Jan. 5 or Mon. 7 May",
        "A ship of 50 lbs. or 10 ft. in all",
    ],
)
def test_what_only_looks_like_an_end(whole: str) -> None:
    assert cut(whole) == [whole]
    assert cut(f"Well now, {whole}. Then rest.") == ["Well now,", f" {whole}. Then rest."]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ('"Stop right there!" he said. "I mean it." Then he left. For good.',
         ['"Stop right there!"', ' he said. "I mean it."', " Then he left. For good."]),
        ("(He nods.) Very well then. “Come along!” Off we go. Now.",
         ["(He nods.) Very well then.", " “Come along!” Off we go.", " Now."]),
        ("Is it so? No. So it is. Good.", ["Is it so?", " No. So it is.", " Good."]),
        ("At 5 p.m. Then home we go again.", ["At 5 p.m.", " Then home we go again."]),
        ("So do I. Now go.", ["So do I.", " Now go."]),
        ("one two\nthree four\nfive six\n", ["one two\n", "three four\nfive six\n"]),
    ],
)  # fmt: skip
def test_quotes_brackets_and_lines(text: str, phrases: list[str]) -> None:
    assert cut(text) == phrases


@pytest.mark.parametrize(
    "aside", ["*smiles, and wipes the counter. Slowly.*", "(aside, she nods. Twice.)", "[laughs, then. coughs]"]
)
def test_stage_directions_are_never_cut_nor_counted(aside: str) -> None:
    for every in (0.0, 0.2):
        phrases = [
            phrase for _, phrase in stream(f"{aside} Welcome, stranger, to the {aside} Lantern. Sit.", every=every)
        ]
        assert phrases[0].startswith(aside)
        assert count_words(phrases[0]) >= 1
        assert sum(phrase.count(aside) for phrase in phrases) == 2


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("你好，旅行者。今天的麦酒很便宜！你想喝一杯吗？", ["你好，", "旅行者。今天的麦酒很便宜！", "你想喝一杯吗？"]),
        ("「いらっしゃい。」と言った。エールが、安いですよ。はい。",
         ["「いらっしゃい。」", "と言った。エールが、安いですよ。", "はい。"]),
        ("नमस्ते यात्री। आज शराब सस्ती है, आओ। क्या लोगे?", ["नमस्ते यात्री।", " आज शराब सस्ती है, आओ। क्या लोगे?"]),
        ("أهلا بك، أيها المسافر؟ عندنا طعام؛ وشراب؟ نعم؟",
         ["أهلا بك،", " أيها المسافر؟ عندنا طعام؛ وشراب؟", " نعم؟"]),
        ("好!你来了?请坐……喝吧。", ["好!你来了?", "请坐……喝吧。"]),
        ("一共3.5公里、1,000个人。走吧。", ["一共3.5公里、", "1,000个人。走吧。"]),
    ],
)  # fmt: skip
def test_marks_of_other_scripts_end_phrases_without_blanks(text: str, phrases: list[str]) -> None:
    assert cut(text) == phrases


def test_first_clause_of_a_script_without_blanks_leaves_at_its_mark() -> None:
    buffer = PhraseBuffer()
    assert buffer.add("嗯，你好", 0.0) == [], "one letter is too little"
    assert buffer.add("，旅行", 0.1) == [Phrase("嗯，你好，", 0)]


def test_script_without_blanks_is_cut_late_between_letters() -> None:
    buffer = PhraseBuffer()
    buffer.add("欢迎来到灯笼酒馆我们这", 0.0)
    assert buffer.deadline is None, "too few letters"
    buffer.add("里有全城", 0.1)
    assert buffer.deadline == pytest.approx(0.25)
    assert buffer.flush_due(0.25) == [Phrase("欢迎来到灯笼酒馆我们这里有全", 0)]


def test_words_are_counted_by_letters_where_a_script_has_no_blanks() -> None:
    counts = {"你好世界": 4, "Marla 你好": 3, "สวัสดี ครับ": 7, "안녕 친구": 2, "नमस्ते यात्री": 2, "*微笑* 好": 1}
    assert {text: count_words(text) for text in counts} == counts


def test_a_sentence_without_end_is_cut_somewhere() -> None:
    timing = PhraseTiming(max_chars=100)
    buffer = PhraseBuffer(timing)
    phrases = buffer.add("word " * 100, 0.0) + buffer.add("x" * 500, 0.0) + buffer.finish()
    assert max(len(phrase.text) for phrase in phrases) <= 100
    assert all(phrase.text.endswith("word") for phrase in phrases[1:4])


def test_much_text_at_once_is_no_trouble() -> None:
    text = "The guard patrols pass every five minutes, and they do not like strangers. " * 400
    begun = time.perf_counter()
    phrases = PhraseBuffer().add(text, 0.0)
    assert time.perf_counter() - begun < 5  # 0.5 s on a quiet core for 30,000 characters
    assert len(phrases) > 190


TOKENS = 'No,| friend|.| |\n|Mr.| 3|.5|*smiles*|*|(|)|"|”|...|…| —|!|?|I| e.g.'.split("|")
TEXT = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(TOKENS), max_size=60).map("".join))
PIECES = st.lists(st.tuples(TEXT, st.floats(0, 1)), max_size=12)


@settings(deadline=None)
@given(PIECES)
@example([("*smiles, and", 0.5), ("waves* Hello.", 0.5)])
@example([("\ud800", 0.1), ("\0.", 0.1)])
def test_phrases_together_are_the_text(pieces: list[tuple[str, float]]) -> None:
    timing = PhraseTiming(max_chars=60)
    buffer, phrases, now = PhraseBuffer(timing), list[Phrase](), 0.0
    for text, wait in pieces:
        now += wait
        phrases += buffer.add(text, now)
        if (due := buffer.deadline) is not None:
            now = max(now, due)
            flushed = buffer.flush_due(now)
            assert flushed, "a deadline is kept"
            phrases += flushed
            assert buffer.deadline is None or buffer.deadline > now
        if wait > 0.9:
            phrases += buffer.hurry(now)
    phrases += buffer.finish()
    whole = "".join(text for text, _ in pieces)
    assert "".join(phrase.text for phrase in phrases) == whole
    for phrase in phrases:
        assert whole[phrase.start : phrase.end] == phrase.text
        assert 0 < len(phrase.text) <= timing.max_chars
