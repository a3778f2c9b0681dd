"""llama.cpp by its C API: a model, a context with many sequences, and batches for it.

Everything here is synchronous and belongs to the engine thread (engine_thread.py). The Python around each native call
is kept small: batches are filled through NumPy arrays that llama.cpp reads in place.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from mythicd.errors import EngineError, ModelError
from mythicd.llm.llamacpp.lora import load_adapter
from mythicd.llm.llamacpp.options import LlamaOptions
from mythicd.llm.llamacpp.tokenizer import Tokenizer
from mythicd.native import llamacpp

SMALL_MODEL = 300_000_000
"""Parameters below which a second thread costs more in synchronisation than it computes."""

EXACT_MODEL = 50_000_000
"""Parameters below which flash attention is off on the CPU.

With it, sums are ordered differently for one token than for many, so that the cutting of a prompt into batches moves
logits by up to 0.014 (40 random models); without it, by 0.000004. But without it every token in a unified cache costs
time for every used cell: with 143 M parameters and twelve other characters of 600 tokens each, a step took 2.4 times
and a prompt 3.8 times as long as alone; with it, 1.2 and 1.4 times. In a small model attention is cheap.
"""


class Model:
    """A GGUF file in memory. Raises EngineUnavailable or ModelError."""

    def __init__(self, path: Path, options: LlamaOptions) -> None:
        self.path = path
        self._library = llamacpp.backend()
        params = llamacpp.model_params()
        params.n_gpu_layers = options.gpu_layers
        self._adapters: dict[str, Any] = {}
        self._model = llamacpp.load_model(path, params)
        library = self._library
        try:
            if not library.llama_model_has_decoder(self._model) or library.llama_model_has_encoder(self._model):
                raise ModelError(f"{path} is not a decoder-only language model.", remedy="Use a decoder-only model.")
            self.tokenizer = Tokenizer(library, self._model)
            self.trained_context: int = library.llama_model_n_ctx_train(self._model)
            self.parameters: int = library.llama_model_n_params(self._model)
            template = library.llama_model_chat_template(self._model, None)
            self.chat_template: str | None = template.decode(errors="replace") if template else None
        except BaseException:
            self.close()
            raise

    @property
    def pointer(self) -> Any:
        """llama.cpp's model."""
        return self._model

    def trims(self, longest: int) -> bool:
        """Tell whether a sequence of up to `longest` tokens can be trimmed, shared in part, saved and loaded.

        Recurrent layers have one state for all tokens. For layers with a sliding window, llama.cpp frees the cells
        before the window and saves the window only; trimming after that gives wrong results without an error.
        """
        library, window = self._library, self._library.llama_model_n_swa(self._model)
        recurrent = library.llama_model_is_recurrent(self._model) or library.llama_model_is_hybrid(self._model)
        return not recurrent and (window == 0 or window >= longest)

    def adapter(self, path: str) -> Any:
        """Return a LoRA adapter for this model, loaded once. Raises ModelError when it does not fit."""
        if path not in self._adapters:
            self._adapters[path] = load_adapter(self._model, Path(path), self.path)
        return self._adapters[path]

    def kv_bytes(self, q8: bool) -> int:
        """Return the approximate size of one token's keys and values, in bytes."""
        library, model = self._library, self._model
        usual: int = library.llama_model_n_embd(model) // max(1, library.llama_model_n_head(model))
        heads = f"{llamacpp.metadata(model, 'general.architecture')}.attention"
        named = (llamacpp.metadata(model, f"{heads}.{name}_length") for name in ("key", "value"))
        keys, values = (int(length) if length.isdigit() else usual for length in named)
        width: int = (keys + values) * library.llama_model_n_head_kv(model)
        layers: int = library.llama_model_n_layer(model)
        return layers * (width * 34 // 32 if q8 else width * 2)  # q8_0: 32 values in 34 bytes

    def close(self) -> None:
        """Free the model. Its contexts must be freed first."""
        if self._model:
            self._library.llama_model_free(self._model)  # frees its adapters too
            self._model = None
            self._adapters.clear()


@dataclass(frozen=True, slots=True)
class BatchPart:
    """Tokens of one sequence, as part of a batch."""

    sequence: int
    position: int
    """Position of the first of them in the sequence."""
    tokens: Sequence[int]
    logits: bool
    """Whether the logits after the last of them are needed."""


class NoCell(EngineError):
    """llama.cpp found no free cell for a token, which the allocator should prevent."""

    code = "NO_KV_CELL"


class Context:
    """A model's KV cache and working memory. Raises ModelError when memory is short."""

    def __init__(self, model: Model, options: LlamaOptions, sequences: int) -> None:
        """`sequences` is the number of sequences of the cache."""
        library = self._library = llamacpp.backend()
        _require_memory(model, options)
        params = library.llama_context_default_params()
        params.n_ctx, params.n_seq_max = options.n_ctx, sequences
        params.n_batch = params.n_ubatch = min(options.n_batch, options.n_ctx)  # otherwise llama.cpp lowers it silently
        params.n_threads = params.n_threads_batch = options.threads or _threads(model.parameters)
        params.kv_unified, params.no_perf = options.kv_unified, True
        if options.kv_q8:  # llama.cpp supports quantised values with flash attention only
            params.type_k = params.type_v = library.GGML_TYPE_Q8_0
            params.flash_attn_type = library.LLAMA_FLASH_ATTN_TYPE_ENABLED
        elif options.flash is not None:
            on, off = library.LLAMA_FLASH_ATTN_TYPE_ENABLED, library.LLAMA_FLASH_ATTN_TYPE_DISABLED
            params.flash_attn_type = on if options.flash else off
        elif options.gpu_layers == 0 and model.parameters < EXACT_MODEL:
            params.flash_attn_type = library.LLAMA_FLASH_ATTN_TYPE_DISABLED
        with llamacpp.complaints() as said:
            self._context = library.llama_init_from_model(model.pointer, params)
        if not self._context:
            raise ModelError(
                f"Not enough memory for {model.path.name} with a context of {options.n_ctx} tokens"
                f" ({said[0] if said else 'llama.cpp gives no reason'}).",
                remedy="Lower gpu.ctx_tokens or gpu.sequences, use a smaller model, or free memory.",
            )
        self._memory = library.llama_get_memory(self._context)
        self.cells: int = library.llama_n_ctx(self._context)
        """Number of cells of the KV cache; llama.cpp rounds n_ctx up."""
        self.batch: int = library.llama_n_batch(self._context)
        """Most tokens in one `evaluate`; more would end the process."""
        self._columns = model.tokenizer.size
        self._rows: dict[int, NDArray[np.float32]] = {}
        """Views of logits by address."""
        self._make_batch()
        self._abort = ctypes.create_string_buffer(2)
        self._adapter: str | None = None
        self._set_abort_callback()

    @property
    def pointer(self) -> Any:
        """llama.cpp's context."""
        return self._context

    def interrupt(self) -> None:
        """Stop the running `evaluate`, and every later one, within milliseconds. May be called by any thread."""
        self._abort[0] = b"\x01"

    def adapt(self, name: str | None, adapter: Any) -> bool:
        """Use this adapter (`Model.adapter`; None for none) from now on; tell whether that is a change."""
        if name == self._adapter:
            return False
        adapters = (ctypes.POINTER(ctypes.c_void_p) * 1)(*([] if adapter is None else [adapter]))
        scales = (ctypes.c_float * 1)(1.0)
        if self._library.llama_set_adapters_lora(self._context, adapters, int(adapter is not None), scales):
            raise EngineError(f"llama.cpp cannot use the LoRA adapter {name}.")
        self._adapter = name
        return True

    def trim(self, sequence: int, start: int) -> None:
        """Remove a sequence's tokens from position `start` on. Raises EngineError."""
        if not self._library.llama_memory_seq_rm(self._memory, sequence, start, -1):
            raise EngineError(f"llama.cpp cannot trim sequence {sequence} at {start}.")

    def share(self, source: int, sequence: int, start: int, end: int) -> None:
        """Add the cells of `source` from position `start` to `end` to `sequence`. Unified caches only."""
        self._library.llama_memory_seq_cp(self._memory, source, sequence, start, end)

    def save(self, sequence: int) -> NDArray[np.uint8]:
        """Return a copy of a sequence's state, for `load`. Raises EngineError."""
        size = self._library.llama_state_seq_get_size(self._context, sequence)
        saved = np.empty(size, np.uint8)
        written = self._library.llama_state_seq_get_data(self._context, _bytes(saved), size, sequence)
        if not written:
            raise EngineError(f"llama.cpp cannot save sequence {sequence}.")
        return saved[:written]

    def load(self, sequence: int, saved: NDArray[np.uint8]) -> bool:
        """Replace a sequence's state by a saved one; tell whether there was room for it.

        Without room the sequence is empty afterwards. The cells need not be contiguous.
        """
        done = self._library.llama_state_seq_set_data(self._context, _bytes(saved), len(saved), sequence)
        return bool(done)

    def last_position(self, sequence: int) -> int:
        """Return the position of the last token in a sequence; -1 when it is empty."""
        position: int = self._library.llama_memory_seq_pos_max(self._memory, sequence)
        return position

    def evaluate(self, parts: Sequence[BatchPart]) -> list[int]:
        """Evaluate a batch; return for each part with `logits` the row of its logits, in order.

        Blocking; other Python threads run meanwhile. Raises EngineError; the sequences then hold an unknown part of
        the new tokens: trim them.
        """
        count, rows = 0, []
        for part in parts:
            end = count + len(part.tokens)
            if end == count + 1:  # a decoding stream: assigning a slice costs three times as much as an element
                self._tokens[count], self._positions[count] = part.tokens[0], part.position
                self._sequences[count], self._logits[count] = part.sequence, 0
            else:
                self._tokens[count:end] = part.tokens
                self._positions[count:end] = np.arange(part.position, part.position + len(part.tokens), dtype=np.int32)
                self._sequences[count:end] = part.sequence
                self._logits[count:end] = 0
            if part.logits:
                self._logits[end - 1] = 1
                rows.append(end - 1)
            count = end
        self._batch.n_tokens = count
        result = self._library.llama_decode(self._context, self._batch)
        if result:
            why = {1: "no free cell in the KV cache", 2: "stopped"}.get(result, f"llama_decode returned {result}")
            failed = NoCell if result == 1 else EngineError
            raise failed(f"The language model could not evaluate {count} tokens: {why}.")
        return rows

    def logits(self, row: int) -> NDArray[np.float32]:
        """Return a row of the last logits as a view of shape (vocabulary,), valid until the next `evaluate`."""
        address = ctypes.addressof(self._library.llama_get_logits_ith(self._context, row).contents)
        found = self._rows.get(address)
        if found is None:  # llama.cpp moves them only when a batch has more rows than any before
            if len(self._rows) >= self.batch:
                self._rows.clear()
            values = (ctypes.c_float * self._columns).from_address(address)
            found = self._rows[address] = np.frombuffer(memoryview(values), np.float32)
        return found

    def clear(self) -> None:
        """Empty the KV cache."""
        self._library.llama_memory_clear(self._memory, True)

    def close(self) -> None:
        """Free the context."""
        if self._context:
            self._library.llama_free(self._context)
            self._context = None

    def _make_batch(self) -> None:
        """Make a batch whose columns are NumPy arrays, filled without a call for each token."""
        size = self.batch
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._sequences = np.zeros(size, np.int32)
        self._counts = np.ones(size, np.int32)  # each token belongs to one sequence
        self._logits = np.zeros(size, np.int8)
        step = self._sequences.itemsize
        # One pointer to each element of `_sequences`; llama.cpp requires a null pointer after the last.
        addresses = [self._sequences.ctypes.data + step * index for index in range(size)]
        self._addresses = np.array([*addresses, 0], np.uintp)
        types = dict(self._library.llama_batch._fields_)
        batch = self._batch = self._library.llama_batch()
        for name, column in (
            ("token", self._tokens),
            ("pos", self._positions),
            ("n_seq_id", self._counts),
            ("seq_id", self._addresses),
            ("logits", self._logits),
        ):
            setattr(batch, name, ctypes.cast(column.ctypes.data, types[name]))

    def _set_abort_callback(self) -> None:
        """Let llama.cpp poll a byte, instead of calling Python, to see whether to stop.

        It polls at every node of the graph, thousands of times a step: a Python callback would take the GIL each time.
        The C library's `strlen` has the callback's signature (one pointer in, an integer out) and returns whether the
        first byte of a buffer is set: 0 for "", 1 for "\\x01".
        """
        c_library = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
        self._library.llama_set_abort_callback(
            self._context,
            ctypes.cast(c_library.strlen, self._library.ggml_abort_callback),
            ctypes.cast(self._abort, ctypes.c_void_p),
        )


def _bytes(array: NDArray[np.uint8]) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


def _require_memory(model: Model, options: LlamaOptions) -> None:
    """Raise ModelError when the KV cache alone is larger than the free memory.

    llama.cpp would often get such an allocation (Linux overcommits), fill it with zeros, and end the process or freeze
    the machine.
    """
    # llama.cpp gives each sequence of a split cache at least 256 cells.
    cells = options.n_ctx if options.kv_unified else max(options.n_ctx, 256 * options.n_seq_max)
    needed = cells * model.kv_bytes(options.kv_q8)
    free = psutil.virtual_memory().available
    if options.gpu_layers == 0 and needed > free:
        raise ModelError(
            f"Not enough memory for {model.path.name} with a context of {options.n_ctx} tokens: its KV cache needs"
            f" {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free.",
            remedy="Lower gpu.ctx_tokens, set gpu.kv_precision to q8_0, or use a smaller model.",
        )


def _threads(parameters: int) -> int:
    if parameters < SMALL_MODEL:
        return 1
    return max(1, (psutil.cpu_count(logical=False) or 2) - 1)
