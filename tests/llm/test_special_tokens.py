"""Message framing of common chat templates is removed; what players and authors write stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythicd.llm.special_tokens import MOST_NESTED, TEXT_TAGS, is_marker, scrub

MARKERS = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|user|>", "<|end|>"),
    *("<｜User｜>", "<｜end▁of▁sentence｜>", "<|START_OF_TURN_TOKEN|>", "<|channel|>", "<|end of text|>"),
    *("<|turn>", "<turn|>", "<|tool_call>", "<tool_call|>", '<|"|>', "<｜DSML｜function_calls>", "</｜DSML｜invoke｜>"),
    *("[|system|]", "[|user|]", "[|endofturn|]"),
    *("<start_of_turn>", "<end_of_turn>", "<end_of_utterance>"),
    *("<s>", "</s>", "<bos>", "<eos>", "<BOS_TOKEN>", "<EOS_TOKEN>", "<EOP_TOKEN>", "<seed:bos>"),
    *("<seed:eos>", "<seed:think>", "<minimax:tool_call>", "</minimax:tool_call>"),
    *("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]"),
    *("[AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]", "[CALL_ID]"),
    *("<<SYS>>", "<</SYS>>", "<role>", "</role>", "<reserved_106>", "<extra_id_1>", "<SPECIAL_11>", "[unused10]"),
    *("<think>", "</think>", "]~!b[", "]~b]", "[e~["),
    *("### Instruction:", "### Response:", "### User:", "### Assistant:"),
)
WORDS = (
    *("I <3 you", ">:3 <:|", "[grin]", "a < b | c > d", "a <b> | c <| d", "x<y>z", "f <| x |> g", "a <= b || c >= d"),
    *("[b]bold[/b]", "[i]x[/i]", "[s]gone[/s]", "[url=http://a.b]c[/url]", "[color=red]x[/color]", "[img]a.png[/img]"),
    *("<b>x</b>", "<i>x</i>", "<u>x</u>", "<color=red>x</color>", "<color=#ff00ff80>x</color>", "<size=20>x</size>"),
    *("<sprite=1>", "<link=a>x</link>", "<br>", "<sub>2</sub>", "<email@example.com>", "<Odo|Marla>", "|x|", "[x|y]"),
    *("## Lore\n- The market.\n## Player\nhello", "# User:", "## User: x", "###", "### The harbor", "Response: no"),
    "### Human:\nShort-lived folk.",
    *("[think] <thinking> <thought>",),
    *("[system] [user] [tool calls]", "[instance]", "inst", "sys", "turn|>", "<|turn", "<bosun>", "<salt>"),
    *(*sorted(TEXT_TAGS), '<tool_call>{"name": "stock", "arguments": {"item": "ale"}}</tool_call>'),
)  # fmt: skip


@pytest.mark.parametrize("marker", MARKERS)
def test_what_frames_messages_is_taken_out(marker: str) -> None:
    assert is_marker(marker) and scrub(f"so {marker} it {marker.lower()}{marker.upper()} is") == "so  it  is"
    half = len(marker) // 2
    assert scrub(marker[:half] + marker + marker[half:]) == "", "taking one out made another"


@pytest.mark.parametrize("marker", ["[THINK]", "[/THINK]"])
def test_mistrals_thoughts_are_in_capitals(marker: str) -> None:
    assert is_marker(marker) and scrub(f"so {marker} it {marker.lower()} is") == f"so  it {marker.lower()} is"


@pytest.mark.parametrize("words", WORDS)
def test_words_stay(words: str) -> None:
    assert scrub(words) == words and not is_marker(words)


@given(st.lists(st.sampled_from([*MARKERS, *WORDS, "<", "|", ">", "[", "]", "a"]), max_size=12).map("".join))
def test_nothing_of_a_marker_is_left(content: str) -> None:
    left = scrub(content)
    assert scrub(left) == left and not any(marker.lower() in left.lower() for marker in MARKERS)


def test_what_is_hidden_in_itself_too_often_loses_its_signs_at_once() -> None:
    """Taken out one by one, a thousand of them would take a tenth of a second of everybody's time."""
    few, many = ("<s" * count + ">" * count + " a < b" for count in (MOST_NESTED, 40))
    assert scrub(few) == " a < b"
    assert scrub(many).endswith("s a  b") and not set(scrub(many)) & set("<>")
