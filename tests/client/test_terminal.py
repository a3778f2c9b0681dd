"""The terminal: any encoding in and out, and lines of standard input."""

from __future__ import annotations

import io
import os
import sys

import pytest

from mythicd.client.terminal import LineReader, argument_text, decoded, tolerate_encodings

HARD = "“Zoë” – 9.50 … \udce9 灯 ━▶"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", '"Zoe" - 9.50 ... ? ? =>'),
        ("cp1252", "“Zoë” – 9.50 … ? ? =>"),
        ("latin-1", '"Zoë" - 9.50 ... ? ? =>'),
        ("utf-8", "“Zoë” – 9.50 … ? 灯 ━▶"),
    ],
)
def test_what_cannot_be_encoded_is_replaced(monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    tolerate_encodings()
    print(HARD, end="", flush=True)
    assert raw.getvalue().decode(encoding) == shown


def test_streams_that_are_missing_or_closed_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(sys, "stderr", None)
    tolerate_encodings()


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"caf\xe9", "café"), ("café".encode(), "café"), (b"\x93hi\x94 \x81", "“hi” \ufffd"), (b"plain", "plain")],
)
@pytest.mark.parametrize("locale", ["ascii", "utf-8"])
def test_arguments_of_any_encoding_are_text(raw: bytes, text: str, locale: str) -> None:
    assert argument_text(raw.decode(locale, "surrogateescape")) == text


def test_half_of_an_emoji_in_an_argument_is_replaced() -> None:
    assert argument_text("a \ud83d b") == "a \ufffd b"


def test_bytes_that_are_not_utf8_are_read_in_the_given_encoding() -> None:
    assert (decoded(b"\xef\xbb\xbfhi"), decoded(b"\xa4", "iso8859-15"), decoded("€".encode(), "ascii")) == (
        "hi",
        "€",
        "€",
    )


async def lines_of(data: bytes, encoding: str = "utf-8") -> list[str]:
    """Return the lines that are read from a pipe."""
    ours, theirs = os.pipe()
    os.write(theirs, data)
    os.close(theirs)
    read = []
    with os.fdopen(ours, encoding=encoding, errors="surrogateescape") as stream:
        reader = LineReader(stream)
        assert not reader.is_terminal
        while (line := await reader.next_line()) is not None:
            read.append(line)
        assert await reader.next_line() is None, "the end stays the end"
    return read


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\n\r\nlast", ["one", "", "last"]),
        ("caf\u00e9\n".encode() + b"caf\xe9\n", ["café", "café"]),
        (b"x" * 10000 + b"\ny", ["x" * 10000, "y"]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
async def test_lines_of_a_pipe(data: bytes, lines: list[str], encoding: str) -> None:
    assert await lines_of(data, encoding) == lines


async def test_no_standard_input_is_its_end() -> None:
    assert await LineReader(None).next_line() is None
