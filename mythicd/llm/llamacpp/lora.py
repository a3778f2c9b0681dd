"""LoRA adapters: loaded for one model, refused with a reason when they are for another.

llama.cpp checks architecture, names and shapes, and reports what does not fit. It does not check the *type* of three
values in the file's header, and ends the process when one is wrong: these are checked here first.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from mythicd.errors import ModelError
from mythicd.native import llamacpp

_REMEDY = "Use an adapter that was made for this model and converted to GGUF, or remove it from the persona card."

# GGUF value types (ggml's docs/gguf.md) and their sizes in bytes. Strings and arrays carry their length.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_FLOAT, _STRING, _ARRAY = 6, 8, 9
_EXPECTED = {"general.type": _STRING, "adapter.type": _STRING, "adapter.lora.alpha": _FLOAT}
_LONGEST = 2**20
"""Most bytes in a string, and items in an array; a header with more is damaged."""


def load_adapter(model: Any, path: Path, name: Path) -> Any:
    """Load a GGUF adapter for `model`, whose file is `name`; it is freed with the model.

    Blocking. Raises ModelError when the file is missing, damaged, not an adapter, or made for another model.
    """
    library = llamacpp.backend()
    try:
        with path.open("rb") as file:
            _check_header(file)
    except OSError as error:
        raise ModelError(f"The LoRA adapter {path} cannot be read: {error.strerror}.", remedy=_REMEDY) from error
    except ValueError as error:
        raise ModelError(f"{path} is not a LoRA adapter: {error}.", remedy=_REMEDY) from error
    with llamacpp.complaints() as said:
        adapter = library.llama_adapter_lora_init(model, str(path).encode())
    if not adapter:
        raise ModelError(
            f"{path} is not a LoRA adapter for {name.name}: {said[0] if said else 'llama.cpp gives no reason'}.",
            remedy=_REMEDY,
        )
    return adapter


def _check_header(file: BinaryIO) -> None:
    """Raise ValueError unless the header can be read and its values have the expected types."""
    magic, version, _, count = struct.unpack("<4sIQQ", _take(file, 24))
    if magic != llamacpp.GGUF_MAGIC:
        raise ValueError("it is not a GGUF file")
    if version not in (2, 3) or count > _LONGEST:
        raise ValueError(f"its header is damaged, or of GGUF version {version}")
    missing = dict(_EXPECTED)
    for _ in range(count):
        key = _string(file).decode(errors="replace")
        (kind,) = struct.unpack("<I", _take(file, 4))
        if key in _EXPECTED and kind != missing.pop(key, kind):
            raise ValueError(f"{key} in its header has the wrong type")
        _skip(file, kind)
    if "adapter.type" in missing:
        raise ValueError("its header has no adapter.type")


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _string(file)
    elif kind == _ARRAY:
        item, count = struct.unpack("<IQ", _take(file, 12))
        if item == _ARRAY or count > _LONGEST:
            raise ValueError("its header is damaged")
        for _ in range(count):
            _skip(file, item)
    elif kind in _SIZES:
        _take(file, _SIZES[kind])
    else:
        raise ValueError(f"its header has a value of the unknown type {kind}")


def _string(file: BinaryIO) -> bytes:
    (length,) = struct.unpack("<Q", _take(file, 8))
    if length > _LONGEST:
        raise ValueError("its header is damaged")
    return _take(file, length)


def _take(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError("it ends in the middle of its header")
    return data
