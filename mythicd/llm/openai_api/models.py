"""The models that an OpenAI-compatible server lists (`GET /models`), and the choice of one.

The list only helps to find a name: servers serve models that they do not list, list none, or have no list. So a name
that is set is used whatever the list says, with a notice where it seems wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mythicd.config.yaml_reader import did_you_mean
from mythicd.errors import ConfigError
from mythicd.llm.openai_api.http_errors import message_of

MOST_NAMED = 8
"""Most models that a message names."""

_LISTS = ("data", "models", "result", "items")
"""Members that hold the list: OpenAI's, Ollama's, others'."""
_NAMES = ("id", "model", "name", "key", "model_name")
"""Members that hold a model's name."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model on a server."""

    name: str
    """Its name in requests."""
    server: str = ""
    """The server's `owned_by`: `llamacpp`, `vllm`, `sglang`, `tensorrt_llm`, `library` (Ollama), …; may be empty."""
    notice: str = ""
    """What seems wrong, for the user; empty if nothing does."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    server: str
    aliases: tuple[str, ...]
    """Other names for it; llama-server only."""

    def answers_to(self, name: str) -> bool:
        # Ollama lists `llama3.2:latest` for `llama3.2`.
        return name in (self.name, *self.aliases) or f"{name}:latest" == self.name

    def resembles(self, name: str) -> bool:
        return _plain(name) in map(_plain, (self.name, *self.aliases))


def choose_model(answer: bytes, wanted: str) -> ServedModel:
    """Return the wanted model, or the only one if `wanted` is empty.

    A name that is listed in another spelling (`Qwen/Qwen3-8B`, `qwen3-8b:latest`, `/models/Qwen3-8B.gguf`) is sent as
    the server has it. Raises ConfigError only if `wanted` is empty and there is not exactly one model.
    """
    entries = _read(answer)
    if wanted:
        return _wanted(entries, wanted, answer)
    if entries is None:
        said = message_of(answer)
        raise ConfigError(
            "llm.server.model is not set, and what llm.server.url answers is not a list of models"
            f"{f' ({said})' if said else ''}.",
            remedy="Set llm.server.model, or correct llm.server.url, which usually ends with /v1.",
        )
    if len(entries) != 1:
        raise ConfigError(
            f"llm.server.model: it is not set, and the server has {_listed(entries)}.",
            remedy="Set llm.server.model to one of them." if entries else "Set it, or load a model on the server.",
        )
    return ServedModel(entries[0].name, entries[0].server)


def unchecked(wanted: str, why: str) -> ServedModel:
    """Return the wanted model where the list cannot be read."""
    notice = f"llm.server.model: {wanted!r} was not checked, because the server does not list its models ({why})."
    return ServedModel(wanted, notice=notice)


def _wanted(entries: list[_Entry] | None, wanted: str, answer: bytes) -> ServedModel:
    if entries is None:
        return unchecked(wanted, message_of(answer) or "an empty answer")
    servers = {entry.server for entry in entries}
    server = servers.pop() if len(servers) == 1 else ""
    for entry in entries:
        if entry.answers_to(wanted):
            return ServedModel(wanted, entry.server)
    alike = [entry for entry in entries if entry.resembles(wanted)]
    if len(alike) == 1:
        return ServedModel(alike[0].name, alike[0].server)
    hint = did_you_mean(wanted, [entry.name for entry in entries])
    notice = f"llm.server.model: the server does not list {wanted!r}. It has {_listed(entries)}. {hint}"
    return ServedModel(wanted, server, notice.rstrip())


def _listed(entries: list[_Entry]) -> str:
    names = [entry.name for entry in entries]
    return ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "") or "no model"


def _plain(name: str) -> str:
    """Return a name without its path or owner, tag `latest`, file type and case."""
    name = re.split(r"[/\\]", name.strip())[-1].lower()
    return re.sub(r"(?::latest|\.gguf)$", "", name)


def _read(answer: bytes) -> list[_Entry] | None:
    """Return the listed models; None if this is not a list of models."""
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    if isinstance(told, dict):
        lists = [told[key] for key in _LISTS if key in told]
        told = next((each for each in lists if each), lists[0] if lists else told)
    if told is None:
        return []
    if not isinstance(told, list):
        return None
    entries = {entry.name: entry for entry in reversed(list(_entries(told)))}
    return list(reversed(entries.values()))


def _entries(told: list[Any]) -> Iterator[_Entry]:
    for one in told:
        if isinstance(one, str):
            one = {"id": one}
        if not isinstance(one, dict):
            continue
        name = next((one[key] for key in _NAMES if isinstance(one.get(key), str) and one[key]), None)
        if name is not None:
            owner, aliases = one.get("owned_by"), one.get("aliases")
            yield _Entry(
                name,
                owner if isinstance(owner, str) else "",
                tuple(alias for alias in aliases if isinstance(alias, str)) if isinstance(aliases, list) else (),
            )
