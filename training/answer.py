"""The model in llama.cpp, with its chat template and the daemon's tool grammar: one prompt at a time, greedily."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from mythicd.engines.llm import Prompt, ToolSpec
from mythicd.llm.llamacpp.chat_template import ChatTemplate
from mythicd.llm.tool_grammar import CLOSE, OPEN, call_grammar
from mythicd.llm.tool_schema import read_tool
from mythicd.native import llamacpp
from training.chat import CONTROL_TOKENS, END_OF_TEXT, TURN_END

_CONTEXT = 4096
_LONGEST_REPLY = 96
"""Context length, in tokens."""


class Answerer:
    """A loaded model."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._library = library = llamacpp.backend()
        self._model = llamacpp.load_model(path)
        self._vocabulary = library.llama_model_get_vocab(self._model)
        source = library.llama_model_chat_template(self._model, None)
        self.template = ChatTemplate(
            source.decode() if source else None, bos=END_OF_TEXT, eos=TURN_END, markers=CONTROL_TOKENS
        )
        params = library.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = _CONTEXT
        params.n_threads = params.n_threads_batch = threads
        self._context = library.llama_init_from_model(self._model, params)
        self._memory = library.llama_get_memory(self._context)
        self._held: list[int] = []
        self._size: int = library.llama_vocab_n_tokens(self._vocabulary)

    def tokens(self, text: str) -> list[int]:
        """Return the token ids of rendered text, control tokens parsed."""
        data = text.encode()
        room = (self._library.llama_token * (len(data) + 8))()
        count = self._library.llama_tokenize(self._vocabulary, data, len(data), room, len(room), False, True)
        return list(room[:count])

    def piece(self, token: int) -> str:
        """Return the visible text of a token: empty for a control token."""
        room = ctypes.create_string_buffer(128)
        count = self._library.llama_token_to_piece(self._vocabulary, token, room, len(room), 0, False)
        return room.raw[:count].decode("utf-8", "replace")

    def reply(self, prompt: Prompt, tools: list[ToolSpec]) -> str:
        """Return the reply's text, tool calls included, stripped."""
        text = "".join(segment.text for segment in self.template.render(prompt))
        ids = self.tokens(text)
        shared = 0
        while shared < min(len(self._held), len(ids) - 1) and self._held[shared] == ids[shared]:
            shared += 1
        self._library.llama_memory_seq_rm(self._memory, 0, shared, -1)
        self._held = ids[:shared]
        self._evaluate(ids[shared:])
        written = ""
        grammar: Any = None
        for _ in range(_LONGEST_REPLY):
            token = self._best() if grammar is None else self._best_allowed(grammar)
            if self._library.llama_vocab_is_eog(self._vocabulary, token):
                break
            written += self.piece(token)
            if grammar is not None:
                self._library.llama_sampler_accept(grammar, token)
                if written.endswith(CLOSE):
                    self._library.llama_sampler_free(grammar)
                    grammar = None
            elif written.endswith(OPEN) and tools:
                source = call_grammar([read_tool(tool) for tool in tools])
                assert source is not None
                grammar = self._library.llama_sampler_init_grammar(self._vocabulary, source.encode(), b"root")
            self._evaluate([token])
        if grammar is not None:
            self._library.llama_sampler_free(grammar)
        return written.strip()

    def close(self) -> None:
        """Free the model."""
        self._library.llama_free(self._context)
        self._library.llama_model_free(self._model)

    def _evaluate(self, ids: list[int]) -> None:
        array = (self._library.llama_token * len(ids))(*ids)
        if self._library.llama_decode(self._context, self._library.llama_batch_get_one(array, len(ids))):
            raise RuntimeError(f"llama.cpp could not evaluate {len(ids)} tokens")
        self._held = self._held + ids

    def _logits(self) -> np.ndarray[Any, Any]:
        pointer = self._library.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, shape=(self._size,))

    def _best(self) -> int:
        return int(self._logits().argmax())

    def _best_allowed(self, grammar: Any) -> int:
        """Return the likeliest token that the grammar allows."""
        library = self._library
        logits = self._logits()
        candidates = (library.llama_token_data * self._size)()
        for token in range(self._size):
            candidates[token] = library.llama_token_data(token, float(logits[token]), 0.0)
        array = library.llama_token_data_array(candidates, self._size, -1, False)
        library.llama_sampler_apply(grammar, ctypes.byref(array))
        return int(max(array.data[: array.size], key=lambda candidate: candidate.logit).id)
