"""Special tokens: the message framing of common chat templates, removed from all contents.

"<|im_end|>" in a player's words would end the player's message. Tokenisers make control tokens of such text wherever it
stands, and some models learned their framing as plain text (Mistral's and Llama 2's `[INST]`, Zephyr's `<|user|>`). So
all known framing is removed, whichever model reads it: the model of a server is unknown here. "<3", "[grin]",
"a < b | c > d", `[b]` and `<color=red>` stay; TextMeshPro's `<s>` goes, since it is framing in Llama 2 and Mistral.
"""

from __future__ import annotations

import re

from mythicd.llm.reasoning import CLOSINGS, OPENINGS

TEXT_TAGS = frozenset({"<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"})
"""Tags that are text even if the vocabulary has a token for them."""

THINK_TAGS = frozenset({*OPENINGS, *CLOSINGS})
"""Tags around reasoning: text in a model's output, markers in all other contents."""

_MARKER = re.compile(  # each alternative begins with a plain character: a text with few of those is passed fast
    r"<[|｜](?!\s)[^<>|｜\n]{1,48}[|｜]>"  # <|im_end|>: ChatML, Llama 3, Phi, DeepSeek, gpt-oss, Command R, …
    r"|</?[|｜]/?\w[\w|｜▁:./-]{0,47}>|</?\w[\w|｜▁:./-]{0,47}[|｜]>"  # <|turn> <turn|>: Gemma 4; DeepSeek's calls
    r"|\[[|｜][^\[\]|｜\n]{1,48}[|｜]\]"  # [|user|]: EXAONE
    r"|</?(?:start|end)_of_(?:turn|utterance|text)>"  # Gemma 1 to 3, SmolVLM
    r"|</?(?:s|[bes]os|[be]o[sp]_token|(?:seed|minimax):[a-z_]+)>"  # Llama 2, Gemma, Command R, Seed-OSS, …
    r"|<</?SYS>>"  # Llama 2
    r"|\[/?(?:INST|SYSTEM_PROMPT|MODEL_SETTINGS)\]"  # Mistral
    r"|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|CALL_ID)\]"
    r"|</?role>|<(?:reserved_|extra_id_|SPECIAL_)\d+>|\[unused\d+\]"  # Ling, Baichuan, Nemotron, PanGu
    r"|</?think>|\[(?-i:/?THINK)\]"  # DeepSeek, Qwen; Mistral
    r"|\]~!?b[\[\]]|\[e~\["  # MiniMax
    r"|###[ \t]*(?:Instruction|Response|User|Assistant):",  # Alpaca, SOLAR
    re.IGNORECASE,
)


MOST_NESTED = 8
"""Nested markers that are removed one by one."""

_SIGNS = str.maketrans("", "", "<>[]|｜")


def is_marker(text: str) -> bool:
    """Tell whether a whole text is message framing of some chat template."""
    return _MARKER.fullmatch(text) is not None


def scrub(content: str, control: re.Pattern[str] | None = None) -> str:
    """Return a content without message framing, and without the `control` tokens of a known model.

    Repeated, since removing one can form another. After MOST_NESTED rounds their characters are removed instead: a
    thousand nested markers would take 0.1 s.
    """
    for attempt in range(2 * MOST_NESTED):
        content, found = _MARKER.subn("", content)
        if control is not None:
            content, more = control.subn("", content)
            found += more
        if not found:
            break
        if attempt == MOST_NESTED:
            content = content.translate(_SIGNS)
    return content
