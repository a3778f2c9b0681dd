"""malloc tuning: glibc returns large buffers to the system when they are freed.

By default, glibc's "dynamic mmap threshold" (mallopt(3)) grows up to 32 MiB as buffers are freed. Below it buffers come
from the heap, where small allocations between them keep freed memory in the process. llama.cpp allocates its scheduler
again, in buffers of 17 and 23 MB even for a small model, at each switch of a LoRA adapter: eight characters with two
adapters held up to 350 MB, of which 100 were holes; with a fixed threshold 260 at most. Other C libraries (Windows,
macOS, musl) return large buffers by themselves.
"""

from __future__ import annotations

import ctypes
import os
import platform

LARGE_BYTES = 16 * 2**20
"""Least size of a buffer with pages of its own, which are new each time: 0.1 ms a megabyte, or 20 times that where a
virtual machine has never touched them. Buffers that are allocated more often are smaller: llama.cpp's list of
candidates for each token (12 bytes for each of up to 260,000 words), and a small model's parked conversations."""
KEPT_BYTES = 2 * LARGE_BYTES
"""Most free bytes at the end of the heap that are not returned, for the same reason."""

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_CHOSEN_BY_USER = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def return_large_buffers() -> bool:
    """Make this process's malloc return buffers of LARGE_BYTES and more when they are freed.

    Returns whether it was changed: False without glibc, and where the user has tuned it by the environment.
    """
    if platform.libc_ver()[0] != "glibc" or any(os.environ.get(name) for name in _CHOSEN_BY_USER):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))
