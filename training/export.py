"""The export of a checkpoint as GGUF: `python -m training.export --run first --out mythicd/assets/starter.gguf`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.quants import quantize
from numpy.typing import NDArray

from training.chat import CHAT_TEMPLATE, CONTROL_TOKENS, END_OF_TEXT, TURN_END, UNKNOWN, VISIBLE_SPECIALS
from training.model import Shape, rotary_frequencies
from training.tokenizer import TOKENIZER_FILE
from training.train import RUNS

DEFAULT_OUT = Path(__file__).parent.parent / "mythicd" / "assets" / "starter.gguf"
_DESCRIPTION = (
    "Mythic's starter language model: answers from the lore it is shown, refuses what the persona card forbids, says "
    "when it does not know, calls tools. Trained from scratch on generated text; English, lower case."
)
_ROPE_BASE = 10_000.0
_STILL = 1e30
"""Frequency divisor of the pairs that do not rotate."""


def _write_tokenizer(writer: gguf.GGUFWriter, size: int) -> None:
    data = json.loads(TOKENIZER_FILE.read_text("utf-8"))
    vocabulary: dict[str, int] = data["model"]["vocab"]
    tokens = [""] * size
    for text, number in vocabulary.items():
        tokens[number] = text
    kinds = [gguf.TokenType.NORMAL] * size
    for text in CONTROL_TOKENS:
        kinds[vocabulary[text]] = gguf.TokenType.CONTROL
    for text in VISIBLE_SPECIALS:
        kinds[vocabulary[text]] = gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]])
    writer.add_bos_token_id(vocabulary[END_OF_TEXT])
    writer.add_eos_token_id(vocabulary[TURN_END])
    writer.add_pad_token_id(vocabulary[END_OF_TEXT])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _rope_factors(shape: Shape) -> NDArray[np.float32]:
    """Return the divisors of llama.cpp's own frequencies that give ours: [head_width / 2]."""
    theirs = _ROPE_BASE ** (-np.arange(0, shape.head_width, 2) / shape.head_width)
    ours = rotary_frequencies(shape).numpy()
    return np.where(ours > 0, theirs / np.maximum(ours, 1e-12), _STILL).astype(np.float32)


def write_gguf(checkpoint: Path, out: Path, kind: str, context: int, not_knowing: float = 1.0) -> None:
    """Write a checkpoint as GGUF of `kind` (F32, F16, Q8_0).

    `not_knowing` scales the embedding of the token that starts every "I don't know", and so its logit: it changes how
    soon the model declines to answer, without training.
    """
    state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    shape = Shape(**state["shape"])
    weights = {name: tensor.float().numpy() for name, tensor in state["model"].items()}
    weights["embedding.weight"][CONTROL_TOKENS.index(UNKNOWN)] *= not_knowing
    out.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(out), "llama")
    writer.add_name("Mythic Starter")
    writer.add_description(_DESCRIPTION)
    writer.add_author("The Mythic project")
    writer.add_license("Apache-2.0")
    writer.add_languages(["en"])
    writer.add_context_length(context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(_ROPE_BASE)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type({"F32": 0, "F16": 1, "Q8_0": 7}[kind])
    _write_tokenizer(writer, shape.vocabulary)

    def add(name: str, array: NDArray[np.float32]) -> None:
        array = np.ascontiguousarray(array, np.float32)
        if array.ndim == 1 or kind == "F32":
            writer.add_tensor(name, array)
        elif kind == "F16":
            writer.add_tensor(name, array.astype(np.float16))
        else:
            q8 = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quantize(array, q8), raw_dtype=q8)

    add("rope_freqs.weight", _rope_factors(shape))
    add("token_embd.weight", weights["embedding.weight"])
    add("output_norm.weight", weights["norm.weight"])
    for number in range(shape.layers):
        ours, theirs = f"blocks.{number}.", f"blk.{number}."
        q, k, v = np.split(weights[ours + "qkv.weight"], 3)
        gate, up = np.split(weights[ours + "gate_up.weight"], 2)
        for name, array in (
            ("attn_norm", weights[ours + "attention_norm.weight"]),
            ("ffn_norm", weights[ours + "feed_norm.weight"]),
            ("attn_q", q),
            ("attn_k", k),
            ("attn_v", v),
            ("attn_output", weights[ours + "out.weight"]),
            ("ffn_gate", gate),
            ("ffn_up", up),
            ("ffn_down", weights[ours + "down.weight"]),
        ):
            add(f"{theirs}{name}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Export a run's last checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--run", default="first", help="name of the folder under training/runs")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--type", choices=("F32", "F16", "Q8_0"), default="F16")
    parser.add_argument("--context", type=int, default=8192, help="context length to declare, tokens")
    parser.add_argument("--not-knowing", type=float, default=1.0, help="scales the wish to say: I don't know")
    options = parser.parse_args()
    write_gguf(RUNS / options.run / "checkpoint.pt", options.out, options.type, options.context, options.not_knowing)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
