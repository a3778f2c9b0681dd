"""A small XTTS model with random weights, in the files that XTTS-v2 comes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from TTS.tts.configs.xtts_config import XttsConfig
from TTS.tts.models.xtts import Xtts

CHANNELS = 64
SPEAKERS = ("Ana Florence", "Badr Odhiambo")
STOP = 33
"""The audio token that ends a phrase."""
MAX_TOKENS = 30
"""Audio tokens of each phrase: about 1.3 seconds."""


def write_model(directory: Path, *, speakers: bool = True) -> Path:
    """Write the model's files into a directory, and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    size = _write_vocabulary(directory / "vocab.json")
    config = XttsConfig()
    config.model_args.update(
        {
            "gpt_layers": 2,
            "gpt_n_model_channels": CHANNELS,
            "gpt_n_heads": 2,
            "gpt_max_audio_tokens": MAX_TOKENS,
            "gpt_number_text_tokens": size,
            "gpt_start_text_token": 1,
            "gpt_stop_text_token": 2,
            "gpt_num_audio_tokens": 34,
            "gpt_start_audio_token": 32,
            "gpt_stop_audio_token": STOP,
            "gpt_use_perceiver_resampler": True,
            "decoder_input_dim": CHANNELS,
            "d_vector_dim": 512,
            "tokenizer_file": "",
        }
    )
    torch.manual_seed(7)
    model = Xtts(config)
    with torch.no_grad():
        model.hifigan_decoder.waveform_decoder.conv_post.weight.mul_(3)  # otherwise it is too quiet
        model.gpt.mel_head.bias[STOP] = -100.0  # otherwise chance decides how long it speaks
    torch.save({"model": model.state_dict()}, directory / "model.pth")
    (directory / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    if speakers:
        torch.save({name: _speaker() for name in SPEAKERS}, directory / "speakers_xtts.pth")
    return directory


def _speaker() -> dict[str, Any]:
    return {
        "gpt_cond_latent": torch.randn(1, 32, CHANNELS),
        "speaker_embedding": torch.nn.functional.normalize(torch.randn(1, 512, 1), dim=1),
    }


def _write_vocabulary(file: Path) -> int:
    """Write the tokenizer; return how many tokens it has."""
    special = ["[UNK]", "[START]", "[STOP]", "[SPACE]", "[en]", "[de]", "[ja]", "[zh-cn]"]
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?'-äöüß"]
    vocabulary = {token: number for number, token in enumerate([*special, *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="[UNK]"))
    tokenizer.add_special_tokens(special)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(file))
    return len(vocabulary)
