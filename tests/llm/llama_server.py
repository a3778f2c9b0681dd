"""A real llama-server, from the package xllamacpp, in a process of its own.

It must be a process of its own: xllamacpp and llama-cpp-python each bring a build of ggml, and one process cannot hold
both. Run as a program, this file is that process: it prints the server's address and serves until its input ends, so
that it does not outlive the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp


class LlamaServer:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self.address = address

    @property
    def url(self) -> str:
        """Where its OpenAI-compatible API begins."""
        return f"{self.address}/v1"

    async def call(self, path: str, body: Any = None) -> Any:
        """Ask the server something of its own."""
        async with aiohttp.ClientSession() as session:
            method = "GET" if body is None else "POST"
            async with session.request(method, f"{self.address}{path}", json=body) as response:
                assert response.status == 200, await response.text()
                return await response.json(content_type=None)

    async def busy(self) -> list[dict[str, Any]]:
        """Return its slots in which something is evaluated or written."""
        return [slot for slot in await self.call("/slots") if slot["is_processing"]]

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def llama_server(model: Path, **options: Any) -> Iterator[LlamaServer]:
    """Serve a GGUF file; the options are attributes of xllamacpp's CommonParams."""
    command = [sys.executable, __file__, str(model), json.dumps(options)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        assert process.stdin is not None and process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address, "llama-server did not start"
            yield LlamaServer(process, address)
        finally:
            process.stdin.close()  # which ends it
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _serve(model: str, options: dict[str, Any]) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.port = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.fit_params = False
    params.warmup = False
    params.endpoint_slots = True
    for name, value in options.items():
        setattr(params, name, value)
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    server = None  # joins its threads


if __name__ == "__main__":
    _serve(sys.argv[1], json.loads(sys.argv[2]))
