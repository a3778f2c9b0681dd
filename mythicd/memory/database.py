"""The memory database: opened, migrated, and its errors explained.

It is one SQLite file in WAL mode, through apsw (Python's sqlite3 often cannot load extensions), with sqlite-vec.
Nothing here deletes or repairs: a damaged file is left as it is, because it holds a player's playthrough.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from mythicd.errors import StoreError
from mythicd.memory.migrations import MIGRATIONS

BUSY_MS = 2000
"""Longest wait for another program's write lock, in milliseconds."""

_KEEP = "Move the file away to begin with an empty memory; Mythic does not change it"


def open_database(path: Path) -> apsw.Connection:
    """Open the file, create it if it does not exist, and migrate it to the newest schema. Blocking.

    Raises StoreError: not a database, damaged, locked, not writable, written by a newer version, no sqlite-vec.
    """
    with complaints(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)  # conversations are private: readable by the user only
        except FileExistsError:
            pass
        except OSError as error:
            raise StoreError(
                f"The memory database {path} cannot be written: {error.strerror}.",
                remedy="Make its folder writable, or set another data dir.",
            ) from error
        db = apsw.Connection(str(path))
        try:
            _prepare(db, path)
        except BaseException:
            db.close(force=True)
            raise
        return db


@contextmanager
def complaints(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StoreErrors that name the file and a remedy."""
    try:
        yield
    except apsw.NotADBError as error:
        raise StoreError(f"{path} is not a memory database, but another kind of file.", remedy=f"{_KEEP}.") from error
    except apsw.CorruptError as error:
        raise StoreError(f"The memory database {path} is damaged: {error}.", remedy=_recover(path)) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreError(
            f"The memory database {path} is locked by another program.",
            remedy="Close the program that has it open (another mythicd, a database browser) and try again.",
        ) from error
    except (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError) as error:
        raise StoreError(
            f"The memory database {path} cannot be written: {error}.",
            remedy="Make the file and its folder writable, or set another data dir.",
        ) from error
    except apsw.FullError as error:
        raise StoreError(
            f"The memory database {path} cannot be written: the disk is full.", remedy="Free some disk space."
        ) from error
    except apsw.IOError as error:
        raise StoreError(
            f"Reading or writing the memory database {path} failed: {error}.",
            remedy="Check the disk, and do not put the file on a network share.",
        ) from error
    except (apsw.SQLError, apsw.ConstraintError, apsw.SchemaChangeError) as error:
        raise StoreError(
            f"The memory database {path} does not have the expected tables: {error}.", remedy=f"{_KEEP}."
        ) from error


def _prepare(db: apsw.Connection, path: Path) -> None:
    db.set_busy_timeout(BUSY_MS)
    db.transaction_mode = (
        "IMMEDIATE"  # take the write lock at the beginning: SQLite cannot wait for an upgrade of a read lock
    )
    _load_vectors(db)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = normal")
    db.execute("pragma foreign_keys = on")
    faults = [str(fault) for (fault,) in db.execute("pragma quick_check(1)")]
    if faults != ["ok"]:
        raise StoreError(f"The memory database {path} is damaged: {faults[0]}.", remedy=_recover(path))
    _migrate(db, path)


def _load_vectors(db: apsw.Connection) -> None:
    remedy = "pip install --force-reinstall sqlite-vec"
    try:
        import sqlite_vec
    except ImportError as error:
        raise StoreError("The SQLite extension sqlite-vec is not installed.", remedy=remedy) from error
    db.enable_load_extension(True)
    try:
        sqlite_vec.load(db)
    except apsw.ExtensionLoadingError as error:
        raise StoreError(f"The SQLite extension sqlite-vec cannot be loaded: {error}.", remedy=remedy) from error
    finally:
        db.enable_load_extension(False)


def _migrate(db: apsw.Connection, path: Path) -> None:
    """Apply the missing migrations, all or none."""
    known = [name for name, _ in MIGRATIONS]
    with db:
        db.execute("create table if not exists migration (name text primary key, applied_at text not null)")
        taken = {str(name) for (name,) in db.execute("select name from migration")}
        unknown = sorted(taken.difference(known))
        if unknown:
            raise StoreError(
                f"The memory database {path} was written by a newer version of Mythic (it has {unknown[-1]}).",
                remedy=f"Update Mythic. {_KEEP}.",
            )
        for name, statements in MIGRATIONS:
            if name not in taken:
                db.execute(statements)
                db.execute("insert into migration values (?, datetime('now'))", (name,))


def _recover(path: Path) -> str:
    return f"{_KEEP}. Or recover its contents: sqlite3 {path} .recover | sqlite3 rescued.db"
