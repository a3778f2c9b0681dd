"""llama-server in its own process, for sides without a model of their own."""

from __future__ import annotations

from pathlib import Path

from bench.llm.llama_server_side import Peer


class Server(Peer):
    """llama-server with one slot, for one client."""

    def __init__(self, model: Path, n_ctx: int) -> None:
        super().__init__(model, "default", slots=1, n_ctx=n_ctx)

    @property
    def address(self) -> str:
        """Its address."""
        return str(self._server.listening_address)


async def address(server: Server) -> str:
    """Return its address."""
    return server.address
