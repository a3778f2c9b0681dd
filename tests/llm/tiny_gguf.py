"""Small GGUF files with random weights, models and LoRA adapters, so that the tests need no download.

The vocabulary is byte-level BPE as GPT-2 defines it: 256 byte tokens, the merges that build a few words, and ChatML's
control tokens. Output is nonsense, fixed by the seed. `write` makes a Llama, whose memory is a cell of keys and values
for each token. Other memories for the KV cache's tests: `write_swa` (a sliding window in every other layer, like
Gemma 2), `write_recurrent` (one state for the whole past, like Mamba), `write_hybrid` (both kinds of layers, like
LFM2). Names of metadata and tensors are those that llama.cpp reads for these architectures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

WORDS = (
    " the", " and", " you", " of", " to", " market", " harbor", "name", "arguments", "place", '{"', '":', '"}', '>{"',
    ".\n\n", "\n\n", "user", "assistant", "system",
)  # fmt: skip
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

Make = Callable[[Path], Path]
"""Writes a model to a path, and returns it."""


@dataclass(frozen=True)
class Tiny:
    """The shape of a model; about 0.4 M parameters by default."""

    width: int = 128
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    head_width: int = 0
    """0 for the usual, `width / heads`; Qwen3's and Gemma's are wider."""
    feed_forward: int = 256
    context: int = 2048
    seed: int = 1
    quant: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32
    """F32 by default: then how tokens are cut into batches changes logits by far less than two tokens ever differ."""
    template: str | None = CHATML
    architecture: str = "llama"
    specials: tuple[str, ...] = SPECIALS
    tags: tuple[str, ...] = ()
    """Texts that get one token each, whatever they hold; not control tokens."""
    adds_bos: bool = False
    bos: str | None = "<|endoftext|>"
    """None names none, as Qwen3's GGUF files: llama.cpp then takes token 11 for it."""
    eos: str | None = "<|im_end|>"
    eleventh: str = ""
    """The text of token 11, a token of the vocabulary that changes places with the one there."""
    vocabulary: int = 0
    """Pad the vocabulary with made-up words to this many tokens."""


def byte_alphabet() -> list[str]:
    """Return GPT-2's printable stand-in for each of the 256 bytes, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def bpe(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return (tokens, merges) such that each of `words` is one token, built letter by letter."""
    alphabet = byte_alphabet()
    tokens, merges = list(alphabet), []
    for word in words:
        letters = [alphabet[byte] for byte in word.encode()]
        whole = letters[0]
        for letter in letters[1:]:
            merge = f"{whole} {letter}"
            whole += letter
            if whole not in tokens:
                tokens.append(whole)
                merges.append(merge)
    return tokens, merges


