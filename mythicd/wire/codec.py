"""The JSON codec: text frames to messages and back, and errors to `Error` messages.

A frame over MAX_TEXT bytes is refused. The error of an invalid message names the field, its value and what is allowed.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from mythicd.errors import BadMessage, MythicError, TooLarge, VersionMismatch
from mythicd.wire.messages import SCHEMA_VERSION, ClientMessage, Error, Message, ServerMessage, TextInput

MAX_TEXT = 64 * 1024
"""Largest text frame, in bytes."""
MOST_SHOWN = 64
"""Most characters of a client's value that an error repeats."""

_encoder = msgspec.json.Encoder()
_client_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_server_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
_SURROGATE = re.compile("[\ud800-\udfff]")
_FAULT = re.compile(r"(?P<what>.*?) - at `\$\.(?P<path>.+)`", re.DOTALL)
_LENGTH = re.compile(r"Expected `(?P<kind>str|array)` of length (?P<bound><=|>=) (?P<limit>\d+)")


def encode(message: Message) -> str:
    """Return a message as the JSON of a text frame; a lone surrogate, as in a file's odd name, is replaced."""
    try:
        return _encoder.encode(message).decode()
    except UnicodeEncodeError:
        return _encoder.encode(_replace_surrogates(msgspec.to_builtins(message))).decode()


def decode_client(data: str | bytes) -> ClientMessage:
    """Parse a text frame of a client. Raises BadMessage (which names the field), TooLarge or VersionMismatch."""
    size = len(data.encode("utf-8", "surrogatepass")) if isinstance(data, str) else len(data)
    if size > MAX_TEXT:
        raise TooLarge(
            f"A text frame of {size} bytes is over the cap of {MAX_TEXT}.", remedy="Send audio in binary frames."
        )
    try:
        message = _client_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _explain(data, error, CLIENT_TYPES) from error
    if isinstance(message, TextInput) and is_blank(message.text):
        raise BadMessage(
            "TextInput: `text` holds nothing but blanks.", remedy="Send the player's words, or no message at all."
        )
    return message


def decode_server(data: str | bytes) -> ServerMessage:
    """Parse a text frame of the daemon. Raises BadMessage or VersionMismatch."""
    try:
        return _server_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _explain(data, error, SERVER_TYPES) from error


def is_blank(text: str) -> bool:
    """Tell whether a text holds nothing but blanks, line breaks, control and invisible characters."""
    return all(unicodedata.category(letter) in _INVISIBLE for letter in text)


_INVISIBLE = frozenset(("Zs", "Zl", "Zp", "Cc", "Cf", "Cs"))


def _explain(data: str | bytes, error: Exception, known: dict[str, type[Message]]) -> BadMessage | VersionMismatch:
    """Return msgspec's error with the message, the field, the value and a remedy."""
    try:
        raw: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        return _not_json(data, fault)
    if not isinstance(raw, dict):
        return BadMessage("A text frame is JSON but not an object.", remedy='Send {"type": …, …}.')
    kind = raw.get("type")
    version = raw.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        return VersionMismatch(
            f"The client speaks protocol {version!r}; this daemon speaks {SCHEMA_VERSION!r}.",
            remedy="Update the plugin or the daemon.",
        )
    if kind is None:
        return BadMessage("A message has no `type`.", remedy="See docs/protocol.md for the messages.")
    if not isinstance(kind, str) or kind not in known:
        return BadMessage(f"Unknown message type {_shown(kind)}.", remedy=f"Use one of: {', '.join(known)}.")
    what, remedy = _invalid_field(known[kind], raw, error)
    return BadMessage(f"{kind}: {what}.", remedy=f"{remedy} See docs/protocol.md, {kind}.".strip())


def _not_json(data: str | bytes, error: Exception) -> BadMessage:
    if isinstance(error, RecursionError):
        return BadMessage("A text frame is nested too deeply.", remedy="Send flat objects, as in docs/protocol.md.")
    try:
        # This parser takes `"\ud83d"` for a text, so that it can be told from JSON that is cut short.
        places = _surrogate_places(json.loads(data))
    except (ValueError, RecursionError):
        places = []
    if places:
        return BadMessage(
            f"A text frame holds invalid Unicode: a lone surrogate in `{places[0][:MOST_SHOWN]}`.",
            remedy="Cut texts between characters: an emoji is two UTF-16 units, which belong together.",
        )
    if isinstance(error, UnicodeError):
        return BadMessage(f"A text frame is not UTF-8: {error}.", remedy="Send UTF-8 JSON.")
    return BadMessage(f"A text frame is not JSON: {error}.", remedy="Send one JSON object in each text frame.")


