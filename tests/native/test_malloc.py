"""Large buffers are returned to the system when they are freed, whatever is allocated between them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from mythicd.native.malloc import LARGE_BYTES, return_large_buffers

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are not tuned")

CHURN = """
import ctypes, sys
import psutil
if sys.argv[1] == "told":
    from mythicd.native.malloc import return_large_buffers
    assert return_large_buffers()
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype, libc.free.argtypes = [ctypes.c_size_t], ctypes.c_void_p, [ctypes.c_void_p]

def taken(size):
    place = libc.malloc(size)
    ctypes.memset(place, 1, size)
    return place

libc.free(taken(30 << 20))
before = psutil.Process().memory_info().rss
large, small = [], []
for _ in range(10):
    large.append(taken(20 << 20))
    small.append(taken(64 << 10))
for place in large:
    libc.free(place)
print((psutil.Process().memory_info().rss - before) >> 20)
"""
"""Ten buffers of 20 MiB with a small one after each; the large ones are freed, the small ones stay."""


def left_by_churn(*arguments: str, **environment: str) -> int:
    """Return how many MiB more a process holds after the churn than before it."""
    done = subprocess.run(
        [sys.executable, "-c", CHURN, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_buffers_freed_between_small_ones_are_returned() -> None:
    assert left_by_churn("untold") > 150, "otherwise this tuning is not needed"
    assert left_by_churn("told") < 10


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_the_users_tuning_is_kept(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "glibc.malloc.mmap_threshold=1" if name.startswith("GLIBC") else "1048576")
    assert not return_large_buffers()


def test_a_list_of_candidates_is_not_large() -> None:
    assert 12 * 262_144 < LARGE_BYTES, "the largest vocabularies have so many words"


def test_loading_llama_cpp_tunes_malloc_once() -> None:
    code = "\n".join(
        (
            "from mythicd.native import llamacpp, malloc",
            "told = []",
            "llamacpp.return_large_buffers = lambda: told.append(1)",
            "llamacpp.backend(); llamacpp.backend()",
            "print(len(told))",
        )
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "1", done.stderr
