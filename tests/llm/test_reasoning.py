"""Reasoning among a model's words: its tags are an open set, and nothing in it counts."""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mythicd.engines.llm import TextDelta, ToolSpec
from mythicd.llm.reasoning import CLOSINGS, OPENINGS, ReasoningFilter, begun_mark, begun_tag, ends_in_thought, find_tag
from mythicd.llm.reply_parser import ReplyParser
from mythicd.llm.tool_schema import read_tool

WAVE = read_tool(ToolSpec("wave", "", {}))
CALL = '<tool_call>{"name": "wave"}</tool_call>'
INSIDE = f"Hm. END {CALL} so < be it [1] <b>"


def said(text: str, size: int = 1000) -> str:
    """Return what is spoken of a reply that comes in pieces of this size, with calls as their type."""
    parser = ReplyParser((WAVE,), ("END",))
    chunks = [text.encode()[start : start + size] for start in range(0, len(text.encode()), size)]
    parts = [part for chunk in chunks for part in parser.add(chunk)] + parser.finish()
    return "".join(part.text if isinstance(part, TextDelta) else f"({type(part).__name__})" for part in parts)


@pytest.mark.parametrize(
    ("begin", "end", "after"),
    [
        ("<think>", "</think>", ""),
        ("<Think>", "</Think>", ""),
        ("<THINK>", "</think>", ""),
        ("<thinking>", "</thinking>", ""),
        ("<Thinking>\n", "\n</Thinking>", ""),
        ("<thought>", "</thought>", ""),
        ("<thoughts>", "</thoughts>", ""),
        ("<reasoning>", "</reasoning>", ""),
        ("<REASONING>", "</REASONING>", ""),
        ("<reflection>", "</reflection>", ""),
        ("<analysis>", "</analysis>", ""),
        ("<scratchpad>", "</scratchpad>", ""),
        ("<seed:think>", "</seed:think>", ""),
        ("[THINK]", "[/THINK]", ""),
        ("◁think▷", "◁/think▷", ""),
        ("<|START_THINKING|>", "<|END_THINKING|>", ""),
        ("<|begin_of_thought|>", "<|end_of_thought|>", ""),
        ("<|channel>thought\n", "<channel|>", ""),
        ("<|channel|>analysis<|message|>", "<|end|>", "<|start|>assistant<|channel|>final<|message|>"),
        ("<|channel|>analysis<|message|>", "", "<|start|>assistant<|channel|>final<|message|>"),
        ("<|channel|>analysis<|message|>", "", "<|channel|>final<|message|>"),
        ("<thinking>Hm. <reflection>No.</reflection>", "</thinking>", ""),
        ("<analysis>One <think>two</think> three", "</analysis>", ""),
        ("<thought>", "</thinking>", ""),
        ("< THinking >", "</ thinking>", ""),
        ('<thinking budget="3">', "</thinking>", ""),
        ("<inner_thoughts>", "</inner_thoughts>", ""),
        ("<chain-of-thought>", "</chain-of-thought>", ""),
    ],
)
def test_reasoning_is_passed_over_with_all_that_is_in_it(begin: str, end: str, after: str) -> None:
    for size in (1, 2, 3, 7, 1000):
        assert said(f"{begin}{INSIDE}{end}{after}Aye. {begin}{INSIDE}", size) == f"{after}Aye. "


@pytest.mark.parametrize(
    "text", ["[think] Aye.", "I <b>think</b> so.", "a < b, think", "<think/>Aye.", "the analysis> is", "<|end|>Aye."]
)
def test_other_text_stays(text: str) -> None:
    for size in (1, 3, 1000):
        assert said(text, size) == text
    assert find_tag(text) is None


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_gpt_oss_may_think_more_than_once(size: int) -> None:
    thought = "<|start|>assistant<|channel|>analysis<|message|>END<|end|>"
    assert said(f"{thought}{thought}Aye.", size) == "<|start|>assistant<|start|>assistantAye."


