"""The registry's tables, and one way to open them.

A deleted version keeps its row in `models`, so that its number is never given out again.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from despina.errors import Internal, InvalidArgument

SCHEMA_VERSION = 1
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS models (
    name TEXT NOT NULL, version INTEGER NOT NULL, framework TEXT NOT NULL, framework_version TEXT,
    description TEXT NOT NULL, created_time TEXT NOT NULL, created_by TEXT NOT NULL,
    cpu_cores REAL, memory_gb REAL, gpu_cores INTEGER, deleted_time TEXT,
    PRIMARY KEY (name, version));
CREATE TABLE IF NOT EXISTS model_tags (
    name TEXT NOT NULL, version INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (name, version, key), FOREIGN KEY (name, version) REFERENCES models);
CREATE TABLE IF NOT EXISTS model_properties (
    name TEXT NOT NULL, version INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (name, version, key), FOREIGN KEY (name, version) REFERENCES models);
CREATE TABLE IF NOT EXISTS files (
    name TEXT NOT NULL, version INTEGER NOT NULL, path TEXT NOT NULL, sha256 TEXT, size INTEGER NOT NULL,
    executable INTEGER NOT NULL,
    PRIMARY KEY (name, version, path), FOREIGN KEY (name, version) REFERENCES models);
PRAGMA user_version = {SCHEMA_VERSION};
"""

BUSY_SECONDS = 30


@contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection in autocommit mode, with the tables made. Raises Internal: the file, or what is done with it, fails;
    SQLite's own message does not name the file. Raises InvalidArgument: a newer version wrote it."""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            _prepare(connection, path)
            # A registration that was reported must survive a power cut; WAL's usual NORMAL may lose the last one.
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            yield connection
    except sqlite3.Error as error:
        raise Internal(f"registry {path}: {error}{_advice(path)}") from error


@contextmanager
def write(path: Path) -> Iterator[sqlite3.Connection]:
    """One IMMEDIATE transaction: what is read in it is still true when it commits."""
    with connect(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        # What does not come so far is undone as the connection ends. To ask for that would be an error of its own, in
        # place of the one that matters, where SQLite has done it already: when a disk is full.
        connection.execute("COMMIT")


def _advice(path: Path) -> str:
    """SQLite keeps its log beside the file, so that whoever reads it writes, too."""
    places = (path.parent, path)
    locked = [str(one) for one in places if one.exists() and not os.access(one, os.W_OK)]
    return f"; reading it, too, needs write access to {' and '.join(locked)}" if locked else ""


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if _schema_version(connection) == SCHEMA_VERSION:
        return
    # The switch to WAL fails at once, without waiting, while another process does the same.
    with path.with_suffix(".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = _schema_version(connection)
        if found > SCHEMA_VERSION:
            raise InvalidArgument(f"registry {path} was written by a newer version (schema {found}); upgrade despina")
        if found == 0:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(SCHEMA)


def _schema_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
