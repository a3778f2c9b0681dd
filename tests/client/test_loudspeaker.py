"""The loudspeaker on a sound device that a test reads from."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mythicd.client.loudspeaker import Loudspeaker
from mythicd.errors import EngineUnavailable

RATE = 16000


class FakePortAudioError(Exception):
    """Stands for sounddevice's own error."""


class FakeStream:
    """An output stream; `pull` is the device asking for samples."""

    latency = 0.05
    last: FakeStream

    def __init__(self, *, samplerate: int, channels: int, dtype: str, callback: Callable[..., None]) -> None:
        assert (samplerate, channels, dtype) == (RATE, 1, "int16")
        self.callback = callback
        self.is_open = False
        FakeStream.last = self

    def start(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def pull(self, samples: int) -> list[int]:
        out = bytearray(2 * samples)
        self.callback(memoryview(out), samples, None, None)
        assert len(out) == 2 * samples
        return np.frombuffer(bytes(out), "<i2").tolist()


@pytest.fixture
def loudspeaker(monkeypatch: pytest.MonkeyPatch) -> Loudspeaker:
    package = types.SimpleNamespace(RawOutputStream=FakeStream, PortAudioError=FakePortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    return Loudspeaker(RATE)


def pcm(*samples: int) -> bytes:
    return np.array(samples, "<i2").tobytes()


def test_audio_is_played_in_order_then_silence(loudspeaker: Loudspeaker) -> None:
    device = FakeStream.last
    assert device.is_open and loudspeaker.latency_ms == 50.0
    loudspeaker.play(pcm(1, 2))
    loudspeaker.play(pcm(3, 4))
    assert device.pull(3) == [1, 2, 3]
    assert device.pull(3) == [4, 0, 0]
    loudspeaker.close()
    assert not device.is_open


def test_gain_changes_what_is_waiting(loudspeaker: Loudspeaker) -> None:
    loudspeaker.play(pcm(1000, 1000, 1000))
    loudspeaker.set_gain(-20.0)
    assert FakeStream.last.pull(1) == [100]
    loudspeaker.set_gain(0.0)
    assert FakeStream.last.pull(2) == [1000, 1000]


def test_silence_fades_out_within_15_ms(loudspeaker: Loudspeaker) -> None:
    loudspeaker.play(pcm(*[10000] * RATE))
    loudspeaker.silence()
    heard = FakeStream.last.pull(RATE // 2)
    assert heard[0] == 10000 and heard == sorted(heard, reverse=True)
    assert not any(heard[RATE * 15 // 1000 :])


def test_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise FakePortAudioError("Error querying device -1")

    package = types.SimpleNamespace(RawOutputStream=refuse, PortAudioError=FakePortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    with pytest.raises(EngineUnavailable, match="Error querying device -1") as caught:
        Loudspeaker(RATE)
    assert "--no-sound" in caught.value.remedy


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(EngineUnavailable, match="sounddevice") as caught:
        Loudspeaker(RATE)
    assert "mythicd[audio]" in caught.value.remedy
