"""Options of an OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class OpenAiOptions:
    """Which server, which of its models, and how."""

    url: str
    """Where its API begins, such as `http://127.0.0.1:8080/v1`; without a path, `/v1` is meant."""
    model: str = ""
    """Name of the model; empty takes the only one there is."""
    api_key_env: str = ""
    """Name of the environment variable that holds the API key; empty where none is asked for."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More keys for each request, such as `chat_template_kwargs`; what Mythic itself sends goes before them."""
    max_speakers: int = 8
    """Requests at once; more of them wait."""

    def endpoint(self, path: str) -> str:
        """Return the address of one part of the API, such as `models`."""
        scheme, _, rest = self.url.rstrip("/").partition("://")
        return f"{scheme}://{rest}{'' if '/' in rest else '/v1'}/{path}"
