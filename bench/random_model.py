"""Random language models: Llama-architecture GGUF files with random weights, and LoRA adapters for them.

Speed depends only on a model's shape, so a benchmark needs no download. Lengths are exact and replies do not end by
themselves: every word (two syllables) is with the space before it *one* token, so a text of n words has n tokens on all
sides; and the output layer has weights for these words alone. All other tokens, also the one that ends a reply, have
the logit 0, which some word always exceeds: a reply is as long as requested, and every token of it is text.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import gguf
import numpy as np

EDITION = 1
"""Increased when files of earlier versions must not be used."""

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
ROLES = ("system", "user", "assistant")
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CONSONANTS = "bcdfghjklmnpqrstvwxz"
VOWELS = "aeiou"
SPACE = "Ġ"
"""The space in GPT-2's byte-level alphabet."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a model."""

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    context: int = 32768

    @property
    def parameters(self) -> int:
        """Weights in all matrices."""
        kv_width = self.width // self.heads * self.kv_heads
        layer = self.width * (2 * self.width + 2 * kv_width + 3 * self.feed_forward)
        return self.layers * layer + 2 * self.vocabulary * self.width


FULL = Shape("143M", layers=12, width=1024, heads=16, kv_heads=4, feed_forward=2560, vocabulary=8192)
SMALL = Shape("21M", layers=6, width=512, heads=8, kv_heads=4, feed_forward=1408, vocabulary=4096)
"""For quick runs."""


def cache_dir() -> Path:
    """Return where generated files are kept between runs."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        given = os.environ.get("XDG_CACHE_HOME", "")
        base = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return base / "mythic-bench"


def model(shape: Shape, folder: Path | None = None) -> Path:
    """Return the path of the Q4_0 model of this shape, which is generated if it does not exist (seconds)."""
    return made(f"{shape.name}-{_mark(shape)}.gguf", folder, lambda path: _write_model(path, shape))


def adapter(shape: Shape, seed: int, folder: Path | None = None) -> Path:
    """Return the path of a LoRA adapter (rank 8, on queries and values) for the model of this shape."""
    name = f"{shape.name}-{_mark(shape)}-lora{seed}.gguf"
    return made(name, folder, lambda path: _write_adapter(path, shape, seed))


@cache
def words(vocabulary: int) -> tuple[str, ...]:
    """Return the words that are one token each in a vocabulary of this size."""
    syllables = ["".join(pair) for pair in itertools.product(CONSONANTS, VOWELS)]
    room = vocabulary - 256 - len(syllables) - len(CONTROL) - 64  # 64: the roles' names and the pieces of them
    pairs = np.random.default_rng(7).permutation(len(syllables) ** 2)[: min(room // 2, len(syllables) ** 2)]
    return tuple(syllables[pair // len(syllables)] + syllables[pair % len(syllables)] for pair in map(int, pairs))


def vocabulary_of(size: int) -> tuple[list[str], list[str]]:
    """Return (tokens, merges) of the byte-level BPE in which each word, with or without its space, is one token."""
    tokens = alphabet()
    known = set(tokens)
    merges: list[str] = []
    ranks: dict[tuple[str, str], int] = {}

    def merge(left: str, right: str) -> None:
        if left + right not in known:
            known.add(left + right)
            tokens.append(left + right)
        ranks[left, right] = len(merges)
        merges.append(f"{left} {right}")

    for consonant, vowel in itertools.product(CONSONANTS, VOWELS):
        merge(consonant, vowel)
    for word in words(size):
        merge(word[:2], word[2:])
    for word in words(size):
        merge(SPACE, word)
    for role in ROLES:
        pieces = _pieces(role, ranks)
        while len(pieces) > 1:
            merge(pieces[0], pieces[1])
            pieces[:2] = [pieces[0] + pieces[1]]
    return tokens, merges


def _pieces(text: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Apply merges to a text as BPE does: always the earliest learned first."""
    pieces = list(text)
    while len(pieces) > 1:
        pairs = list(itertools.pairwise(pieces))
        best = min(range(len(pairs)), key=lambda place: ranks.get(pairs[place], len(ranks)))
        if pairs[best] not in ranks:
            break
        pieces[best : best + 2] = [pieces[best] + pieces[best + 1]]
    return pieces


