"""What frames messages in the chat templates of common models, and must not stand in anybody's words.

"<|im_end|>" in a player's words would end the player's message, and what follows would be the system's. Tokenisers make
control tokens of whatever looks like one, wherever it stands; and where a model was taught its framing as plain text
(Mistral's and Llama 2's `[INST]`, Zephyr's `<|user|>`), no tokeniser tells it from a template's own. So all of it is
taken out of every content, whichever model reads it: which one a server has, nobody here knows.

Words stay words: "<3", "[grin]", "a < b | c > d", `[b]` and `<color=red>` frame no messages. TextMeshPro's `<s>` does,
in Llama 2 and Mistral, and has to go.
"""

from __future__ import annotations

import re

from mythicd.llm.reasoning import CLOSINGS, OPENINGS

TEXT_TAGS = frozenset({"<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"})
"""Tags that are part of the text even where the vocabulary has a token of their own for them."""

THINK_TAGS = frozenset({*OPENINGS, *CLOSINGS})
"""Tags around a model's thoughts: text where the model writes them, markers where anybody else does."""

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
"""Markers within markers that are taken out one by one."""

_SIGNS = str.maketrans("", "", "<>[]|｜")


def is_marker(text: str) -> bool:
    """Tell whether a text, as a whole, frames messages in some model's chat template."""
    return _MARKER.fullmatch(text) is not None


def scrub(content: str, control: re.Pattern[str] | None = None) -> str:
    """Take what frames messages out of a content, and the `control` tokens of a model that is known.

    Repeated, as taking one out can make another. Where they have been put into one another on purpose, what they are
    made of goes instead: a thousand of them would take a tenth of a second.
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
