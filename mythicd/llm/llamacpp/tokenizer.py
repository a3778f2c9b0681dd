"""The tokenizer: text to tokens and back, by llama.cpp. Read only, so any thread may use it."""

from __future__ import annotations

import ctypes
from typing import Any

from mythicd.llm.special_tokens import TEXT_TAGS, THINK_TAGS, is_marker
from mythicd.native import llamacpp

_CONTROL = 1 << 3
"""LLAMA_TOKEN_ATTR_CONTROL in llama.h."""
_USER_DEFINED = 1 << 4
"""LLAMA_TOKEN_ATTR_USER_DEFINED: a text that is always one token."""


class Tokenizer:
    """The tokenizer and vocabulary of one model."""

    def __init__(self, library: Any, model: Any) -> None:
        self._library = library
        self._vocab = library.llama_model_get_vocab(model)
        self.size: int = library.llama_vocab_n_tokens(self._vocab)
        self._pieces: dict[int, bytes] = {}
        bos = self._special(model, "bos", library.llama_vocab_bos(self._vocab))
        eos = self._special(model, "eos", library.llama_vocab_eos(self._vocab))
        ends = {token for token in range(self.size) if library.llama_vocab_is_eog(self._vocab, token)}
        if eos is None:
            ends.discard(library.llama_vocab_eos(self._vocab))
        self.ends = frozenset(ends)
        """Tokens that end a reply."""
        self.control: dict[str, int] = {}
        """Control tokens by their text, such as "<|im_end|>", and user-defined tokens that frame messages."""
        for token in range(self.size):
            attributes = library.llama_vocab_get_attr(self._vocab, token)
            if attributes & (_CONTROL | _USER_DEFINED) or token in (bos, eos):
                text = self._text_of(token)
                if attributes & _CONTROL or token in (bos, eos) or is_marker(text):
                    self.control[text] = token
        self.bos = "" if bos is None else self._text_of(bos)
        """Text of the token that begins a text; empty if the model has none."""
        self.eos = "" if eos is None else self._text_of(eos)
        self.adds_bos: bool = bool(self.bos) and library.llama_vocab_get_add_bos(self._vocab)
        """Whether a prompt must begin with `bos` even if the chat template does not write it."""

    @property
    def pointer(self) -> Any:
        """llama.cpp's own vocabulary."""
        return self._vocab

    def tokenise(self, text: str) -> list[int]:
        """Return the tokens of a text; the texts of control tokens in it become those tokens."""
        data = text.encode()
        room = len(data) + 8
        while True:
            tokens = (ctypes.c_int32 * room)()
            count = self._library.llama_tokenize(self._vocab, data, len(data), tokens, room, False, True)
            if count >= 0:
                return list(tokens[:count])
            room = -count

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token in text: empty for a control token, except tags of tool calls and reasoning."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._piece(token, special=False)
            if not piece and self._text_of(token) in TEXT_TAGS | THINK_TAGS:
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
        return self._piece(token, special=True).decode(errors="replace")

    def _special(self, model: Any, name: str, token: int) -> int | None:
        """Return the bos or eos token; None where llama.cpp's value is only a default.

        If a file names none, llama.cpp's default for a BPE vocabulary is token 11, which is "," in many.
        """
        if not 0 <= token < self.size:
            return None
        named = llamacpp.metadata(model, f"tokenizer.ggml.{name}_token_id") == str(token)
        attributes: int = self._library.llama_vocab_get_attr(self._vocab, token)
        return token if named or attributes & (_CONTROL | _USER_DEFINED) else None
