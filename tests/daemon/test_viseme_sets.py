"""Viseme sets through the real daemon: two clients at once, each with its own."""

from __future__ import annotations

import pytest
from msgspec import structs

from mythicd.client.daemon_client import DaemonClient
from mythicd.tts.visemes.track import rest_event
from mythicd.wire import messages as m
from mythicd.wire.frames import VISEME_SETS
from tests.daemon.process import DaemonProcess, hello

pytestmark = pytest.mark.engine


async def test_two_clients_get_the_sets_they_asked_for(daemon: DaemonProcess) -> None:
    said = m.TextInput(npc_id="barkeep_01", text="When do you open?")
    clients: dict[m.VisemeSetName, DaemonClient] = {}
    try:
        for name in ("arkit", "vrm"):
            asked = structs.replace(hello(f"set-{name}"), visemes=name)
            clients[name] = await DaemonClient.connect(daemon.data, asked, speed=8.0)
            await clients[name].send(said)
        for name, client in clients.items():
            await client.turn()
            voice = next(voice for voice in client.streams.values() if voice.start.kind == "reply")
            assert voice.start.viseme_set == VISEME_SETS[name].label
            assert bool(voice.blends) == (name == "arkit") and bool(voice.visemes) == (name == "vrm")
            at = 0
            for event in [*voice.blends, *voice.visemes]:
                assert event.start == at
                at = event.end
            assert voice.end is not None and at == voice.end.samples
            assert event == rest_event(name, event.start, event.duration)
    finally:
        for client in clients.values():
            await client.close()
