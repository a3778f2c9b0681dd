"""`mythicd talk`, as typed at a terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mythicd.audio.pcm import rms_dbfs
from mythicd.audio.wav import read_wav, write_wav
from mythicd.errors import DaemonUnreachable
from mythicd.wire.discovery import discover
from tests.daemon.process import DaemonProcess, say


def talk(data: Path, *arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and everything it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "mythicd", "talk", *arguments, "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


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
    done = subprocess.run([sys.executable, "-m", "mythicd", "talk", "x"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--text" in done.stderr
