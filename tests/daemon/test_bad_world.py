"""A world with one of each kind of bad file: the daemon starts, tells all of them, and serves the rest."""

from __future__ import annotations

from pathlib import Path

from mythicd.authoring.new_world import NPC_ID, new_world
from mythicd.client.daemon_client import DaemonClient
from mythicd.wire import messages as m
from tests.daemon import process

BAD: dict[str, bytes] = {
    "lore/latin.yaml": b"entries: [{id: x, text: caf\xe9}]",
    "lore/broken.yaml": b"entries:\n- this: is: no yaml",
    "lore/keys.yaml": b"zone: harbor\nentries:\n- {id: k, text: t, tgas: []}",
    "lore/market - Copy.yaml": b"entries:\n- {id: potion_price, text: x}",
    "lore/notes.md": b"# Notes",
    "lore/old/more.yaml": b"entries: []",
    "npcs/barkeep_01 - Copy.yaml": b"name: Marla",
    "npcs/Guard_01.yaml": b"name: Rook",
    "npcs/tom.yaml": b"nmae: Tom",
    "npcs/lora.yaml": b"name: L\nllm: {lora: none.gguf}",
    "npcs/tom.YAML": b"name: Tom",
    "npcs/town/ann.yaml": b"name: Ann",
    "npcs/mira.png": b"\x89PNG",
    "npcs/mute.yaml": b"name: Mute\nvoice_id: nobody\nzone: harbor",
    "npcs/odd.yaml": b"name: Odd\nvoice_id: odd_voice\nzone: hrabor",
}
SILENT = (
    "lore/.#harbor.yaml",
    "npcs/._ada.yaml",
    "lore/harbor.yaml~",
    "Thumbs.db",
    ".DS_Store",
    "lore/.harbor.yaml.swp",
)


async def ask(client: DaemonClient, npc_id: str, text: str) -> tuple[str, tuple[str, ...]]:
    """Type a question; return the reply, and the notices of the newest Status."""
    await client.send(m.TextInput(npc_id=npc_id, text=text))
    turn = await client.turn()
    assert isinstance(turn[-1], m.TurnTimeline), turn
    told = [message.notices for message in turn if isinstance(message, m.Status)]
    return turn[-1].reply, told[-1] if told else ()


async def test_bad_files_are_told_and_the_rest_is_served(tmp_path: Path, world: Path) -> None:
    for name, content in BAD.items():
        (world / name).parent.mkdir(exist_ok=True)
        (world / name).write_bytes(content)
    for name in SILENT:
        (world / name).write_bytes(b"\0\5\x16\7")
    (world / "lore" / "gone.yaml").symlink_to(world / "nowhere.yaml")
    voices = world / "voices.yaml"
    voices.write_text(voices.read_text() + "odd_voice: {espeak: nobodys voice}\n")
    tools = world / "tools.yaml"
    tools.write_text(tools.read_text().replace("intents: [trade, quest]", "intents: [tarde, quest]", 1))
    daemon = process.start(tmp_path / "data", world)
    try:
        async with await DaemonClient.connect(daemon.data, process.hello("bad-world")) as client:
            reply, notices = await ask(client, "barkeep_01", "How much is a mug of ale?")
            assert "two copper" in reply.lower()
            for name in (*BAD, "lore/gone.yaml", "voices.yaml: odd_voice", "tools.yaml"):
                assert [notice for notice in notices if name in notice], name
            assert not [name for name in SILENT for notice in notices if name in notice]
            for npc_id in ("mute", "odd"):  # in the default voice
                assert (await ask(client, npc_id, "Hello!"))[0]
            lore = world / "lore" / "harbor.yaml"
            whole = lore.read_text()
            lore.write_text("- this: is: no yaml")
            reply, notices = await ask(client, "barkeep_01", "How much is a mug of ale?")
            assert "two copper" in reply.lower(), "the last good version was not used"
            assert [notice for notice in notices if "lore/harbor.yaml, line 1" in notice]
            lore.write_text(whole.replace("two copper coins", "nine copper coins"))
            reply, notices = await ask(client, "barkeep_01", "How much is a mug of ale?")
            assert "nine copper" in reply.lower()
            assert not [notice for notice in notices if "harbor.yaml, line" in notice]
        log = (tmp_path / "data.log").read_text()
        assert "lore/broken.yaml, line 2" in log and "Traceback" not in log
    finally:
        daemon.stop()


async def test_a_new_world_runs_at_once(tmp_path: Path) -> None:
    daemon = process.start(tmp_path / "data", new_world("my-town", tmp_path))
    try:
        async with await DaemonClient.connect(daemon.data, process.hello("new-world")) as client:
            reply, _ = await ask(client, NPC_ID, "How much is a slice of apple pie?")
            assert "two copper" in reply.lower()
    finally:
        daemon.stop()
    assert "Traceback" not in (tmp_path / "data.log").read_text()