@pytest.mark.parametrize(
    ("text", "name", "opens"),
    [
        *((tag, None, True) for tag in OPENINGS),
        *((tag, None, False) for tag in CLOSINGS),
        ("<THinKing>", "thinking", True),
        ("< think >", "think", True),
        ('<thinking budget="3">', "thinking", True),
        ("</ thinking >", "thinking", False),
        ("<inner_thoughts>", "inner_thoughts", True),
        ("</longcat_think>", "longcat_think", False),
        ("<chain-of-thought>", "chain-of-thought", True),
        ("<thought_process>", "thought_process", True),
        ("<inner_monologue>", "inner_monologue", True),
        ("<|channel|>  analysis", None, None),
        ("<|channel|> analysis", "<|channel|>", True),
        ("<|channel|>final", None, None),
        ("<|thinking|>", "thinking", True),
        ("<|/thinking|>", "thinking", False),
        ("<thinker>", None, None),
        ("<rethink>", None, None),
        ("<methinks>", None, None),
    ],
)
def test_spellings_of_tags(text: str, name: str | None, opens: bool | None) -> None:
    tag = find_tag(f"ab{text}cd")
    if opens is None:
        assert tag is None
        return
    assert tag is not None and (tag.start, tag.end, tag.opens) == (2, 2 + len(text), opens)
    assert name is None or tag.name == name


@pytest.mark.parametrize(
    "tag",
    [
        *(*OPENINGS, *CLOSINGS),
        *("< think >", '<thinking budget="3">', "<chain-of-thought>", "</ thinking >", "<|channel|> analysis"),
        *("<|/thinking|>", "[THINKING]", "<inner_monologue>"),
    ],
)
def test_every_beginning_of_a_tag_is_held_back(tag: str) -> None:
    for length in range(1, len(tag)):
        if find_tag(tag[:length]) is None:
            assert begun_tag(f"Aye. {tag[:length]}") == length


@given(st.text(st.sampled_from("ab <>/|[]:_think"), max_size=40))
def test_little_is_held_back(text: str) -> None:
    assume(not any(text.endswith(sign) for sign in "<[") and "<" not in text[-40:] and "[" not in text[-40:])
    assert begun_tag(text) == 0


def test_headers_that_open_reasoning() -> None:
    for header in (*OPENINGS, "<|im_start|>assistant\n<think>\n", "x" * 10_000 + "<thinking>\n"):
        assert ends_in_thought(header)
    for header in ("", "<think></think>\n\n", "<think>\n\n</think>", "<think>no", "<|channel|>final"):
        assert not ends_in_thought(header)


@given(places=st.lists(st.integers(0, 80), max_size=20))
def test_reply_that_begins_in_reasoning(places: list[int]) -> None:
    """The model may repeat the tag that the template has written."""
    text = "<think>Hm. <thinking>No. </thi</think>Aye."
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    for begun in ("", "<think>"):
        thoughts = ReasoningFilter(begun=True)
        held = begun
        for start, end in zip(ends, ends[1:], strict=False):
            held += text[start:end]
            if thoughts.inside:
                held = thoughts.pass_over(held)
        assert held == "Aye." and not thoughts.in_first


@given(st.lists(st.sampled_from(["<think>", "<|", "ab", "\n", "END"]), min_size=1), st.text(max_size=20))
def test_begun_mark_is_the_longest_beginning(marks: list[str], text: str) -> None:
    for end in ("", "<", "<th", "<|", "E", "EN"):
        whole = text + end
        longest = max(
            (n for n in range(1, len(whole) + 1) for mark in marks if n < len(mark) and mark.startswith(whole[-n:])),
            default=0,
        )
        assert begun_mark(whole, marks) == longest


def test_long_text_is_searched_fast() -> None:
    for text in ("<" * 20_000, "<a" * 10_000, "< think " * 4_000, "<a_b_" * 4_000, "[" * 20_000, "<|channel|>" * 2_000):
        began = time.perf_counter()
        find_tag(text)
        begun_tag(text)
        assert time.perf_counter() - began < 1.0
