"""The text chunks of a PNG file: where character cards are stored, as base64 of JSON.

Read after the PNG specification (third edition, 11.3.3): `tEXt`, `zTXt` and `iTXt` chunks with a keyword. Cards use the
keywords `ccv3` (version 3) and `chara` (versions 1 and 2); some programs write them after the image data.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from mythicd.config.yaml_reader import FileProblem

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORDS = ("ccv3", "chara")
"""In the order of preference."""
MAX_TEXT_BYTES = 32 * 1024 * 1024
"""Largest text of a chunk, unpacked. Cards with a large lorebook have one or two MiB."""

_EXPORT = "Export the character again, as a PNG or JSON character card."


def card_texts(data: bytes, file: Path) -> list[tuple[str, str]]:
    """Return (keyword, JSON text) of the cards in a PNG file, the preferred one first. Raises FileProblem."""
    found: dict[str, bytes] = {}
    cut = ""
    for kind, body, where in _chunks(data):
        if body is None:
            cut = where
            break
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, _, rest = body.partition(b"\0")
            name = keyword.decode("latin-1").lower()
            if name in KEYWORDS and name not in found:
                found[name] = _text(kind, rest, name, file)
    if not found:
        if cut:
            raise FileProblem(file, f"the PNG file is truncated: {cut}", remedy="Download or copy it again.")
        raise FileProblem(
            file,
            f"no character card in this image: it has no text chunk named {' or '.join(KEYWORDS)}",
            remedy="Use the original file: image editors, chats and web sites remove such data. "
            "Or export the character as JSON.",
        )
    texts = []
    problems = []
    for name in sorted(found, key=KEYWORDS.index):
        try:
            texts.append((name, _decoded(found[name], name, file)))
        except FileProblem as problem:
            problems.append(problem)
    if not texts:
        raise problems[0]
    return texts


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes | None, str]]:
    """Yield type and body of each chunk; a body of None, with the place, where the file ends too early."""
    at = len(SIGNATURE)
    while at < len(data):
        if at + 8 > len(data):
            yield b"", None, f"it ends within the head of a chunk at byte {at}"
            return
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        end = at + 8 + length
        if end > len(data):
            name = kind.decode("latin-1") if kind.isalpha() else "an unknown chunk"
            yield kind, None, f"{name} at byte {at} has {len(data) - at - 8} of {length} bytes"
            return
        yield kind, data[at + 8 : end], ""
        at = end + 4  # the checksum is not needed: damaged base64 or JSON is noticed
        if kind == b"IEND":
            return


def _text(kind: bytes, rest: bytes, name: str, file: Path) -> bytes:
    """Return what a text chunk holds after its keyword, unpacked."""
    packed = False
    if kind == b"zTXt":
        packed, rest = True, rest[1:]
    elif kind == b"iTXt":
        packed = rest[:1] == b"\1"
        # Compression flag and method, language tag, translated keyword.
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if packed:
        unpacker = zlib.decompressobj()
        try:
            rest = unpacker.decompress(rest, MAX_TEXT_BYTES)
        except zlib.error as error:
            raise FileProblem(file, f"cannot unpack the text: {error}", place=f"chunk {name}", remedy=_EXPORT) from None
        if unpacker.unconsumed_tail:
            raise _too_large(name, file)
    if len(rest) > MAX_TEXT_BYTES:
        raise _too_large(name, file)
    return rest


def _too_large(name: str, file: Path) -> FileProblem:
    complaint = f"the text is larger than {MAX_TEXT_BYTES // 2**20} MiB"
    return FileProblem(file, complaint, place=f"chunk {name}", remedy="Export the card without images or other assets.")


def _decoded(text: bytes, name: str, file: Path) -> str:
    """Return the JSON text of a chunk: base64, or plain as some programs write it."""
    plain = b"".join(text.split())
    if not plain.startswith(b"{"):
        try:
            padded = plain.rstrip(b"=") + b"=" * (-len(plain.rstrip(b"=")) % 4)
            text = base64.b64decode(padded.translate(bytes.maketrans(b"-_", b"+/")), validate=True)
        except binascii.Error:
            complaint = f"not valid base64, or truncated ({len(plain)} characters)"
            raise FileProblem(file, complaint, place=f"chunk {name}", remedy=_EXPORT) from None
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        complaint = f"not UTF-8 text: {error.reason} at byte {error.start}"
        raise FileProblem(file, complaint, place=f"chunk {name}", remedy=_EXPORT) from None
