"""The models that an OpenAI-compatible server lists (`GET /models`), and the choice of one."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from mythicd.config.yaml_reader import did_you_mean
from mythicd.errors import ConfigError

MOST_NAMED = 8
"""Most models that an error names."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model on a server."""

    name: str
    """Its name in requests."""
    server: str
    """The server's `owned_by`: `llamacpp`, `vllm`, `sglang`, `tensorrt_llm`, `library` (Ollama), …"""


class _Entry(msgspec.Struct):
    id: str
    owned_by: str | None = None
    aliases: list[str] | None = None
    """Other names for it; llama-server only."""

    def answers_to(self, name: str) -> bool:
        # Ollama lists `llama3.2:latest` for `llama3.2`.
        return name in (self.id, *(self.aliases or ())) or f"{name}:latest" == self.id


class _List(msgspec.Struct):
    data: list[_Entry] | None


def choose_model(answer: bytes, wanted: str) -> ServedModel:
    """Return the wanted model, or the only one if `wanted` is empty. Raises ConfigError."""
    try:
        entries = msgspec.json.decode(answer, type=_List).data or []
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ConfigError(
            "llm.server.url is not an OpenAI-compatible server: it does not list models.",
            remedy="Correct llm.server.url, which usually ends with /v1.",
        ) from None
    names = [entry.id for entry in entries]
    listed = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
    if wanted:
        found = [entry for entry in entries if entry.answers_to(wanted)]
        if not found:
            raise ConfigError(
                f"llm.server.model: the server does not have {wanted!r}. It has {listed or 'no model'}.",
                remedy=did_you_mean(wanted, names) or "Set one of these, or load it on the server.",
            )
        return ServedModel(wanted, found[0].owned_by or "")
    if len(entries) != 1:
        raise ConfigError(
            f"llm.server.model: the server has {listed or 'no model'}.",
            remedy="Set llm.server.model to one of them." if entries else "Load a model on the server.",
        )
    return ServedModel(names[0], entries[0].owned_by or "")
