"""A client in JavaScript, on Node's own WebSocket: the events that docs/protocol.md tells clients to wait for."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mythicd.paths import discovery_file
from tests.daemon.process import DaemonProcess

CLIENT = Path(__file__).with_name("client.mjs")
NPC = "barkeep_01"
NODE = [shutil.which("node") or "", "--experimental-websocket"]


@cache
def has_websocket() -> bool:
    """Tell whether Node is here, with a WebSocket."""
    if not NODE[0]:
        return False
    done = subprocess.run([*NODE, "-p", "typeof WebSocket"], capture_output=True, text=True)
    return done.stdout.strip() == "function"


def run(daemon: DaemonProcess, name: str, *steps: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the steps after Hello and Status; return everything that arrived, and the close."""
    if not has_websocket():
        pytest.skip("there is no Node with a WebSocket")
    hello = {"type": "Hello", "game": "tests", "playthrough": name, "client": "node"}
    before = [{"send": hello}, {"wait": "Status"}]
    command = [*NODE, str(CLIENT), str(discovery_file(daemon.data)), json.dumps([*before, *steps])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def types(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def test_a_typed_turn_ends_with_its_timeline(daemon: DaemonProcess) -> None:
    words = {"type": "TextInput", "npc_id": NPC, "text": "When does the tavern close?"}
    messages = run(daemon, "node-typed", {"send": words}, {"wait": "TurnTimeline"})
    assert "ASRFinal" not in types(messages)
    timeline = next(message for message in messages if message["type"] == "TurnTimeline")
    assert timeline["heard"] == words["text"] and timeline["played"] == timeline["reply"] != ""
    assert messages[-1] == {"type": "Closed", "code": 1000}


def test_push_to_talk_without_words_ends_with_idle(daemon: DaemonProcess) -> None:
    messages = run(
        daemon,
        "node-silent",
        {"send": {"type": "MicStart", "stream": 1, "npc_id": NPC}},
        {"wait": "NpcState", "state": "Listening"},
        {"silence_ms": 600, "stream": 1},
        {"send": {"type": "MicStop", "stream": 1}},
        {"wait": "NpcState", "state": "Idle"},
    )
    assert "TurnTimeline" not in types(messages) and "Error" not in types(messages)
    assert all(message["text"] == "" for message in messages if message["type"] == "ASRFinal")


@pytest.mark.parametrize(
    ("message", "what", "remedy"),
    [
        ({"type": "TextInput", "npc_id": NPC, "text": "HALF_AN_EMOJI"}, "a lone surrogate in `text`", "characters"),
        ({"type": "TextInput", "npc_id": NPC, "text": "  "}, "blanks", "words"),
        ({"type": "MicStart", "stream": 1, "sample_rate": 48000}, "48000", "Resample to 16000 Hz mono s16le"),
        ({"type": "Attend", "npc_id": "my barkeep"}, "'my barkeep'", '"my_barkeep"'),
    ],
    ids=["half an emoji", "blanks", "48 kHz", "a blank in an id"],
)
def test_a_refused_message_is_answered_with_an_error(
    daemon: DaemonProcess, message: dict[str, Any], what: str, remedy: str
) -> None:
    *_, error, closed = run(daemon, "node-refused", {"send": message}, {"wait": "Error"})
    assert (error["code"], error["turn_id"]) == ("BAD_MESSAGE", "")
    assert what in error["message"] and remedy in error["remedy"]
    assert closed["code"] == 1000, "the connection stays open until the client closes it"
