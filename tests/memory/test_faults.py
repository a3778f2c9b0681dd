"""Faults of the memory database: other files, damage, unwritable places, and two programs at once."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from mythicd.errors import StoreError
from mythicd.memory import database
from mythicd.memory.database import open_database
from mythicd.memory.migrations import MIGRATIONS
from mythicd.memory.records import Scope, Speaker, Utterance
from mythicd.memory.store import Store

SCOPE = Scope("saltmere", "default", "player", "default")
PLAYER = Speaker("player", "player")


def said(text: str) -> Utterance:
    return Utterance("bess", "t1", PLAYER, text, 0.0, ["bess"], heard_text=text)


async def refuses(path: Path) -> StoreError:
    store = Store(path)
    with pytest.raises(StoreError) as raised:
        await store.open()
    await store.close()
    assert str(path) in raised.value.what and raised.value.remedy
    return raised.value


async def filled(path: Path) -> None:
    store = Store(path)
    await store.open()
    for number in range(300):
        await store.record_utterance(SCOPE, said(f"word {number} " * 20))
    await store.close()


@pytest.mark.parametrize("content", [b"%PDF-1.7\n" + b"x" * 5000, b"hello", b"\0" * 4096], ids=["pdf", "text", "zeros"])
async def test_file_of_another_kind_refused_unchanged(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    path.write_bytes(content)
    error = await refuses(path)
    assert "not a memory database" in error.what and "Move the file away" in error.remedy
    assert path.read_bytes() == content


async def test_a_damaged_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    await filled(path)
    content = bytearray(path.read_bytes())
    content[8192 : len(content) - 4096] = b"\x5a" * (len(content) - 12288)
    path.write_bytes(content)
    error = await refuses(path)
    assert "is damaged" in error.what and ".recover" in error.remedy
    assert path.read_bytes() == content


async def test_a_truncated_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    await filled(path)
    content = path.read_bytes()[:10_000]
    path.write_bytes(content)
    assert "damaged" in (await refuses(path)).what
    assert path.read_bytes() == content


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    await filled(path)
    db = apsw.Connection(str(path))
    db.execute("insert into migration values ('m999_dreams', '')")
    db.close()
    error = await refuses(path)
    assert "m999_dreams" in error.what and "Update Mythic" in error.remedy


async def test_tables_of_another_program_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    db = apsw.Connection(str(path))
    db.execute("create table lore (story text)")
    db.close()
    assert "tables" in (await refuses(path)).what


async def test_sqlite_vec_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlite_vec", None)
    with pytest.raises(StoreError, match="sqlite-vec.*not installed") as raised:
        open_database(tmp_path / "memory.db")
    assert "pip install" in raised.value.remedy


async def test_sqlite_vec_that_does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite_vec

    monkeypatch.setattr(sqlite_vec, "loadable_path", lambda: str(tmp_path / "vec0"))
    with pytest.raises(StoreError, match="sqlite-vec.*loaded"):
        open_database(tmp_path / "memory.db")


async def test_locked_file_is_named_and_a_retry_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 30)
    path = tmp_path / "memory.db"
    store = Store(path)
    await store.open()
    other = apsw.Connection(str(path))
    other.execute("begin immediate")
    with pytest.raises(StoreError, match=r"memory\.db.*locked"):
        await store.record_utterance(SCOPE, said("hello"))
    other.execute("rollback")
    other.close()
    await store.record_utterance(SCOPE, said("hello"))
    assert len(await store.recent_utterances(SCOPE, "bess", 9)) == 1
    await store.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from mythicd.memory.records import Scope, Speaker, Utterance
from mythicd.memory.store import Store

async def main():
    store = Store(Path(sys.argv[1]))
    await store.open()
    for number in range(100):
        one = Utterance("bess", "t", Speaker("player", "p"), "w", 0.0, ["bess"], heard_text=f"theirs {number}")
        await store.record_utterance(Scope("saltmere", "default", "player", "default"), one)
    await store.close()

asyncio.run(main())
"""


async def test_two_processes_write_the_same_file_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    root = Path(__file__).parents[2]
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )
    store = Store(path)
    await store.open()
    for number in range(100):
        await store.record_utterance(SCOPE, said(f"ours {number}"))
    assert await other.wait() == 0
    heard = [one.text for one in await store.recent_utterances(SCOPE, "bess", 999)]
    for who in ("ours", "theirs"):
        assert [text for text in heard if text.startswith(who)] == [f"{who} {number}" for number in range(100)]
    await store.close()


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder this process may read and not write, even when the tests are run by root."""
    folder = Path(tempfile.mkdtemp())
    root = os.name == "posix" and os.geteuid() == 0
    folder.chmod(0o555)
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows folders have no such permission bits")
async def test_a_folder_that_cannot_be_written(read_only: Path) -> None:
    for path in (read_only / "memory.db", read_only / "deeper" / "memory.db"):
        error = await refuses(path)
        assert "cannot be written" in error.what and "writable" in error.remedy


async def test_a_path_through_a_file_or_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot be written" in (await refuses(tmp_path / "file" / "memory.db")).what
    (tmp_path / "folder").mkdir()
    assert "cannot be written" in (await refuses(tmp_path / "folder")).what


async def test_only_the_user_may_read_it(tmp_path: Path) -> None:
    await filled(tmp_path / "memory.db")
    if os.name == "posix":
        assert (tmp_path / "memory.db").stat().st_mode & 0o777 == 0o600


def test_migrations_are_numbered_and_taken_once(tmp_path: Path) -> None:
    names = [name for name, _ in MIGRATIONS]
    assert [int(name[1:4]) for name in names] == list(range(1, len(names) + 1))
    for _ in range(2):
        db = open_database(tmp_path / "memory.db")
        assert [name for (name,) in db.execute("select name from migration order by name")] == names
        assert db.execute("pragma journal_mode").get == "wal"
        db.close()


def test_a_process_that_dies_leaves_a_file_that_opens(tmp_path: Path) -> None:
    """What was recorded before the death is there: WAL keeps every finished write."""
    root = Path(__file__).parents[2]
    dying = WRITER.replace("    await store.close()\n", "    import os; os._exit(9)\n")
    ended = subprocess.run(
        [sys.executable, "-c", dying, str(tmp_path / "memory.db")], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )
    assert ended.returncode == 9
    db = open_database(tmp_path / "memory.db")
    assert db.execute("select count(*) from utterance_words where utterance_words match 'theirs'").get == 100
    db.close()
