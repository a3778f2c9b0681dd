"""The chat template: renders a prompt so that unchanged parts keep their place in the text.

    [world][character][history][turn + the header after which the model writes]

The KV cache needs this turn's text to begin with the text of a turn ago, so a prompt is rendered as four segments, in
the order in which they change. Cuts are probed; where a template has none, segments are joined. The whole text is
always the template's own rendering. Control tokens and message framing are removed from all contents
(llm/special_tokens.py). Special cases: docs/llm.md, "Chat templates".
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
"""The template of a model that has none of its own."""

_CUT = "\ue000"
"""Private-use character that marks a place; filters and tokenizers give it no meaning."""

_OPENING = "(The conversation begins.)"
"""Content of an added user message, for templates that require one first."""

_REMEDY = "Set another template (chat_template) in the language model's settings, or use another model."

Part = Literal["world", "character", "history", "turn"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the rendered prompt."""

    part: Part
    text: str
    """Never empty."""
    border: bool
    """Whether it begins at a control token: only there can text be cut without changing its tokens."""


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

        `moment` is the date given to templates that ask for it; it is fixed, since a prompt must begin as it did a
        turn ago, past midnight too. None is now.
        """
        # Templates are written for transformers: sandboxed, with trimmed blocks and these names defined.
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
        self._render = lru_cache(maxsize=256)(self._render_anew)  # prefixes of conversations recur
        self._names = {
            "bos_token": bos,
            "eos_token": eos,
            "enable_thinking": False,
            "tools": None,  # templates test whether they are `none`
            "documents": None,
        }
        words = sorted({marker for marker in (*markers, bos, eos) if marker} - TEXT_TAGS, key=len, reverse=True)
        self._markers = tuple(words)
        self._control = re.compile("|".join(map(re.escape, words)), re.IGNORECASE) if words else None
        self._alternates = self._try([_user("bravo"), _user("charlie")]) is None
        self._has_tool_role = source is not None and bool(re.search(r"""['"]tool['"]""", source)) and self._holds_tool()
        self._has_system_role = True  # probed next
        if not self._is_stable():
            self._has_system_role = False
            if not self._is_stable():
                raise ModelError(
                    f"The model's chat template cannot be used: {self._why()}.",
                    remedy=_REMEDY,
                )

    @property
    def folds_system(self) -> bool:
        """Whether the system text is put before the first user message instead of into a message of its own."""
        return not self._has_system_role

    def frame_markers(self) -> frozenset[str]:
        """Return the control tokens that frame messages: in a reply they would begin another message.

        Reasoning tags are not among them, although some templates write empty reasoning for the model.
        """
        frame = self._raw([_user("alpha"), ChatMessage("assistant", "bravo"), _user("charlie")], header=True)
        return frozenset(marker for marker in self._markers if marker in frame and marker not in THINK_TAGS)

    def render(self, prompt: Prompt) -> tuple[Segment, ...]:
        """Return the prompt's segments; their texts joined are the whole text. Raises ModelError."""
        messages, past = self._conversation(prompt)
        return self._segments(self._raw(messages, header=True), prompt, messages, past)

    def render_front(self, prompt: Prompt) -> tuple[Segment, ...]:
        """Return the segments before the turn, which can be evaluated before the player speaks. Raises ModelError."""
        segments = self.render(replace(prompt, turn=(_user(_OPENING),)))  # a stand-in for the turn
        return tuple(segment for segment in segments if segment.part != "turn")

    def render_open(self, prompt: Prompt) -> tuple[Segment, ...]:
        """Return the segments up to the end of the turn's last message so far. Raises ModelError.

        If the template moves or filters contents, only the segments before the turn are returned.
        """
        messages, past = self._conversation(prompt)
        last = messages[-1]
        marked = self._raw([*messages[:-1], ChatMessage(last.role, last.content + _CUT)], header=True)
        text, found, _ = marked.partition(_CUT)
        return self._segments(text, prompt, messages, past) if found and prompt.turn else self.render_front(prompt)

    # --- messages in the form that this template takes -------------------------------------------------------------

    def _conversation(self, prompt: Prompt, cut: str = "") -> tuple[list[ChatMessage], int]:
        """Return the messages as the template takes them, and how many of them come before the turn.

        `cut` is put after `world`, and after `character` where more text follows in the same message.
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
        """Return a content without control tokens and message framing."""
        return scrub(content.replace(_CUT, ""), self._control)

    # --- cutting ---------------------------------------------------------------------------------------------------

    def _segments(self, text: str, prompt: Prompt, messages: list[ChatMessage], past: int) -> tuple[Segment, ...]:
        world, character = self._ends_of_system(text, prompt, messages[:1])
        front = self._try(messages[:past]) if past else None
        history = len(front) if front is not None and text.startswith(front) else character
        if past == 1 and self._has_system_role:
            character = history  # without history the cut is after the system message's end marker
        places = (0, world, max(world, character), max(world, character, history), len(text))
        parts: tuple[Part, ...] = ("world", "character", "history", "turn")
        return tuple(
            Segment(part, text[start:end], self._is_border(text, start))
            for part, start, end in zip(parts, places, places[1:], strict=False)
            if end > start
        )

    def _ends_of_system(self, text: str, prompt: Prompt, first: list[ChatMessage]) -> tuple[int, int]:
        """Return where `world` and `character` end in the text; 0 where the place cannot be found."""
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
        except Exception as error:  # a template is a third-party program: it can raise anything
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
        """Tell whether a conversation's text begins with its text of a turn ago, up to that turn."""
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
            return error.what.rstrip(".")
        return "its text of a conversation does not begin with its text of that conversation a turn earlier"


class _Generation(jinja2.ext.Extension):
    """The Jinja tag `{% generation %}…{% endgeneration %}`, which marks training text; it changes nothing."""

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
