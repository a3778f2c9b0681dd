"""The terminal: text in any encoding, lines typed while other tasks go on, and Ctrl-C."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import io
import signal
import sys
import threading
import unicodedata
from collections.abc import Coroutine
from typing import Any, BinaryIO, TextIO, TypeVar, cast

REPLACE = "mythicd.replace"
"""Name of the error handler of encodings that replaces what cannot be encoded."""
_SUBSTITUTES = {"…": "...", "—": "-", "–": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "−": "-", "━": "=", "▶": ">"}
_READ_BYTES = 4096
T = TypeVar("T")


def run_until_interrupted(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own. Raises KeyboardInterrupt after Ctrl-C, when it has been cancelled."""

    async def run() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        # The handler of asyncio.run does not wake a loop that is just about to wait: the signal would be lost.
        with contextlib.suppress(NotImplementedError):  # Windows, where each signal wakes the loop
            loop.add_signal_handler(signal.SIGINT, task.cancel)
        return await coroutine

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def tolerate_encodings() -> None:
    """Make the standard streams replace what their encoding does not have, instead of raising."""
    codecs.register_error(REPLACE, _substitute)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):  # a stream that is closed
                stream.reconfigure(errors=REPLACE)


def _substitute(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace typographic signs by plain ones, accented letters by their base, and everything else by `?`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    parts = []
    for letter in error.object[error.start : error.end]:
        base = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
        parts.append(_SUBSTITUTES.get(letter) or base or "?")
    return "".join(parts), error.end


def argument_text(argument: str) -> str:
    """Return a command-line argument as text: bytes that the locale could not decode are decoded again."""
    if not any("\ud800" <= letter <= "\udfff" for letter in argument):
        return argument
    try:
        return decoded(argument.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # Windows: half of a UTF-16 pair
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in argument)


def decoded(raw: bytes, encoding: str = "cp1252") -> str:
    """Decode text as UTF-8 if it is that, else as `encoding`."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode(encoding, "replace")


class LineReader:
    """Lines of standard input, read by threads that do not hold up the end of the program."""

    def __init__(self, stream: TextIO | None) -> None:
        """`stream` is `sys.stdin`; None is at its end."""
        # Unbuffered: a thread that waits within a buffered read holds a lock that the interpreter needs when it ends.
        buffer = getattr(stream, "buffer", None)
        self._raw = cast("BinaryIO | None", getattr(buffer, "raw", buffer))
        encoding = getattr(stream, "encoding", None) or "ascii"
        self._encoding = "cp1252" if codecs.lookup(encoding).name in ("ascii", "utf-8") else encoding
        self._rest = b""
        self._is_over = self._raw is None
        self.is_terminal = stream is not None and stream.isatty()

    async def next_line(self) -> str | None:
        """Return the next line without its end; None at the end of input."""
        loop = asyncio.get_running_loop()
        reading: asyncio.Future[str | None] = loop.create_future()

        def finish(line: str | None) -> None:
            if not reading.done():
                reading.set_result(line)

        def read() -> None:
            line = self._read_line()
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(finish, line)

        threading.Thread(target=read, name="standard input", daemon=True).start()
        return await reading

    def _read_line(self) -> str | None:
        while b"\n" not in self._rest and not self._is_over:
            try:
                more = self._raw.read(_READ_BYTES) if self._raw is not None else b""
            except (OSError, ValueError):  # the terminal is gone, or standard input is closed
                more = b""
            self._is_over = not more
            self._rest += more or b""
        line, _, self._rest = self._rest.partition(b"\n")
        if not line and not self._rest and self._is_over:
            return None
        return decoded(line, self._encoding).rstrip("\r")
