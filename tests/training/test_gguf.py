"""The shipped model file: small, complete, and with the training tokenizer."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from training.chat import CHAT_TEMPLATE
from training.evaluate import DEFAULT_MODEL

GOLDEN = Path(__file__).with_name("tokens.json")
"""[text, ids] pairs written with the training tokenizer."""
MOST_BYTES = 16_000_000


@pytest.fixture(scope="module")
def library() -> Any:
    return pytest.importorskip("llama_cpp")


@pytest.fixture(scope="module")
def model(library: Any) -> Iterator[Any]:
    from mythicd.native import llamacpp

    pointer = llamacpp.load_model(DEFAULT_MODEL)
    yield pointer
    library.llama_model_free(pointer)


def test_file_is_small_enough_to_ship() -> None:
    assert DEFAULT_MODEL.stat().st_size <= MOST_BYTES


def test_file_has_template_and_licence(library: Any, model: Any) -> None:
    assert library.llama_model_chat_template(model, None).decode() == CHAT_TEMPLATE
    room = ctypes.create_string_buffer(64)
    library.llama_model_meta_val_str(model, b"general.license", room, len(room))
    assert room.value == b"Apache-2.0"


def test_llama_cpp_tokenises_as_in_training(library: Any, model: Any) -> None:
    vocabulary = library.llama_model_get_vocab(model)
    pairs = json.loads(GOLDEN.read_text("utf-8"))
    assert len(pairs) >= 50
    for text, ids in pairs:
        data = text.encode()
        room = (library.llama_token * (len(data) + 8))()
        count = library.llama_tokenize(vocabulary, data, len(data), room, len(room), False, True)
        assert list(room[:count]) == ids, text


def test_golden_tokens_are_the_training_tokenizers() -> None:
    pytest.importorskip("tokenizers")
    from training.tokenizer import load

    tokenizer = load()
    for text, ids in json.loads(GOLDEN.read_text("utf-8")):
        assert tokenizer.encode(text).ids == ids