def alphabet() -> list[str]:
    """Return GPT-2's printable stand-in for each of the 256 bytes, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def _mark(shape: Shape) -> str:
    return hashlib.sha256(f"{EDITION} {shape}".encode()).hexdigest()[:8]


def made(name: str, folder: Path | None, write: Callable[[Path], None]) -> Path:
    """Return the path of a generated file, written by `write` if it does not exist; `folder` None is `cache_dir`."""
    path = (cache_dir() if folder is None else folder) / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")  # so that no process reads an incomplete file
        write(unfinished)
        unfinished.replace(path)
    return path


def _write_model(path: Path, shape: Shape) -> None:
    rng = np.random.default_rng(1)
    tokens, merges = vocabulary_of(shape.vocabulary)
    tokens = filled(tokens, shape.vocabulary)
    spoken = {SPACE + word for word in words(shape.vocabulary)}
    live = np.array([token in spoken for token in tokens])

    def weight(name: str, rows: int, columns: int) -> np.ndarray:
        values = rng.standard_normal((rows, columns), np.float32) * np.float32(columns**-0.5)
        if name == "output.weight":
            values[~live] = 0
        return values

    write_llama(path, shape, tokens, merges, weight)


def filled(tokens: list[str], size: int) -> list[str]:
    """Return a vocabulary of exactly this size: these tokens, unused ones, and the control tokens at its end."""
    room = size - len(tokens) - len(CONTROL)
    if room < 0:
        raise ValueError(f"{len(tokens)} tokens do not fit into a vocabulary of {size}.")
    return [*tokens, *(f"[unused{number}]" for number in range(room)), *CONTROL]


def write_llama(
    path: Path, shape: Shape, tokens: list[str], merges: list[str], weight: Callable[[str, int, int], np.ndarray]
) -> None:
    """Write a model of this shape in Q4_0; `weight` makes each matrix, by its name, rows and columns.

    The vocabulary ends with CONTROL, and a reply with `<|im_end|>`.
    """
    types = [gguf.TokenType.NORMAL] * (len(tokens) - len(CONTROL)) + [gguf.TokenType.CONTROL] * len(CONTROL)
    assert len(tokens) == shape.vocabulary
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"random {shape.name}")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)

    def matrix(name: str, rows: int, columns: int) -> None:
        q4 = gguf.GGMLQuantizationType.Q4_0
        writer.add_tensor(name, gguf.quants.quantize(weight(name, rows, columns), q4), raw_dtype=q4)

    def norm(name: str) -> None:
        writer.add_tensor(name, np.ones(shape.width, np.float32))

    kv_width = shape.width // shape.heads * shape.kv_heads
    matrix("token_embd.weight", len(tokens), shape.width)
    matrix("output.weight", len(tokens), shape.width)
    norm("output_norm.weight")
    for layer in range(shape.layers):
        name = f"blk.{layer}."
        norm(name + "attn_norm.weight")
        norm(name + "ffn_norm.weight")
        matrix(name + "attn_q.weight", shape.width, shape.width)
        matrix(name + "attn_k.weight", kv_width, shape.width)
        matrix(name + "attn_v.weight", kv_width, shape.width)
        matrix(name + "attn_output.weight", shape.width, shape.width)
        matrix(name + "ffn_gate.weight", shape.feed_forward, shape.width)
        matrix(name + "ffn_up.weight", shape.feed_forward, shape.width)
        matrix(name + "ffn_down.weight", shape.width, shape.feed_forward)
    _finish(writer)


def _write_adapter(path: Path, shape: Shape, seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    rank = 8
    kv_width = shape.width // shape.heads * shape.kv_heads
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 16.0)
    for layer in range(shape.layers):
        for name, rows in (("attn_q", shape.width), ("attn_v", kv_width)):
            narrow = rng.standard_normal((rank, shape.width), np.float32) * np.float32(shape.width**-0.5)
            wide = rng.standard_normal((rows, rank), np.float32) * np.float32(rank**-0.5)
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_a", narrow.astype(np.float16))
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_b", wide.astype(np.float16))
    _finish(writer)


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
