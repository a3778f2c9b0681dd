"""Settings of an external language model server (`llm.server`), and their checks."""

from __future__ import annotations

import math
import re
from datetime import date
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
"""What of a request is Mythic's own to say."""


def _wrong_server(server: LlmServerSettings, *, off: bool) -> tuple[str, str, str] | None:
    """Return (key, complaint, remedy) of the first setting that cannot be right; None if all can.

    `off`: an empty url was written, to do without a server that a layer below names. Nothing that may be a password or
    a key is repeated.
    """
    if not server.url:
        if off:
            return None
        lost = next((key for key in ("model", "api_key_env", "extra") if getattr(server, key)), "")
        return (lost, "it has no effect without llm.server.url", "Add the url, or delete this.") if lost else None
    example = "Write it like http://127.0.0.1:8080/v1."
    try:
        url = urlsplit(server.url)
        host, port = url.hostname, url.port
    except ValueError:
        return "url", "this is no address", example
    if url.scheme not in ("http", "https") or not host or port == 0 or any(map(str.isspace, server.url)):
        return "url", "this is no address of a server", example
    if url.username is not None or url.password is not None:
        return "url", "it holds a password", "Put the key into an environment variable and name that in api_key_env."
    if url.query or url.fragment:
        return "url", "it goes on behind the path", "End it with the path under which the API begins, such as /v1."
    if url.scheme == "http" and not (server.insecure or _is_here(host)):
        remedy = "Use https, or write `insecure: true` where you trust the network."
        return "url", "the player's words would go unencrypted to another machine", remedy
    if server.api_key_env and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", server.api_key_env):
        remedy = "Put the key into an environment variable, and write that variable's name here."
        return "api_key_env", "this is no name of an environment variable", remedy
    if taken := sorted(_REQUEST_KEYS & server.extra.keys()):
        remedy = "Mythic sends that itself; see llm.max_tokens, llm.temperature, llm.top_p and llm.server.model."
        return "extra", f"it may not hold `{taken[0]}`", remedy
    return None


def _no_json(value: Any, path: str) -> tuple[str, str, str] | None:
    """Return (path, complaint, remedy) of the first thing in a value that YAML knows and JSON does not; or None."""
    match value:
        case dict():
            for key, inner in value.items():
                if not isinstance(key, str):
                    return path, f"the key {key} is not text", "Put the key in quotes."
                if wrong := _no_json(inner, f"{path}.{key}"):
                    return wrong
            return None
        case list():
            parts = (_no_json(inner, f"{path}[{index}]") for index, inner in enumerate(value))
            return next(filter(None, parts), None)
        case float() if not math.isfinite(value):
            return path, "this is no number to JSON, in which requests are written", "Write a finite number."
        case None | str() | bool() | int() | float():
            return None
        case _:
            kind = "a date" if isinstance(value, date) else "this"  # a datetime is a date, too
            complaint = f"{kind} is no value to JSON, in which requests are written"
            return path, complaint, "Put it in quotes." if kind == "a date" else "Write text, a number, a list or keys."


def _is_here(host: str) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
