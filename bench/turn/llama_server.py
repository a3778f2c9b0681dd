"""llama-server in a process of its own, for those who have no model inside."""

from __future__ import annotations

from pathlib import Path

from bench.llm.llama_server_side import Peer


class Server(Peer):
    """llama-server with one slot, for one client."""

    def __init__(self, model: Path, n_ctx: int) -> None:
        super().__init__(model, "default", slots=1, n_ctx=n_ctx)

    @property
    def address(self) -> str:
        """Where it listens."""
        return str(self._server.listening_address)


async def address(server: Server) -> str:
    """Tell where it listens."""
    return server.address
