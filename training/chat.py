"""The chat template: the GGUF's Jinja template, and the same in plain Python, which is faster for training.

A test compares both to the character. Everything is lower-cased, as recognisers write; every line and value starts with
a space, since `market` and ` market` are different tokens; every sentence of a `- ` line has a hidden *pointer* token
(`<|1|>` … in the user message, `<|p1|>` … in the system message) and every tool one (`<|t1|>` …): the model names a
pointer, then copies what is after it. Prose that is the same in every world is left out. Earlier user turns get the
`## player` heading. A message's rendering depends on that message alone, so a prompt's beginning never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]

LINE_POINTERS = 32
PERSONA_POINTERS = 24
TOOL_POINTERS = 16

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
SCENE = "<|scene|>"
UNKNOWN = "<|none|>"
"""First token of an "I don't know"."""
TALK = "<|talk|>"
"""First token of a reply without a quotation: small talk."""
CALL_OPEN = "<tool_call>"
CALL_CLOSE = "</tool_call>"


def line_pointer(number: int) -> str:
    """Return the pointer of the `number`-th (from 1) lore or memory sentence of the user message."""
    return f"<|{number}|>"


def persona_pointer(number: int) -> str:
    """Return the pointer of the `number`-th (from 1) rule or persona sentence of the system message."""
    return f"<|p{number}|>"


def tool_pointer(number: int) -> str:
    """Return the pointer of the `number`-th (from 1) tool of the system message."""
    return f"<|t{number}|>"


CONTROL_TOKENS: tuple[str, ...] = (
    END_OF_TEXT,
    TURN_START,
    TURN_END,
    SCENE,
    UNKNOWN,
    TALK,
    *(line_pointer(n) for n in range(1, LINE_POINTERS + 1)),
    *(persona_pointer(n) for n in range(1, PERSONA_POINTERS + 1)),
    *(tool_pointer(n) for n in range(1, TOOL_POINTERS + 1)),
)
"""Hidden tokens: parsed in a prompt, left out of rendered text."""

VISIBLE_SPECIALS: tuple[str, ...] = (CALL_OPEN, CALL_CLOSE)
"""Single tokens that are part of the text: the Hermes tags."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message as the daemon sends it."""

    role: Role
    """Its role."""
    content: str
    """Its text, in natural case."""


_KNOWN_FRAME = (
    " stay in character. answer in one or two short sentences. use the sections only where they help. "
    "if the answer is in none of them, say you do not know."
)
_KNOWN_CALL_FORM = (
    'to act, write <tool_call>{"name": "...", "arguments": {...}}</tool_call> where it belongs in your reply.'
)

_NUMBERED = """
{%- macro sentences(line, ns, prefix, most) -%}
{%- for part in line.split('. ') -%}
{%- if ns.n < most -%}{%- set ns.n = ns.n + 1 -%}{{ '<|' ~ prefix ~ ns.n ~ '|>' }}{%- endif -%}
{{ ' ' ~ part ~ ('' if loop.last else '.') }}
{%- endfor -%}{{ '\\n' }}
{%- endmacro -%}
"""

