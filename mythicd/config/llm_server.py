"""Settings of a language model server (`llm.server`), and their checks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from mythicd.config.yaml_reader import Strict


class LlmServerSettings(Strict, frozen=True, kw_only=True):
    """An OpenAI-compatible server that writes the replies: llama-server, vLLM, SGLang, TensorRT-LLM, Ollama, …"""

    url: str = ""
    """Where its API begins, such as `http://127.0.0.1:8080/v1`; empty for the model in this process."""
    model: str = ""
    """Name of the model; may be left out where the server has only one."""
    api_key_env: str = ""
    """Name of the environment variable that holds the API key, for servers that ask for one."""
    insecure: bool = False
    """Whether the player's words, and the key, may go unencrypted (`http`) to another machine."""
    extra: dict[str, Any] = {}
    """More keys for each request, which the server must know, such as `chat_template_kwargs`."""


_REQUEST_KEYS = frozenset("model messages stream stream_options n tools max_tokens temperature top_p seed stop".split())
"""Keys of a request that Mythic sets itself."""


def wrong_llm_server(server: LlmServerSettings, *, off: bool) -> tuple[str, str, str] | None:
    """Return (key, complaint, remedy) of the first invalid setting; None if there is none.

    `off`: an empty url was written, which turns off a server that a lower layer names. No value that may be a password
    or a key is repeated.
    """
    if not server.url:
        if off:
            return None
        lost = next((key for key in ("model", "api_key_env", "extra") if getattr(server, key)), "")
        return (lost, "it has no effect without llm.server.url", "Add the url, or delete this.") if lost else None
    if wrong := wrong_address(server.url, server.api_key_env, insecure=server.insecure):
        return wrong
    if taken := sorted(_REQUEST_KEYS & server.extra.keys()):
        remedy = (
            "Delete it. Mythic sends that itself: see llm.max_tokens, llm.temperature, llm.top_p, llm.server.model."
        )
        return "extra", f"the key `{taken[0]}` is not allowed", remedy
    return None


def wrong_address(address: str, api_key_env: str, *, insecure: bool) -> tuple[str, str, str] | None:
    """Return (key, complaint, remedy) when a server's `url` or `api_key_env` is invalid; None if both are fine."""
    example = "Write it like http://127.0.0.1:8080/v1."
    try:
        url = urlsplit(address)
        host, port = url.hostname, url.port
    except ValueError:
        return "url", "invalid URL", example
    if url.scheme not in ("http", "https") or not host or port == 0 or any(map(str.isspace, address)):
        return "url", "invalid URL of a server", example
    if url.username is not None or url.password is not None:
        remedy = "Put the key into an environment variable, and name that in api_key_env."
        return "url", "it contains a user name or password", remedy
    if url.query or url.fragment:
        return "url", "it has a query or a fragment", "End it with the path under which the API begins, such as /v1."
    if url.scheme == "http" and not (insecure or _is_here(host)):
        remedy = "Use https, or write `insecure: true` if you trust the network."
        return "url", "what is said would go unencrypted to another machine", remedy
    if api_key_env and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", api_key_env):
        remedy = "Put the key into an environment variable, and write that variable's name here."
        return "api_key_env", "invalid name of an environment variable", remedy
    return None


def unencodable(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield (path, complaint, remedy) of each part of a YAML value that JSON has no form for. No value is repeated."""
    match value:
        case dict():
            for key, inner in value.items():
                if isinstance(key, str):
                    yield from unencodable(inner, f"{path}.{key}")
                else:
                    yield path, f"the key {key} is not text", "Put the key in quotes."
        case list():
            for index, inner in enumerate(value):
                yield from unencodable(inner, f"{path}[{index}]")
        case None | str() | int():  # a bool is an int
            pass
        case float() if math.isfinite(value):
            pass
        case _:
            kind = str(value) if isinstance(value, float) else f"a {type(value).__name__} value"
            yield path, f"{kind} cannot be encoded as JSON", "Write a finite number, text (in quotes), a list or keys."


def _is_here(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
