"""A speech server on a free port, whose voice is espeak-ng: it can answer properly, and in every wrong way."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from mythicd.audio.pcm import Clip
from mythicd.native.espeakng import EspeakNg

RATE = 24_000
VOICES = {"alloy": ("en-us+f2", 190), "onyx": ("en-us+m3", 130)}
PIECE = 4_800
"""Bytes of a piece of the stream: 100 ms."""

Answer = Callable[["SpeechServer", web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def spoken_by(name: str, text: str, rate: int = RATE) -> bytes:
    """Return what a voice of the server says, as s16le mono at `rate` hertz."""
    espeak, pcm = EspeakNg.load(), bytearray()
    model, words_per_minute = VOICES[name]

    def take(chunk: Any) -> bool:
        pcm.extend(chunk.pcm)
        return True

    espeak.speak(text, model, words_per_minute, 50, take)
    return Clip(bytes(pcm), espeak.sample_rate).at(rate).pcm


def wav_header(
    size: int, rate: int = RATE, *, bits: int = 16, channels: int = 1, kind: int = 1, extra: bytes = b""
) -> bytes:
    """Return a wav's header for `size` bytes of samples; `extra` are chunks before them."""
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", kind, channels, rate, rate * block, block, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + extra + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", min(size + len(body), 0xFFFF_FFFF)) + body


@dataclass
class SpeechServer:
    """A running server."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the requests for speech."""
    keys: list[str | None] = field(default_factory=list)
    """The Authorization header of each."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with the first request."""
    speaking: int = 0
    most_speaking: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client left before the end of its speech."""
    key: str = ""
    """The API key that is asked for; empty for none."""
    pace_s: float = 0.0
    """Wait between two pieces of the stream."""
    answers: list[Answer] = field(default_factory=list)
    """How the next requests are answered; properly when there is none left."""

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.asked.set()
        self.keys.append(request.headers.get("Authorization"))
        if refused := self._refused(request):
            return refused
        self.speaking += 1
        self.most_speaking = max(self.most_speaking, self.speaking)
        try:
            return await (self.answers.pop(0) if self.answers else properly)(self, request, body)
        except (ConnectionError, asyncio.CancelledError):
            self.left.set()
            raise
        finally:
            self.speaking -= 1

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return self._refused(request) or web.json_response({"data": [{"id": "tts-1"}]})

    def _refused(self, request: web.Request) -> web.Response | None:
        if not self.key or request.headers.get("Authorization") == f"Bearer {self.key}":
            return None
        return web.json_response({"error": {"message": "Incorrect API key provided."}}, status=401)


async def stream(
    server: SpeechServer, request: web.Request, pieces: list[bytes], content_type: str, **headers: str
) -> web.StreamResponse:
    """Send pieces, chunked, at the server's pace."""
    response = web.StreamResponse(headers={"Content-Type": content_type, **headers})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
        await asyncio.sleep(server.pace_s)
    await response.write_eof()
    return response


def cut(data: bytes, size: int = PIECE) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


async def properly(server: SpeechServer, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Answer as OpenAI does: raw samples, or a wav with 0xFFFFFFFF as its sizes."""
    if body["voice"] not in VOICES:
        return web.json_response({"error": {"message": f"Unknown voice {body['voice']!r}.", "code": None}}, status=400)
    pcm = spoken_by(body["voice"], body["input"])
    if body["response_format"] == "wav":
        return await stream(server, request, cut(wav_header(0xFFFF_FFFF) + pcm), "audio/wav")
    return await stream(server, request, cut(pcm), "audio/pcm")


def always(status: int, content_type: str, content: bytes, **headers: str) -> Answer:
    """Answer with this body, whole."""

    async def answer(server: SpeechServer, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=status, headers={"Content-Type": content_type, **headers}, body=content)

    return answer


def error(status: int, message: str, code: str | None = None, **headers: str) -> Answer:
    """Answer with OpenAI's form of an error."""
    content = json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode()
    return always(status, "application/json", content, **headers)


def breaking(pieces: list[bytes], *, stall: bool = False) -> Answer:
    """Send these pieces, then close the connection without an end, or with `stall` send nothing more."""

    async def answer(server: SpeechServer, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        if pieces:
            await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if stall:
            await asyncio.Event().wait()
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


async def endless(server: SpeechServer, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Speak without an end."""
    response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
    await response.prepare(request)
    while True:
        await response.write(b"\1\0" * RATE)


@asynccontextmanager
async def speech_server(**settings: Any) -> AsyncIterator[SpeechServer]:
    """Run a server on a free port of this machine."""
    server = SpeechServer(**settings)
    app = web.Application()
    app.router.add_post("/v1/audio/speech", server._speech)
    app.router.add_get("/v1/models", server._models)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        server.url = f"http://{host}:{port}/v1"
        yield server
    finally:
        await runner.cleanup()