CHAT_TEMPLATE = (
    _NUMBERED
    + """
{%- for message in messages -%}
{%- set text = message['content'] | lower -%}
{{ '<|im_start|>' ~ message['role'] ~ '\\n' }}
{%- if message['role'] == 'system' -%}
{%- set ns = namespace(n=0) -%}{%- set tools = namespace(n=0) -%}
{%- for line in (text | replace('KNOWN_FRAME', '') | replace('KNOWN_CALL_FORM', '')).split('\\n') -%}
{%- if line | length < 2 -%}{{ line }}
{%- elif line.startswith('- ') and ' {' in line -%}
{%- set name = line[2:].split(' ')[0] -%}
{%- if tools.n < MOST_TOOLS -%}{%- set tools.n = tools.n + 1 -%}{{ '<|t' ~ tools.n ~ '|>' }}{%- endif -%}
{{ '"' ~ name ~ '"' ~ line[2:][name | length:] ~ '\\n' }}
{%- elif line.startswith('- ') -%}
{{ sentences(line[2:] | replace('"', ''), ns, 'p', MOST_PERSONA) }}
{%- else -%}{{ ' ' ~ line ~ '\\n' }}
{%- endif -%}
{%- endfor -%}
{%- elif message['role'] == 'user' -%}
{%- set ns = namespace(n=0) -%}
{%- if not text.startswith('## ') -%}{{ ' ## player\\n' }}{%- endif -%}
{%- for line in text.split('\\n') -%}
{%- if line.startswith('- ') -%}
{{ sentences(line[2:] | replace('"', ''), ns, '', MOST_LINES) }}
{%- elif line.startswith('{') -%}
{%- set flat = line | replace('"', '') | replace('{', '') | replace('}', '') -%}
{{ '<|scene|> ' ~ flat | replace('[', '') | replace(']', '') ~ '\\n' }}
{%- else -%}{{ ' ' ~ line | replace('"', '') ~ '\\n' }}
{%- endif -%}
{%- endfor -%}
{%- else -%}
{{ ' ' ~ text | replace('": "', '": " ') | replace('": "  ', '": " ') | replace('"name": " ', '"name": "') }}
{%- endif -%}
{{ '<|im_end|>' ~ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
""".replace("KNOWN_FRAME", _KNOWN_FRAME)
    .replace("KNOWN_CALL_FORM", _KNOWN_CALL_FORM)
    .replace("MOST_TOOLS", str(TOOL_POINTERS))
    .replace("MOST_PERSONA", str(PERSONA_POINTERS))
    .replace("MOST_LINES", str(LINE_POINTERS))
)
"""The GGUF's `tokenizer.chat_template`."""

GENERATION_PROMPT = f"{TURN_START}assistant\n"


def _sentences(line: str, prefix: str, used: int, most: int) -> tuple[str, int]:
    """Return the sentences of a line with pointers, and the number of pointers used so far."""
    parts = line.split(". ")
    pieces: list[str] = []
    for index, part in enumerate(parts):
        if used < most:
            used += 1
            pieces.append(f"<|{prefix}{used}|>")
        pieces.append(f" {part}" if index == len(parts) - 1 else f" {part}.")
    return "".join(pieces) + "\n", used


def _system(text: str) -> str:
    pieces: list[str] = []
    numbered = tools = 0
    for line in text.replace(_KNOWN_FRAME, "").replace(_KNOWN_CALL_FORM, "").split("\n"):
        if len(line) < 2:  # empty, or the single mark by which the daemon finds the end of a part of the prompt
            pieces.append(line)
        elif line.startswith("- ") and " {" in line:
            name = line[2:].split(" ")[0]
            if tools < TOOL_POINTERS:
                tools += 1
                pieces.append(tool_pointer(tools))
            pieces.append(f'"{name}"{line[2 + len(name) :]}\n')
        elif line.startswith("- "):
            piece, numbered = _sentences(line[2:].replace('"', ""), "p", numbered, PERSONA_POINTERS)
            pieces.append(piece)
        else:
            pieces.append(f" {line}\n")
    return "".join(pieces)


_SCENE_MARKS = str.maketrans("", "", '"{}[]')


def _user(text: str) -> str:
    pieces: list[str] = [] if text.startswith("## ") else [" ## player\n"]
    numbered = 0
    for line in text.split("\n"):
        if line.startswith("- "):
            piece, numbered = _sentences(line[2:].replace('"', ""), "", numbered, LINE_POINTERS)
            pieces.append(piece)
        elif line.startswith("{"):
            pieces.append(f"{SCENE} {line.translate(_SCENE_MARKS)}\n")
        else:
            pieces.append(f" {line}\n".replace('"', ""))
    return "".join(pieces)


def _assistant(text: str) -> str:
    spaced = text.replace('": "', '": " ').replace('": "  ', '": " ').replace('"name": " ', '"name": "')
    return f" {spaced}"


def render(message: Message) -> str:
    """Return the text of one finished message, with its ChatML frame."""
    text = message.content.lower()
    body = _system(text) if message.role == "system" else _user(text) if message.role == "user" else _assistant(text)
    return f"{TURN_START}{message.role}\n{body}{TURN_END}\n"


def native_reply(text: str) -> str:
    """Return a reply in the model's form: every word, also in quoted values, after a space."""
    return _assistant(text.lower())
