"""The JSON codec: text frames to messages and back, and errors to `Error` messages.

A frame over MAX_TEXT bytes is refused. The error of an invalid message says which field is wrong.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mythicd.errors import BadMessage, MythicError, TooLarge, VersionMismatch
from mythicd.wire.messages import SCHEMA_VERSION, ClientMessage, Error, Message, ServerMessage

MAX_TEXT = 64 * 1024
"""Largest text frame, in bytes."""


_encoder = msgspec.json.Encoder()
_client_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_server_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)


def encode(message: Message) -> str:
    """Return a message as the JSON of a text frame."""
    return _encoder.encode(message).decode()


def decode_client(data: str | bytes) -> ClientMessage:
    """Parse a text frame of a client. Raises BadMessage (which names the field), TooLarge or VersionMismatch."""
    size = len(data.encode("utf-8", "surrogatepass")) if isinstance(data, str) else len(data)
    if size > MAX_TEXT:
        raise TooLarge(
            f"A text frame of {size} bytes is over the cap of {MAX_TEXT}.", remedy="Send audio in binary frames."
        )
    try:
        return _client_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise _explain(data, error) from error
    except UnicodeError as error:
        raise BadMessage(f"A text frame is not UTF-8: {error}.", remedy="Send UTF-8 JSON.") from error


def decode_server(data: str | bytes) -> ServerMessage:
    """Parse a text frame of the daemon. Raises BadMessage."""
    try:
        return _server_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise _explain(data, error) from error


def _explain(data: str | bytes, error: msgspec.DecodeError) -> BadMessage | VersionMismatch:
    """Return msgspec's error with the message, the field and a remedy."""
    try:
        raw: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError):
        return BadMessage(f"A text frame is not JSON: {error}.", remedy="Send one JSON object in each text frame.")
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
    if not isinstance(kind, str) or kind not in CLIENT_TYPES:
        return BadMessage(
            f"Unknown message type {str(kind)[:64]!r}.", remedy=f"Send one of: {', '.join(CLIENT_TYPES)}."
        )
    return BadMessage(f"{kind}: {error}.", remedy=f"See docs/protocol.md, {kind}.")


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


CLIENT_TYPES: tuple[str, ...] = tuple(kind.__name__ for kind in ClientMessage.__args__)
"""Names of all messages a client may send."""
