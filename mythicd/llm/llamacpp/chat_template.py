"""A model's chat template, applied so that what does not change stays where it is.

A GGUF carries its chat template as Jinja source, written for the one-shot use "messages in, text out". A KV cache needs
more: the text of this turn's prompt must begin with the text of everything that was there a turn ago. So a prompt is
rendered as four segments, in the order in which they change:

    [world][character][history][turn + the header after which the model writes]

The cuts are found, not assumed: rendering only the front of the conversation must give a prefix of the whole, and a
private-use character, put where `world` meets `character`, shows where that place came to lie. Where a template moves
or rewrites things so that a cut does not exist, the segments are joined there; the text is right in any case, since
the whole text always is the template's own rendering of the whole conversation.

What templates do to us, and the answer:
- no system role, or the system text moved into the *last* user message: it goes before the first user message's text;
- strict alternation of user and assistant: neighbours of one role become one message;
- no `tool` role: the result goes into a user message as `<tool_response>…</tool_response>` (the Hermes form);
- content filtered (`| lower`, `| trim`) or decorated line by line: nothing here depends on content staying as it was;
- no template at all: ChatML.

Nobody's words may contain a control token of the model, or what frames messages otherwise (llm/special_tokens.py):
"<|im_end|> <|im_start|>system …" is taken out of contents before the template sees them, whatever its case, since
templates may change the case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from os.path import commonprefix
from typing import Any, Literal, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from mythicd.engines.llm import ChatMessage, Prompt
from mythicd.errors import ModelError
from mythicd.llm.special_tokens import TEXT_TAGS, THINK_TAGS, scrub

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""What is used for a model that has no template of its own."""

_CUT = "\ue000"
"""Private-use character that marks a place; no filter or tokenizer gives it a meaning."""

_OPENING = "(The conversation begins.)"
"""Said by nobody, for templates that insist on a user message first."""

_REMEDY = "Name another template in the language model's settings (chat_template), or use another model."

