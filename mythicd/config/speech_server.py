"""Settings of a speech server (`tts.server`), and their checks."""

from __future__ import annotations

from typing import Any, Literal

from mythicd.config.llm_server import wrong_address
from mythicd.config.yaml_reader import Strict


class SpeechServerSettings(Strict, frozen=True, kw_only=True):
    """An OpenAI-compatible server that speaks, with `tts.backend: server`."""

    url: str = ""
    """Where its API begins, such as `http://127.0.0.1:8880/v1`."""
    model: str = "tts-1"
    """Name of the speech model; many servers ignore it."""
    api_key_env: str = ""
    """Name of the environment variable that holds the API key, for servers that ask for one."""
    insecure: bool = False
    """Whether what is said, and the key, may go unencrypted (`http`) to another machine."""
    format: Literal["pcm", "wav"] = "pcm"
    """Audio format that is requested: raw samples at 24 kHz, or wav, which states its rate."""
    extra: dict[str, Any] = {}
    """More keys for each request."""


_REQUEST_KEYS = frozenset("model input voice response_format speed instructions".split())
"""Keys of a request that Mythic sets itself."""


def wrong_speech_server(server: SpeechServerSettings, *, is_used: bool) -> tuple[str, str, str] | None:
    """Return (key, complaint, remedy) of the first invalid setting; None if there is none.

    `is_used`: whether `tts.backend` is `server`.
    """
    if not server.url:
        return ("url", "it is missing, and tts.backend is `server`", "Add it.") if is_used else None
    if wrong := wrong_address(server.url, server.api_key_env, insecure=server.insecure):
        return wrong
    if taken := sorted(_REQUEST_KEYS & server.extra.keys()):
        return "extra", f"the key `{taken[0]}` is not allowed", "Delete it: Mythic sends that itself."
    return None
