"""glibc's malloc, told to give large buffers back to the system when they are freed.

Left to itself, glibc takes large buffers from the system one by one until one of them is freed; from then on it takes
buffers of that size, up to 32 MiB, from its heap (the "dynamic mmap threshold" of mallopt(3)). Small things settle
between them, and what is freed in the middle of a heap stays with the process. Here such buffers come and go all day:
llama.cpp makes its scheduler anew, in buffers of 17 and 23 MB even for a small model, whenever another adapter's turn
comes. Eight characters with two adapters held up to 350 MB so, of which 100 were holes; with a fixed threshold 260 at
most.

Other C libraries (Windows, macOS, musl) hand large buffers back by themselves.
"""

from __future__ import annotations

import ctypes
import os
import platform

LARGE_BYTES = 16 * 2**20
"""From here on a buffer has pages of its own, which are fresh each time: 0.1 ms a megabyte, or 20 times that where a
virtual machine has never touched them. Below lies what comes and goes more often: llama.cpp's list of candidates for
each token (12 bytes for each of up to 260,000 words), and a small model's parked conversations."""
KEPT_BYTES = 2 * LARGE_BYTES
"""So much may be free at the end of the heap without being given back, for the same reason."""

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_CHOSEN_BY_USER = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def return_large_buffers() -> bool:
    """Have the process's malloc give back buffers of LARGE_BYTES and more when they are freed.

    Returns whether there was anything to tell: False without glibc, and where the user has tuned it by the environment.
    """
    if platform.libc_ver()[0] != "glibc" or any(os.environ.get(name) for name in _CHOSEN_BY_USER):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))
