"""A Whisper model for tests, written with numpy in CTranslate2's format: 2 MB, with a real tokenizer.

Its decoder blocks add nothing, so the logits depend on the token's position only, and the output projection gives one
chosen sentence for any audio. Loading, features, tokenizing and decoding are the real ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

_WIDTH = 64
_MELS = 80
_PROMPT = 2
"""Tokens before the first word: start of transcript, no times."""


def write_tiny_whisper(directory: Path, sentence: str = "where is the blue lantern") -> None:
    """Write the model's files into `directory`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    directory.mkdir(parents=True, exist_ok=True)
    words = ["Ġ" + word for word in sentence.split()]
    symbols = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *dict.fromkeys(words)]
    tokenizer = Tokenizer(models.BPE(vocab={symbol: at for at, symbol in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = "endoftext startoftranscript translate transcribe startoflm startofprev nospeech notimestamps".split()
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True, normalized=False) for name in special])
    times = [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    tokenizer.add_tokens([AddedToken(time, special=False, normalized=False) for time in times])
    tokenizer.save(str(directory / "tokenizer.json"))
    _write_weights(directory, tokenizer, words)
    features = {"feature_size": _MELS, "sampling_rate": 16000, "hop_length": 160, "chunk_length": 30, "n_fft": 400}
    (directory / "preprocessor_config.json").write_text(json.dumps(features))


def _write_weights(directory: Path, tokenizer: Any, words: list[str]) -> None:
    from ctranslate2.specs import whisper_spec

    random = np.random.default_rng(0)
    count = tokenizer.get_vocab_size()

    def noise(*shape: int) -> Any:
        return (random.standard_normal(shape) * 0.02).astype(np.float32)

    def zeros(*shape: int) -> Any:
        return np.zeros(shape, np.float32)

    def norm(layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(_WIDTH, np.float32), zeros(_WIDTH)

    def linear(layer: Any, outputs: int, inputs: int, make: Any) -> None:
        layer.weight, layer.bias = make(outputs, inputs), zeros(outputs)

    def attention(layer: Any, outputs: tuple[int, ...], make: Any) -> None:
        norm(layer.layer_norm)
        for part, size in zip(layer.linear, outputs, strict=True):
            linear(part, size * _WIDTH, _WIDTH, make)

    def feed_forward(layer: Any, make: Any) -> None:
        norm(layer.layer_norm)
        linear(layer.linear_0, 4 * _WIDTH, _WIDTH, make)
        linear(layer.linear_1, _WIDTH, 4 * _WIDTH, make)

    spec = whisper_spec.WhisperSpec(1, 2, 1, 2)
    encoder, decoder = spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = noise(_WIDTH, _MELS, 3), zeros(_WIDTH)
    encoder.conv2.weight, encoder.conv2.bias = noise(_WIDTH, _WIDTH, 3), zeros(_WIDTH)
    encoder.position_encodings.encodings = noise(1500, _WIDTH)
    norm(encoder.layer_norm)
    for layer in encoder.layer:
        attention(layer.self_attention, (3, 1), noise)
        feed_forward(layer.ffn, noise)
    for layer in decoder.layer:
        attention(layer.self_attention, (3, 1), zeros)
        attention(layer.attention, (1, 2, 1), zeros)
        feed_forward(layer.ffn, zeros)
    norm(decoder.layer_norm)
    decoder.embeddings.weight = zeros(count, _WIDTH)
    decoder.position_encodings.encodings = np.tile(np.eye(_WIDTH, dtype=np.float32), (448 // _WIDTH, 1))
    projection = zeros(count, _WIDTH)
    for position in range(_WIDTH):
        spoken = position - (_PROMPT - 1)
        token = words[spoken] if 0 <= spoken < len(words) else "<|endoftext|>"
        projection[tokenizer.token_to_id(token), position] = 10.0
    decoder.projection.weight, decoder.projection.bias = projection, zeros(count)

    by_id = {at: token for token, at in tokenizer.get_vocab().items()}
    spec.register_vocabulary([by_id[at] for at in range(count)])
    spec.config.suppress_ids, spec.config.suppress_ids_begin, spec.config.lang_ids = [], [], []
    spec.config.alignment_heads = [(0, 0), (0, 1)]
    spec.validate()
    spec.optimize(quantization=None)
    spec.save(str(directory))
