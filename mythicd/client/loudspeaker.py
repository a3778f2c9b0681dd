"""The loudspeaker of this machine, through PortAudio, for `mythicd talk`."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from mythicd.audio.pcm import SAMPLE_BYTES, samples_of
from mythicd.client.microphone import load_sounddevice
from mythicd.errors import EngineUnavailable

FADE_MS = 15
"""How long a voice that is cut off takes to fade out."""


class Loudspeaker:
    """The default sound device. Audio given to it sounds after `latency_ms`, piece after piece."""

    def __init__(self, rate: int) -> None:
        """Open the device for mono s16le audio at `rate` Hz. Raises EngineUnavailable."""
        sounddevice = load_sounddevice("Sound", "--no-sound")
        self._rate = rate
        self._waiting = bytearray()
        self._gain = 1.0
        self._lock = threading.Lock()
        """The device asks for audio from a thread of its own."""
        try:
            self._stream = sounddevice.RawOutputStream(samplerate=rate, channels=1, dtype="int16", callback=self._fill)
            self._stream.start()
        except sounddevice.PortAudioError as error:
            raise EngineUnavailable(
                f"Cannot open a sound device: {error}.", remedy="Connect one, or use --no-sound."
            ) from None
        self.latency_ms = float(self._stream.latency) * 1000

    def play(self, pcm: bytes) -> None:
        """Play audio after what is waiting."""
        with self._lock:
            self._waiting += pcm

    def set_gain(self, gain_db: float) -> None:
        """Change the volume of what is waiting, relative to the normal one."""
        with self._lock:
            self._gain = 10 ** (gain_db / 20)

    def silence(self) -> None:
        """Fade out what is waiting, and drop the rest."""
        with self._lock:
            fade = bytes(self._waiting[: samples_of(FADE_MS, self._rate) * SAMPLE_BYTES])
            samples = np.frombuffer(fade, "<i2")
            faded = samples * np.linspace(1.0, 0.0, len(samples))
            self._waiting = bytearray(faded.astype("<i2").tobytes())

    def close(self) -> None:
        """Close the device; what is waiting is dropped."""
        self._stream.close()

    def _fill(self, out: Any, frames: int, time: Any, status: Any) -> None:
        """Give the device its next samples."""
        with self._lock:
            pcm = bytes(self._waiting[: frames * SAMPLE_BYTES])
            del self._waiting[: frames * SAMPLE_BYTES]
            gain = self._gain
        if gain != 1.0:
            pcm = (np.frombuffer(pcm, "<i2") * gain).astype("<i2").tobytes()
        out[:] = pcm.ljust(frames * SAMPLE_BYTES, b"\0")
