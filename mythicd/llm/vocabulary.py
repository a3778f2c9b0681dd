"""A model's tokens: text to tokens and back, by llama.cpp's tokeniser. Read only, so any thread may use it."""

from __future__ import annotations

import ctypes
from typing import Any

from mythicd.llm.template import TEXT_TAGS

_CONTROL = 1 << 3
"""LLAMA_TOKEN_ATTR_CONTROL in llama.h."""


class Vocabulary:
    """A model's tokens."""

    def __init__(self, library: Any, model: Any) -> None:
        self._library = library
        self._vocab = library.llama_model_get_vocab(model)
        self.size: int = library.llama_vocab_n_tokens(self._vocab)
        self._pieces: dict[int, bytes] = {}
        self.ends = frozenset(token for token in range(self.size) if library.llama_vocab_is_eog(self._vocab, token))
        """Tokens with which a model ends its reply."""
        control = [t for t in range(self.size) if library.llama_vocab_get_attr(self._vocab, t) & _CONTROL]
        self.control = {self._piece(token, special=True).decode(errors="replace"): token for token in control}
        """Control tokens by their text, such as "<|im_end|>"."""
        self.bos = self._text_of(library.llama_vocab_bos(self._vocab))
        self.eos = self._text_of(library.llama_vocab_eos(self._vocab))
        self.adds_bos: bool = library.llama_vocab_get_add_bos(self._vocab)
        """Whether a prompt is to begin with `bos`, even if the chat template leaves that to the tokenizer."""

    @property
    def pointer(self) -> Any:
        """llama.cpp's own vocabulary."""
        return self._vocab

    def tokenise(self, text: str) -> list[int]:
        """Return the tokens of a text; control tokens written out in it become those tokens."""
        data = text.encode()
        room = len(data) + 8
        while True:
            tokens = (ctypes.c_int32 * room)()
            count = self._library.llama_tokenize(self._vocab, data, len(data), tokens, room, False, True)
            if count >= 0:
                return list(tokens[:count])
            room = -count

    def piece(self, token: int) -> bytes:
        """Return the bytes a token stands for in text: nothing for a control token, save the tags of tool calls."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._piece(token, special=False)
            if not piece and self._piece(token, special=True).decode(errors="replace") in TEXT_TAGS:
                piece = self._piece(token, special=True)
            self._pieces[token] = piece
        return piece

    def _piece(self, token: int, *, special: bool) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count: int = self._library.llama_token_to_piece(self._vocab, token, buffer, room, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            room = -count

    def _text_of(self, token: int) -> str:
        return "" if token < 0 else self._piece(token, special=True).decode(errors="replace")
