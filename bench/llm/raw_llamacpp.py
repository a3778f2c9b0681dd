"""A bare loop around llama.cpp: `llama_decode`, by ctypes, on either side's library.

It is the lower bound of every other figure, and the comparison of the two builds. One file serves both libraries: the
parameter structs are opaque bytes in which a few fields are set at their offsets, and the library's default values must
be found at those offsets before a field is set.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from mythicd.native import llamacpp

_ROOM = 512
"""Bytes for a parameter struct: more than any version has. A callee reads its own size from the stack."""


class _Params(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint8 * _ROOM)]


class _Batch(ctypes.Structure):
    """llama_batch in llama.h."""

    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


# Offsets in llama_context_params, and the defaults that prove them.
_NUMBERS = {"n_ctx": (0, 512), "n_batch": (4, 2048), "n_ubatch": (8, 512), "n_seq_max": (12, 1)}
_THREADS = (28, 32)
"""n_threads and n_threads_batch; 4 (GGML_DEFAULT_N_THREADS) by default."""
_FLASH = 52
"""flash_attn_type; -1 (auto) by default, 0 off, 1 on."""
_FLAGS = bytes((0, 1, 1, 1, 1, 0))
"""embeddings, offload_kqv, no_perf, op_offload, swa_full, kv_unified by default: six bools in a row."""
_FLAGS_AT = (0x80, 0x88)
"""Offsets at which those bools may start: later versions have one more pointer before them."""


class Loop:
    """A loop around `llama_decode` on a context that its owner does not use meanwhile."""

    def __init__(self, library: Any, context: int, n_batch: int = 2048) -> None:
        """`library` is the result of `bound`, `context` the address of llama.cpp's own."""
        self._library, self._context = library, ctypes.c_void_p(context)
        self._memory = library.llama_get_memory(self._context)
        self._batch = library.llama_batch_init(n_batch, 0, 1)

    def evaluate(self, tokens: Sequence[tuple[int, int, int]], logits: Sequence[int]) -> float:
        """Evaluate (token, position, sequence)s with logits at these rows; return seconds."""
        batch = self._batch
        batch.n_tokens = len(tokens)
        for row, (token, position, sequence) in enumerate(tokens):
            batch.token[row], batch.pos[row] = token, position
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = sequence
            batch.logits[row] = 0
        for row in logits:
            batch.logits[row] = 1
        return self.again()

    def again(self) -> float:
        """Evaluate the current batch; return seconds."""
        begun = time.perf_counter()
        result = self._library.llama_decode(self._context, self._batch)
        self._library.llama_synchronize(self._context)
        if result:
            raise RuntimeError(f"llama_decode returned {result}.")
        return time.perf_counter() - begun

    def prefill(self, length: int, sequence: int = 0, start: int = 0) -> float:
        """Evaluate a prompt of `count` tokens from position `start` on; return seconds."""
        tokens = np.random.default_rng(length).integers(300, 1000, length)
        return self.evaluate([(int(t), start + i, sequence) for i, t in enumerate(tokens)], [length - 1])

    def decode(self, sequences: Sequence[int], starts: Sequence[int], steps: int) -> list[float]:
        """Write `steps` tokens in each sequence from these positions on, all in one batch; return seconds a step."""
        rows = range(len(sequences))
        took = [self.evaluate([(301 + s, p, s) for s, p in zip(sequences, starts, strict=True)], rows)]
        for step in range(1, steps):
            for row in rows:
                self._batch.pos[row] = starts[row] + step
            took.append(self.again())
        return took

    def clone(self, source: int, sequence: int) -> None:
        """Copy the cells of `source` to `sequence`."""
        size = self._library.llama_state_seq_get_size(self._context, source)
        state = (ctypes.c_uint8 * size)()
        self._library.llama_state_seq_get_data(self._context, state, size, source)
        if not self._library.llama_state_seq_set_data(self._context, state, size, sequence):
            raise RuntimeError("llama.cpp has no free cells for another sequence.")

    def trim(self, sequence: int, start: int) -> None:
        """Remove all cells from position `start` on; sequence -1 is all of them."""
        self._library.llama_memory_seq_rm(self._memory, sequence, start, -1)

    def close(self) -> None:
        """Free the loop's own memory."""
        self._library.llama_batch_free(self._batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Bare(Loop):
    """A model and a context of one build of llama.cpp. Raises RuntimeError for an unknown build."""

    def __init__(
        self,
        library: Path,
        model: Path,
        *,
        n_ctx: int,
        sequences: int = 1,
        threads: int = 1,
        unified: bool = True,
        flash: bool | None = None,
        n_batch: int = 2048,
    ) -> None:
        """`flash` None leaves flash attention to llama.cpp."""
        functions = bound(library)
        self._model = functions.llama_model_load_from_file(str(model).encode(), functions.llama_model_default_params())
        if not self._model:
            raise RuntimeError(f"{library.name} cannot load {model}.")
        params = functions.llama_context_default_params()
        flags = _check(bytes(params.bytes), library)
        for name, value in (("n_ctx", n_ctx), ("n_batch", n_batch), ("n_ubatch", 512), ("n_seq_max", sequences)):
            _put(params, _NUMBERS[name][0], value)
        for place in _THREADS:
            _put(params, place, threads)
        if flash is not None:
            _put(params, _FLASH, int(flash))
        params.bytes[flags + 5] = int(unified)
        context = functions.llama_init_from_model(self._model, params)
        if not context:
            raise RuntimeError(f"{library.name} cannot create a context of {n_ctx} tokens.")
        super().__init__(functions, context, n_batch)

    def close(self) -> None:
        """Free everything."""
        super().close()
        self._library.llama_free(self._context)
        self._library.llama_model_free(self._model)


def ours() -> Path:
    """Return the library of llama-cpp-python, which Mythic uses."""
    import llama_cpp

    folder = Path(llama_cpp.__file__).parent / "lib"
    return next(path for path in folder.iterdir() if path.stem.removeprefix("lib") == "llama")


def theirs() -> Path:
    """Return the library of xllamacpp: the extension module itself, which exports the C API."""
    import xllamacpp.xllamacpp

    return Path(xllamacpp.xllamacpp.__file__)


def _put(params: _Params, place: int, value: int) -> None:
    params.bytes[place : place + 4] = (value & 0xFFFFFFFF).to_bytes(4, "little")


def _check(default: bytes, library: Path) -> int:
    """Return the offset of the flags, after finding every default at its offset."""
    known = [(place, value) for place, value in _NUMBERS.values()] + [(place, 4) for place in _THREADS] + [(_FLASH, -1)]
    fine = all(int.from_bytes(default[at : at + 4], "little", signed=True) == value for at, value in known)
    places = [place for place in _FLAGS_AT if default[place : place + len(_FLAGS)] == _FLAGS]
    if not fine or len(places) != 1:
        raise RuntimeError(f"{library.name} is a build of llama.cpp with an unknown layout of llama_context_params.")
    return places[0]


_Log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_silence = _Log(lambda level, text, data: None)


def bound(path: Path) -> Any:
    """Return the functions of a build of llama.cpp that are used here."""
    library = ctypes.CDLL(str(path))
    pointer, batch = ctypes.c_void_p, _Batch
    for name, result, *arguments in (
        ("llama_log_set", None, _Log, pointer),
        ("llama_backend_init", None),
        ("llama_model_default_params", _Params),
        ("llama_context_default_params", _Params),
        ("llama_model_load_from_file", pointer, ctypes.c_char_p, _Params),
        ("llama_init_from_model", pointer, pointer, _Params),
        ("llama_get_memory", pointer, pointer),
        ("llama_batch_init", batch, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32),
        ("llama_batch_free", None, batch),
        ("llama_decode", ctypes.c_int32, pointer, batch),
        ("llama_synchronize", None, pointer),
        ("llama_memory_seq_rm", ctypes.c_bool, pointer, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32),
        ("llama_state_seq_get_size", ctypes.c_size_t, pointer, ctypes.c_int32),
        ("llama_state_seq_get_data", ctypes.c_size_t, pointer, pointer, ctypes.c_size_t, ctypes.c_int32),
        ("llama_state_seq_set_data", ctypes.c_size_t, pointer, pointer, ctypes.c_size_t, ctypes.c_int32),
        ("llama_free", None, pointer),
        ("llama_model_free", None, pointer),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    if path == ours():
        llamacpp.backend()  # its log is set already; a process has one
    else:
        library.llama_log_set(_silence, None)
        library.llama_backend_init()
    return library
