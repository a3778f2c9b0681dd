"""The peer: llama.cpp's own server, in its own process, over HTTP.

The xllamacpp wheel runs llama-server's code in-process and listens on a local port. Three clients, from the plainest to
the most elaborate: `default` sends requests only, and the server chooses the slot; `pinned` has as many slots as
characters, and names the slot in each request (`id_slot`); `warmed` is pinned, and also sends requests with
`n_predict` 0 when a character comes into view, while the player speaks, and after each turn. Prompts are rendered by
the client; sampling is greedy and cannot end early.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import aiohttp

from bench.llm.prompts import chatml
from bench.llm.side import Spent
from mythicd.engines.llm import Prompt

Style = Literal["default", "pinned", "warmed"]


class Peer:
    """llama-server with one style of client. Implements `Side`."""

    def __init__(
        self, model: Path, style: Style, *, slots: int | None, n_ctx: int, n_batch: int | None = None, threads: int = 1
    ) -> None:
        """`slots` None leaves their number to the server (4, one KV cache for all); so does `n_batch` (2048)."""
        self._model, self._style = model, style
        self._slots, self._n_ctx, self._n_batch, self._threads = slots, n_ctx, n_batch, threads
        self._slot_by_npc: dict[str, int] = {}
        self._server: Any = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Load the model and wait until the server answers."""
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(self._model)
        params.n_ctx = self._n_ctx
        params.n_parallel = -1 if self._slots is None else self._slots
        if self._n_batch is not None:
            params.n_batch = self._n_batch
            params.n_ubatch = min(self._n_batch, params.n_ubatch)
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.port = _free_port()
        params.fit_params = False  # there is no GPU to fit it into, and it would change n_ctx
        params.verbosity = 0
        params.ui = False
        self._server = xllamacpp.Server(params)
        # The server may close connections that are idle or had a stream; a new one each time takes 0.2 ms.
        connector = aiohttp.TCPConnector(force_close=True)
        self._session = aiohttp.ClientSession(self._server.listening_address, connector=connector)

    async def stop(self) -> None:
        """End the server."""
        if self._session is not None:
            await self._session.close()
        self._server = None

    async def warm(self, npc: str, prompt: Prompt) -> None:
        """Evaluate the front, if the client is `warmed`."""
        if self._style == "warmed":
            await self._evaluate(npc, chatml(prompt, header=False))

    async def prepare(self, npc: str, prompt: Prompt) -> None:
        """Evaluate the words so far, if the client is `warmed`."""
        if self._style == "warmed":
            await self._evaluate(npc, chatml(prompt, open_end=True))

    async def reply(self, npc: str, prompt: Prompt, tokens: int, arrivals: list[float]) -> Spent:
        """Write a reply of exactly `tokens` tokens, and note when each arrives (`perf_counter`)."""
        spent = Spent(0, 0, 0)
        async with self._completion(npc, chatml(prompt), tokens, stream=True) as response:
            async for line in response.content:
                if not line.startswith(b"data: "):
                    continue
                event = json.loads(line[6:])
                if event.get("content"):
                    arrivals.append(time.perf_counter())
                if event.get("stop"):
                    timings = event["timings"]
                    new = int(timings["prompt_n"])
                    spent = Spent(new + int(timings["cache_n"]), new, int(event["tokens_predicted"]))
        return spent

    async def leave(self, npc: str) -> None:
        """Forget a character: fill its slot with a prompt that shares nothing with any other."""
        if npc in self._slot_by_npc and self._style != "default":
            await self._evaluate(npc, "!")
            del self._slot_by_npc[npc]

    async def _evaluate(self, npc: str, text: str) -> None:
        async with self._completion(npc, text, 0, stream=False) as response:
            await response.read()

    @asynccontextmanager
    async def _completion(
        self, npc: str, text: str, tokens: int, *, stream: bool
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        body: dict[str, Any] = {
            "prompt": text,
            "n_predict": tokens,
            "stream": stream,
            "cache_prompt": True,
            "ignore_eos": True,
            "temperature": 0,
            "samplers": ["temperature"],
        }
        if self._style != "default":
            body["id_slot"] = self._slot_of(npc)
        assert self._session is not None
        async with self._session.post("/completion", json=body) as response:
            if response.status != 200:
                raise RuntimeError(f"llama-server answered with status {response.status}: {await response.text()}")
            yield response

    def _slot_of(self, npc: str) -> int:
        """Return the character's slot, the lowest free one if it has none yet."""
        if npc not in self._slot_by_npc:
            assert self._slots is not None
            self._slot_by_npc[npc] = min(set(range(self._slots)) - set(self._slot_by_npc.values()))
        return self._slot_by_npc[npc]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
