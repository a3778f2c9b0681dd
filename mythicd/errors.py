"""The error tree: every error that Mythic raises on purpose.

Each class has a `code`, which stands in an `Error` message on the wire, and tells whether the same request may succeed
later. Each instance tells what is wrong and where (`what`), and what to do about it (`remedy`). docs/protocol.md lists
all codes.
"""

from __future__ import annotations

from typing import ClassVar


class MythicError(Exception):
    """Base of the error tree."""

    code: ClassVar[str] = "INTERNAL"
    """Value of the `code` field of an `Error` on the wire."""

    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later, unchanged."""

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip() if self.remedy else self.what


class ConfigError(MythicError):
    """A settings file, persona card, world or profile is invalid; `what` names the file and the key."""

    code = "CONFIG"


class AudioError(MythicError):
    """A wav file or a stretch of PCM is not usable."""

    code = "BAD_AUDIO"


class DaemonError(MythicError):
    """The daemon cannot start, be reached, or continue."""

    code = "DAEMON"


class PortTaken(DaemonError):
    """Another program listens on the port that was asked for."""

    code = "PORT_TAKEN"


class AlreadyRunning(DaemonError):
    """Another mythicd serves this data dir."""

    code = "ALREADY_RUNNING"


class DataDirError(DaemonError):
    """The data dir cannot be created or written."""

    code = "DATA_DIR"


class DaemonUnreachable(DaemonError):
    """A client found no daemon, or lost it."""

    code = "DAEMON_UNREACHABLE"
    retryable = True


class EngineError(MythicError):
    """A model or a speech engine failed."""

    code = "ENGINE"
    retryable = True


class EngineUnavailable(EngineError):
    """The engine's package or native library is not installed; `remedy` names what to install."""

    code = "ENGINE_UNAVAILABLE"
    retryable = False


class ModelError(EngineError):
    """The engine's model file is missing, corrupt or of an unknown kind."""

    code = "MODEL"
    retryable = False


class ProtocolError(MythicError):
    """The other side of the socket broke the protocol."""

    code = "PROTOCOL"

    close_code: ClassVar[int | None] = None
    """WebSocket close code that follows the `Error`; None where the connection stays open."""


class BadMessage(ProtocolError):
    """A text frame is not a valid message. It is ignored, and the connection stays open."""

    code = "BAD_MESSAGE"


class BadFrame(ProtocolError):
    """A binary frame is malformed. The sender's framing can no longer be trusted, so the connection closes."""

    code = "BAD_FRAME"
    close_code = 4400


class UnknownStream(ProtocolError):
    """A frame or message names a stream that is not open."""

    code = "UNKNOWN_STREAM"


class TooLarge(ProtocolError):
    """A frame or field is over its cap."""

    code = "TOO_LARGE"
    close_code = 1009


class HelloExpected(ProtocolError):
    """Something came before `Hello`, or `Hello` came twice."""

    code = "HELLO_EXPECTED"
    close_code = 4400


class VersionMismatch(ProtocolError):
    """The client speaks another version of the protocol."""

    code = "VERSION"
    close_code = 4406


class UnknownNpc(MythicError):
    """No such character in the world."""

    code = "UNKNOWN_NPC"


class ToolError(MythicError):
    """A tool call could not be carried out."""

    code = "TOOL"


class ToolRejected(ToolError):
    """The call's arguments do not fit the tool's schema, or refer to something that does not exist."""

    code = "TOOL_REJECTED"


class ToolTimeout(ToolError):
    """The game did not acknowledge the call in time."""

    code = "TOOL_TIMEOUT"
    retryable = True


class StoreError(MythicError):
    """The memory database cannot be opened, or is damaged."""

    code = "STORE"


class BusyError(MythicError):
    """The daemon has no capacity for this turn at the moment."""

    code = "BUSY"
    retryable = True
