"""The microphone of this machine, through PortAudio (package sounddevice), for `mythicd talk --mic`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from mythicd.audio.pcm import MIC_RATE
from mythicd.errors import EngineUnavailable

if TYPE_CHECKING:
    import types

BLOCK = MIC_RATE // 50
"""Samples in one block of the microphone: 20 ms."""
MAX_BLOCKS = 250


def load_sounddevice(user: str, instead: str) -> types.ModuleType:
    """Import sounddevice for a `user` ("The microphone"); `instead` says what works without it.

    Raises EngineUnavailable when it or PortAudio is missing.
    """
    try:
        import sounddevice
    except ImportError:
        raise EngineUnavailable(
            f"{user} needs the package sounddevice.", remedy="Install it: pip install 'mythicd[audio]'."
        ) from None
    except OSError as error:
        raise EngineUnavailable(
            f"{user} needs PortAudio: {error}.",
            remedy=f"Install it (on Debian and Ubuntu: apt install libportaudio2), or use {instead}.",
        ) from None
    module: types.ModuleType = sounddevice
    return module


async def microphone() -> AsyncGenerator[bytes, None]:
    """Yield 20 ms blocks of s16le 16 kHz audio from the default microphone until closed.

    Raises EngineUnavailable when PortAudio or a recording device is missing.
    """
    sounddevice = load_sounddevice("The microphone", "--wav or --text")
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes] = asyncio.Queue(MAX_BLOCKS)

    def put(pcm: bytes) -> None:
        # When the reader is five seconds late, the oldest audio is dropped.
        if blocks.full():
            blocks.get_nowait()
        blocks.put_nowait(pcm)

    def recorded(data: Any, frames: int, time: Any, status: Any) -> None:
        loop.call_soon_threadsafe(put, bytes(data))

    try:
        stream = sounddevice.RawInputStream(
            samplerate=MIC_RATE, channels=1, dtype="int16", blocksize=BLOCK, callback=recorded
        )
    except sounddevice.PortAudioError as error:
        raise EngineUnavailable(
            f"Cannot open a microphone: {error}.", remedy="Connect one, allow its use, or use --wav or --text."
        ) from None
    with stream:
        while True:
            yield await blocks.get()