def _invalid_field(kind: type[Message], raw: dict[str, Any], error: Exception) -> tuple[str, str]:
    """Return what is wrong with a field, and a remedy."""
    fault = _FAULT.fullmatch(str(error))
    if fault is None:
        return str(error), ""
    what, path = fault["what"], fault["path"]
    value = _value_at(raw, path)
    length = _LENGTH.fullmatch(what)
    if what.startswith("Expected `str` matching regex"):
        return f"`{path}` is {_shown(value)}, which is not an id", _about_ids(value)
    if length is not None and isinstance(value, str | list):
        if not value:
            return f"`{path}` is empty", "Fill it in, or do not send the message."
        unit = "characters" if length["kind"] == "str" else "entries"
        return f"`{path}` has {len(value)} {unit}; the limit is {length['limit']}", "Shorten it."
    choices = get_type_hints(kind).get(path)
    if what.startswith("Invalid enum value") and get_origin(choices) is Literal:
        allowed = get_args(choices)
        if path == "sample_rate":
            remedy = f"Resample to {allowed[0]} Hz mono s16le before you send."
        else:
            remedy = f"Use {' or '.join(map(json.dumps, allowed))}."
        return f"`{path}` is {_shown(value)}, not {' or '.join(map(repr, allowed))}", remedy
    return f"{what[:1].lower()}{what[1:]} in `{path}`", ""


def _about_ids(value: object) -> str:
    """Return the rule for ids, with a valid one that resembles the value."""
    rule = "An id is 1 to 64 of the letters A-Z and a-z, digits and _ . : - and begins with a letter or digit."
    letters = unicodedata.normalize("NFKD", value) if isinstance(value, str) else ""
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    similar = re.sub(r"[^A-Za-z0-9_.:-]+", "_", plain).strip("_.:-")[:64]
    return f"{rule} For example: {json.dumps(similar)}." if similar else rule


def _value_at(raw: Any, path: str) -> Any:
    """Return the value at msgspec's path, such as `objects[0].id`; None when there is none."""
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        if index and isinstance(raw, list) and int(index) < len(raw):
            raw = raw[int(index)]
        elif key and isinstance(raw, dict):
            raw = raw.get(key)
        else:
            return None
    return raw


def _shown(value: object) -> str:
    """Return a client's value for an error, cut to a bounded length."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _surrogate_places(value: Any, path: str = "") -> list[str]:
    """Return the paths of all texts that hold a lone surrogate."""
    match value:
        case str():
            return [_replace_surrogates(path) or "(text)"] if _SURROGATE.search(value) else []
        case dict():
            parts = [(key, key) for key in value] + [(f"{path}.{key}" if path else key, value[key]) for key in value]
        case list():
            parts = [(f"{path}[{index}]", each) for index, each in enumerate(value)]
        case _:
            return []
    return [place for where, each in parts for place in _surrogate_places(each, where)]


def _replace_surrogates(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case dict():
            return {_replace_surrogates(key): _replace_surrogates(each) for key, each in value.items()}
        case list() | tuple():
            return [_replace_surrogates(each) for each in value]
        case _:
            return value


def plain_json(value: Any) -> str:
    """Return a value as JSON for a prompt."""
    return _encoder.encode(value).decode()


def describe(error: MythicError, *, npc_id: str = "", turn_id: str = "", call_id: str = "") -> Error:
    """Return an error as an `Error` message."""
    return Error(
        code=error.code,
        message=error.what,
        remedy=error.remedy,
        retryable=error.retryable,
        npc_id=npc_id,
        turn_id=turn_id,
        call_id=call_id,
    )


CLIENT_TYPES: dict[str, type[Message]] = {kind.__name__: kind for kind in ClientMessage.__args__}
"""All messages that a client may send, by name."""
SERVER_TYPES: dict[str, type[Message]] = {kind.__name__: kind for kind in ServerMessage.__args__}
"""All messages that the daemon may send, by name."""
