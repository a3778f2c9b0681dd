"""The microphone: each cause of failure is an error with a remedy."""

from __future__ import annotations

import sys
import types

import pytest

from mythicd.client.microphone import microphone
from mythicd.errors import EngineUnavailable


class FakePortAudioError(Exception):
    """Stands for sounddevice's own error."""


async def first_block() -> bytes:
    async for block in microphone():
        return block
    raise AssertionError("a microphone never ends by itself")


async def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(EngineUnavailable, match="sounddevice") as caught:
        await first_block()
    assert "mythicd[audio]" in caught.value.remedy


async def test_without_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        """Makes the import fail as it does where the library is missing."""

        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(EngineUnavailable, match="PortAudio library not found") as caught:
        await first_block()
    assert "apt install libportaudio2" in caught.value.remedy


async def test_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise FakePortAudioError("Error querying device -1")

    package = types.SimpleNamespace(RawInputStream=refuse, PortAudioError=FakePortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    with pytest.raises(EngineUnavailable, match="Error querying device -1") as caught:
        await first_block()
    assert "--wav" in caught.value.remedy


async def test_recorded_blocks_are_yielded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        """A microphone that records one block as soon as it is opened."""

        def __init__(self, *, callback: object, **_: object) -> None:
            self._callback = callback

        def __enter__(self) -> Stream:
            assert callable(self._callback)
            self._callback(b"\1\0" * 320, 320, None, None)
            return self

        def __exit__(self, *_: object) -> None:
            pass

    package = types.SimpleNamespace(RawInputStream=Stream, PortAudioError=FakePortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    assert await first_block() == b"\1\0" * 320
