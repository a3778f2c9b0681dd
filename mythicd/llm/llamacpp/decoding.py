"""The decoding of one reply, token by token: sample, parse, and constrain tool calls by a grammar."""

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

log = logging.getLogger(__name__)


class Decoding:
    """Decodes one reply. Belongs to the engine thread; call `close` after use."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        tools: Sequence[Tool],
        sampling: Sampling,
        most: int,
        banned: Iterable[int],
        *,
        thinking: bool = False,
    ) -> None:
        """`most` is how many tokens it may write, at least 1; `banned` tokens are never chosen.

        With `thinking` the reply begins inside reasoning that the template has opened.
        """
        self._tokenizer = tokenizer
        self._tools = tools
        self._most = most
        self._parser = ReplyParser(tools, sampling.stop, thinking=thinking)
        self._answered = False
        self._sampler = Sampler(tokenizer, sampling, banned)
        self.written = 0
        """Tokens chosen so far."""
        self.pending = -1
        """The token chosen last, which is evaluated with the next step."""
        self.over: Literal["stop", "length"] | None = None
        """Why the reply is over; None while it goes on."""

    def write(self, context: Context, row: int) -> list[TextDelta | InlineCall]:
        """Choose the next token from this row of the last batch's logits; return the parts that it completes.

        Raises EngineError when no token can be chosen.
        """
        self.pending = token = self._sampler.sample(context, row)
        self.written += 1
        ended = token in self._tokenizer.ends
        piece = b"" if ended else self._tokenizer.piece(token)
        if not piece:
            self._parser.add_silence()
        parts = self._parser.add(piece)
        if ended or self._parser.stopped:
            self.over = "stop"
        elif self.written == self._most:
            self.over = "length"
        if ended and self._parser.thoughts.in_first:  # the template opened reasoning, and the model answered at once
            parts += self._parser.disown_thought()
        if self.over:
            parts += self._parser.finish()
        else:
            self._hold_to_grammar()
        for part in parts:
            if isinstance(part, BadCall):
                log.warning("Dropped a tool call: %s.", part.reason)
        self._answered = self._answered or bool(parts)
        if self.over and self._parser.thoughts.any and not self._answered:
            log.warning(
                "The language model spent all its %d tokens on reasoning and said nothing. Raise llm.max_tokens, or use"
                " a model without reasoning.",
                self.written,
            )
        return [part for part in parts if not isinstance(part, BadCall)]

    def close(self) -> None:
        """Free the samplers."""
        self._sampler.close()

    def _hold_to_grammar(self) -> None:
        """Turn the grammar on after an opening tag, and off after the closing one."""
        if not self._parser.in_call:
            self._sampler.release()
        elif self._tools and not self._sampler.constrained:
            grammar = call_grammar(self._tools, self._parser.written)
            if grammar is None:  # the tag's token holds text after it that begins no call: drop that text
                self._parser.restart_call()
                grammar = call_grammar(self._tools)
            assert grammar is not None
            self._sampler.constrain(grammar)
