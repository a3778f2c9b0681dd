"""Options of an OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mythicd.http_client.connection import Server


@dataclass(frozen=True, slots=True)
class OpenAiOptions:
    """The server, the model, and how to use them."""

    url: str
    """Base URL of the API, such as `http://127.0.0.1:8080/v1`; without a path, `/v1` is added."""
    model: str = ""
    """Name of the model; empty for the only one."""
    api_key_env: str = ""
    """Name of the environment variable that holds the API key; empty for none."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More keys for each request, such as `chat_template_kwargs`; Mythic's own keys take precedence."""
    max_speakers: int = 8
    """Requests at once; more of them wait."""

    @property
    def server(self) -> Server:
        """The server, as errors name it."""
        return Server("language model's server", "llm.server", self.url, self.api_key_env)