class _File:
    """A GGUF file being written: its metadata and vocabulary at once, its tensors as they come."""

    def __init__(self, path: Path, tiny: Tiny) -> None:
        self._path, self._tiny = path, tiny
        self._rng = np.random.default_rng(tiny.seed)
        tokens, merges = bpe(WORDS)
        tokens += [f"[pad{n}]" for n in range(tiny.vocabulary - len(tokens) - len(tiny.specials) - len(tiny.tags))]
        types = [gguf.TokenType.NORMAL] * len(tokens)
        types += [gguf.TokenType.USER_DEFINED] * len(tiny.tags) + [gguf.TokenType.CONTROL] * len(tiny.specials)
        tokens += [*tiny.tags, *tiny.specials]
        if tiny.eleventh:
            place = tokens.index(tiny.eleventh)
            tokens[11], tokens[place] = tokens[place], tokens[11]
            types[11], types[place] = types[place], types[11]
        self.tokens = len(tokens)
        writer = self.writer = gguf.GGUFWriter(path, tiny.architecture)
        writer.add_name("tiny")
        writer.add_context_length(tiny.context)
        writer.add_embedding_length(tiny.width)
        writer.add_block_count(tiny.layers)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_vocab_size(len(tokens))
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_token_merges(merges)
        if tiny.eos is not None:
            writer.add_eos_token_id(tokens.index(tiny.eos))
        if tiny.bos is not None:
            writer.add_bos_token_id(tokens.index(tiny.bos))
        writer.add_add_bos_token(tiny.adds_bos)
        if tiny.template is not None:
            writer.add_chat_template(tiny.template)

    def describe_attention(self, kv_heads: int | list[int]) -> None:
        tiny, writer = self._tiny, self.writer
        writer.add_feed_forward_length(tiny.feed_forward)
        writer.add_head_count(tiny.heads)
        writer.add_head_count_kv(kv_heads)
        if tiny.head_width:
            writer.add_key_length(tiny.head_width)
            writer.add_value_length(tiny.head_width)
        writer.add_rope_dimension_count(tiny.head_width or tiny.width // tiny.heads)

    def weight(self, name: str, rows: int, columns: int, scale: float = 1.0) -> None:
        """Add a matrix that maps noise of `columns` values and deviation 1 to noise of deviation `scale`."""
        values = self._rng.normal(0, scale * columns**-0.5, (rows, columns)).astype(np.float32)
        quant = self._tiny.quant
        data = values if quant == gguf.GGMLQuantizationType.F32 else gguf.quants.quantize(values, quant)
        self.writer.add_tensor(name, data, raw_dtype=quant)

    def exact(self, name: str, values: np.ndarray) -> None:
        """Add a tensor that llama.cpp reads in 32 bits only."""
        self.writer.add_tensor(name, values.astype(np.float32))

    def norm(self, name: str, width: int = 0) -> None:
        self.exact(name, np.ones(width or self._tiny.width))

    def attention(self, name: str) -> None:
        """Add one layer's attention. It is sharp and has a loud voice: what is written hangs on all of the prompt."""
        tiny = self._tiny
        head_width = tiny.head_width or tiny.width // tiny.heads
        kv_width = head_width * tiny.kv_heads
        self.weight(name + "attn_q.weight", head_width * tiny.heads, tiny.width, 2.0)
        self.weight(name + "attn_k.weight", kv_width, tiny.width, 2.0)
        self.weight(name + "attn_v.weight", kv_width, tiny.width, 2.0)
        self.weight(name + "attn_output.weight", tiny.width, head_width * tiny.heads, 3.0)

    def feed_forward(self, name: str) -> None:
        tiny = self._tiny
        self.weight(name + "ffn_gate.weight", tiny.feed_forward, tiny.width)
        self.weight(name + "ffn_up.weight", tiny.feed_forward, tiny.width)
        self.weight(name + "ffn_down.weight", tiny.width, tiny.feed_forward)

    def close(self) -> Path:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()
        return self._path


def write(path: Path, tiny: Tiny = Tiny()) -> Path:  # noqa: B008  (frozen)
    """Write a Llama, or what calls itself `tiny.architecture` and has a Llama's tensors; return its path."""
    file = _File(path, tiny)
    file.describe_attention(tiny.kv_heads)
    file.weight("token_embd.weight", file.tokens, tiny.width)
    file.weight("output.weight", file.tokens, tiny.width)
    file.norm("output_norm.weight")
    for layer in range(tiny.layers):
        name = f"blk.{layer}."
        file.norm(name + "attn_norm.weight")
        file.norm(name + "ffn_norm.weight")
        file.attention(name)
        file.feed_forward(name)
    return file.close()


def write_swa(path: Path, tiny: Tiny = Tiny(), window: int = 32) -> Path:  # noqa: B008  (frozen)
    """Write a Gemma 2, whose layers 0, 2, 4, ... see the last `window` tokens only."""
    file = _File(path, replace(tiny, architecture="gemma2"))
    file.describe_attention(tiny.kv_heads)
    file.writer.add_key_length(tiny.width // tiny.heads)
    file.writer.add_value_length(tiny.width // tiny.heads)
    file.writer.add_sliding_window(window)
    file.weight("token_embd.weight", file.tokens, tiny.width)
    file.norm("output_norm.weight")
    for layer in range(tiny.layers):
        name = f"blk.{layer}."
        for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            file.norm(f"{name}{norm}.weight")
        file.attention(name)
        file.feed_forward(name)
    return file.close()


def write_recurrent(path: Path, tiny: Tiny = Tiny(), state: int = 8, kernel: int = 4) -> Path:  # noqa: B008  (frozen)
    """Write a Mamba: each sequence has one state of fixed size, however many tokens it has seen."""
    file = _File(path, replace(tiny, architecture="mamba"))
    inner, rank = 2 * tiny.width, tiny.width // 16
    file.writer.add_feed_forward_length(0)
    file.writer.add_head_count(0)
    file.writer.add_ssm_conv_kernel(kernel)
    file.writer.add_ssm_inner_size(inner)
    file.writer.add_ssm_state_size(state)
    file.writer.add_ssm_time_step_rank(rank)
    file.weight("token_embd.weight", file.tokens, tiny.width)
    file.weight("output.weight", file.tokens, tiny.width)
    file.norm("output_norm.weight")
    for layer in range(tiny.layers):
        name = f"blk.{layer}."
        file.norm(name + "attn_norm.weight")
        file.weight(name + "ssm_in.weight", 2 * inner, tiny.width)
        file.exact(name + "ssm_conv1d.weight", np.full((inner, kernel), 1 / kernel))
        file.exact(name + "ssm_conv1d.bias", np.zeros(inner))
        file.weight(name + "ssm_x.weight", rank + 2 * state, inner)
        file.weight(name + "ssm_dt.weight", inner, rank)
        file.exact(name + "ssm_dt.bias", np.full(inner, -5.0))  # small steps: what was said long ago still counts
        file.exact(name + "ssm_a", np.tile(-np.arange(1.0, state + 1), (inner, 1)))
        file.exact(name + "ssm_d", np.ones(inner))
        file.weight(name + "ssm_out.weight", tiny.width, inner, 3.0)
    return file.close()


def write_hybrid(path: Path, tiny: Tiny = Tiny(), kernel: int = 3) -> Path:  # noqa: B008  (frozen)
    """Write an LFM2: layers 0, 2, 4, ... are convolutions with a short state, the others attend."""
    file = _File(path, replace(tiny, architecture="lfm2"))
    file.describe_attention([tiny.kv_heads if layer % 2 else 0 for layer in range(tiny.layers)])
    file.writer.add_shortconv_l_cache(kernel)
    file.weight("token_embd.weight", file.tokens, tiny.width)
    file.norm("token_embd_norm.weight")
    for layer in range(tiny.layers):
        name = f"blk.{layer}."
        file.norm(name + "attn_norm.weight")
        file.norm(name + "ffn_norm.weight")
        if layer % 2:
            file.norm(name + "attn_q_norm.weight", tiny.width // tiny.heads)
            file.norm(name + "attn_k_norm.weight", tiny.width // tiny.heads)
            file.attention(name)
        else:
            file.exact(name + "shortconv.conv.weight", np.full((tiny.width, kernel), 1 / kernel))
            file.weight(name + "shortconv.in_proj.weight", 3 * tiny.width, tiny.width)
            file.weight(name + "shortconv.out_proj.weight", tiny.width, tiny.width, 3.0)
        file.feed_forward(name)
    return file.close()


def write_lora(
    path: Path,
    tiny: Tiny = Tiny(),  # noqa: B008  (frozen)
    *,
    seed: int = 100,
    rank: int = 4,
    strength: float = 1.0,
    architecture: str | None = None,
    kind: tuple[str, str] = ("adapter", "lora"),
) -> Path:
    """Write a LoRA adapter for the Llama that `write` makes of `tiny`.

    Every matrix of every layer W becomes W + B·A, with B·A as loud as `strength` times noise of deviation 1 (W itself
    is 1 to 3 times that); with strength 0, B is zero and the adapter changes nothing. `kind` is what the file says it
    is, `general.type` and `adapter.type`.
    """
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture or tiny.architecture)
    writer.add_type(kind[0])
    writer.add_string("adapter.type", kind[1])
    writer.add_float32("adapter.lora.alpha", float(rank))  # llama.cpp scales by alpha / rank
    width, kv_width = tiny.width, tiny.width // tiny.heads * tiny.kv_heads
    for layer in range(tiny.layers):
        for name, rows, columns in (
            ("attn_q", width, width),
            ("attn_k", kv_width, width),
            ("attn_v", kv_width, width),
            ("attn_output", width, width),
            ("ffn_gate", tiny.feed_forward, width),
            ("ffn_up", tiny.feed_forward, width),
            ("ffn_down", width, tiny.feed_forward),
        ):
            down = rng.normal(0, columns**-0.5, (rank, columns))
            up = rng.normal(0, 1, (rows, rank)) * strength * rank**-0.5
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_a", down.astype(np.float32))
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_b", up.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
