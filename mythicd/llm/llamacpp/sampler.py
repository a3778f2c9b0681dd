"""The sampler: llama.cpp's sampler chain for words, a grammar for tool calls.

Words: banned tokens out -> the 128 likeliest -> repeat penalty -> greedy at temperature 0, otherwise top-p ->
temperature -> a draw with the reply's seed. The penalty counts what this reply has written, not the prompt: a character
must be able to repeat names and numbers from the lore. Inside a tool call the likeliest token that the grammar admits
is taken, without temperature or penalty: arguments are copied. A token without text cannot break the JSON, so one at a
time passes where the model wants it.
"""

from __future__ import annotations

import codecs
import ctypes
from collections.abc import Iterable
from typing import Any

import numpy as np

from mythicd.engines.llm import Sampling
from mythicd.errors import EngineError
from mythicd.llm.llamacpp.context import Context
from mythicd.llm.llamacpp.tokenizer import Tokenizer
from mythicd.native import llamacpp

PENALTY_WINDOW = 64
"""Window of the repeat penalty, in tokens; llama.cpp's own default."""

SHORTLIST = 128
"""Candidates kept for the samplers whose time grows with their number; llama.cpp's own default is 40."""

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""llama_token_data in llama.h."""


class Sampler:
    """Chooses the tokens of one reply. Belongs to the engine thread; call `close` after use."""

    def __init__(self, tokenizer: Tokenizer, sampling: Sampling, banned: Iterable[int] = ()) -> None:
        library = self._library = llamacpp.backend()
        self._tokenizer = tokenizer
        self._banned = frozenset(banned)
        self._is_plain = sampling.temperature <= 0 and sampling.repeat_penalty == 1.0
        """Whether the likeliest token is taken: NumPy finds it faster than llama.cpp lists the candidates."""
        self._grammar: Any = None
        self._was_silent = False
        self._half_letter = b""
        self._chain = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
        self._bias: Any = (library.llama_logit_bias * len(self._banned))(
            *((int(token), float("-inf")) for token in self._banned)
        )
        if len(self._banned):
            self._add(library.llama_sampler_init_logit_bias(tokenizer.size, len(self._banned), self._bias))
        self._add(library.llama_sampler_init_top_k(SHORTLIST))
        if sampling.repeat_penalty != 1.0:
            penalties = library.llama_sampler_init_penalties
            self._add(penalties(tokenizer.size, PENALTY_WINDOW, sampling.repeat_penalty, 0.0, 0.0))
        if sampling.temperature <= 0:
            self._add(library.llama_sampler_init_greedy())
        else:
            self._add(library.llama_sampler_init_top_p(sampling.top_p, 1))
            self._add(library.llama_sampler_init_temp(sampling.temperature))
            self._add(library.llama_sampler_init_dist(sampling.seed & 0xFFFFFFFF))

    @property
    def constrained(self) -> bool:
        """Whether a grammar is on."""
        return self._grammar is not None

    def constrain(self, grammar: str) -> None:
        """Admit only what this grammar's `root` admits, from the next token on. Raises EngineError."""
        self.release()
        made = self._library.llama_sampler_init_grammar(self._tokenizer.pointer, grammar.encode(), b"root")
        if not made:
            raise EngineError("llama.cpp cannot compile the grammar of this turn's tools.")
        self._grammar, self._was_silent, self._half_letter = made, False, b""

    def release(self) -> None:
        """Turn the grammar off."""
        if self._grammar is not None:
            self._library.llama_sampler_free(self._grammar)
            self._grammar = None

    def sample(self, context: Context, row: int) -> int:
        """Choose the next token from this row of the last batch's logits, and remember it.

        Raises EngineError when the grammar admits none of the model's tokens.
        """
        if self._grammar is not None:
            return self._sample_constrained(context, row)
        if self._is_plain:
            likeliest = int(context.logits(row).argmax())
            if likeliest not in self._banned:
                return likeliest
        token: int = self._library.llama_sampler_sample(self._chain, context.pointer, row)
        return token

    def close(self) -> None:
        """Free the samplers."""
        self.release()
        if self._chain is not None:
            self._library.llama_sampler_free(self._chain)
            self._chain = None

    def _sample_constrained(self, context: Context, row: int) -> int:
        logits = context.logits(row).copy()
        logits[list(self._banned)] = -np.inf
        likeliest = int(logits.argmax())
        ends = self._tokenizer.ends
        if not self._was_silent and likeliest not in ends and not self._tokenizer.piece(likeliest):
            self._was_silent = True
            return likeliest
        self._was_silent = False
        # The likeliest token usually fits, and checking one is far cheaper than checking the vocabulary.
        candidates = np.array([(likeliest, logits[likeliest], 0.0)], _CANDIDATE)
        chosen = self._best(self._admitted(candidates))
        if chosen is None:
            candidates = np.zeros(len(logits), _CANDIDATE)
            candidates["id"] = np.arange(len(logits), dtype=np.int32)
            candidates["logit"] = logits
            chosen = self._best(self._admitted(candidates))
        if chosen is None:
            raise EngineError("No token of the language model fits the grammar of this turn's tools.")
        # llama.cpp ends the process for a token that the grammar does not admit.
        self._library.llama_sampler_accept(self._grammar, chosen)
        self._half_letter = _half_letter(self._half_letter + self._tokenizer.piece(chosen)) or b""
        return chosen

    def _best(self, admitted: np.ndarray[Any, Any]) -> int | None:
        """Return the likeliest admitted token that continues valid UTF-8; None if there is none.

        The grammar accepts any byte, even a closing quote, as the rest of a letter that has begun.
        """
        while True:
            best = admitted["logit"].argmax()
            if np.isneginf(admitted["logit"][best]):
                return None
            token = int(admitted["id"][best])
            if _half_letter(self._half_letter + self._tokenizer.piece(token)) is not None:
                return token
            admitted["logit"][best] = -np.inf

    def _admitted(self, candidates: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the candidates, with the logits of those that the grammar refuses set to minus infinity."""
        library = self._library
        array = library.llama_token_data_array(
            ctypes.cast(candidates.ctypes.data, ctypes.POINTER(library.llama_token_data)), len(candidates), -1, False
        )
        library.llama_sampler_apply(self._grammar, ctypes.byref(array))
        return candidates

    def _add(self, sampler: Any) -> None:
        self._library.llama_sampler_chain_add(self._chain, sampler)


def _half_letter(data: bytes) -> bytes | None:
    """Return the bytes at the end that begin a letter; None if the data cannot become valid UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return None
    return decoder.getstate()[0]
