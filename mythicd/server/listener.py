"""The listening socket of the daemon, on 127.0.0.1."""

from __future__ import annotations

import logging
import socket
import sys

from mythicd.errors import PortTaken

log = logging.getLogger(__name__)

BACKLOG = 128
"""Most connections that wait to be accepted."""


def listen(port: int, *, else_any: bool = False) -> socket.socket:
    """Return a socket that listens on 127.0.0.1:`port` (0: any free port). Raises PortTaken.

    With `else_any`, another free port is taken where that one is not available.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # POSIX: also while old connections of the port are in TIME_WAIT. Windows: never together with another program.
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        # With SO_REUSEADDR another program could still bind a port on which no socket listens.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if else_any and port:
            found = listen(0)
            taken = found.getsockname()[1]
            log.warning("port %d is not available (%s): using port %d", port, error.strerror or error, taken)
            return found
        raise PortTaken(
            f"Port {port} of 127.0.0.1 is not available: {error.strerror or error}.",
            remedy="Use --port 0 or a free port, or stop the program that uses it.",
        ) from error
    listener.setblocking(False)
    return listener
