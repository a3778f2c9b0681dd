"""A mythicd process for tests, and the player's synthetic speech."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mythicd.audio.pcm import Clip, to_array
from mythicd.errors import DaemonUnreachable
from mythicd.native.espeakng import EspeakNg
from mythicd.wire.discovery import Discovery, discover
from mythicd.wire.messages import Hello

WORLD = Path(__file__).parents[2] / "worlds" / "lanternport"
START_S = 60.0


@dataclass
class DaemonProcess:
    """A running daemon."""

    process: subprocess.Popen[str]
    data: Path
    world: Path
    where: Discovery

    @property
    def base(self) -> str:
        """Its http address."""
        return f"http://127.0.0.1:{self.where.port}"

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Stop it with a signal; return how long that took, in seconds."""
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=15)
        return time.monotonic() - begun


def start(data: Path, world: Path = WORLD, *arguments: str, port: int | None = 0) -> DaemonProcess:
    """Start a daemon and wait until it is ready. Raises AssertionError with its output when it dies instead.

    `port=None` leaves the port to its settings. It runs the starter profile unless `arguments` name another.
    """
    command = [sys.executable, "-m", "mythicd", "run", "--headless", "--data", str(data)]
    command += [] if port is None else ["--port", str(port)]
    # espeak-ng and pocketsphinx say and hear the same each time; tests of the real engines name their own profile.
    command += [] if "--profile" in arguments else ["--profile", "starter"]
    log = data.parent / f"{data.name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--world", str(world), *arguments], stdout=output, stderr=subprocess.STDOUT, text=True
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            where = discover(data)
            if where.pid == process.pid:
                return DaemonProcess(process, data, world, where)
        except DaemonUnreachable:
            pass
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise AssertionError(f"mythicd did not become ready:\n{log.read_text()}")


def own_world(folder: Path) -> Path:
    """Copy the sample world for a test that edits it."""
    shutil.copytree(WORLD, folder)
    return folder


def hello(name: str) -> Hello:
    """Return a Hello with a playthrough of this test's own."""
    return Hello(game="tests", world="lanternport", player="ann", playthrough=name)


def say(text: str, voice: str = "en-us+f2", rate: int = 150, *, noise_db: float | None = None) -> Clip:
    """Speak a sentence, with white noise at `noise_db` dB below it if wanted; 200 ms of quiet on both sides."""
    engine = EspeakNg.load()
    pcm = b"".join(chunk.pcm for chunk in engine.synthesize(text, voice, rate, 50))
    quiet = bytes(2 * (engine.sample_rate // 5))
    sound = to_array(quiet + pcm + quiet).astype(np.float64)
    if noise_db is not None:
        power = float(np.mean(to_array(pcm).astype(np.float64) ** 2)) / 10 ** (noise_db / 10)
        sound += np.random.default_rng(7).normal(0.0, power**0.5, len(sound))
    return Clip(np.clip(sound, -32768, 32767).astype("<i2").tobytes(), engine.sample_rate)
