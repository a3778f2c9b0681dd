"""`mythicd talk`, as typed at a terminal."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mythicd.audio.pcm import Clip, rms_dbfs
from mythicd.audio.wav import read_wav, write_wav
from mythicd.errors import DaemonUnreachable
from mythicd.wire.discovery import discover
from tests.daemon import process
from tests.daemon.process import DaemonProcess, say


def talk(
    data: Path, *arguments: str | bytes, given: bytes = b"", environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run the command with this standard input; return its exit code and everything it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "mythicd", "talk", *arguments, "--data", str(data)],
        input=given,
        capture_output=True,
        timeout=60,
        env={**os.environ, **(environment or {})},
    )
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def test_without_a_daemon_it_starts_one_and_stops_it_after_the_reply(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "reply.wav"
    question = tmp_path / "question.wav"
    write_wav(question, say("When does the tavern close?"))
    code, printed = talk(data, "barkeep_01", "--wav", str(question), "--out", str(out), "--timeline")
    assert code == 0, printed
    assert "Marla the Barkeep:" in printed
    for mark in ("speech_end", "asr_final", "prefill_done", "first_audio_sent", "first_audible"):
        assert mark in printed
    voice = read_wav(out)
    assert voice.duration_s > 0.5 and rms_dbfs(voice.pcm) > -40
    with pytest.raises(DaemonUnreachable):
        discover(data)


def test_a_running_daemon_is_used(daemon: DaemonProcess) -> None:
    code, printed = talk(daemon.data, "barkeep_01", "--text", "Hello there!", "--text", "Who is the harbor master?")
    assert code == 0, printed
    assert printed.count("Marla the Barkeep:") == 2
    assert daemon.process.poll() is None


def test_an_unknown_character_names_the_known_ones(daemon: DaemonProcess) -> None:
    code, printed = talk(daemon.data, "nobody_07", "--text", "hi")
    assert code == 1
    assert "nobody_07" in printed and "barkeep_01" in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "Cannot read"), (b"", "is empty"), (b"%PDF-1.7 " + bytes(200), "not a readable sound file")],
    ids=["missing", "empty", "a PDF"],
)
def test_an_invalid_wav_is_explained(daemon: DaemonProcess, tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "question.wav"
    if content is not None:
        file.write_bytes(content)
    code, printed = talk(daemon.data, "barkeep_01", "--wav", str(file))
    assert code == 1
    assert says in printed and "question.wav" in printed and "Traceback" not in printed


def test_a_missing_microphone_is_explained(daemon: DaemonProcess) -> None:
    code, printed = talk(daemon.data, "barkeep_01", "--mic")
    if code == 0:
        pytest.skip("this machine has a microphone")
    assert "EngineUnavailable" in printed and "--wav" in printed and "Traceback" not in printed


def test_wrong_usage_is_explained() -> None:
    done = subprocess.run([sys.executable, "-m", "mythicd", "talk"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "npc" in done.stderr


class TestEncodings:
    """What a terminal or a pipe cannot show is replaced."""

    @pytest.mark.parametrize(
        "environment",
        [
            {"PYTHONIOENCODING": "cp1252"},
            {"PYTHONIOENCODING": "ascii"},
            {"PYTHONIOENCODING": "cp437:strict"},
            {"LC_ALL": "C", "PYTHONUTF8": "0"},
            {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        ],
        ids=lambda environment: " ".join(environment.values()),
    )
    @pytest.mark.parametrize("words", ["When does “Zoë’s” tavern close — 灯?".encode(), b"Is the caf\xe9 open? \xff"])
    def test_a_turn_is_printed(self, daemon: DaemonProcess, environment: dict[str, str], words: bytes) -> None:
        code, printed = talk(daemon.data, "barkeep_01", "--text", words, "--timeline", environment=environment)
        assert code == 0, printed
        assert "Marla the Barkeep: " in printed and "first_audible" in printed and "Traceback" not in printed

    def test_an_argument_that_is_not_utf8_is_understood(self, daemon: DaemonProcess, tmp_path: Path) -> None:
        picture = tmp_path / "talk.svg"
        code, printed = talk(daemon.data, "barkeep_01", "--text", b"Is the caf\xe9 open?", "--svg", str(picture))
        assert code == 0 and "Is the café open?" in printed
        assert "</svg>" in picture.read_text(encoding="utf-8")

    def test_a_pipe_that_is_closed_early_is_not_a_crash(self, daemon: DaemonProcess) -> None:
        command = f"{sys.executable} -m mythicd talk barkeep_01 --text hi --text hello --data '{daemon.data}' | head -1"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
        assert "hi" in done.stdout and "Traceback" not in done.stderr


class TestNothingHeard:
    """Silence ends at once."""

    @pytest.mark.parametrize("kind", ["silence", "noise", "a click", "ten samples"])
    def test_a_recording_without_words(self, daemon: DaemonProcess, tmp_path: Path, kind: str) -> None:
        sound = np.zeros(16000)
        if kind == "noise":
            sound = np.random.default_rng(3).normal(0.0, 3000.0, 16000)
        elif kind == "a click":
            sound[8000:8040] = 20000
        pcm = sound[: 10 if kind == "ten samples" else None].astype("<i2").tobytes()
        write_wav(tmp_path / "question.wav", Clip(pcm, 16000))
        begun = time.monotonic()
        code, printed = talk(daemon.data, "barkeep_01", "--wav", str(tmp_path / "question.wav"))
        assert code == 0 and "heard nothing" in printed
        assert time.monotonic() - begun < 10.0

    @pytest.mark.parametrize("asked", [["--text", ""], ["--text", " \t "], ["--say", ""], ["--say", " "]])
    def test_blanks(self, daemon: DaemonProcess, asked: list[str]) -> None:
        begun = time.monotonic()
        code, printed = talk(daemon.data, "barkeep_01", *asked)
        assert code == 0 and "heard nothing" in printed
        assert time.monotonic() - begun < 10.0

    def test_the_next_question_is_answered(self, daemon: DaemonProcess) -> None:
        code, printed = talk(daemon.data, "barkeep_01", "--text", "", "--text", "Hello there!")
        assert code == 0
        assert printed.index("heard nothing") < printed.index("Marla the Barkeep: ")


def test_a_text_over_the_limit_is_refused_before_anything_starts(tmp_path: Path) -> None:
    code, printed = talk(tmp_path / "data", "barkeep_01", "--text", "x" * 3000)
    assert code == 1
    assert "3000" in printed and "2000" in printed
    assert not (tmp_path / "data").exists()


def test_invalid_ids_are_explained(tmp_path: Path) -> None:
    for option in ("--player", "--playthrough"):
        code, printed = talk(tmp_path / "data", "barkeep_01", "--text", "hi", option, b"Zo\xeb B")
        assert code == 1
        assert f"`{option}`" in printed and "_ . : -" in printed and "Traceback" not in printed


@pytest.mark.parametrize("key", ["world", "profile"])
def test_a_daemon_that_serves_something_else_is_told(daemon: DaemonProcess, world: Path, key: str) -> None:
    other = world if key == "world" else world / "other.yaml"
    if key == "profile":
        other.write_text("profile: other\n")
    code, printed = talk(daemon.data, "barkeep_01", "--text", "hi", f"--{key}", str(other))
    assert code == 1
    assert "AlreadyRunning" in printed and str(other) in printed and f"pid {daemon.process.pid}" in printed
    assert f"--{key}" in printed and "--data" in printed


def test_a_daemon_that_serves_the_same_is_used(daemon: DaemonProcess) -> None:
    same = ["--world", str(daemon.world), "--profile", "starter"]
    code, printed = talk(daemon.data, "barkeep_01", "--text", "Hello there!", *same)
    assert code == 0 and "Marla the Barkeep: " in printed


@pytest.mark.parametrize(
    ("settings", "arguments", "says"),
    [("", ["--world", "atlantis"], "atlantis"), ("llm: {threads: many}", [], "llm.threads")],
    ids=["unknown world", "invalid settings"],
)
def test_a_daemon_that_does_not_start_is_told_once(
    tmp_path: Path, settings: str, arguments: list[str], says: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "config.yaml").write_text(settings)
    code, printed = talk(data, "barkeep_01", "--text", "hi", *arguments)
    assert code == 1
    assert says in printed
    errors = [line for line in printed.splitlines() if re.match(r"\w*(Error|Problem|Unreachable)\b", line)]
    assert len(errors) == 1 and "exit code" not in printed, printed


class TestPrompt:
    """Without a question, each line of standard input is one."""

    def test_lines_are_answered_until_exit(self, daemon: DaemonProcess) -> None:
        lines = "Hello there!\n\nWho is the harbor master?\nexit\nnever asked\n"
        code, printed = talk(daemon.data, "barkeep_01", given=lines.encode())
        assert code == 0, printed
        assert printed.count("Marla the Barkeep: ") == 2 and printed.count("heard nothing") == 1
        assert "never asked" not in printed

    def test_it_ends_with_its_input(self, daemon: DaemonProcess) -> None:
        code, printed = talk(daemon.data, "barkeep_01", given=b"Hello there!")
        assert code == 0 and printed.count("Marla the Barkeep: ") == 1
        assert talk(daemon.data, "barkeep_01")[0] == 0

    def test_a_line_over_the_limit_does_not_end_it(self, daemon: DaemonProcess) -> None:
        code, printed = talk(daemon.data, "barkeep_01", given=b"x" * 3000 + b"\nHello there!\n")
        assert code == 0 and "2000" in printed and "Marla the Barkeep: " in printed

    def test_typed_turns_do_not_wait_for_the_voice(self, daemon: DaemonProcess, tmp_path: Path) -> None:
        out = tmp_path / "reply.wav"
        begun = time.monotonic()
        code, printed = talk(daemon.data, "barkeep_01", "--out", str(out), given=b"Who is the harbor master?\n" * 4)
        took = time.monotonic() - begun
        assert code == 0, printed
        assert took < read_wav(out).duration_s, "four voices of some seconds"

    @pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
    def test_at_a_terminal(self, daemon: DaemonProcess) -> None:
        with Terminal(daemon.data) as terminal:
            terminal.read_until("> ")
            terminal.type("Hello there!\n")
            assert "Marla the Barkeep: " in terminal.read_until("> ", after="Marla")
            terminal.type("\x04")  # Ctrl-D
            assert terminal.end() == 0
        assert terminal.printed.count("Hello there!") == 1, "the terminal shows what is typed"

    @pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
    def test_ctrl_c_ends_it(self, daemon: DaemonProcess) -> None:
        with Terminal(daemon.data) as terminal:
            terminal.read_until("> ")
            terminal.type("\x03")
            assert terminal.end() == 130
        assert "Traceback" not in terminal.printed and "Fatal" not in terminal.printed

    @pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
    def test_a_daemon_that_stops_meanwhile_ends_it(self, tmp_path: Path) -> None:
        own = process.start(tmp_path / "data")
        with Terminal(own.data) as terminal:
            terminal.read_until("> ")
            own.stop()
            assert terminal.end() == 1
        assert "DaemonUnreachable" in terminal.printed and "shutting down" in terminal.printed


class Terminal:
    """The command at a pseudo-terminal."""

    def __init__(self, data: Path) -> None:
        import pty

        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "mythicd", "talk", "barkeep_01", "--no-sound", "--data", str(data)]
        # A session with this terminal, so that Ctrl-C is a signal.
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=lambda: os.login_tty(theirs)
        )
        os.close(theirs)
        self._ours = ours
        self.printed = ""
        """Everything it printed, without colours."""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read_until(self, wanted: str, *, after: str = "") -> str:
        """Read until this is printed, after something else."""
        deadline = time.monotonic() + 30.0
        while wanted not in self.printed[max(0, self.printed.find(after)) :] or after not in self.printed:
            assert time.monotonic() < deadline, self.printed
            self._read()
        return self.printed

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        deadline = time.monotonic() + 30.0
        while self._process.poll() is None:
            assert time.monotonic() < deadline, self.printed
            self._read()
        self._read()
        return self._process.returncode

    def _read(self) -> None:
        if select.select([self._ours], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):  # Linux: the other end is closed
                self.printed += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(self._ours, 4096).decode())


SOUNDDEVICE = """
import threading, time

