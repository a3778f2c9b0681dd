"""The writing of one reply, token by token: choose, take apart, and hold to the grammar where a call begins."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Literal

from mythicd.engines.llm import InlineCall, Sampling, TextDelta
from mythicd.llm.llamacpp.context import Context
from mythicd.llm.llamacpp.sampler import Sampler
from mythicd.llm.llamacpp.tokenizer import Tokenizer
from mythicd.llm.reply_parser import BadCall, ReplyParser
from mythicd.llm.tool_grammar import call_grammar
from mythicd.llm.tool_schema import Tool

logger = logging.getLogger(__name__)


class Decoding:
    """Writes one reply. Belongs to the engine thread; to be closed."""

    def __init__(
        self,
        vocabulary: Tokenizer,
        tools: Sequence[Tool],
        sampling: Sampling,
        most: int,
        banned: Iterable[int],
        *,
        thinking: bool = False,
    ) -> None:
        """`most` is how many tokens it may write, at least 1; `banned` tokens are never chosen.

        With `thinking` the reply begins inside a thought.
        """
        self._vocabulary = vocabulary
        self._tools = tools
        self._most = most
        self._parser = ReplyParser(tools, sampling.stop, thinking=thinking)
        self._answered = False
        self._sampler = Sampler(vocabulary, sampling, banned)
        self.written = 0
        """Tokens chosen so far."""
        self.pending = -1
        """The token chosen last, still to be evaluated."""
        self.over: Literal["stop", "length"] | None = None
        """Why the reply is over; None while it is not."""

    def write(self, context: Context, row: int) -> list[TextDelta | InlineCall]:
        """Choose the next token by this row of the last batch's logits; return what it completes.

        Raises EngineError when nothing can be chosen.
        """
        self.pending = token = self._sampler.sample(context, row)
        self.written += 1
        ended = token in self._vocabulary.ends
        piece = b"" if ended else self._vocabulary.piece(token)
        if not piece:
            self._parser.add_silence()
        parts = self._parser.add(piece)
        if ended or self._parser.stopped:
            self.over = "stop"
        elif self.written == self._most:
            self.over = "length"
        if ended and self._parser.thoughts.in_first:  # the template opened a thought, and it has answered at once
            parts += self._parser.disown_thought()
        if self.over:
            parts += self._parser.finish()
        else:
            self._hold_to_grammar()
        for part in parts:
            if isinstance(part, BadCall):
                logger.warning("A tool call was dropped: %s.", part.reason)
        self._answered = self._answered or bool(parts)
        if self.over and self._parser.thoughts.any and not self._answered:
            logger.warning(
                "The language model thought for all its %d tokens and said nothing. Raise llm.max_tokens, or use a"
                " model that does not think.",
                self.written,
            )
        return [part for part in parts if not isinstance(part, BadCall)]

    def close(self) -> None:
        """Free the samplers."""
        self._sampler.close()

    def _hold_to_grammar(self) -> None:
        """Switch the grammar on behind an opening tag, and off behind the closing one."""
        if not self._parser.in_call:
            self._sampler.release()
        elif self._tools and not self._sampler.constrained:
            grammar = call_grammar(self._tools, self._parser.written)
            if grammar is None:  # the tag's token ran on into something that begins no call: that is forgotten
                self._parser.restart_call()
                grammar = call_grammar(self._tools)
            assert grammar is not None
            self._sampler.constrain(grammar)
