"""The models that an OpenAI-compatible server lists (`GET /models`), and the one among them that is meant."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from mythicd.config.yaml_reader import did_you_mean
from mythicd.errors import ConfigError

MOST_NAMED = 8
"""Models that an error names."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model on a server."""

    name: str
    """As requests name it."""
    server: str
    """What the server says it is: `llamacpp`, `vllm`, `sglang`, `tensorrt_llm`, `library` (Ollama), …"""


class _Entry(msgspec.Struct):
    id: str
    owned_by: str | None = None
    aliases: list[str] | None = None
    """Other names for it; llama-server's own."""

    def answers_to(self, name: str) -> bool:
        # Ollama lists `llama3.2:latest` and is asked for `llama3.2`.
        return name in (self.id, *(self.aliases or ())) or f"{name}:latest" == self.id


class _List(msgspec.Struct):
    data: list[_Entry] | None


def choose_model(answer: bytes, wanted: str) -> ServedModel:
    """Return the wanted model, or the only one there is if `wanted` is empty. Raises ConfigError."""
    try:
        entries = msgspec.json.decode(answer, type=_List).data or []
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ConfigError(
            "What answers at llm.server.url is no OpenAI-compatible server: it lists no models.",
            remedy="Correct llm.server.url, which usually ends with /v1.",
        ) from None
    names = [entry.id for entry in entries]
    listed = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
    if wanted:
        found = [entry for entry in entries if entry.answers_to(wanted)]
        if not found:
            raise ConfigError(
                f"llm.server.model: the server has no {wanted!r}. It has {listed or 'no model'}.",
                remedy=did_you_mean(wanted, names) or "Name one of these, or load it there.",
            )
        return ServedModel(wanted, found[0].owned_by or "")
    if len(entries) != 1:
        raise ConfigError(
            f"llm.server.model: the server has {listed or 'no model'}.",
            remedy="Say which one to use." if entries else "Load one there.",
        )
    return ServedModel(names[0], entries[0].owned_by or "")
