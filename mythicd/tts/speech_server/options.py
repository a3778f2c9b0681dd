"""Options of a speech server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mythicd.http_client.connection import Server


@dataclass(frozen=True, slots=True)
class SpeechServerOptions:
    """The server, its voices, and how to use them."""

    url: str
    """Base URL of the API, such as `http://127.0.0.1:8880/v1`; without a path, `/v1` is added."""
    model: str = "tts-1"
    """Name of the speech model; many servers ignore it."""
    voices: tuple[str, ...] = ()
    """The server's names of the voices for characters whose voice names none."""
    api_key_env: str = ""
    """Name of the environment variable that holds the API key; empty for none."""
    format: Literal["pcm", "wav"] = "pcm"
    """Audio format to request. A wav states its own sample rate, and is understood in either case."""
    pcm_rate: int = 24_000
    """Sample rate of `pcm` in hertz, where the server does not declare it; OpenAI documents 24,000."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More keys for each request; Mythic's own keys take precedence."""
    workers: int = 2
    """Requests at once; further phrases wait, the one with the shortest lead first."""
    first_s: float = 10.0
    """Longest time from the request to the first audio, retries included."""
    gap_s: float = 5.0
    """Longest time between two pieces of audio."""

    @property
    def server(self) -> Server:
        """The server, as errors name it."""
        return Server("speech server", "tts.server", self.url, self.api_key_env)
