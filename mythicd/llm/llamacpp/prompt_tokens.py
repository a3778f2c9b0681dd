"""Prompt tokens: a rendered prompt's tokens, and where its parts end.

Text is cut at control tokens only, so the tokens are those of the whole text; groups that did not change since the last
turn (system message, history) come from a cache instead of being tokenised again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mythicd.engines.llm import Prompt
from mythicd.llm.llamacpp.chat_template import ChatTemplate, Part, Segment
from mythicd.llm.llamacpp.kv.state import common_prefix
from mythicd.llm.reasoning import ends_in_thought

REMEMBERED = 256
"""Groups of text whose tokens are cached: a few for each character."""


@dataclass(frozen=True, slots=True)
class Tokenised:
    """A prompt's tokens, and how many come before each place where a later prompt may differ."""

    tokens: list[int]
    world: int
    """Tokens that the prompts of all characters in this world begin with."""
    seed: int
    """Tokens of the system message."""
    stable: int
    """Tokens before the turn."""
    opens_thought: bool
    """Whether the reply begins inside reasoning. Some templates open it for each reply, some only where no tool has
    answered."""


class PromptTokens:
    """Renders and tokenises prompts for one model."""

    def __init__(self, template: ChatTemplate, tokenise: Callable[[str], list[int]], bos: str) -> None:
        """`bos` is the text of the token that every prompt must begin with; empty if the model wants none."""
        self._template = template
        self._tokenise = lru_cache(maxsize=REMEMBERED)(tokenise)
        self._bos = bos

    def whole(self, prompt: Prompt) -> Tokenised:
        """Return the tokens of a whole prompt, with the reply's header. Raises ModelError."""
        return self._tokens(self._template.render(prompt))

    def front(self, prompt: Prompt) -> Tokenised:
        """Return the tokens before the turn. Raises ModelError."""
        return self._tokens(self._template.render_front(prompt))

    def opened(self, prompt: Prompt) -> Tokenised:
        """Return the tokens up to the words of a turn that is still being spoken. Raises ModelError.

        The last of them may change when more follows: the allocator compares, and trims what changed.
        """
        return self._tokens(self._template.render_open(prompt))

    def _tokens(self, segments: Sequence[Segment]) -> Tokenised:
        groups: list[tuple[str, Part]] = []
        for segment in segments:  # a joined group counts as its last part
            if groups and not segment.border:
                groups.append((groups.pop()[0] + segment.text, segment.part))
            else:
                groups.append((segment.text, segment.part))
        tokens: list[int] = []
        if self._bos and groups and not groups[0][0].startswith(self._bos):
            tokens += self._tokenise(self._bos)
        world = len(tokens)
        seed = stable = 0
        for text, part in groups:
            tokens += self._tokenise(text)
            if part != "turn":
                stable = len(tokens)
            if part in ("world", "character"):
                seed = len(tokens)
        if groups and groups[-1][1] == "turn":  # text before the turn in its group, up to the first changed token
            before = "".join(segment.text for segment in segments if segment.part != "turn")
            before = before[sum(len(text) for text, _ in groups[:-1]) :]
            stable += common_prefix(self._tokenise(before), tokens[stable:])
        if segments and segments[0].part == "world":
            world += common_prefix(self._tokenise(segments[0].text), tokens[world:])
        opens_thought = bool(segments) and ends_in_thought(segments[-1].text)
        return Tokenised(tokens, min(world, stable), seed, stable, opens_thought)


def line_ends(tokens: Sequence[int], lines: int, start: int, piece: Callable[[int], bytes]) -> tuple[int, ...]:
    """Return after how many tokens each of the last `lines` lines ends, the open last line excepted.

    `tokens` end within or after the open line; tokens before `start` are not searched. `piece` returns a token's bytes.
    It counts from the end, because the template decides what comes before a message.
    """
    ends: list[int] = []
    open_line = True
    for place in range(len(tokens), start, -1):
        text = piece(tokens[place - 1])
        if open_line:
            text = text.rstrip()
            open_line = not text
        ends += [place] * text.count(b"\n")
        if len(ends) >= lines:
            break
    return tuple(reversed(ends[:lines]))
