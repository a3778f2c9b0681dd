"""From a prompt to the tokens that the ledger compares and the model evaluates.

The text is cut at control tokens only, so the tokens are exactly those of the whole text; but the groups that did not
change since the last turn (the system message, the history) are found in a cache instead of being tokenised again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from mythicd.engines import Prompt
from mythicd.llm.template import ChatTemplate, Segment

REMEMBERED = 256
"""Groups of text whose tokens are kept: a few for each character."""


class PromptTokens:
    """Renders and tokenises for one model."""

    def __init__(self, template: ChatTemplate, tokenise: Callable[[str], list[int]], bos: str) -> None:
        """`bos` is the text of the token that every prompt must begin with; empty where the model wants none."""
        self._template = template
        self._tokenise = lru_cache(maxsize=REMEMBERED)(tokenise)
        self._bos = bos

    def whole(self, prompt: Prompt) -> tuple[list[int], int]:
        """Return the prompt's tokens, and how many of them stand before the turn for certain. Raises ModelError."""
        return self._tokens(self._template.render(prompt))

    def front(self, prompt: Prompt) -> tuple[list[int], int]:
        """Return the tokens of what stands before the turn, and their number. Raises ModelError."""
        return self._tokens(self._template.render_front(prompt))

    def _tokens(self, segments: Sequence[Segment]) -> tuple[list[int], int]:
        groups: list[tuple[str, bool]] = []
        for segment in segments:
            in_turn = segment.part == "turn"
            if groups and not segment.border:
                text, had_turn = groups.pop()
                groups.append((text + segment.text, had_turn or in_turn))
            else:
                groups.append((segment.text, in_turn))
        tokens: list[int] = []
        if self._bos and groups and not groups[0][0].startswith(self._bos):
            tokens += self._tokenise(self._bos)
        stable = 0
        for text, in_turn in groups:
            tokens += self._tokenise(text)
            if not in_turn:
                stable = len(tokens)
        return tokens, stable