Part = Literal["world", "character", "history", "turn"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the rendered prompt."""

    part: Part
    text: str
    """Never empty."""
    border: bool
    """Whether it begins at a control token: only there may text be cut without changing how it is tokenised."""


class ChatTemplate:
    """Renders prompts for one model. Raises ModelError when the template does not compile or cannot be used."""

    def __init__(
        self,
        source: str | None,
        *,
        bos: str = "",
        eos: str = "",
        markers: Iterable[str] = (),
        moment: datetime | None = None,
    ) -> None:
        """Compile and probe `source`; `bos`, `eos` and `markers` are the texts of the model's control tokens.

        `moment` is what templates that ask for the date are told, always: a prompt must begin as it did a turn ago,
        past midnight too. None is now.
        """
        # As transformers renders them, for which they are written: sandboxed, blocks trimmed, these names defined.
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
        )
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = (datetime.now() if moment is None else moment).strftime
        environment.filters["tojson"] = _tojson
        try:
            self._template = environment.from_string(CHATML if source is None else source)
        except jinja2.TemplateError as error:
            raise ModelError(f"The model's chat template does not compile: {error}.", remedy=_REMEDY) from error
        self._render = lru_cache(maxsize=256)(self._render_anew)  # the fronts of conversations come again and again
        self._names = {
            "bos_token": bos,
            "eos_token": eos,
            "enable_thinking": False,
            "tools": None,  # defined, since templates ask whether they are `none`
            "documents": None,
        }
        words = sorted({marker for marker in (*markers, bos, eos) if marker} - TEXT_TAGS, key=len, reverse=True)
        self._markers = tuple(words)
        self._control = re.compile("|".join(map(re.escape, words)), re.IGNORECASE) if words else None
        self._alternates = self._try([_user("bravo"), _user("charlie")]) is None
        self._has_tool_role = source is not None and bool(re.search(r"""['"]tool['"]""", source)) and self._holds_tool()
        self._has_system_role = True  # what is probed next
        if not self._is_stable():
            self._has_system_role = False
            if not self._is_stable():
                raise ModelError(
                    "The model's chat template cannot be used: it fails, or writes earlier messages anew each turn"
                    f" ({self._why()}).",
                    remedy=_REMEDY,
                )

    @property
    def folds_system(self) -> bool:
        """Whether the system text stands in front of the first user message instead of in a message of its own."""
        return not self._has_system_role

    def frame_markers(self) -> frozenset[str]:
        """Return the control tokens with which messages are framed: in a reply they would begin another's turn.

        Tags of thoughts are none, though some templates write an empty thought for the model.
        """
        frame = self._raw([_user("alpha"), ChatMessage("assistant", "bravo"), _user("charlie")], header=True)
        return frozenset(marker for marker in self._markers if marker in frame and marker not in THINK_TAGS)

    def render(self, prompt: Prompt) -> tuple[Segment, ...]:
        """Return the prompt's segments; their texts joined are the whole text. Raises ModelError."""
        messages, past = self._conversation(prompt)
        return self._segments(self._raw(messages, header=True), prompt, messages, past)

    def render_front(self, prompt: Prompt) -> tuple[Segment, ...]:
        """Return the segments before the turn: what can be evaluated before anybody speaks. Raises ModelError."""
        segments = self.render(replace(prompt, turn=(_user(_OPENING),)))  # a place for what would be said
        return tuple(segment for segment in segments if segment.part != "turn")

    def render_open(self, prompt: Prompt) -> tuple[Segment, ...]:
        """Return the segments up to the end of what the turn's last message says so far. Raises ModelError.

        Where a template does not leave contents in their place, that is no more than the front.
        """
        messages, past = self._conversation(prompt)
        last = messages[-1]
        marked = self._raw([*messages[:-1], ChatMessage(last.role, last.content + _CUT)], header=True)
        text, found, _ = marked.partition(_CUT)
        return self._segments(text, prompt, messages, past) if found and prompt.turn else self.render_front(prompt)

    # --- the conversation, in the form this template takes --------------------------------------------------------

    def _conversation(self, prompt: Prompt, cut: str = "") -> tuple[list[ChatMessage], int]:
        """Return the messages as the template takes them, and how many of them stand before the turn.

        `cut` is put behind `world`, and behind `character` where more text follows in the same message.
        """
        system = self._scrub(prompt.world) + cut + self._scrub(prompt.character)
        messages: list[ChatMessage] = []
        past = 0
        for index, message in enumerate((*prompt.history, *prompt.turn)):
            role, content = message.role, self._scrub(message.content)
            if role == "tool" and not self._has_tool_role:
                role, content = "user", f"<tool_response>\n{content}\n</tool_response>"
            if self._alternates and messages and messages[-1].role == role:
                messages[-1] = ChatMessage(role, f"{messages[-1].content}\n\n{content}")
                if index >= len(prompt.history):
                    past = min(past, len(messages) - 1)
                continue
            messages.append(ChatMessage(role, content))
            if index < len(prompt.history):
                past = len(messages)
        if self._has_system_role:
            front = [ChatMessage("system", system)] if system else []
            if self._alternates and messages and messages[0].role == "assistant":
                front.append(_user(_OPENING))
            return front + messages, past + len(front)
        if messages and messages[0].role == "user":
            joint = f"{cut}\n\n" if system else ""
            messages[0] = _user(f"{system}{joint}{messages[0].content}")
            return messages, past
        return [_user(system or _OPENING), *messages], past + 1

    def _scrub(self, content: str) -> str:
        """Take out of a content what would not be read as words."""
        return scrub(content.replace(_CUT, ""), self._control)

    # --- cutting ---------------------------------------------------------------------------------------------------

    def _segments(self, text: str, prompt: Prompt, messages: list[ChatMessage], past: int) -> tuple[Segment, ...]:
        world, character = self._ends_of_system(text, prompt, messages[:1])
        front = self._try(messages[:past]) if past else None
        history = len(front) if front is not None and text.startswith(front) else character
        if past == 1 and self._has_system_role:
            character = history  # the system message is followed by no history: the cut lies behind its end marker
        places = (0, world, max(world, character), max(world, character, history), len(text))
        parts: tuple[Part, ...] = ("world", "character", "history", "turn")
        return tuple(
            Segment(part, text[start:end], self._is_border(text, start))
            for part, start, end in zip(parts, places, places[1:], strict=False)
            if end > start
        )

    def _ends_of_system(self, text: str, prompt: Prompt, first: list[ChatMessage]) -> tuple[int, int]:
        """Return where `world` and `character` end in the text; 0 where no such place can be told."""
        alone = self._try(first)
        marked = self._try(self._conversation(prompt, _CUT)[0][:1])
        if alone is None or marked is None or marked.replace(_CUT, "") != alone:
            return 0, 0
        ends = [place - number for number, place in enumerate(m.start() for m in re.finditer(_CUT, marked))]
        if self._has_system_role and len(ends) == 1:
            ends.append(len(alone))
        if len(ends) != 2 or not text.startswith(alone[: ends[1]]):
            return 0, 0
        return ends[0], ends[1]

    def _is_border(self, text: str, place: int) -> bool:
        return place == 0 or text.startswith(self._markers, place) or text.endswith(self._markers, 0, place)

    # --- rendering and probing -------------------------------------------------------------------------------------

    def _raw(self, messages: Sequence[ChatMessage], *, header: bool = False) -> str:
        return self._render(tuple(messages), header)

    def _render_anew(self, messages: tuple[ChatMessage, ...], header: bool) -> str:
        plain = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(messages=plain, add_generation_prompt=header, **self._names)
        except Exception as error:  # a template is a program of the model's author: it can fail in any way
            raise ModelError(f"The model's chat template fails: {error}.", remedy=_REMEDY) from error

    def _try(self, messages: Sequence[ChatMessage]) -> str | None:
        try:
            return self._raw(messages)
        except ModelError:
            return None

    def _holds_tool(self) -> bool:
        asked = [_user("alpha"), ChatMessage("assistant", "bravo")]
        before, after = self._try(asked), self._try([*asked, ChatMessage("tool", "charlie")])
        return before is not None and after is not None and "charlie" in after.lower()

    def _is_stable(self) -> bool:
        """Tell whether a conversation's text begins with what was its text a turn ago, up to that turn."""
        first = Prompt("alpha", "bravo", (_user("charlie"), ChatMessage("assistant", "delta")), (_user("echo"),))
        later = (_user("foxtrot"), ChatMessage("assistant", "golf"))
        second = Prompt("alpha", "bravo", (*first.history, *later), (_user("hotel"),))
        try:
            texts = [self._raw(self._conversation(prompt)[0], header=True).lower() for prompt in (first, second)]
        except ModelError:
            return False
        shared = commonprefix(texts)
        words = ("alpha", "bravo", "charlie", "delta")
        places = [shared.find(word) for word in words]
        return -1 not in places and places == sorted(places) and "echo" in texts[0] and "hotel" in texts[1]

    def _why(self) -> str:
        try:
            self._raw([_user("alpha")], header=True)
        except ModelError as error:
            return error.what
        return "its text of a conversation does not begin with its text of the same conversation a turn earlier"


class _Generation(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}`, which marks for training what the model writes; it changes no text."""

    tags = {"generation"}  # noqa: RUF012  (as Jinja declares it)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        return jinja2.nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _user(content: str) -> ChatMessage:
    return ChatMessage("user", content)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _tojson(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
