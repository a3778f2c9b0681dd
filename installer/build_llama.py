"""The build of llama-cpp-python, into the virtual environment that runs this script, with progress output.

There is no prebuilt wheel, so llama.cpp is compiled here once, in about two minutes on two cores; pip caches the wheel
for later environments. GGML_NATIVE is off: the result runs on every x86-64 CPU with AVX2, not only on the one that
compiled it (and without the AMX kernels, which crash on quantised weights). Only the library itself is compiled: not
its multimodal part (mtmd), nor llama.cpp's helper library `common`.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import time
from pathlib import Path

VERSION = "0.3.36"
LOG = Path("build/llama-build.log")
LIBRARY_ONLY = (Path(__file__).parent / "llama_library_only.cmake").resolve().as_posix()
OPTIONS = (
    "-DGGML_NATIVE=OFF",
    "-DLLAVA_BUILD=OFF",
    # CMAKE_ARGS is split at blanks: in a folder with one, `common` is compiled too.
    *(() if " " in LIBRARY_ONLY else (f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={LIBRARY_ONLY}",)),
)
"""CMake options; those in the environment's CMAKE_ARGS (such as -DGGML_CUDA=ON) come after them."""
STEP = re.compile(r"\[(\d+)/(\d+)\]")


def installed() -> bool:
    """Return whether this environment has this version."""
    try:
        return importlib.metadata.version("llama-cpp-python") == VERSION
    except importlib.metadata.PackageNotFoundError:
        return False


def build() -> int:
    """Run pip, print progress every ten seconds, and return pip's exit code."""
    environment = {
        **os.environ,
        "CMAKE_ARGS": " ".join((*OPTIONS, os.environ.get("CMAKE_ARGS", ""))).strip(),
        "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
    }
    command = [sys.executable, "-m", "pip", "install", "--verbose", "--disable-pip-version-check", "--no-input"]
    command += ["--no-binary", "llama-cpp-python", f"llama-cpp-python=={VERSION}"]
    LOG.parent.mkdir(exist_ok=True)
    begun = time.monotonic()
    shown = -10.0
    print(f"llama.cpp: compiling, about 2 minutes on two cores, only once (log: {LOG})", flush=True)
    with LOG.open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        assert process.stdout is not None
        step = "fetching"
        for line in process.stdout:
            log.write(line)
            if match := STEP.search(line):
                step = f"{match[1]} of {match[2]} files"
            elapsed = time.monotonic() - begun
            if elapsed - shown >= 10:
                shown = elapsed
                print(f"llama.cpp: {elapsed:4.0f} s, {step}", flush=True)
        code = process.wait()
    if code == 0:
        print(f"llama.cpp: ready after {time.monotonic() - begun:.0f} s", flush=True)
    else:
        print(f"llama.cpp: the build failed. The end of {LOG}:", file=sys.stderr)
        print("".join(LOG.read_text().splitlines(keepends=True)[-30:]), file=sys.stderr)
        print("Install a C and C++ compiler and CMake: apt install build-essential cmake", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(0 if installed() else build())
