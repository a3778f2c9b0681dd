"""The request body for an OpenAI-compatible server: messages, tools and sampling.

    world + character                    -> system
    history, turn                        -> user, assistant, …; neighbours of one role are joined
    assistant `… <tool_call>{…}</tool_call>`, then tool
                                         -> assistant with `tool_calls`, then tool with its `tool_call_id`

Which servers get which extra keys, and what is removed from contents: docs/servers.md, "What a request holds".
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mythicd.engines.llm import ChatMessage, LlmRequest, Prompt, ToolSpec
from mythicd.llm.special_tokens import scrub
from mythicd.llm.tool_grammar import CLOSE, OPEN


@dataclass(frozen=True, slots=True)
class Dialect:
    """A server's extensions of the API."""

    penalty: str = ""
    """Its name for `Sampling.repeat_penalty`; empty if it has none, or one that counts the whole prompt."""
    progress: bool = False
    """Whether it reports prompt progress on `return_progress`."""


DIALECTS: Mapping[str, Dialect] = {
    "llamacpp": Dialect("repeat_penalty", progress=True),
    "vllm": Dialect(),
    "sglang": Dialect("repetition_penalty"),
    "tensorrt_llm": Dialect(),
}
"""Dialects by the server's `owned_by`."""

MOST_STOPS = 4
"""Most stop strings that the API accepts. response.py applies all of them."""

_OPENING = "(The conversation begins.)"
"""Content of an added user message where a character speaks first."""

_CALL = re.compile(f"{re.escape(OPEN)}(.*?){re.escape(CLOSE)}", re.DOTALL)


def request_body(request: LlmRequest, model: str, dialect: Dialect, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of `POST /chat/completions`. `extra` overrides the dialect's keys, not the others."""
    sampling = request.sampling
    body: dict[str, Any] = {}
    if dialect.penalty:
        body[dialect.penalty] = sampling.repeat_penalty
    if dialect.progress:
        body["return_progress"] = True
    body |= extra
    body |= {
        "model": model,
        "messages": chat_messages(request.prompt),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed & 0x7FFF_FFFF,  # servers use 32 bits, and some take all ones as "random"
    }
    # White space before the first word is not a stop string in reply_parser.py, but would be one for a server.
    if stops := [text for text in sampling.stop if text.strip()][:MOST_STOPS]:
        body["stop"] = stops
    if request.tools:
        body["tools"] = [_tool(spec) for spec in request.tools]
    return body


def chat_messages(prompt: Prompt) -> list[dict[str, Any]]:
    """Return the prompt as messages of the API."""
    system = scrub(prompt.world + prompt.character)
    messages: list[dict[str, Any]] = []
    calls = 0
    rest = list(itertools.chain(prompt.history, prompt.turn))
    while rest:
        message, *rest = rest
        results = [scrub(other.content) for other in itertools.takewhile(_is_result, rest)]
        content = scrub(message.content)
        if message.role == "assistant" and results:
            content, made = _split_calls(content, len(results))
            _say(messages, "assistant", content, [_call(calls + n, call) for n, call in enumerate(made, 1)])
            for result in results[: len(made)]:
                calls += 1
                messages.append({"role": "tool", "tool_call_id": _call_id(calls), "content": result})
            del rest[: len(made)]
        elif message.role == "tool":  # a result without a call
            _say(messages, "user", f"<tool_response>\n{content}\n</tool_response>")
        else:
            _say(messages, message.role, content)
    return [{"role": "system", "content": system}, *messages] if system else messages


def _say(messages: list[dict[str, Any]], role: str, content: str, calls: Sequence[Mapping[str, Any]] = ()) -> None:
    """Add a content to the last message if it has the same role, otherwise as a new message."""
    if not messages and role == "assistant":
        messages.append({"role": "user", "content": _OPENING})
    last = messages[-1] if messages else {}
    if last.get("role") == role and "tool_calls" not in last:
        last["content"] = "\n\n".join(filter(None, (last["content"], content)))
    else:
        messages.append({"role": role, "content": content})
    if calls:
        messages[-1]["tool_calls"] = list(calls)


def _split_calls(content: str, most: int) -> tuple[str, list[tuple[str, Any]]]:
    """Remove the last calls, at most `most`, from a reply; return its words, and (name, arguments) of each call.

    A call without a known result stays among the words: the API requires a result for every call.
    """
    calls: list[tuple[str, Any]] = []
    for found in reversed(list(_CALL.finditer(content))):
        try:
            call = _scrub_json(json.loads(found[1]))
        except (ValueError, RecursionError):
            break
        if len(calls) == most or not isinstance(call, dict) or not isinstance(call.get("name"), str):
            break
        calls.append((call["name"], call.get("arguments", {})))
        content = content[: found.start()] + content[found.end() :]
    return scrub(content).rstrip() if calls else content, calls[::-1]


def _scrub_json(value: Any) -> Any:
    """Return a decoded JSON value without message framing in its strings and member names."""
    match value:
        case str():
            return scrub(value)
        case list():
            return [_scrub_json(item) for item in value]
        case dict():
            return {scrub(name): _scrub_json(item) for name, item in value.items()}
        case _:
            return value


def _call(number: int, call: tuple[str, Any]) -> dict[str, Any]:
    name, arguments = call
    written = json.dumps(arguments, ensure_ascii=False)
    return {"id": _call_id(number), "type": "function", "function": {"name": name, "arguments": written}}


def _call_id(number: int) -> str:
    return f"call{number:05d}"  # Mistral's template requires nine letters and digits


def _tool(spec: ToolSpec) -> dict[str, Any]:
    parameters = {"type": "object", **spec.parameters}
    function = {"name": spec.name, "description": spec.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _is_result(message: ChatMessage) -> bool:
    return message.role == "tool"
