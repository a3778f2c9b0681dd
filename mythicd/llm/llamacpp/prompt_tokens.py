"""From a prompt to the tokens that the allocator compares and the model evaluates.

The text is cut at control tokens only, so the tokens are exactly those of the whole text; but the groups that did not
change since the last turn (the system message, the history) are found in a cache instead of being tokenised again.
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
"""Groups of text whose tokens are kept: a few for each character."""


@dataclass(frozen=True, slots=True)
class Tokenised:
    """A prompt's tokens, and how many of them stand before each place where it may come to differ."""

    tokens: list[int]
    world: int
    """Those that any character's prompt in this world begins with."""
    seed: int
    """Those of the system message."""
    stable: int
    """Those before the turn, for certain."""
    opens_thought: bool
    """Whether what is written behind them begins inside a thought. Some templates open one for each reply, and some
    only where no tool has answered."""


class PromptTokens:
    """Renders and tokenises for one model."""

    def __init__(self, template: ChatTemplate, tokenise: Callable[[str], list[int]], bos: str) -> None:
        """`bos` is the text of the token that every prompt must begin with; empty where the model wants none."""
        self._template = template
        self._tokenise = lru_cache(maxsize=REMEMBERED)(tokenise)
        self._bos = bos

    def whole(self, prompt: Prompt) -> Tokenised:
        """Return the tokens of a prompt after which the model writes. Raises ModelError."""
        return self._tokens(self._template.render(prompt))

    def front(self, prompt: Prompt) -> Tokenised:
        """Return the tokens of what stands before the turn. Raises ModelError."""
        return self._tokens(self._template.render_front(prompt))

    def opened(self, prompt: Prompt) -> Tokenised:
        """Return the tokens of a turn that is still being spoken. Raises ModelError.

        The last of them may come out otherwise when more follows: the allocator compares, and trims what changed.
        """
        return self._tokens(self._template.render_open(prompt))

    def _tokens(self, segments: Sequence[Segment]) -> Tokenised:
        groups: list[tuple[str, Part]] = []
        for segment in segments:  # the order of the parts is that of the segments, so the later one counts
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
        if groups and groups[-1][1] == "turn":  # what stands before the turn in its own group, save what it alters
            before = "".join(segment.text for segment in segments if segment.part != "turn")
            before = before[sum(len(text) for text, _ in groups[:-1]) :]
            stable += common_prefix(self._tokenise(before), tokens[stable:])
        if segments and segments[0].part == "world":
            world += common_prefix(self._tokenise(segments[0].text), tokens[world:])
        opens_thought = bool(segments) and ends_in_thought(segments[-1].text)
        return Tokenised(tokens, min(world, stable), seed, stable, opens_thought)


def line_ends(tokens: Sequence[int], lines: int, start: int, piece: Callable[[int], bytes]) -> tuple[int, ...]:
    """Return how many tokens each of the last `lines` lines ends at that come before the last one.

    `tokens` end within that last one, or behind its end; nothing before token `start` is looked at. `piece` gives a
    token's bytes. Counted is from the end, since what stands before a message is the template's affair.
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
