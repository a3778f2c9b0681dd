"""Options of the in-process model: context size, KV cache, threads, limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from mythicd.llm.llamacpp.scheduler import Limits


@dataclass(frozen=True, slots=True)
class LlamaOptions:
    """Options of one model."""

    n_ctx: int = 8192
    """Tokens that the KV cache holds, all characters together."""
    n_seq_max: int = 16
    """Characters that can be in the KV cache at once."""
    n_batch: int = 512
    """Most tokens evaluated in one step."""
    limits: Limits = field(default_factory=Limits)
    threads: int = 0
    """CPU threads; 0 chooses: 1 for a small model, otherwise one fewer than there are physical cores."""
    gpu_layers: int = 0
    """Layers on a GPU, if llama.cpp was built for one; -1 for all."""
    kv_unified: bool = True
    """One KV cache for all sequences, with shared prefixes, instead of n_ctx / n_seq_max cells for each."""
    flash: bool | None = None
    """Flash attention. None chooses: on, except on the CPU with a model below EXACT_MODEL."""
    kv_q8: bool = False
    """Keep keys and values in 8 bits, with flash attention: half the memory, slightly less exact."""
    park_bytes: int = 512 * 2**20
    """Host memory for the KV cache of parked characters, in bytes."""
    park_idle: bool | None = None
    """Park idle characters in every pause, so that steps read fewer cells (`KvAllocator.tidy`). None chooses: yes when
    the KV cache is in host memory, where it takes milliseconds; no with layers on a GPU."""
    longest: int = 0
    """Most tokens in one conversation; 0 for as many as the model and the context hold."""
    chat_template: str | None = None
    """Jinja source to use instead of the model's own."""