class PortAudioError(Exception):
    pass

class RawOutputStream:
    latency = 0.02

    def __init__(self, *, samplerate, channels, dtype, callback):
        self.callback, self.rate = callback, samplerate

    def start(self):
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        begun, frames = time.monotonic(), 0
        with open(RECORDING, "wb") as recording:
            while True:
                out = bytearray(2 * (self.rate // 100))
                self.callback(memoryview(out), len(out) // 2, None, None)
                recording.write(out)
                recording.flush()
                frames += len(out) // 2
                time.sleep(max(0.0, begun + frames / self.rate - time.monotonic()))

    def close(self):
        pass
"""
"""A sound device that records what it plays."""


class TestSound:
    """The voice is played where a sound device works."""

    def device(self, folder: Path) -> tuple[dict[str, str], Path]:
        """Install the device; return the environment that finds it, and its recording."""
        recording = folder / "recording.pcm"
        (folder / "sounddevice.py").write_text(SOUNDDEVICE.replace("RECORDING", repr(str(recording))))
        return {"PYTHONPATH": str(folder)}, recording

    @pytest.mark.realtime
    @pytest.mark.parametrize("option", [[], ["--sound"]])
    def test_a_reply_is_heard_whole_and_in_real_time(
        self, daemon: DaemonProcess, tmp_path: Path, option: list[str]
    ) -> None:
        environment, recording = self.device(tmp_path)
        out = tmp_path / "reply.wav"
        code, printed = talk(
            daemon.data, "barkeep_01", "--text", "Who are you?", "--out", str(out), *option, environment=environment
        )
        assert code == 0, printed
        voice = read_wav(out).pcm
        heard = recording.read_bytes()
        at = heard.find(voice[:2000].lstrip(b"\0"))
        assert at >= 0 and voice.strip(b"\0") in heard, "every sample, without a gap"

    def test_no_sound_is_fast(self, daemon: DaemonProcess, tmp_path: Path) -> None:
        environment, recording = self.device(tmp_path)
        code, _ = talk(daemon.data, "barkeep_01", "--text", "Who are you?", "--no-sound", environment=environment)
        assert code == 0 and not recording.exists()

    def test_sound_that_is_asked_for_and_missing_is_an_error(self, daemon: DaemonProcess, tmp_path: Path) -> None:
        (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
        without = {"PYTHONPATH": str(tmp_path)}
        code, printed = talk(daemon.data, "barkeep_01", "--text", "hi", "--sound", environment=without)
        assert code == 1 and "PortAudio" in printed and "--no-sound" in printed
        code, printed = talk(daemon.data, "barkeep_01", "--text", "hi", environment=without)
        assert code == 0 and "Marla the Barkeep: " in printed
