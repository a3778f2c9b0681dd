"""Makes small Llama-architecture GGUF files with random weights, so that the tests need no download.

The vocabulary is byte-level BPE as GPT-2 defines it: 256 byte tokens, the merges that build a few words, and ChatML's
control tokens. The weights are noise; what the model writes is nonsense, but which nonsense is fixed by the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Tiny:
    """The shape of a model; about 0.4 M parameters by default."""

    width: int = 128
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
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


def write(path: Path, tiny: Tiny = Tiny()) -> Path:  # noqa: B008  (frozen)
    """Write the model file and return its path."""
    rng = np.random.default_rng(tiny.seed)
    tokens, merges = bpe(WORDS)
    tokens += [f"[pad{n}]" for n in range(tiny.vocabulary - len(tokens) - len(tiny.specials) - len(tiny.tags))]
    types = [gguf.TokenType.NORMAL] * len(tokens)
    types += [gguf.TokenType.USER_DEFINED] * len(tiny.tags) + [gguf.TokenType.CONTROL] * len(tiny.specials)
    tokens += [*tiny.tags, *tiny.specials]
    writer = gguf.GGUFWriter(path, tiny.architecture)
    writer.add_name("tiny")
    writer.add_context_length(tiny.context)
    writer.add_embedding_length(tiny.width)
    writer.add_block_count(tiny.layers)
    writer.add_feed_forward_length(tiny.feed_forward)
    writer.add_head_count(tiny.heads)
    writer.add_head_count_kv(tiny.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(tiny.width // tiny.heads)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(tiny.adds_bos)
    if tiny.template is not None:
        writer.add_chat_template(tiny.template)

    def weight(name: str, rows: int, columns: int, scale: float = 1.0) -> None:
        values = rng.normal(0, scale * columns**-0.5, (rows, columns)).astype(np.float32)
        data = values if tiny.quant == gguf.GGMLQuantizationType.F32 else gguf.quants.quantize(values, tiny.quant)
        writer.add_tensor(name, data, raw_dtype=tiny.quant)

    def norm(name: str) -> None:
        writer.add_tensor(name, np.ones(tiny.width, np.float32))

    kv_width = tiny.width // tiny.heads * tiny.kv_heads
    weight("token_embd.weight", len(tokens), tiny.width)
    weight("output.weight", len(tokens), tiny.width)
    norm("output_norm.weight")
    for layer in range(tiny.layers):
        name = f"blk.{layer}."
        norm(name + "attn_norm.weight")
        norm(name + "ffn_norm.weight")
        # Sharp attention with a loud voice: what is written then hangs on all of the prompt, not on the last token.
        weight(name + "attn_q.weight", tiny.width, tiny.width, 2.0)
        weight(name + "attn_k.weight", kv_width, tiny.width, 2.0)
        weight(name + "attn_v.weight", kv_width, tiny.width, 2.0)
        weight(name + "attn_output.weight", tiny.width, tiny.width, 3.0)
        weight(name + "ffn_gate.weight", tiny.feed_forward, tiny.width)
        weight(name + "ffn_up.weight", tiny.feed_forward, tiny.width)
        weight(name + "ffn_down.weight", tiny.width, tiny.feed_forward)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
