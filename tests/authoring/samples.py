"""Character cards and lorebooks for tests, as other programs write them."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*texts: bytes, after: bool = False) -> bytes:
    """Return a PNG image with chunks before, or after, its image data."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    image = chunk(b"IDAT", zlib.compress(b"\0\0"))
    body = (image, *texts) if after else (*texts, image)
    return SIGNATURE + head + b"".join(body) + chunk(b"IEND", b"")


def encoded(card: Any) -> bytes:
    return base64.b64encode(json.dumps(card, ensure_ascii=False).encode())


def text_chunk(keyword: str, data: bytes, kind: bytes = b"tEXt") -> bytes:
    """Return a text chunk: plain, compressed (zTXt), or international, compressed (iTXt)."""
    name = keyword.encode() + b"\0"
    if kind == b"zTXt":
        return chunk(kind, name + b"\0" + zlib.compress(data))
    if kind == b"iTXt":
        return chunk(kind, name + b"\1\0" + b"en\0" + keyword.encode() + b"\0" + zlib.compress(data))
    return chunk(kind, name + data)


def v1(**fields: Any) -> dict[str, Any]:
    card = {"name": "Mira", "description": "{{char}} is a baker in the old town.", "personality": "cheerful, loud"}
    return {**card, "scenario": "", "first_mes": "Hi {{user}}!", "mes_example": "", **fields}


def v2(**fields: Any) -> dict[str, Any]:
    more = {
        "creator_notes": "", "system_prompt": "", "post_history_instructions": "", "alternate_greetings": [],
        "tags": [], "creator": "", "character_version": "", "extensions": {},
    }  # fmt: skip
    return {"spec": "chara_card_v2", "spec_version": "2.0", "data": {**v1(), **more, **fields}}


def v3(**fields: Any) -> dict[str, Any]:
    data = {**v2()["data"], "group_only_greetings": [], **fields}
    return {"spec": "chara_card_v3", "spec_version": "3.0", "data": data}


def entry(**fields: Any) -> dict[str, Any]:
    """Return an entry of a character book."""
    given = {"keys": ["mill"], "content": "The mill stands by the river.", "extensions": {}, "enabled": True}
    return {**given, "insertion_order": 100, **fields}


def world_info(**fields: Any) -> dict[str, Any]:
    """Return an entry of SillyTavern's world info, with its defaults."""
    given = {
        "uid": 0, "key": ["mill"], "keysecondary": [], "comment": "", "content": "The mill stands by the river.",
        "constant": False, "selective": True, "selectiveLogic": 0, "addMemo": True, "order": 100, "position": 0,
        "disable": False, "excludeRecursion": False, "preventRecursion": False, "probability": 100,
        "useProbability": True, "depth": 4, "group": "", "groupOverride": False, "groupWeight": 100, "scanDepth": None,
        "caseSensitive": None, "matchWholeWords": None, "useGroupScoring": None, "automationId": "", "role": None,
        "sticky": 0, "cooldown": 0, "delay": 0, "vectorized": False, "delayUntilRecursion": False, "displayIndex": 0,
    }  # fmt: skip
    return {**given, **fields}


def empty_world(folder: Path) -> Path:
    """Make a world without characters and lore."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "world.yaml").write_text("title: T\n")
    return folder


def saved(folder: Path, name: str, content: Any) -> Path:
    """Write a value as a JSON file, or bytes as they are."""
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file
