"""LoRA adapters: loaded for one model, refused with a reason when they are for another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mythicd import llamacpp
from mythicd.errors import ModelError

_REMEDY = "Use an adapter that was made for this model and converted to GGUF, or take it out of the persona card."


def load_adapter(model: Any, path: Path, name: Path) -> Any:
    """Load a GGUF adapter for `model`, whose file is `name`; it is freed with the model.

    Blocking. Raises ModelError when the file is missing, is no adapter, is damaged, or fits another model.
    """
    library = llamacpp.backend()
    if not path.is_file():
        raise ModelError(f"There is no LoRA adapter {path}.", remedy=_REMEDY)
    with path.open("rb") as file:
        if file.read(4) != llamacpp.GGUF_MAGIC:
            raise ModelError(f"{path} is not a GGUF file.", remedy=_REMEDY)
    with llamacpp.complaints() as said:
        adapter = library.llama_adapter_lora_init(model, str(path).encode())
    if not adapter:
        raise ModelError(
            f"{path} is no LoRA adapter for {name.name}: {said[0] if said else 'llama.cpp gives no reason'}.",
            remedy=_REMEDY,
        )
    return adapter
