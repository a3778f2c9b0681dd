"""llama.cpp as a library of this process: imported and initialised once, silent, and safe on every CPU.

The language model and the embedder share it: the import, the log, the parameters with which models are loaded, and the
errors of loading. The first import also sets up malloc (malloc.py). The backend and the log callback exist once for
each process, so this module keeps them (and nothing else) for the life of the process.
"""

from __future__ import annotations

import ctypes
import logging
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mythicd.errors import EngineUnavailable, ModelError
from mythicd.native.malloc import return_large_buffers

log = logging.getLogger(__name__)

GGUF_MAGIC = b"GGUF"
"""The first four bytes of every GGUF file (ggml's docs/gguf.md)."""

_WARN = 3
"""ggml_log_level from which lines are collected: 1 debug, 2 info, 3 warn, 4 error, 5 continues the last line."""
_CONTINUES = 5

_start = threading.Lock()
_collected = threading.local()


def backend() -> ModuleType:
    """Return the `llama_cpp` module, imported, initialised and silenced. The first call takes about 0.2 s.

    Raises EngineUnavailable when the package is not installed or its native library does not load.
    """
    with _start:  # two engines may start at the same time, each in its own thread
        library, _ = _initialised()
        return library


def model_params() -> Any:
    """Return fresh `llama_model_params` with which loading and decoding are safe on this CPU; no layer on a GPU."""
    params = backend().llama_model_default_params()
    params.n_gpu_layers = 0
    if amx_in_use(system_info(), cpu_flags()):
        # Built for the CPU at hand (GGML_NATIVE, the default of `pip install llama-cpp-python`) on an Intel CPU with
        # AMX, llama.cpp puts quantised weights into AMX buffers, and the first batch of more than one token kills the
        # process (SIGSEGV or SIGILL in ggml_backend_amx_mul_mat; version 0.3.36, q4_0, q8_0, q4_K, q6_K). Those
        # buffers are one of the "extra buffer types"; without them the ordinary kernels run, correct and fast.
        params.use_extra_bufts = False
    return params


def load_model(path: Path, params: Any | None = None) -> Any:
    """Load a GGUF file and return llama.cpp's model pointer, to be freed with `llama_model_free`.

    Blocking: seconds for a large model. Raises EngineUnavailable, and ModelError when the file is missing, is not
    GGUF, is truncated or damaged, is of an architecture this llama.cpp does not know, or does not fit in memory.
    """
    library = backend()
    _check_magic(path)
    with complaints() as said:
        model = library.llama_model_load_from_file(str(path).encode(), params if params is not None else model_params())
    if not model:
        raise ModelError(
            f"llama.cpp cannot load {path}: {said[0] if said else 'unknown reason'}.",
            remedy="Download or build the file again; an unknown architecture needs a newer llama-cpp-python.",
        )
    return model


def metadata(model: Any, key: str) -> str:
    """Return the value of a key of a model's metadata, such as `general.architecture`, as text; empty if missing."""
    buffer = ctypes.create_string_buffer(128)
    found: int = backend().llama_model_meta_val_str(model, key.encode(), buffer, len(buffer))
    return buffer.value.decode(errors="replace") if found >= 0 else ""


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect warnings and errors of llama.cpp in this thread while the block runs; errors come first."""
    lines: list[tuple[int, str]] = []
    said: list[str] = []
    _collected.lines = lines
    try:
        yield said
    finally:
        _collected.lines = None
        said += [text for _, text in sorted(lines, key=lambda line: -line[0])]


def supports_gpu() -> bool:
    """Return whether llama.cpp was built with a GPU backend, and finds a device of it."""
    return bool(backend().llama_supports_gpu_offload())


def system_info() -> str:
    """Return the features that llama.cpp was compiled with, such as "CPU : SSE3 = 1 | AVX2 = 1 | ..."."""
    info: bytes = backend().llama_print_system_info()
    return info.decode(errors="replace")


@cache
def cpu_flags() -> frozenset[str] | None:
    """Return the CPU's feature flags as Linux names them; None where they cannot be read."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == "flags":
                    return frozenset(value.split())
    except OSError:
        pass
    return None


def amx_in_use(info: str, flags: frozenset[str] | None) -> bool:
    """Return whether this build of llama.cpp may use AMX on this CPU; True in doubt, which is slower but never crashes.

    `info` is `system_info()`, `flags` is `cpu_flags()`.
    """
    if flags is not None and not any(flag.startswith("amx") for flag in flags):
        return False  # the kernels ask the CPU before they use AMX
    if "CPU : " in info:  # the CPU backend is there and lists its features, compiled-in AMX among them
        return "AMX" in info
    return platform.machine().lower() in ("x86_64", "amd64")


def _check_magic(path: Path) -> None:
    remedy = "Give the path of a GGUF model file."
    try:
        with open(path, "rb") as file:
            head = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise ModelError(f"Cannot read the model file {path}: {error.strerror}.", remedy=remedy) from error
    if head != GGUF_MAGIC:
        raise ModelError(f"{path} is not a GGUF file: it begins with {head!r}.", remedy=remedy)


@cache
def _initialised() -> tuple[ModuleType, object]:
    """Return the library and the log callback, which must live as long as the library may call it."""
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: the package raises it for a failed dlopen
        raise EngineUnavailable(
            f"llama.cpp is not available: {error}.",
            remedy="Install it: pip install mythicd (builds llama-cpp-python, which needs a C++ compiler and CMake).",
        ) from error
    return_large_buffers()
    callback = _LogCallback(_log)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    return llama_cpp, callback


_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def _log(level: int, text: bytes, _user_data: int | None) -> None:
    """Receive one line of llama.cpp's log. Runs inside native calls, in the thread that made them."""
    line = text.decode(errors="replace").strip()
    lines: list[tuple[int, str]] | None = getattr(_collected, "lines", None)
    if lines is not None and _WARN <= level < _CONTINUES and line:
        lines.append((level, line))
    # Always DEBUG: errors are raised as exceptions, and Python prints unhandled warnings to stderr.
    log.debug("llama.cpp [%d] %s", level, line)
